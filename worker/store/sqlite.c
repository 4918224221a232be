/* sqlite.c: the SQLite driver: one reader thread and one writer thread with a connection each, fed
 * in batches. An in-memory database is a single connection, so one thread does both. */
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

static void begin_writes(void *thread_state)
{
    sqlite_write_begin(thread_state);
}

static void *thread_open(void *ctx)
{
    return ctx;
}

/* ---- on the loop's thread -------------------------------------------------------------------- */

static struct executor *make_executor(struct sqlite *s, struct loop *l, const char *name,
                                      void (*begin)(void *))
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

static void close_driver(void *state)
{
    struct sqlite *s = state;
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
    if (s->writer && (s->reader || !s->path))
        return true;
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
    s->lock_timeout_ms = options->timeout_ms / 2; /* a call may have to wait for the batch before its own */
    s->lock.fd = -1;
    if (s->options.max_queue == 0)
        s->options.max_queue = DEFAULT_QUEUE;
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
    bool read = kind_of(call) == KIND_read;
    return executor_submit(read && s->reader ? s->reader : s->writer, &call->task);
}

const struct store_driver store_driver_sqlite = {
    .name = "sqlite",
    .open = open_driver,
    .submit = submit,
    .close = close_driver,
};
