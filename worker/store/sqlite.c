/* sqlite.c: the SQLite driver: one reader thread and one writer thread with a connection each, fed
 * in batches. An in-memory database is a single connection, so one thread does both.
 *
 * Most reads need neither a disk nor much time, and going to a thread and back costs more than they
 * do. So what a turn of the loop collected is tried on the loop first, in one read transaction, in a
 * way that cannot wait and for a limited time; what cannot be answered so goes to the reader's thread.
 * And everything does while one of the two threads is at work: connections of one process share
 * mutexes, and the loop waits for none that a thread may hold. */
#include "worker/store/sqlite.h"

#include "shared/check.h"
#include "worker/loop/executor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_QUEUE = 8192 };

enum kind { KIND_read, KIND_write };

static enum kind kind_of(const struct store_call *call)
{
    switch (call->operation) {
#define X(name, kind)                                                                              \
    case STORE_OP_##name:                                                                          \
        return KIND_##kind;
        STORE_OPERATIONS(X)
#undef X
    }
    UNREACHABLE();
}

/* ---- on the reader's and the writer's thread ------------------------------------------------- */

/* In memory a chain may hold both kinds: neighbours of one kind make a batch. */
static void run(void *thread_state, struct task *first)
{
    struct sqlite *s = thread_state;
    struct store_call *calls[SQLITE_BATCH_MAX];
    if (!first) /* who waited for the lock went away meanwhile */
        sqlite_write_batch(s, calls, 0);
    for (struct task *t = first; t;) {
        enum kind kind = kind_of((struct store_call *)t);
        size_t len = 0;
        for (; t && len < SQLITE_BATCH_MAX && kind_of((struct store_call *)t) == kind; t = t->next)
            calls[len++] = (struct store_call *)t;
        if (kind == KIND_read)
            sqlite_read_batch(s, calls, len);
        else
            sqlite_write_batch(s, calls, len);
    }
}

static bool begin_writes(void *thread_state, mono_ms until)
{
    sqlite_write_begin(thread_state);
    return true;
}

static void *thread_open(void *ctx)
{
    return ctx;
}

/* ---- on the loop's thread -------------------------------------------------------------------- */

static struct executor *make_executor(struct sqlite *s, struct loop *l, const char *name,
                                      bool (*begin)(void *, mono_ms))
{
    return executor_new(l, &(struct executor_options){
                               .name = name,
                               .threads = 1,
                               .max_queue = s->options.max_queue,
                               .max_batch = SQLITE_BATCH_MAX,
                               .thread_open = thread_open,
                               .begin = begin,
                               .run = run,
                               .ctx = s,
                           });
}

static void end_here(struct store_call *call, enum task_outcome outcome)
{
    task_begin(&call->task);
    task_complete(&call->task, outcome);
}

static void to_reader(struct sqlite *s, struct store_call *call)
{
    if (executor_submit(s->reader, &call->task))
        return;
    call->reply.result = STORE_BUSY;
    end_here(call, TASK_RAN);
}

/* Takes the first len from what was collected. */
static void forget_collected(struct sqlite *s, size_t len)
{
    s->collected_len -= len;
    memmove(s->collected, s->collected + len, s->collected_len * sizeof *s->collected);
}

/* Cancelled ones are over before they began, as with an executor. */
static void drop_cancelled(struct sqlite *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->collected_len; i++) {
        struct store_call *call = s->collected[i];
        if (task_is_cancelled(&call->task))
            end_here(call, TASK_CANCELLED);
        else
            s->collected[kept++] = call;
    }
    s->collected_len = kept;
}

static void all_to_reader(struct sqlite *s)
{
    for (size_t i = 0; i < s->collected_len; i++)
        to_reader(s, s->collected[i]);
    s->collected_len = 0;
}

static bool threads_rest(const struct sqlite *s)
{
    return executor_queued(s->reader) == 0 && executor_queued(s->writer) == 0;
}

/* What was collected, in its order. If time was over, others have their turn before it goes on; the
 * first one is never left behind: it is answered here or by the thread. */
