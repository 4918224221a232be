/* exchange.c: see exchange.h. */
#include "worker/api/exchange.h"

#include "shared/check.h"
#include "shared/log.h"

#include <stdio.h>
#include <string.h>

/* The contract's is bare. RFC 6750, section 3, wants a parameter at least, and the error where there is one. */
static const struct {
    struct slice absent, invalid;
} challenges[] = {
    [CONFIG_PROFILE_CONTRACT] = {{"Bearer", 6}, {"Bearer", 6}},
    [CONFIG_PROFILE_HARDENED] = {{"Bearer realm=\"colmeia\"", 22},
                                 {"Bearer realm=\"colmeia\", error=\"invalid_token\"", 45}},
};

static void unavailable(struct exchange *x, int retry_after_s)
{
    response_status(x->r, 503, &(struct response_headers){.retry_after_s = retry_after_s});
}

bool exchange_is_hardened(const struct exchange *x)
{
    return x->api->config->server_profile == CONFIG_PROFILE_HARDENED;
}

void exchange_await(struct exchange *x, struct task *task)
{
    x->task = task;
    if (!task) {
        exchange_record_undone(x);
        exchange_no_memory(x);
    }
}

bool exchange_abandoned(struct exchange *x)
{
    x->task = NULL;
    request_resumed(x->r);
    if (!request_is_gone(x->r))
        return false;
    response_internal_error(x->r);
    return true;
}

/* ---- the audit log --------------------------------------------------------------------------- */

struct audit_origin exchange_origin(const struct exchange *x)
{
    return (struct audit_origin){.from = request_peer_name(x->r), .request_id = x->r->id};
}

void exchange_record(const struct exchange *x, enum audit_event event, enum audit_outcome outcome,
                     const struct store_user *account, const char *why)
{
    audit_write(&(struct audit){.event = event,
                                .outcome = outcome,
                                .who = x->current.email,
                                .account = account->email,
                                .account_id = account->id,
                                .from = request_peer_name(x->r),
                                .request_id = x->r->id,
                                .why = slice_of(why)});
}

void exchange_record_end(const struct exchange *x, enum audit_outcome outcome)
{
    void (*handler)(struct exchange *) = x->endpoint->handler;
    if (handler == api_login_for_access_token)
        audit_login(exchange_origin(x), outcome, x->account.email, 0);
    else if (handler == api_create_user)
        exchange_record(x, AUDIT_EVENT_create, outcome, &x->account, NULL);
    else if (handler == api_update_user)
        exchange_record(x, AUDIT_EVENT_update, outcome, &x->current, NULL);
    else if (handler == api_delete_user)
        exchange_record(x, AUDIT_EVENT_delete, outcome, &x->current, NULL);
}

void exchange_record_undone(const struct exchange *x)
{
    exchange_record_end(x, request_is_gone(x->r) ? AUDIT_ABANDONED : AUDIT_UNAVAILABLE);
}

/* "GET /users/1": the path as it was received, for a query may hold what is nobody's business. */
static struct slice what_was_asked(const struct exchange *x, char *room, size_t cap)
{
    int n = snprintf(room, cap, "%.*s %.*s", SLICE_ARGS(x->r->method_name), SLICE_ARGS(x->r->raw_path));
    return (struct slice){room, n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1};
}

void exchange_record_denied(const struct exchange *x)
{
    char room[1024];
    bool refresh = x->endpoint->handler == api_refresh_access_token;
    audit_write(&(struct audit){
        .event = refresh ? AUDIT_EVENT_refresh : AUDIT_EVENT_access,
        .outcome = AUDIT_DENIED,
        .who = x->current.email.ptr ? x->current.email : x->claims.sub,
        .account_id = x->current.id,
        .from = request_peer_name(x->r),
        .request_id = x->r->id,
        .what = what_was_asked(x, room, sizeof room),
        .why = slice_of(x->why)});
}

