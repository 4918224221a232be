/* api.h: the APIs over HTTP: the one place that joins http, validate, auth, store and upstream. The
 * worker makes it once and gives api_handle() to its http_service. Loop thread only. */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "worker/api/site.h"
#include "worker/auth/attempts.h"
#include "worker/auth/password.h"
#include "worker/auth/token.h"
#include "worker/http/proxy.h"
#include "worker/http/request.h"
#include "worker/store/store.h"
#include "worker/upstream/fanout.h"

/* Everything is borrowed and must outlive the last request. */
struct api {
    const struct config *config;
    struct store *store;
    struct tokens *tokens;
    struct passwords *passwords;
    struct fanouts *orders;              /* NULL: there is no orders API */
    const struct scoreboard *scoreboard; /* for healthcheck: is a full stop under way? */
    struct site *site;                   /* what is served */
    struct attempts attempts;            /* {0}: nothing is throttled */
    const struct proxies *exempt;        /* [auth] throttle_exempt; NULL: nobody */
};

/* http_service.handle: r->context is a struct api. Routes, judges and answers the request. */
void api_handle(struct request *r);
/* http_service.awaits: a task is in flight for it. */
bool api_awaits(const struct request *r);
