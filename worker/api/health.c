/* health.c: the two routes that need nothing. */
#include "worker/api/exchange.h"

#include <stdatomic.h>

void api_read_root(struct exchange *x)
{
    response_json(x->r, 200, SLICE("{\"message\":\"Olá Mundo!\"}"));
}

void api_healthcheck(struct exchange *x)
{
    const struct scoreboard *s = x->api->scoreboard;
    if (s && atomic_load_explicit(&s->stopping, memory_order_relaxed))
        response_json(x->r, 503, SLICE("{\"status\":\"stopping\"}"));
    else
        response_json(x->r, 200, SLICE("{\"status\":\"ok\"}"));
}
