/* authority.h: the host and port that a request is for, as the Host field or a target names them
 * (RFC 9110, 7.2; RFC 9112, 3.2). Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* A host, perhaps with ":" and a port (which may be empty), of RFC 3986: a name with its
 * percent-encodings, or an address in brackets. No user information, no empty host. */
bool authority_is_valid(struct slice authority);
/* The same, and a port must be there (RFC 9112, 3.2.3). */
bool authority_has_port(struct slice authority);
