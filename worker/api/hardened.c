/* hardened.c: see hardened.h. */
#include "worker/api/hardened.h"

#include "shared/check.h"
#include "worker/api/exchange.h"
#include "worker/validate/strength.h"

#include <stdlib.h>
#include <string.h>

enum {
#define HARDENED(name, credentials, body, check) ROW_##name,
#include "worker/api/hardened.def"
#undef HARDENED
    ROWS
};

/* Of bodies; the shortest password is the configuration's affair. */
struct hardened_schemas {
    struct field fields[USER_CURRENT_PASSWORD + 1];
    struct schema user;        /* without the last field */
    struct schema user_update; /* all of them */
    struct field login_fields[SCHEMA_FIELDS_MAX];
    struct schema login;
};

struct hardened {
    struct hardened_schemas schemas;
    struct endpoint endpoints[ROWS];
};

static const char *const names[ROWS] = {
#define HARDENED(name, credentials, body, check) #name,
#include "worker/api/hardened.def"
#undef HARDENED
};

/* ---- schemas ---------------------------------------------------------------------------------- */

static void make_schemas(struct hardened_schemas *s, const struct config *config)
{
    memcpy(s->fields, schema_user.fields, schema_user.fields_len * sizeof *s->fields);
    s->fields[USER_PASSWORD].min_length = config->auth_password_min_length;
    s->fields[USER_PASSWORD].max_length = STRENGTH_MAX_CHARS;
    s->fields[USER_PASSWORD].format = "password";
    s->fields[USER_PASSWORD].secret = true;
    s->fields[USER_CURRENT_PASSWORD] = (struct field){.name = "current_password",
                                                      .kind = FIELD_STRING,
                                                      .required = true,
                                                      .format = "password",
                                                      .secret = true};
    s->user = (struct schema){s->fields, USER_CURRENT_PASSWORD, schema_user.name};
    s->user_update = (struct schema){s->fields, USER_CURRENT_PASSWORD + 1, "UserUpdateSchema"};
    memcpy(s->login_fields, schema_login.fields, schema_login.fields_len * sizeof *s->login_fields);
    s->login_fields[LOGIN_PASSWORD].secret = true;
    s->login = (struct schema){s->login_fields, schema_login.fields_len, schema_login.name};
}

/* ---- checks ----------------------------------------------------------------------------------- */

/* What the schema has refused is not judged again. */
static void check_new_password(struct exchange *x)
{
    struct slice password = x->body[USER_PASSWORD].text;
    if (!password.ptr)
        return;
    enum strength strength =
        strength_of(password, (size_t)x->api->config->auth_password_min_length,
                    x->body[USER_USERNAME].text, x->body[USER_EMAIL].text);
    if (strength != STRENGTH_GOOD)
        problems_add(&x->problems, &(struct problem){.type = PROBLEM_PASSWORD,
                                                     .where = "body",
                                                     .field = SLICE("password"),
                                                     .input = problem_input_text(SCHEMA_HIDDEN),
                                                     .ctx_text = slice_of(strength_words(strength))});
}

/* ---- endpoints -------------------------------------------------------------------------------- */

static const struct route *row_of(const char *name)
{
    for (size_t i = 0; i < all_routes_len; i++)
        if (strcmp(all_routes[i].name, name) == 0)
            return &all_routes[i];
    return NULL;
}

static const struct endpoint *original(const char *name)
{
    const struct route *route = row_of(name);
    ASSERT(route); /* a row of hardened.def that routes.def does not know */
    return route->endpoint;
}

#define BODY_SAME NULL
#define BODY_user &h->schemas.user
#define BODY_user_update &h->schemas.user_update
#define BODY_login &h->schemas.login

static struct endpoint harden(const struct endpoint *original, enum credentials credentials,
                              const struct schema *body, void (*check)(struct exchange *x))
{
    struct endpoint e = *original;
    e.credentials = credentials;
    e.check = check;
    if (body)
        e.body = body;
    return e;
}

struct hardened *hardened_new(const struct config *config)
{
    struct hardened *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    make_schemas(&h->schemas, config);
#define HARDENED(name, credentials, body, check)                                                   \
    h->endpoints[ROW_##name] =                                                                     \
        harden(original(#name), CREDENTIALS_##credentials, BODY_##body, check);
#include "worker/api/hardened.def"
#undef HARDENED
    return h;
}

void hardened_free(struct hardened *h)
{
    free(h);
}

const struct endpoint *hardened_endpoint(const struct hardened *h, const struct route *route)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(names[i], route->name) == 0)
            return &h->endpoints[i];
    return route->endpoint;
}
