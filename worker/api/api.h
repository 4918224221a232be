/* api.h: the users API over HTTP: the one place that joins http, validate, auth and store. The
 * worker makes it once and gives api_handle() to its http_service. Loop thread only. */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "worker/auth/password.h"
#include "worker/auth/token.h"
#include "worker/http/request.h"
#include "worker/store/store.h"

/* Everything is borrowed and must outlive the last request. */
struct api {
    const struct config *config;
    struct store *store;
    struct tokens *tokens;
    struct passwords *passwords;
    const struct scoreboard *scoreboard; /* for healthcheck: is a full stop under way? */
};

/* http_service.handle: r->context is a struct api. Routes, judges and answers the request. */
void api_handle(struct request *r);
/* The table of routes. */
const struct route *api_routes(size_t *len_r);
/* http_service.awaits: a task is in flight for it. */
bool api_awaits(const struct request *r);
