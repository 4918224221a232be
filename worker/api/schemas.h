/* schemas.h: the models of the API as tables, and the places of their fields in the values that
 * validation returns. The description of the API (openapi.h) shows them all. Constant data; any
 * thread. */
#pragma once

#include "worker/validate/schema.h"

/* ---- what comes in ---- */

/* UserSchema: the body of POST and PUT. The last field: of PUT with profile = hardened only (hardened.c). */
enum { USER_USERNAME, USER_EMAIL, USER_PASSWORD, USER_CURRENT_PASSWORD };
extern const struct schema schema_user;

/* FilterPage: the query of GET /users/. */
enum { PAGE_OFFSET, PAGE_LIMIT };
extern const struct schema schema_page;

/* OAuth2PasswordRequestForm (RFC 6749 section 4.3.2). */
enum { LOGIN_GRANT_TYPE, LOGIN_USERNAME, LOGIN_PASSWORD };
extern const struct schema schema_login;

extern const struct field field_user_id;
extern const struct field field_order_id;

/* At least any schema's fields. */
enum { SCHEMA_FIELDS_MAX = 6 };

/* ---- what goes out ---- */

/* UserPublic: MEMBER(member of struct store_user, kind), in the order in which it is written. */
#define USER_PUBLIC(MEMBER) MEMBER(id, INT) MEMBER(username, STRING) MEMBER(email, EMAIL)
extern const struct schema schema_user_public;
extern const struct schema schema_user_list;
extern const struct schema schema_message;
extern const struct schema schema_token;
extern const struct schema schema_health;
extern const struct schema schema_detail;
extern const struct schema schema_item;
extern const struct schema schema_error;
/* What every 422 is: worker/validate/problem.h writes it. */
extern const struct schema schema_problems;
