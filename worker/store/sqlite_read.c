/* sqlite_read.c: a batch of reads inside one read transaction: one snapshot, and the locks and the
 * look at the WAL index are paid for once. Rows are copied into the calls' own memory.
 * Thread: the reader's; in memory the writer's, which does both; sqlite_read_nowait(), the loop's. */
#include "worker/store/sqlite.h"

#include "shared/check.h"
#include "shared/log.h"

/* Columns in the order of the statements: id, username, email[, password]. False without memory. */
static bool add_row(struct store_call *call, size_t *capacity, sqlite3_stmt *statement)
{
    struct store_user user = {
        .id = sqlite3_column_int64(statement, 0),
        .username = sqlite_column_slice(statement, 1),
        .email = sqlite_column_slice(statement, 2),
    };
    if (sqlite3_column_count(statement) > 3)
        user.password = sqlite_column_slice(statement, 3);
    return store_call_add_user(call, capacity, &user);
}

/* Steps through the rows of a bound statement. */
static enum store_result collect(struct sqlite_connection *c, struct store_call *call,
                                 sqlite3_stmt *statement)
{
    size_t capacity = 0;
    bool memory = true;
    while (memory && sqlite3_step(statement) == SQLITE_ROW)
        memory = add_row(call, &capacity, statement);
    int rc = sqlite3_reset(statement);
    if (!memory)
        return call->reply.result;
    return rc == SQLITE_OK ? STORE_OK : sqlite_connection_failed(c, rc);
}

static enum store_result one_row(struct sqlite_connection *c, struct store_call *call,
                                 sqlite3_stmt *statement)
{
    enum store_result result = collect(c, call, statement);
    return result == STORE_OK && call->reply.users_len == 0 ? STORE_NOT_FOUND : result;
}

static enum store_result read_by_id(struct sqlite_connection *c, struct store_call *call,
                                    sqlite3_stmt *by_id)
{
    int rc = sqlite3_bind_int64(by_id, 1, call->id);
    return rc == SQLITE_OK ? one_row(c, call, by_id) : sqlite_connection_failed(c, rc);
}

static enum store_result read_by_email(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *by_email = c->statements[SQL_BY_EMAIL];
    int rc = sqlite_bind_slice(by_email, 1, call->email);
    return rc == SQLITE_OK ? one_row(c, call, by_email) : sqlite_connection_failed(c, rc);
}

static enum store_result read_conflict(struct sqlite_connection *c, struct store_call *call)
{
    int64_t id;
    int rc = sqlite_find_id(c, SQL_ID_OF_USERNAME, call->username, &id);
    if (rc == SQLITE_ROW)
        return STORE_USERNAME_TAKEN;
    if (rc == SQLITE_DONE)
        rc = sqlite_find_id(c, SQL_ID_OF_EMAIL, call->email, &id);
    if (rc == SQLITE_ROW)
        return STORE_EMAIL_TAKEN;
    return rc == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_connection_failed(c, rc);
}

static enum store_result read_list(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *list = c->statements[SQL_LIST];
    int rc = sqlite3_bind_int64(list, 1, call->limit);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(list, 2, call->offset);
    return rc == SQLITE_OK ? collect(c, call, list) : sqlite_connection_failed(c, rc);
}

static enum store_result read_list_after(struct sqlite_connection *c, struct store_call *call)
{
    sqlite3_stmt *list = c->statements[SQL_LIST_AFTER];
    int rc = sqlite3_bind_int64(list, 1, call->id);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(list, 2, call->limit);
    return rc == SQLITE_OK ? collect(c, call, list) : sqlite_connection_failed(c, rc);
}

static enum store_result read_one(struct sqlite_connection *c, struct store_call *call)
{
    switch (call->operation) {
    case STORE_OP_BY_ID:
        return read_by_id(c, call, c->statements[SQL_BY_ID]);
    case STORE_OP_PROFILE:
        return read_by_id(c, call, c->statements[SQL_PROFILE]);
    case STORE_OP_BY_EMAIL:
        return read_by_email(c, call);
    case STORE_OP_CONFLICT:
        return read_conflict(c, call);
    case STORE_OP_LIST:
        return read_list(c, call);
    case STORE_OP_LIST_AFTER:
        return read_list_after(c, call);
    case STORE_OP_CREATE:
    case STORE_OP_UPDATE:
    case STORE_OP_DELETE:
    case STORE_OP_REHASH:
    case STORE_OP_PROBE:
        break;
    }
    UNREACHABLE();
}

