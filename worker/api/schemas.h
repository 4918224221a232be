/* schemas.h: the models of the API as tables, and the places of their fields in the values that
 * validation returns. Constant data; any thread. */
#pragma once

#include "worker/validate/schema.h"

/* UserSchema: the body of POST and PUT. */
enum { USER_USERNAME, USER_EMAIL, USER_PASSWORD };
extern const struct schema schema_user;

/* FilterPage: the query of GET /users/. */
enum { PAGE_OFFSET, PAGE_LIMIT };
extern const struct schema schema_page;

/* OAuth2PasswordRequestForm (RFC 6749 section 4.3.2). */
enum { LOGIN_GRANT_TYPE, LOGIN_USERNAME, LOGIN_PASSWORD };
extern const struct schema schema_login;

extern const struct field field_user_id;
extern const struct field field_order_id;

/* More than any schema's fields. */
enum { SCHEMA_FIELDS_MAX = 4 };
