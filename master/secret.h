/* secret.h: the key that signs tokens: configured, read from a file, or made at first start and
 * kept beside the database; and the ones before it, whose tokens are still honoured. Master, before it forks. The key lives in pages of its own that core
 * dumps leave out; it is never logged. */
#pragma once

#include "shared/config.h"
#include "shared/entry.h"
#include "shared/str.h"

#include <stdbool.h>

/* Tokens signed with HS256 deserve a key as long as the hash (RFC 7518, 3.2). */
enum { SECRET_MIN_BYTES = 32, SECRET_MAX_BYTES = 4096 };

struct secret;

/* Finds the key. With *create* a missing secret.key is made (mode 0600; two masters starting at
 * once get the same one), without it *secret_r is then NULL and a note says so. No file but a regular
 * one is read, none is waited for, and none that [server] user can have put there. EXIT_CODE_OK, or
 * the code to leave with and one line in *error* that says what to do. Remarks for the operator,
 * one per line, are appended to *warnings* and *notes*. */
enum exit_code secret_load(const struct config *config, bool create, struct secret **secret_r,
                           struct buf *error, struct buf *warnings, struct buf *notes);
/* This key and a keyring (shared/keyring.h) of those before it, as another program had loaded them.
 * NULL without memory, or when they are too long. */
struct secret *secret_of(struct slice key, struct slice previous);
/* Wipes and frees. Accepts NULL. */
void secret_free(struct secret *s);
/* Borrowed from *s*. */
struct slice secret_key(const struct secret *s);
/* The keys that signed before, as a keyring; borrowed, too. Empty: none. */
struct slice secret_previous(const struct secret *s);
size_t secret_previous_count(const struct secret *s);

/* Why a key is not good enough, as the rest of a sentence ("is …"); NULL: it is. */
const char *secret_weakness(struct slice key);
