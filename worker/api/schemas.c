/* schemas.c: see schemas.h. */
#include "worker/api/schemas.h"

static const struct field user_fields[] = {
    [USER_USERNAME] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [USER_EMAIL] = {.name = "email", .kind = FIELD_EMAIL, .required = true},
    [USER_PASSWORD] = {.name = "password", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_user = SCHEMA(user_fields);

static const struct field page_fields[] = {
    [PAGE_OFFSET] = {.name = "offset", .kind = FIELD_INT, .int_default = 0, .min = 0, .max = INT64_MAX},
    [PAGE_LIMIT] = {.name = "limit", .kind = FIELD_INT, .int_default = 100, .min = 1, .max = INT64_MAX},
};
const struct schema schema_page = SCHEMA(page_fields);

/* scope, client_id and client_secret are accepted and have no effect, so they are not read. */
static const struct field login_fields[] = {
    [LOGIN_GRANT_TYPE] = {.name = "grant_type", .kind = FIELD_STRING, .pattern = "^password$"},
    [LOGIN_USERNAME] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [LOGIN_PASSWORD] = {.name = "password", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_login = SCHEMA(login_fields);

const struct field field_user_id = {
    .name = "user_id", .kind = FIELD_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX};

const struct field field_order_id = {
    .name = "identificacao_do_pedido", .kind = FIELD_UUID, .required = true};
