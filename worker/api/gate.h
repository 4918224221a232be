/* gate.h: the throttle before passwords are judged and accounts made: who the client is, whether it may try now
 * (worker/auth/attempts.h), and the 429 if not. Everyone who is let through must end with one of
 * the last three calls; further ones do nothing. Loop thread. */
#pragma once

#include "worker/api/exchange.h"

/* True: go on; x->attempt is counted. False: answered with 429 and Retry-After.
 * *account*: the e-mail as it is looked up. */
bool gate_login(struct exchange *x, struct slice account);
bool gate_sign_up(struct exchange *x);
/* exchange_await() on the way of one who was let through: without memory nothing was tried. */
void gate_await(struct exchange *x, struct task *task);

/* What became of it. None of them answers. */
void gate_judged(struct exchange *x, enum password_result result); /* the password was right, or not */
void gate_signed_up(struct exchange *x); /* an account was, or may be made, or its client left */
void gate_undone(struct exchange *x);    /* nothing was judged, or made */
