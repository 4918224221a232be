/* strength.h: what a new password must be with [server] profile = hardened, after NIST SP 800-63B and OWASP
 * ASVS 5: long, none that everybody tries first, and none that goes without guessing. Nothing is asked about
 * kinds of characters. Pure, but for the stack. Any thread. */
#pragma once

#include "shared/str.h"

#include <stddef.h>

enum { STRENGTH_MAX_CHARS = 256 };

enum strength {
    STRENGTH_GOOD,
    STRENGTH_TOO_SHORT,
    STRENGTH_TOO_LONG,
    STRENGTH_COMMON,   /* on the list (common.h), also with digits or signs behind it */
    STRENGTH_REPEATED, /* a piece that is too short by itself, again and again, or one run as 123… or abc… */
    STRENGTH_NAME,     /* the user's name … */
    STRENGTH_EMAIL     /* … or address, whole or up to the @; without regard to case */
};

/* All valid UTF-8. Characters are code points. */
enum strength strength_of(struct slice password, size_t min_chars, struct slice username,
                          struct slice email);
/* "the password is one of those that people use most"; static. Not of GOOD and the two lengths. */
const char *strength_words(enum strength strength);
