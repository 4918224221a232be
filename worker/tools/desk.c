/* desk.c: see desk.h. */
#include "worker/tools/desk.h"

#include "shared/check.h"
#include "worker/auth/password.h"
#include "worker/store/holders.h"
#include "worker/tools/tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of copied rows: a page of a list at most. */
static const size_t ROWS_MAX_BYTES = (size_t)64 << 20;

struct desk {
    const char *verb; /* borrowed */
    const char *path; /* borrowed */
    const struct config *config;
    struct loop *loop;
    struct store *store;
    struct passwords *passwords; /* NULL until the first hash */
    char hash[256];
    size_t hash_len;
    /* the call that is waited for */
    bool done;
    enum store_result result;
    struct store_user *users; /* copies in arena */
    size_t users_len;
    struct arena arena;
};

struct desk *desk_open(const char *verb, const struct config *config, const char *path)
{
    struct desk *d = calloc(1, sizeof *d);
    if (!d || !(d->loop = loop_new())) {
        tool_say(verb, "cannot begin: %s", strerror(errno));
        free(d);
        return NULL;
    }
    d->verb = verb;
    d->path = path;
    d->config = config;
    arena_init(&d->arena, NULL, 0, ROWS_MAX_BYTES);
    struct buf error = {0};
    d->store = store_open(d->loop,
                          &(struct store_options){.kind = CONFIG_DATABASE_FILE,
                                                  .path = path,
                                                  .durability = config->database_durability,
                                                  .timeout_ms = config->database_timeout},
                          &error);
    if (!d->store) {
        tool_say(verb, "%.*s", SLICE_ARGS(buf_text(&error)));
        desk_close(d);
        d = NULL;
    }
    buf_free(&error);
    return d;
}

void desk_close(struct desk *d)
{
    if (!d)
        return;
    passwords_free(d->passwords);
    loop_run_once(d->loop, false);
    store_close(d->store);
    loop_run_once(d->loop, false);
    loop_free(d->loop);
    arena_fini(&d->arena);
    explicit_bzero(d, sizeof *d);
    free(d);
}

/* ---- waiting for answers --------------------------------------------------------------------- */

/* Rows outlive the reply. False without memory. */
static bool keep(struct desk *d, const struct store_reply *reply)
{
    arena_fini(&d->arena);
    arena_init(&d->arena, NULL, 0, ROWS_MAX_BYTES);
    d->users_len = 0;
    d->users = arena_alloc(&d->arena, reply->users_len * sizeof *d->users);
    for (size_t i = 0; d->users && i < reply->users_len; i++) {
        const struct store_user *row = &reply->users[i];
        struct store_user *u = &d->users[i];
        *u = (struct store_user){.id = row->id,
                                 .username = slice_dup(&d->arena, row->username),
                                 .email = slice_dup(&d->arena, row->email)};
        if (row->password.ptr)
            u->password = slice_dup(&d->arena, row->password);
        if (!u->username.ptr || !u->email.ptr || (row->password.ptr && !u->password.ptr))
            return false;
        d->users_len++;
    }
    return d->users != NULL;
}

static void on_store(void *ctx, const struct store_reply *reply)
{
    struct desk *d = ctx;
    d->result = reply->result;
    if (reply->result == STORE_OK && reply->users_len > 0 && !keep(d, reply))
        d->result = STORE_NO_MEMORY;
    d->done = true;
}

static void begin(struct desk *d)
{
    d->done = false;
    d->users_len = 0;
}

static enum store_result await(struct desk *d, const struct task *task)
{
    if (!task)
        return STORE_NO_MEMORY;
    while (!d->done)
        loop_run_once(d->loop, true);
    return d->result;
}

static enum store_result await_user(struct desk *d, const struct task *task,
                                    struct store_user *user_r)
{
    enum store_result result = await(d, task);
    if (result == STORE_OK) {
        ASSERT(d->users_len == 1);
        *user_r = d->users[0];
    }
    return result;
}

/* ---- calls ----------------------------------------------------------------------------------- */

enum store_result desk_by_id(struct desk *d, int64_t id, struct store_user *user_r)
{
    begin(d);
    return await_user(d, store_user_by_id(d->store, id, on_store, d), user_r);
}

