/* sqlite_write.c: group commit. A batch of writes becomes one transaction under the writer lock,
 * one COMMIT with one fsync; only then are the results what the callers get.
 * When the transaction is lost (disk full, I/O error), nobody was acknowledged: everyone gets
 * STORE_UNAVAILABLE, also those told "taken" or "changed", for what they collided with may have
 * been a row of the same lost batch. Thread: the writer's. */
#include "worker/store/sqlite.h"

#include "shared/check.h"
#include "shared/log.h"

#include <errno.h>
#include <string.h>

enum { BUSY_LOG_GAP_MS = 10000 };

static enum store_result reply_user(struct store_call *call, int64_t id)
{
    size_t capacity = 0;
    struct store_user user = {
        .id = id, .username = call->username, .email = call->email, .password = call->password};
    return store_call_add_user(call, &capacity, &user) ? STORE_OK : STORE_NO_MEMORY;
}

/* A unique index refused: which one? Username first, as the Python app looks. */
static enum store_result name_conflict(struct sqlite_connection *c, const struct store_call *call,
                                       int error)
{
    const struct {
        enum sqlite_statement find;
        struct slice text;
        enum store_result result;
    } looks[] = {{SQL_ID_OF_USERNAME, call->username, STORE_USERNAME_TAKEN},
                 {SQL_ID_OF_EMAIL, call->email, STORE_EMAIL_TAKEN}};
    for (size_t i = 0; i < 2; i++) {
        int64_t id = 0;
        int rc = sqlite_find_id(c, looks[i].find, looks[i].text, &id);
        if (rc == SQLITE_ROW && (call->operation == STORE_OP_CREATE || id != call->id))
            return looks[i].result;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return sqlite_connection_failed(c, rc);
    }
    return sqlite_connection_failed(c, error); /* some other unique index of this database */
}

static enum store_result failed(struct sqlite_connection *c, const struct store_call *call, int rc)
{
    return rc == SQLITE_CONSTRAINT_UNIQUE ? name_conflict(c, call, rc)
                                          : sqlite_connection_failed(c, rc);
}

static enum store_result create(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *insert = c->statements[SQL_CREATE];
    int rc = sqlite_bind_slice(insert, 1, call->username);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(insert, 2, call->email);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(insert, 3, call->password);
    if (rc == SQLITE_OK) {
        sqlite3_step(insert);
        rc = sqlite3_reset(insert);
    }
    if (rc == SQLITE_OK && sqlite3_changes(c->db) == 0) /* RAISE(IGNORE), lang_createtrigger.html */
        rc = SQLITE_CONSTRAINT_TRIGGER;
    if (rc != SQLITE_OK)
        return failed(c, call, rc);
    /* id is the rowid (schema.c looks). RETURNING, for each row, would make a table in memory and
     * copies of all pages it changes. */
    return reply_user(call, sqlite3_last_insert_rowid(c->db));
}

/* Runs a bound statement that changes the row as the caller saw it, or none. */
static enum store_result change(struct sqlite_connection *c, const struct store_call *call,
                                sqlite3_stmt *statement, int rc)
{
    if (rc == SQLITE_OK) {
        sqlite3_step(statement);
        rc = sqlite3_reset(statement);
    }
    if (rc != SQLITE_OK)
        return failed(c, call, rc);
    return sqlite3_changes(c->db) ? STORE_OK : STORE_CHANGED;
}

static enum store_result update(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *set = c->statements[c->schema.has_updated_at ? SQL_UPDATE_STAMPED : SQL_UPDATE];
    int rc = sqlite_bind_slice(set, 1, call->username);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(set, 2, call->email);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(set, 3, call->password);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(set, 4, call->id);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(set, 5, call->seen_password);
    enum store_result result = change(c, call, set, rc);
    return result == STORE_OK ? reply_user(call, call->id) : result;
}

static enum store_result rehash(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *set = c->statements[SQL_REHASH];
    int rc = sqlite_bind_slice(set, 1, call->password);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(set, 2, call->id);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(set, 3, call->seen_password);
    return change(c, call, set, rc);
}

static enum store_result delete_where_seen(struct sqlite_connection *c, struct store_call *call,
                                           enum sqlite_statement statement)
{
    sqlite3_stmt *remove = c->statements[statement];
    int rc = sqlite3_bind_int64(remove, 1, call->id);
    if (rc == SQLITE_OK)
        rc = sqlite_bind_slice(remove, 2, call->seen_password);
    return change(c, call, remove, rc);
}

static enum store_result delete_user(struct sqlite_connection *c, struct store_call *call)
{
    if (c->schema.has_todos) {
        enum store_result todos = delete_where_seen(c, call, SQL_DELETE_TODOS);
        if (todos != STORE_OK && todos != STORE_CHANGED) /* CHANGED: there were none */
            return todos;
    }
    return delete_where_seen(c, call, SQL_DELETE);
}

static enum store_result write_one(struct sqlite_connection *c, struct store_call *call)
{
    switch (call->operation) {
    case STORE_OP_CREATE:
        return create(c, call);
    case STORE_OP_UPDATE:
        return update(c, call);
    case STORE_OP_DELETE:
        return delete_user(c, call);
    case STORE_OP_REHASH:
        return rehash(c, call);
    case STORE_OP_PROBE:
        return STORE_OK; /* the transaction around it is the test */
    case STORE_OP_BY_ID:
    case STORE_OP_BY_EMAIL:
    case STORE_OP_PROFILE:
    case STORE_OP_CONFLICT:
    case STORE_OP_LIST:
    case STORE_OP_LIST_AFTER:
        break;
    }
    UNREACHABLE();
}

