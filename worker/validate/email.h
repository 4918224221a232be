/* email.h: e-mail addresses as pydantic's EmailStr takes them (email-validator 2.3.0 without
 * deliverability): whether one is valid, why not, and how it is stored. International
 * domains go through libidn2 (UTS-46 non-transitional, IDNA 2008), the rest of Unicode through
 * libunistring. Any thread. */
#pragma once

#include "shared/str.h"

enum email_result { EMAIL_OK, EMAIL_INVALID, EMAIL_NO_MEMORY };

enum { EMAIL_CODE_POINTS_MAX = 2048 };

/* *in* is valid UTF-8 and may hold NUL. EMAIL_OK: *normalised_r is the text to store and to compare
 * (in the arena, or part of *in*). EMAIL_INVALID: *reason_r is the original's sentence (static or
 * in the arena). */
enum email_result email_normalize(struct arena *a, struct slice in, struct slice *normalised_r,
                                  struct slice *reason_r);
