/* doors.h: what a worker needs for listeners with TLS, made of what the master has read. Loop thread. */
#pragma once

#include "shared/entry.h"

struct tls_context;

/* True with NULL in *context_r*: no listener needs one. False: the reason is on the log. */
bool doors_open_tls(const struct entry *entry, struct tls_context **context_r);
/* ROLE_CHECK: whether it could serve so: EXIT_CODE_OK or CONFIG; what is wrong is on the log. */
int doors_check(const struct entry *entry);
/* ROLE_DOCTOR: adds to entry->findings what there is to be said of the certificate; no listener needs one:
 * nothing. */
void doors_examine(const struct entry *entry);
