/* routes.h: what the admin child answers. Loop thread only. */
#pragma once

#include "shared/bulletin.h"
#include "worker/http/request.h"

/* The routes' context. All but *page* is borrowed. */
struct admin_view {
    const struct scoreboard *scoreboard;
    const struct bulletin *bulletin;
    struct bulletin_page page; /* the last one that was read; a master that died in the middle of
                                  writing leaves this */
    int64_t store_ms;          /* readiness_judge() */
};

/* http_service.handle: r->context is a struct admin_view. */
void admin_handle(struct request *r);
/* Whether an Accept header (RFC 9110, 12.5.1; {NULL, 0}: there is none) asks for a page rather than
 * for data: text/html is in it and not excluded. */
bool admin_wants_page(struct slice accept);
