/* exchange.h: one request on its way through the API: what dispatch has found out so far, for the
 * handlers, and the answers they share. Lives in the request's arena. Loop thread only. */
#pragma once

#include "shared/audit.h"
#include "worker/api/api.h"
#include "worker/api/endpoint.h"
#include "worker/http/response.h"

struct exchange {
    struct request *r;
    struct api *api;
    const struct endpoint *endpoint;
    struct task *task;           /* in flight for this request; cancelled when the client leaves */
    struct problems problems;
    struct body json;            /* BODY_TYPE_JSON, parsed */
    struct form form;            /* BODY_TYPE_FORM, parsed */

    /* BEARER routes: who asks, as the token check saw the account; copies in the arena */
    struct token_claims claims;
    struct store_user current;

    /* valid, by the schemas' places */
    struct field_value path;
    struct field_value query[SCHEMA_FIELDS_MAX];
    struct field_value body[SCHEMA_FIELDS_MAX];

    struct store_user account;   /* the handler's: the row it works on */
    unsigned writes;             /* of a PUT or DELETE: how often it was tried */
    struct attempt attempt;      /* that was let through (gate.h) and has no end yet */
    const char *why;             /* the credentials are refused, for the audit log; NULL: no more to say */
};

/* The handlers, one for each row of routes.def. */
#define ROUTE(method, path, name, ...) void api_##name(struct exchange *x);
#define PAGE(path, name) void api_##name(struct exchange *x);
#include "worker/api/routes.def"
#undef ROUTE
#undef PAGE

/* [server] profile = hardened. */
bool exchange_is_hardened(const struct exchange *x);
/* Where it came from, for audit_login(). */
struct audit_origin exchange_origin(const struct exchange *x);
/* Writes to the audit log what became of an account, who: the caller (none at a sign-up). */
void exchange_record(const struct exchange *x, enum audit_event event, enum audit_outcome outcome,
                     const struct store_user *account, const char *why);
/* … how what was asked for ended before anything was done: THROTTLED, ABANDONED, UNAVAILABLE. No line
 * for endpoints that change and prove nothing. */
void exchange_record_end(const struct exchange *x, enum audit_outcome outcome);
/* … ABANDONED, if who asked has left, else UNAVAILABLE. */
void exchange_record_undone(const struct exchange *x);
/* … and that access was denied: a 401 or 403 of which x->why may say more. */
void exchange_record_denied(const struct exchange *x);

/* Remembers what is in flight. A NULL task (no memory) is answered with 503 at once, and recorded. */
void exchange_await(struct exchange *x, struct task *task);
/* The first thing when a task comes back: its request goes on. True: the client has left, what came
 * is for nobody, and nobody was answered. */
bool exchange_abandoned(struct exchange *x);
/* The two 401s of bearer routes, with their www-authenticate; recorded as denied. */
void exchange_not_authenticated(struct exchange *x);
void exchange_bad_credentials(struct exchange *x);
/* The 401 of a login. */
void exchange_bad_login(struct exchange *x);
/* 503 with Retry-After for a store result that is no answer (BUSY, UNKNOWN, UNAVAILABLE,
 * NO_MEMORY). */
void exchange_store_failed(struct exchange *x, enum store_result result);
/* 503 with Retry-After for a password result that is no answer (BUSY, NO_MEMORY). */
void exchange_password_failed(struct exchange *x, enum password_result result);
/* 503: memory ran out. */
void exchange_no_memory(struct exchange *x);
/* A buffer's JSON as the answer, or 503 when the buffer failed. */
void exchange_json(struct exchange *x, int status, const struct buf *json);
/* The same of a token, with 200. */
void exchange_token_json(struct exchange *x, const struct buf *json);
/* Copies a row into the request's arena. False without memory. */
bool exchange_keep_user(struct exchange *x, const struct store_user *user, struct store_user *kept_r);
/* The clear-text password in *value* is not needed any more: wipes it and the body it came from.
 * Whatever else is needed of the body must have been copied. Harmless twice. */
void exchange_wipe_password(struct exchange *x, struct field_value *value);