static bool is_answer(enum store_result result)
{
    switch (result) {
    case STORE_OK:
    case STORE_NOT_FOUND:
    case STORE_USERNAME_TAKEN:
    case STORE_EMAIL_TAKEN:
    case STORE_CHANGED:
    case STORE_TOO_LARGE:
        return true;
    case STORE_BUSY:
    case STORE_UNKNOWN:
    case STORE_UNAVAILABLE:
    case STORE_NO_MEMORY:
        return false;
    }
    UNREACHABLE();
}

static void count(struct sqlite *s, size_t answered)
{
    if (!s->options.slot || answered == 0)
        return;
    counter_add(s->options.slot, COUNTER_store_reads, answered);
    counter_add(s->options.slot, COUNTER_store_read_batches, 1);
}

static void end_snapshot(struct sqlite_connection *c)
{
    if (!sqlite3_get_autocommit(c->db) && sqlite_connection_run(c, SQL_COMMIT) != SQLITE_OK)
        c->reopen = true; /* a read transaction that cannot end: closing ends it */
}

void sqlite_read_batch(struct sqlite *s, struct store_call **calls, size_t len)
{
    struct sqlite_connection *c = sqlite_reading(s);
    enum store_result ready = sqlite_connection_ready(c);
    if (ready == STORE_OK) {
        int rc = sqlite_connection_run(c, SQL_BEGIN_READ);
        if (rc != SQLITE_OK)
            ready = sqlite_connection_failed(c, rc);
    }
    size_t answered = 0;
    for (size_t i = 0; i < len; i++) {
        calls[i]->reply.result = ready == STORE_OK ? read_one(c, calls[i]) : ready;
        if (is_answer(calls[i]->reply.result))
            answered++;
    }
    if (ready == STORE_OK)
        end_snapshot(c);
    if (answered == len)
        sqlite_connection_worked(c);
    count(s, answered);
}

/* ---- on the loop's thread -------------------------------------------------------------------- */

/* sqlite3_progress_handler(): not 0 ends the statement. */
static int time_is_over(void *ctx)
{
    const int64_t *until_us = ctx;
    return clock_now_us() >= *until_us;
}

static bool read_one_nowait(struct sqlite_connection *c, struct store_call *call)
{
    size_t used = call->arena.used_bytes;
    call->reply.result = read_one(c, call);
    if (is_answer(call->reply.result))
        return true;
    store_call_begin_anew(call, used);
    return false;
}

/* An error may end the transaction: whoever comes behind one has to wait for another. */
static size_t read_while_memory_answers(struct sqlite_connection *c, struct store_call **calls,
                                        size_t len)
{
    int64_t until_us = clock_now_us() + SQLITE_NOWAIT_US;
    size_t answered = 0;
    sqlite3_progress_handler(c->db, SQLITE_NOWAIT_STEPS, time_is_over, &until_us);
    while (answered < len && read_one_nowait(c, calls[answered])) {
        answered++;
        if (answered % SQLITE_NOWAIT_LOOK == 0 && time_is_over(&until_us))
            break;
    }
    sqlite3_progress_handler(c->db, 0, NULL, NULL);
    return answered;
}

/* Without the handler: a BEGIN that it ends says so, and has begun nevertheless. */
static size_t read_snapshot_nowait(struct sqlite_connection *c, struct store_call **calls, size_t len)
{
    if (sqlite_connection_run(c, SQL_BEGIN_READ) != SQLITE_OK)
        return 0;
    size_t answered = read_while_memory_answers(c, calls, len);
    end_snapshot(c);
    return answered;
}

size_t sqlite_read_nowait(struct sqlite *s, struct store_call **calls, size_t len)
{
    struct sqlite_connection *c = &s->read_side;
    if (!c->db || c->reopen || c->outage.code != SQLITE_OK)
        return 0; /* the thread opens it, and tells what is the matter */
    sqlite_nowait_begin();
    size_t answered = read_snapshot_nowait(c, calls, len);
    if (!sqlite_nowait_end()) {
        s->nowait = false;
        log_info("all reads of database %s go to a thread: its file system cannot tell what is in "
                 "memory (preadv2, RWF_NOWAIT)",
                 c->path);
    }
    count(s, answered);
    if (s->options.slot)
        counter_add(s->options.slot, COUNTER_store_reads_nowait, answered);
    return answered;
}
