/* hardened.h: the routes as [server] profile = hardened has them: the list of users for who is logged in,
 * rules for new passwords, the present password for a change, no password in a 422. What else is
 * different is in users.c, by exchange_is_hardened(). Made once at the start, then constant. Loop thread. */
#pragma once

#include "worker/api/endpoint.h"

struct hardened;

/* NULL without memory. */
struct hardened *hardened_new(const struct config *config);
/* Accepts NULL. */
void hardened_free(struct hardened *h);
/* What stands behind a route in this profile: the row's own endpoint, or one that lives as long as *h*. */
const struct endpoint *hardened_endpoint(const struct hardened *h, const struct route *route);
