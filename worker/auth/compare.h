/* compare.h: whether a password fits a stored hash, for password.c. Takes its tens of milliseconds and
 * its memory; on a hashing thread. */
#pragma once

#include "worker/auth/password.h"
#include "worker/auth/phc.h"

/* *text*: what *phc* was parsed from, NUL-terminated, in PHC_TEXT_MAX + 1 bytes. PASSWORD_OK,
 * PASSWORD_MISMATCH or PASSWORD_NO_MEMORY. */
enum password_result compare(const struct phc *phc, const char *text, struct slice password);
