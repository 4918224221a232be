/* endpoint.h: what stands behind a route (a row of routes.def): what dispatch reads and checks
 * before the handler, and what the description of the API says. Constant data; any thread. */
#pragma once

#include "shared/config.h"
#include "worker/api/schemas.h"
#include "worker/http/router.h"

#include <stdbool.h>

struct exchange;

enum credentials { CREDENTIALS_PUBLIC, CREDENTIALS_BEARER };
enum body_type { BODY_TYPE_NONE, BODY_TYPE_JSON, BODY_TYPE_FORM };

enum { NOTED_ANSWERS_MAX = 4 };

/* An answer besides success and 422 that the description names. */
struct noted_answer {
    int status;
    const char *description;
    const struct schema *schema;
};

/* What only some routes have; everything may be left out. */
struct route_notes {
    bool (*mounted)(const struct config *config); /* the route is there only if so */
    const char *summary;  /* else the handler's name in other letters */
    const char *description;
    bool is_list;                                   /* success is a list of its schema */
    struct noted_answer answers[NOTED_ANSWERS_MAX]; /* in the order of the description */
};

struct endpoint {
    enum credentials credentials;
    enum body_type body_type;
    const struct field *path;   /* of the only path parameter, or NULL */
    const struct schema *query; /* or NULL */
    const struct schema *body;  /* or NULL */
    void (*handler)(struct exchange *x);
    const char *tag;             /* or NULL */
    int status;                  /* of success. 0: a page, which the description does not show */
    const struct schema *answer; /* of success; named */
    const struct route_notes *notes; /* or NULL */
    void (*check)(struct exchange *x); /* adds problems to those of the schemas; or NULL */
};

extern const struct route_notes notes_login;
extern const struct route_notes notes_healthcheck;
extern const struct route_notes notes_listar_itens;

/* Every row of routes.def; endpoint is a struct endpoint. */
extern const struct route all_routes[];
extern const size_t all_routes_len;