static bool transaction_lives(const struct sqlite_connection *c)
{
    return !sqlite3_get_autocommit(c->db);
}

/* A call of several statements in its savepoint. False when the whole transaction must be given up. */
static bool write_in_savepoint(struct sqlite_connection *c, struct store_call *call)
{
    int rc = sqlite_connection_run(c, SQL_SAVEPOINT);
    if (rc != SQLITE_OK) {
        call->reply.result = sqlite_connection_failed(c, rc);
        return false;
    }
    call->reply.result = write_one(c, call);
    if (!transaction_lives(c))
        return false;
    if (call->reply.result != STORE_OK)
        rc = sqlite_connection_run(c, SQL_ROLLBACK_TO);
    if (rc == SQLITE_OK)
        rc = sqlite_connection_run(c, SQL_RELEASE);
    if (rc != SQLITE_OK)
        call->reply.result = sqlite_connection_failed(c, rc);
    return rc == SQLITE_OK && transaction_lives(c);
}

/* False when the whole transaction must be given up. A single statement that fails undoes itself and
 * needs no savepoint, which would cost as much as an insert. But a row may be there whose answer has
 * no memory. */
static bool write_call(struct sqlite_connection *c, struct store_call *call)
{
    if (call->operation == STORE_OP_DELETE && c->schema.has_todos)
        return write_in_savepoint(c, call);
    call->reply.result = write_one(c, call);
    return transaction_lives(c) && call->reply.result != STORE_NO_MEMORY;
}

static void answer_all(struct store_call **calls, size_t len, enum store_result result)
{
    for (size_t i = 0; i < len; i++)
        calls[i]->reply.result = result;
}

/* The transaction is gone: nothing that was found or done in it holds. */
static void unanswer(struct sqlite_connection *c, struct store_call **calls, size_t len)
{
    if (transaction_lives(c) && sqlite_connection_run(c, SQL_ROLLBACK) != SQLITE_OK)
        c->reopen = true; /* closing ends it */
    for (size_t i = 0; i < len; i++) {
        enum store_result *result = &calls[i]->reply.result;
        if (*result != STORE_BUSY && *result != STORE_NO_MEMORY)
            *result = STORE_UNAVAILABLE;
    }
}

/* Begins, writes, commits. Whether something was committed. */
static bool transact(struct sqlite *s, struct store_call **calls, size_t len)
{
    struct sqlite_connection *c = &s->write_side;
    int rc = sqlite_connection_run(c, SQL_BEGIN_WRITE);
    if (rc != SQLITE_OK) {
        answer_all(calls, len, sqlite_connection_failed(c, rc));
        return false;
    }
    sqlite_check_foreign_changes(s);
    for (size_t i = 0; i < len; i++) {
        if (!write_call(c, calls[i])) {
            unanswer(c, calls, len);
            return false;
        }
    }
    rc = sqlite_connection_run(c, SQL_COMMIT);
    if (rc != SQLITE_OK) {
        sqlite_connection_failed(c, rc);
        unanswer(c, calls, len);
        return false;
    }
    return true;
}

static void count(struct sqlite *s, struct store_call **calls, size_t len)
{
    size_t written = 0;
    for (size_t i = 0; i < len; i++)
        if (calls[i]->reply.result == STORE_OK && calls[i]->operation != STORE_OP_PROBE)
            written++;
    if (!s->options.slot || !written)
        return;
    counter_add(s->options.slot, COUNTER_store_writes, written);
    counter_add(s->options.slot, COUNTER_store_write_batches, 1);
}

void sqlite_write_begin(struct sqlite *s)
{
    s->locked = STORE_OK;
    if (sqlite_lock_take(&s->lock, s->lock_timeout_ms) == 0)
        return;
    int error = errno;
    bool late = error == ETIMEDOUT;
    if (seldom_due(&s->busy_gap, BUSY_LOG_GAP_MS))
        log_warning(
            "database lock %s: %s (held by process %d of ours; 0: by another program); writes are "
            "answered 503",
            s->lock.path, late ? "not to be had in time" : strerror(error),
            (int)sqlite_lock_holder(&s->lock));
    s->locked = late ? STORE_BUSY : STORE_UNAVAILABLE;
}

static bool has_trouble(struct store_call **calls, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (calls[i]->reply.result == STORE_UNAVAILABLE ||
            calls[i]->reply.result == STORE_NO_MEMORY)
            return true;
    return false;
}

/* Under the lock. Whether something was committed. */
static bool write_all(struct sqlite *s, struct store_call **calls, size_t len)
{
    struct sqlite_connection *c = &s->write_side;
    bool was_open = c->db && !c->reopen;
    enum store_result ready = sqlite_connection_ready(c);
    if (ready == STORE_OK && !was_open)
        sqlite_checkpoint_watch(s);
    if (ready == STORE_OK && !sqlite_connection_file_is_there(c))
        ready = STORE_UNAVAILABLE;
    if (ready != STORE_OK) {
        answer_all(calls, len, ready);
        return false;
    }
    if (!transact(s, calls, len))
        return false;
    count(s, calls, len);
    if (!has_trouble(calls, len))
        sqlite_connection_worked(c);
    sqlite_checkpoint_if_due(s);
    return true;
}

void sqlite_write_batch(struct sqlite *s, struct store_call **calls, size_t len)
{
    if (s->locked != STORE_OK) {
        answer_all(calls, len, s->locked);
        return;
    }
    bool committed = len > 0 && write_all(s, calls, len);
    if (s->path) {
        sqlite_remember_changes(s, committed);
        sqlite_lock_release(&s->lock, committed);
    }
}
