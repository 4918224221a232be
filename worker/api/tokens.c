/* tokens.c: login and refresh. */
#include "worker/api/exchange.h"

#include "shared/check.h"
#include "worker/api/gate.h"

static void answer_token(struct exchange *x, const struct store_user *user, int64_t auth_time_s,
                         int64_t now_s)
{
    struct slice token = token_issue(x->api->tokens, x->r->arena, user->email, user->id,
                                     user->password, auth_time_s, now_s);
    if (!token.ptr) {
        exchange_no_memory(x);
        return;
    }
    struct buf out = buf_in_arena(x->r->arena);
    struct jsonw w = jsonw_on(&out);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("access_token"));
    jsonw_string(&w, token);
    jsonw_name(&w, SLICE("token_type"));
    jsonw_string(&w, SLICE("bearer"));
    jsonw_object_close(&w);
    exchange_token_json(x, &out);
}

/* ---- POST /auth/token ------------------------------------------------------------------------- */

/* A re-hash is a favour: whatever becomes of it, the login stands. */
static void on_rehashed(void *ctx, const struct store_reply *reply)
{
}

/* Also of one who did not wait for the answer. */
static void record_judged(const struct exchange *x, enum password_result result)
{
    if (result == PASSWORD_OK)
        audit_login(exchange_origin(x), AUDIT_OK, x->account.email, x->account.id);
    else if (result == PASSWORD_MISMATCH)
        audit_login(exchange_origin(x), AUDIT_FAILED, x->account.email, 0);
    else
        exchange_record_undone(x);
}

static void on_verified(void *ctx, const struct password_reply *reply)
{
    struct exchange *x = ctx;
    gate_judged(x, reply->result);
    exchange_wipe_password(x, &x->body[LOGIN_PASSWORD]);
    record_judged(x, reply->result);
    if (exchange_abandoned(x))
        return;
    switch (reply->result) {
    case PASSWORD_OK:
        break;
    case PASSWORD_MISMATCH:
        exchange_bad_login(x);
        return;
    case PASSWORD_BUSY:
    case PASSWORD_NO_MEMORY:
        exchange_password_failed(x, reply->result);
        return;
    }
    if (reply->hash.ptr)
        store_user_rehash(x->api->store, x->account.id, x->account.password, reply->hash, on_rehashed,
                          NULL);
    int64_t now_s = clock_wall_s();
    answer_token(x, &x->account, now_s, now_s);
}

static void on_login_user(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    bool judged = reply->result == STORE_OK || reply->result == STORE_NOT_FOUND;
    if (!judged || request_is_gone(x->r)) {
        gate_undone(x);
        exchange_record_undone(x);
    }
    if (exchange_abandoned(x))
        return;
    if (!judged) {
        exchange_store_failed(x, reply->result);
        return;
    }
    if (reply->result == STORE_OK && !exchange_keep_user(x, &reply->users[0], &x->account)) {
        gate_undone(x);
        exchange_record_undone(x);
        exchange_no_memory(x);
        return;
    }
    /* an unknown address has no stored text: the same work, the same answer */
    gate_await(x, password_verify(x->api->passwords, x->body[LOGIN_PASSWORD].text,
                                  x->account.password,
                                  password_fair_key(x->body[LOGIN_USERNAME].text), on_verified, x));
}

void api_login_for_access_token(struct exchange *x)
{
    x->account.email = slice_dup(x->r->arena, x->body[LOGIN_USERNAME].text); /* the body will be wiped */
    if (!x->account.email.ptr) {
        exchange_record_undone(x);
        exchange_no_memory(x);
        return;
    }
    if (gate_login(x, x->account.email))
        gate_await(x, store_user_by_email(x->api->store, x->account.email, on_login_user, x));
}

/* ---- POST /auth/refresh_token ----------------------------------------------------------------- */

void api_refresh_access_token(struct exchange *x)
{
    int64_t now_s = clock_wall_s();
    if (token_session_over(x->api->tokens, &x->claims, now_s)) {
        x->why = "the session is over";
        exchange_bad_credentials(x);
        return;
    }
    exchange_record(x, AUDIT_EVENT_refresh, AUDIT_OK, &x->current, NULL);
    /* a token of the Python app does not say when the password was given: its session begins now */
    int64_t auth_time_s = x->claims.auth_time_s ? x->claims.auth_time_s : now_s;
    answer_token(x, &x->current, auth_time_s, now_s);
}
