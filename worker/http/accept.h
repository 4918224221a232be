/* accept.h: what a client says it can read. Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* Whether an Accept-Encoding ({NULL, 0} without one) takes gzip: "gzip", "x-gzip" or "*" with a
 * weight above 0; what names gzip counts before what says "*" (RFC 9110, 12.5.3). */
bool accept_gzip(struct slice accept_encoding);
