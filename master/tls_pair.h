/* tls_pair.h: the files of [tls], read by the master and given to each worker it forks, so that one that
 * is replaced never has the certificate of one pair and the key of another. The master does not look into
 * them: workers do (worker/doors.h). They live in pages that core dumps leave out. */
#pragma once

#include "shared/config.h"
#include "shared/entry.h"
#include "shared/str.h"

struct tls_pair;

/* Reads both if a listener needs them; NULL in *pair_r: none does. Waits for nothing: they must be
 * regular files. EXIT_CODE_OK, or the code to leave with and lines in *errors* that say what to do. */
enum exit_code tls_pair_load(const struct config *config, struct tls_pair **pair_r,
                             struct buf *errors);
/* These bytes, as another program had read them. NULL without memory, or when they are too long. */
struct tls_pair *tls_pair_of(struct slice certificate, struct slice key);
/* Wipes and frees. Accepts NULL. */
void tls_pair_free(struct tls_pair *p);
/* Borrowed from *p*; {NULL, 0} of NULL. */
struct slice tls_pair_certificate(const struct tls_pair *p);
struct slice tls_pair_key(const struct tls_pair *p);
