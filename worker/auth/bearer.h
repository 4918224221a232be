/* bearer.h: the Authorization header as the original reads it (RFC 6750 section 2.1).
 * Pure.
 *
 * Thread: any. */
#pragma once

#include "shared/str.h"

/* True: the scheme is Bearer, and *token_r is what follows, blanks trimmed, within
 * *authorization*; empty (not absent) when nothing follows. False: no header, empty, another
 * scheme, or no scheme: "Not authenticated". */
bool bearer_token(struct slice authorization, struct slice *token_r);
