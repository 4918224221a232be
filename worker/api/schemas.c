/* schemas.c: see schemas.h. */
#include "worker/api/schemas.h"

/* ---- what comes in ---------------------------------------------------------------------------- */

static const struct field user_fields[] = {
    [USER_USERNAME] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [USER_EMAIL] = {.name = "email", .kind = FIELD_EMAIL, .required = true},
    [USER_PASSWORD] = {.name = "password", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_user = NAMED_SCHEMA("UserSchema", user_fields);

static const struct field page_fields[] = {
    [PAGE_OFFSET] = {.name = "offset", .kind = FIELD_INT, .int_default = 0, .min = 0, .max = INT64_MAX},
    [PAGE_LIMIT] = {.name = "limit", .kind = FIELD_INT, .int_default = 100, .min = 1, .max = INT64_MAX},
};
const struct schema schema_page = SCHEMA(page_fields);

/* scope, client_id and client_secret are accepted and have no effect. */
static const struct field login_fields[] = {
    [LOGIN_GRANT_TYPE] = {.name = "grant_type", .kind = FIELD_STRING, .pattern = "^password$"},
    [LOGIN_USERNAME] = {.name = "username", .kind = FIELD_STRING, .required = true},
    [LOGIN_PASSWORD] =
        {.name = "password", .kind = FIELD_STRING, .required = true, .format = "password"},
    {.name = "scope", .kind = FIELD_STRING, .text_default = ""},
    {.name = "client_id", .kind = FIELD_STRING},
    {.name = "client_secret", .kind = FIELD_STRING, .format = "password"},
};
const struct schema schema_login =
    NAMED_SCHEMA("Body_login_for_access_token_auth_token_post", login_fields);

const struct field field_user_id = {
    .name = "user_id", .kind = FIELD_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX};

const struct field field_order_id = {
    .name = "identificacao_do_pedido", .kind = FIELD_UUID, .required = true};

/* ---- what goes out ---------------------------------------------------------------------------- */

static const struct field user_public_fields[] = {
#define MEMBER(member, of_kind) {.name = #member, .kind = FIELD_##of_kind, .required = true},
    USER_PUBLIC(MEMBER)
#undef MEMBER
};
const struct schema schema_user_public = NAMED_SCHEMA("UserPublic", user_public_fields);

static const struct field user_list_fields[] = {
    {.name = "users", .kind = FIELD_LIST, .required = true, .items = &schema_user_public},
};
const struct schema schema_user_list = NAMED_SCHEMA("UserList", user_list_fields);

static const struct field message_fields[] = {
    {.name = "message", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_message = NAMED_SCHEMA("Message", message_fields);

static const struct field token_fields[] = {
    {.name = "access_token", .kind = FIELD_STRING, .required = true},
    {.name = "token_type", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_token = NAMED_SCHEMA("Token", token_fields);

static const struct field health_fields[] = {
    {.name = "status", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_health = NAMED_SCHEMA("HealthCheckResponse", health_fields);

static const struct field problem_fields[] = {
    {.name = "loc", .kind = FIELD_LOCATION, .required = true, .title = "Location"},
    {.name = "msg", .kind = FIELD_STRING, .required = true, .title = "Message"},
    {.name = "type", .kind = FIELD_STRING, .required = true, .title = "Error Type"},
    {.name = "input", .kind = FIELD_ANY},
    {.name = "ctx", .kind = FIELD_OBJECT, .title = "Context"},
};
static const struct schema schema_problem = NAMED_SCHEMA("ValidationError", problem_fields);

static const struct field problems_fields[] = {
    {.name = "detail", .kind = FIELD_LIST, .items = &schema_problem},
};
const struct schema schema_problems = NAMED_SCHEMA("HTTPValidationError", problems_fields);

static const struct field detail_fields[] = {
    {.name = "detail", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_detail = NAMED_SCHEMA("Detail", detail_fields);

static const struct field item_fields[] = {
    {.name = "sku", .kind = FIELD_STRING, .required = true},
    {.name = "description", .kind = FIELD_STRING, .required = true},
    {.name = "image_url", .kind = FIELD_STRING, .required = true},
    {.name = "reference", .kind = FIELD_STRING, .required = true},
    {.name = "quantity", .kind = FIELD_INT, .required = true},
};
const struct schema schema_item = NAMED_SCHEMA("Item", item_fields);

static const struct field error_fields[] = {
    {.name = "message", .kind = FIELD_STRING, .required = true},
};
const struct schema schema_error = NAMED_SCHEMA("ErrorResponse", error_fields);