static void on_flush(struct loop_flush *f)
{
    struct sqlite *s = (struct sqlite *)((char *)f - offsetof(struct sqlite, flush));
    drop_cancelled(s);
    if (s->collected_len == 0)
        return;
    size_t answered =
        threads_rest(s) ? sqlite_read_nowait(s, s->collected, s->collected_len) : 0;
    for (size_t i = 0; i < answered; i++)
        end_here(s->collected[i], TASK_RAN);
    forget_collected(s, answered);
    if (answered == 0)
        all_to_reader(s);
    else if (s->collected_len > 0)
        loop_hurry(s->loop);
}

static void close_driver(void *state)
{
    struct sqlite *s = state;
    if (s->reader)
        all_to_reader(s);
    loop_remove_flush(s->loop, &s->flush);
    executor_free(s->reader, false);
    executor_free(s->writer, false);
    sqlite_connection_close(&s->read_side);
    sqlite_connection_close(&s->write_side);
    sqlite_lock_close(&s->lock);
    free(s->path);
    free(s);
}

static struct sqlite_connection connection_for(const struct sqlite *s, enum sqlite_side sides)
{
    return (struct sqlite_connection){.path = s->path,
                                      .sides = sides,
                                      .durability = s->options.durability,
                                      .busy_timeout_ms = s->lock_timeout_ms};
}

static bool open_files(struct sqlite *s, struct buf *error)
{
    s->write_side = connection_for(s, s->path ? SQLITE_SIDE_WRITE : SQLITE_SIDE_BOTH);
    if (!sqlite_connection_open(&s->write_side, error))
        return false;
    sqlite_checkpoint_watch(s);
    if (!s->path)
        return true;
    const char *file = sqlite3_db_filename(s->write_side.db, "main");
    if (sqlite_lock_open(&s->lock, file, s->options.scoreboard, s->options.slot)) {
        buf_printf(
            error,
            "database lock %s.lock: %s; it must be a plain file that user can read and write", file,
            strerror(errno));
        return false;
    }
    s->read_side = connection_for(s, SQLITE_SIDE_READ);
    return sqlite_connection_open(&s->read_side, error);
}

static bool make_executors(struct sqlite *s, struct loop *l, struct buf *error)
{
    s->writer = s->path ? make_executor(s, l, "store writer", begin_writes)
                        : make_executor(s, l, "store", NULL);
    if (s->path && s->writer)
        s->reader = make_executor(s, l, "store reader", NULL);
    if (s->writer && (s->reader || !s->path)) {
        loop_add_flush(l, &s->flush); /* behind the reader's: it is called before it */
        return true;
    }
    buf_printf(error, "no memory to open the store");
    return false;
}

static void *open_driver(struct loop *l, const struct store_options *options, struct buf *error)
{
    /* SQLite's own statistics cost a global lock with every allocation; refused (and harmless) once
     * the library is in use */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    struct sqlite *s = calloc(1, sizeof *s);
    if (!s) {
        buf_printf(error, "no memory to open the store");
        return NULL;
    }
    s->options = *options;
    s->loop = l;
    s->flush.call = on_flush;
    s->lock_timeout_ms = options->timeout_ms / 2; /* a call may have to wait for the batch before its own */
    s->lock.fd = -1;
    if (s->options.max_queue == 0)
        s->options.max_queue = DEFAULT_QUEUE;
    s->nowait = sqlite_nowait_prepare();
    bool in_memory = options->kind == CONFIG_DATABASE_MEMORY;
    s->path = in_memory ? NULL : sqlite_plain_path(options->path);
    if (!in_memory && !s->path)
        buf_printf(error, "no memory to open the store");
    else if (open_files(s, error) && make_executors(s, l, error))
        return s;
    close_driver(s);
    return NULL;
}

static bool submit(void *state, struct store_call *call)
{
    struct sqlite *s = state;
    if (kind_of(call) == KIND_write || !s->reader)
        return executor_submit(s->writer, &call->task);
    if (!s->nowait || s->collected_len == SQLITE_BATCH_MAX || !threads_rest(s))
        return executor_submit(s->reader, &call->task);
    if (s->collected_len >= s->options.max_queue)
        return false;
    s->collected[s->collected_len++] = call;
    return true;
}

const struct store_driver store_driver_sqlite = {
    .name = "sqlite",
    .open = open_driver,
    .submit = submit,
    .close = close_driver,
};