enum store_result desk_by_email(struct desk *d, struct slice email, struct store_user *user_r)
{
    begin(d);
    return await_user(d, store_user_by_email(d->store, email, on_store, d), user_r);
}

enum store_result desk_conflict(struct desk *d, struct slice username, struct slice email)
{
    begin(d);
    return await(d, store_user_conflict(d->store, username, email, on_store, d));
}

enum store_result desk_create(struct desk *d, struct slice username, struct slice email,
                              struct slice password, struct store_user *user_r)
{
    begin(d);
    return await_user(d, store_user_create(d->store, username, email, password, on_store, d),
                      user_r);
}

enum store_result desk_set_password(struct desk *d, const struct store_user *seen,
                                    struct slice password)
{
    begin(d);
    return await(d, store_user_update(d->store, seen->id, seen->password, seen->username,
                                      seen->email, password, on_store, d));
}

enum store_result desk_delete(struct desk *d, const struct store_user *seen)
{
    begin(d);
    return await(d, store_user_delete(d->store, seen->id, seen->password, on_store, d));
}

enum store_result desk_list(struct desk *d, int64_t after, int64_t limit,
                            const struct store_user **users_r, size_t *users_len_r)
{
    begin(d);
    enum store_result result = await(d, store_user_list_after(d->store, after, limit, on_store, d));
    *users_r = d->users;
    *users_len_r = result == STORE_OK ? d->users_len : 0;
    return result;
}

/* ---- hashing --------------------------------------------------------------------------------- */

static void on_hash(void *ctx, const struct password_reply *reply)
{
    struct desk *d = ctx;
    d->hash_len = 0;
    if (reply->result == PASSWORD_OK && reply->hash.len <= sizeof d->hash) {
        memcpy(d->hash, reply->hash.ptr, reply->hash.len);
        d->hash_len = reply->hash.len;
    }
    d->done = true;
}

struct slice desk_hash(struct desk *d, struct slice password)
{
    if (!d->passwords)
        d->passwords = passwords_new(
            d->loop, &(struct password_options){.memory_bytes = d->config->auth_hash_memory,
                                                .iterations = d->config->auth_hash_iterations});
    d->done = false;
    struct task *task = d->passwords ? password_hash(d->passwords, password, 0, on_hash, d) : NULL;
    d->hash_len = 0;
    while (task && !d->done)
        loop_run_once(d->loop, true);
    if (d->hash_len > 0)
        return (struct slice){d->hash, d->hash_len};
    tool_say(d->verb,
             "the password could not be hashed: no %lld MiB of memory are to be had ([auth] "
             "hash_memory)",
             (long long)(d->config->auth_hash_memory >> 20));
    return (struct slice){NULL, 0};
}

/* ---- trouble --------------------------------------------------------------------------------- */

static void complain_busy(const struct desk *d)
{
    struct buf holder = {0};
    pid_t pid = holders_of_lock(d->path);
    if (pid > 0)
        holders_name(&holder, pid);
    else
        buf_printf(&holder, "another program (\"fuser %s %s.lock\" tells which)", d->path, d->path);
    tool_say(d->verb,
             "the database %s was kept locked for longer than [database] timeout allows, by "
             "%.*s; try again",
             d->path, SLICE_ARGS(buf_slice(&holder)));
    buf_free(&holder);
}

void desk_complain(const struct desk *d, enum store_result result)
{
    switch (result) {
    case STORE_BUSY:
        complain_busy(d);
        return;
    case STORE_UNKNOWN:
        tool_say(d->verb,
                 "the database %s took longer than [database] timeout allows: it is not known "
                 "whether it was done",
                 d->path);
        return;
    case STORE_UNAVAILABLE:
        tool_say(d->verb, "the database %s did not take it; the line before says why", d->path);
        return;
    case STORE_NO_MEMORY:
        tool_say(d->verb, "out of memory");
        return;
    case STORE_OK:
    case STORE_NOT_FOUND:
    case STORE_USERNAME_TAKEN:
    case STORE_EMAIL_TAKEN:
    case STORE_CHANGED:
    case STORE_TOO_LARGE:
        break;
    }
    tool_say(d->verb, "the database answered \"%s\"", store_result_name(result));
}