/* ---- answers --------------------------------------------------------------------------------- */

void exchange_not_authenticated(struct exchange *x)
{
    struct slice challenge = challenges[x->api->config->server_profile].absent;
    x->why = "no token";
    exchange_record_denied(x);
    response_detail(x->r, 401, SLICE("Not authenticated"),
                    &(struct response_headers){.www_authenticate = challenge});
}

void exchange_bad_credentials(struct exchange *x)
{
    struct slice challenge = challenges[x->api->config->server_profile].invalid;
    exchange_record_denied(x);
    response_detail(x->r, 401, SLICE("Could not validate credentials"),
                    &(struct response_headers){.www_authenticate = challenge});
}

void exchange_bad_login(struct exchange *x)
{
    struct response_headers headers = {0};
    if (exchange_is_hardened(x)) /* no 401 without a challenge: RFC 9110, section 15.5.2 */
        headers.www_authenticate = challenges[CONFIG_PROFILE_HARDENED].absent;
    response_detail(x->r, 401, SLICE("Incorrect email or password"), &headers);
}

void exchange_store_failed(struct exchange *x, enum store_result result)
{
    switch (result) {
    case STORE_BUSY:
    case STORE_UNKNOWN:
        unavailable(x, 1);
        return;
    case STORE_UNAVAILABLE:
    case STORE_NO_MEMORY:
        unavailable(x, 5);
        return;
    case STORE_OK:
    case STORE_NOT_FOUND:
    case STORE_USERNAME_TAKEN:
    case STORE_EMAIL_TAKEN:
    case STORE_CHANGED:
    case STORE_TOO_LARGE:
        break; /* answers; a call that cannot end so has a bug */
    }
    log_error("store result \"%s\" has no answer here", store_result_name(result));
    response_internal_error(x->r);
}

void exchange_password_failed(struct exchange *x, enum password_result result)
{
    ASSERT(result == PASSWORD_BUSY || result == PASSWORD_NO_MEMORY);
    unavailable(x, password_retry_after_s(x->api->passwords));
}

void exchange_no_memory(struct exchange *x)
{
    unavailable(x, 5);
}

#define NO_STORE "cache-control: no-store\r\n"

static void answer_json(struct exchange *x, int status, const struct buf *json,
                        const struct response_headers *headers)
{
    if (json->failed)
        exchange_no_memory(x);
    else
        response_send(x->r, status, SLICE("application/json"), buf_slice(json), headers);
}

void exchange_json(struct exchange *x, int status, const struct buf *json)
{
    struct response_headers headers = {0};
    if (exchange_is_hardened(x))
        headers.lines = SLICE(NO_STORE);
    answer_json(x, status, json, &headers);
}

/* RFC 6749, section 5.1. */
void exchange_token_json(struct exchange *x, const struct buf *json)
{
    struct response_headers headers = {0};
    if (exchange_is_hardened(x))
        headers.lines = SLICE(NO_STORE "pragma: no-cache\r\n");
    answer_json(x, 200, json, &headers);
}

bool exchange_keep_user(struct exchange *x, const struct store_user *user, struct store_user *kept_r)
{
    *kept_r = (struct store_user){
        .id = user->id,
        .username = slice_dup(x->r->arena, user->username),
        .email = slice_dup(x->r->arena, user->email),
        .password = slice_dup(x->r->arena, user->password),
    };
    return kept_r->username.ptr && kept_r->email.ptr && kept_r->password.ptr;
}

void exchange_wipe_password(struct exchange *x, struct field_value *value)
{
    /* both lie in the request's arena, which is ours to write to */
    if (value->text.ptr)
        explicit_bzero((char *)(uintptr_t)value->text.ptr, value->text.len);
    if (x->r->body.ptr)
        explicit_bzero((char *)(uintptr_t)x->r->body.ptr, x->r->body.len);
    *value = (struct field_value){0};
    x->r->body = (struct slice){NULL, 0};
}
