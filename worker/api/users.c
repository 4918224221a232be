/* users.c: the accounts. Order of a sign-up: look for a conflict, so that a taken name costs no
 * hash; hash; insert, which finds the conflicts that came meanwhile. */
#include "worker/api/gate.h"

#include "shared/check.h"

enum {
    USERS_SMALL = 64 * 1024, /* bytes of a list that any number of requests may have at once */
    WRITES_MAX = 3           /* tries of a change whose row has changed since it was seen */
};

#define WRITE_INT jsonw_i64
#define WRITE_STRING jsonw_string
#define WRITE_EMAIL jsonw_string

static void write_user(struct buf *out, const struct store_user *user)
{
    struct jsonw w = jsonw_on(out);
    jsonw_object_open(&w);
#define MEMBER(member, kind)                                                                       \
    jsonw_key(&w, #member);                                                                        \
    WRITE_##kind(&w, user->member);
    USER_PUBLIC(MEMBER)
#undef MEMBER
    jsonw_object_close(&w);
}

static void answer_user(struct exchange *x, int status, const struct store_user *user)
{
    struct buf out = buf_in_arena(x->r->arena);
    write_user(&out, user);
    exchange_json(x, status, &out);
}

/* The contract says which of the two is taken; profile = hardened does not. */
static void conflict(struct exchange *x, struct slice detail)
{
    static const struct slice neutral = {"Username or Email already exists", 32};
    response_detail(x->r, 409, exchange_is_hardened(x) ? neutral : detail, NULL);
}

/* Keeps what outlives the password: copies name and address into x->account. */
static bool keep_fields(struct exchange *x)
{
    x->account.username = slice_dup(x->r->arena, x->body[USER_USERNAME].text);
    x->account.email = slice_dup(x->r->arena, x->body[USER_EMAIL].text);
    if (x->account.username.ptr && x->account.email.ptr)
        return true;
    exchange_record_undone(x);
    exchange_no_memory(x);
    return false;
}

static void start_hash(struct exchange *x, struct slice account, password_done_fn *done)
{
    struct field_value *password = &x->body[USER_PASSWORD];
    gate_await(x, password_hash(x->api->passwords, password->text, password_fair_key(account), done,
                                x));
}

/* One line, however it ended. First: also of what is done when the client has left. */
static void record(const struct exchange *x, enum audit_event event, enum store_result result,
                   const struct store_user *account)
{
    switch (result) {
    case STORE_OK:
        exchange_record(x, event, AUDIT_OK, account, NULL);
        return;
    case STORE_USERNAME_TAKEN:
        exchange_record(x, event, AUDIT_FAILED, account, "the name is taken");
        return;
    case STORE_EMAIL_TAKEN:
        exchange_record(x, event, AUDIT_FAILED, account, "the address is taken");
        return;
    case STORE_CHANGED:
        exchange_record(x, event, AUDIT_FAILED, account, "the account has changed meanwhile");
        return;
    case STORE_UNKNOWN:
        exchange_record(x, event, AUDIT_UNKNOWN, account, "the database took too long");
        return;
    case STORE_NOT_FOUND:
    case STORE_BUSY:
    case STORE_UNAVAILABLE:
    case STORE_NO_MEMORY:
    case STORE_TOO_LARGE: /* trouble of ours, which the log has, or called off */
        exchange_record_undone(x);
        return;
    }
    UNREACHABLE();
}

/* ---- POST /users/ ----------------------------------------------------------------------------- */

static void answer_created(struct exchange *x, const struct store_reply *reply)
{
    if (reply->result == STORE_OK)
        answer_user(x, 201, &reply->users[0]);
    else if (reply->result == STORE_USERNAME_TAKEN)
        conflict(x, SLICE("Username already exists"));
    else if (reply->result == STORE_EMAIL_TAKEN)
        conflict(x, SLICE("Email already exists"));
    else
        exchange_store_failed(x, reply->result);
}

/* Whose client has left, and who is not told at once that name or address is taken, has learnt that both
 * are free: that stays counted, though there is no account. */
static void on_created(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    bool gone = request_is_gone(x->r);
    bool may_be = reply->result == STORE_OK || reply->result == STORE_UNKNOWN;
    record(x, AUDIT_EVENT_create, reply->result,
           reply->result == STORE_OK ? &reply->users[0] : &x->account);
    if (gone || may_be)
        gate_signed_up(x);
    else
        gate_undone(x);
    if (exchange_abandoned(x))
        return;
    answer_created(x, reply);
}

static void wipe_passwords(struct exchange *x)
{
    exchange_wipe_password(x, &x->body[USER_PASSWORD]);
    exchange_wipe_password(x, &x->body[USER_CURRENT_PASSWORD]);
}

/* False: there is nothing to go on with; it is answered. */
static bool take_hash(struct exchange *x, const struct password_reply *reply)
{
    if (reply->result != PASSWORD_OK)
        exchange_password_failed(x, reply->result);
    return reply->result == PASSWORD_OK;
}

static void on_hashed_for_create(void *ctx, const struct password_reply *reply)
{
    struct exchange *x = ctx;
    bool gone = request_is_gone(x->r); /* whether or not its turn had come */
    if (gone || reply->result != PASSWORD_OK)
        exchange_record_undone(x);
    if (gone)
        gate_signed_up(x);
    else if (reply->result != PASSWORD_OK)
        gate_undone(x);
    wipe_passwords(x);
    if (!exchange_abandoned(x) && take_hash(x, reply))
        gate_await(x, store_user_create(x->api->store, x->account.username, x->account.email,
                                        reply->hash, on_created, x));
}

static void on_conflict_known(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    bool free = reply->result == STORE_NOT_FOUND;
    if (!free || request_is_gone(x->r)) {
        gate_undone(x);
        record(x, AUDIT_EVENT_create, reply->result, &x->account);
    }
    if (exchange_abandoned(x))
        return;
    if (!free) {
        answer_created(x, reply);
        return;
    }
    start_hash(x, x->account.email, on_hashed_for_create);
}

void api_create_user(struct exchange *x)
{
    if (keep_fields(x) && gate_sign_up(x))
        gate_await(x, store_user_conflict(x->api->store, x->account.username, x->account.email,
                                          on_conflict_known, x));
}

/* ---- GET /users/ and /users/{user_id} --------------------------------------------------------- */

#define LITERAL(text) {text, sizeof(text) - 1}

static const struct store_list_form user_list = {
    .open = LITERAL("{\"users\":["),
    .between = LITERAL(","),
    .close = LITERAL("]}"),
    .row = write_user,
};

static void on_listed(void *ctx, const struct store_reply *reply);

static void start_list(struct exchange *x, size_t max_bytes)
{
    exchange_await(x, store_user_list(x->api->store, x->query[PAGE_OFFSET].number,
                                      x->query[PAGE_LIMIT].number, &user_list, max_bytes, on_listed,
                                      x));
}

static void on_room(struct request *r, bool room)
{
    struct exchange *x = r->state;
    if (exchange_abandoned(x))
        return;
    if (room)
        start_list(x, 0);
    else
        exchange_no_memory(x);
}

static void on_listed(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    if (exchange_abandoned(x))
        return;
    if (reply->result == STORE_TOO_LARGE) {
        request_await_room(x->r, on_room);
        return;
    }
    if (reply->result != STORE_OK) {
        exchange_store_failed(x, reply->result);
        return;
    }
    exchange_json(x, 200, request_keep(x->r, reply->text));
}

void api_read_users(struct exchange *x)
{
    start_list(x, USERS_SMALL);
}

static void no_such_user(struct exchange *x)
{
    response_detail(x->r, 404, SLICE("User not found"), NULL);
}

static void on_read(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    if (exchange_abandoned(x))
        return;
    if (reply->result == STORE_OK)
        answer_user(x, 200, &reply->users[0]);
    else if (reply->result == STORE_NOT_FOUND)
        no_such_user(x);
    else
        exchange_store_failed(x, reply->result);
}

void api_read_user(struct exchange *x)
{
    if (x->path.overflow)
        no_such_user(x);
    else
        exchange_await(x, store_user_profile(x->api->store, x->path.number, on_read, x));
}

/* ---- PUT and DELETE /users/{user_id} ---------------------------------------------------------- */

/* True when the account in the path is the caller's own; else answered. */
static bool is_own(struct exchange *x)
{
    if (!x->path.overflow && x->path.number == x->current.id)
        return true;
    x->why = "not the caller's own account";
    exchange_record_denied(x);
    response_detail(x->r, 403, SLICE("Not enough permissions"), NULL);
    return false;
}

static void on_written(void *ctx, const struct store_reply *reply);

static bool is_delete(const struct exchange *x)
{
    return x->endpoint->handler == api_delete_user;
}

/* True when the client has left and nothing was done, which is recorded; *x* is over then. */
static bool change_is_left(struct exchange *x)
{
    if (request_is_gone(x->r))
        exchange_record_undone(x);
    return exchange_abandoned(x);
}

static void no_memory_for_change(struct exchange *x)
{
    exchange_record_undone(x);
    exchange_no_memory(x);
}

/* Of the row as x->current has it; x->account is what it shall be. */
static void start_write(struct exchange *x)
{
    struct store *store = x->api->store;
    const struct store_user *seen = &x->current, *wanted = &x->account;
    if (is_delete(x))
        exchange_await(x, store_user_delete(store, seen->id, seen->password, on_written, x));
    else
        exchange_await(x, store_user_update(store, seen->id, seen->password, wanted->username,
                                            wanted->email, wanted->password, on_written, x));
}

static void record_write(const struct exchange *x, const struct store_reply *reply)
{
    const struct store_user *account = reply->result == STORE_OK ? reply->users : &x->account;
    if (is_delete(x))
        record(x, AUDIT_EVENT_delete, reply->result, &x->current);
    else
        record(x, AUDIT_EVENT_update, reply->result, account);
}

static void end_write(struct exchange *x, const struct store_reply *reply)
{
    record_write(x, reply);
    if (exchange_abandoned(x))
        return;
    if (reply->result == STORE_OK && is_delete(x))
        response_json(x->r, 200, SLICE("{\"message\":\"User deleted\"}"));
    else if (reply->result == STORE_OK)
        answer_user(x, 200, &reply->users[0]);
    else if (reply->result == STORE_USERNAME_TAKEN || reply->result == STORE_EMAIL_TAKEN)
        conflict(x, SLICE("Username or Email already exists"));
    else if (reply->result == STORE_CHANGED)
        exchange_bad_credentials(x);
    else
        exchange_store_failed(x, reply->result);
}

/* A re-hash is of the same password and keeps its salt; whoever sets a password, be it the same one,
 * brings a new salt. So what was proved of the text before holds for this one: the token, and in the
 * hardened profile the present password. */
static bool is_only_rehashed(const struct exchange *x, const struct store_user *now)
{
    struct slice salt = password_salt(now->password);
    return salt.ptr && slice_equals(salt, password_salt(x->current.password)) &&
           slice_equals(now->email, x->current.email);
}

static void on_seen_again(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    if (reply->result == STORE_OK && is_only_rehashed(x, &reply->users[0])) {
        if (change_is_left(x))
            return;
        if (exchange_keep_user(x, &reply->users[0], &x->current))
            start_write(x);
        else
            no_memory_for_change(x);
        return;
    }
    bool other = reply->result == STORE_OK || reply->result == STORE_NOT_FOUND;
    end_write(x, &(struct store_reply){.result = other ? STORE_CHANGED : reply->result});
}

/* Changed since the token was checked: a login may have re-hashed the password meanwhile. */
static void on_written(void *ctx, const struct store_reply *reply)
{
    struct exchange *x = ctx;
    x->writes++;
    if (reply->result != STORE_CHANGED || x->writes == WRITES_MAX)
        end_write(x, reply);
    else if (!change_is_left(x))
        exchange_await(x, store_user_by_id(x->api->store, x->current.id, on_seen_again, x));
}

static void on_hashed_for_update(void *ctx, const struct password_reply *reply)
{
    struct exchange *x = ctx;
    wipe_passwords(x);
    if (reply->result != PASSWORD_OK || request_is_gone(x->r))
        exchange_record_undone(x);
    if (exchange_abandoned(x) || !take_hash(x, reply))
        return;
    x->account.password = slice_dup(x->r->arena, reply->hash);
    if (x->account.password.ptr)
        start_write(x);
    else
        no_memory_for_change(x);
}

/* Of the present password. Wrong: 403, for the token is good and is to be kept; a 401 would have clients
 * throw it away. */
static void on_current_verified(void *ctx, const struct password_reply *reply)
{
    struct exchange *x = ctx;
    gate_judged(x, reply->result);
    if (reply->result != PASSWORD_OK)
        wipe_passwords(x);
    if (reply->result == PASSWORD_MISMATCH)
        exchange_record(x, AUDIT_EVENT_update, AUDIT_FAILED, &x->current, "the current password is wrong");
    else if (reply->result != PASSWORD_OK || request_is_gone(x->r))
        exchange_record_undone(x);
    if (exchange_abandoned(x)) {
        wipe_passwords(x);
        return;
    }
    switch (reply->result) {
    case PASSWORD_OK:
        start_hash(x, x->current.email, on_hashed_for_update);
        return;
    case PASSWORD_MISMATCH:
        response_detail(x->r, 403, SLICE("Incorrect current password"), NULL);
        return;
    case PASSWORD_BUSY:
    case PASSWORD_NO_MEMORY:
        exchange_password_failed(x, reply->result);
        return;
    }
    UNREACHABLE();
}

static void verify_current(struct exchange *x)
{
    if (gate_login(x, x->current.email)) /* who has a stolen token may not try passwords without end */
        gate_await(x, password_verify(x->api->passwords, x->body[USER_CURRENT_PASSWORD].text,
                                      x->current.password, password_fair_key(x->current.email),
                                      on_current_verified, x));
}

void api_update_user(struct exchange *x)
{
    if (!is_own(x) || !keep_fields(x))
        return;
    if (exchange_is_hardened(x))
        verify_current(x);
    else
        start_hash(x, x->current.email, on_hashed_for_update);
}

void api_delete_user(struct exchange *x)
{
    if (is_own(x))
        start_write(x);
}
