/* driver.h: what a database kind implements. Shaped for both kinds: SQLite (synchronous functions
 * on executor threads) and PostgreSQL (a non-blocking connection on the loop); the tests add a
 * scripted one. store.c makes calls and hands them to the driver; the driver fills in the reply and
 * completes the call's task (through an executor, or with task_begin()/task_complete()).
 *
 * Thread: open(), submit() and close() are called on the loop's. Between submit() and the end of its
 * task a call belongs to whoever works on it: an executor's thread, or the driver on the loop. */
#pragma once

#include "worker/store/store.h"

#define STORE_OPERATIONS(X)                                                                        \
    X(BY_ID, read)                                                                                 \
    X(BY_EMAIL, read)                                                                              \
    X(PROFILE, read)                                                                               \
    X(CONFLICT, read)                                                                              \
    X(LIST, read)                                                                                  \
    X(LIST_AFTER, read)                                                                            \
    X(CREATE, write)                                                                               \
    X(UPDATE, write)                                                                               \
    X(DELETE, write)                                                                               \
    X(REHASH, write)                                                                               \
    X(PROBE, write)

enum store_operation {
#define X(name, kind) STORE_OP_##name,
    STORE_OPERATIONS(X)
#undef X
};

/* What one call may take, its answer in it. A list without end must not take the machine with it: about a
 * million rows. */
#define STORE_CALL_MAX_BYTES ((size_t)256 << 20)

/* One call: arguments, reply and their memory. task is first: a driver gets it back from its task.
 */
struct store_call {
    struct task task;
    enum store_operation operation;
    /* arguments, copied into arena */
    int64_t id;
    int64_t offset;
    int64_t limit;
    struct slice username;
    struct slice email;
    struct slice password;
    struct slice seen_password;
    const struct store_list_form *form; /* LIST's */
    size_t text_max;
    /* the driver's answer; rows live in arena */
    struct store_reply reply;
    struct buf text; /* LIST: what the rows have become */
    /* the caller's */
    store_done_fn *done;
    void *ctx;
    struct store *store;
    struct arena arena; /* this call's; used by one thread at a time */
};

struct store_driver {
    const char *name;
    /* The driver's own state, or NULL with one clear line in *error*. */
    void *(*open)(struct loop *l, const struct store_options *options, struct buf *error);
    /* Starts the call. False when its queue is full: the store answers STORE_BUSY. */
    bool (*submit)(void *state, struct store_call *call);
    /* Finishes what was submitted, then closes. */
    void (*close)(void *state);
};

/* store_open() with a driver of the caller's choice; for tests. */
struct store *store_open_with(struct loop *l, const struct store_driver *driver,
                              const struct store_options *options, struct buf *error);

/* Thread: the one that works on the call. A row's copy in the call's arena, appended to the reply; or, of a
 * LIST, the row as text. False: no more of them (the reply's result then says why: STORE_NO_MEMORY,
 * STORE_TOO_LARGE where the caller gave it less, or STORE_BUSY of a list that was called off). *capacity* is
 * the caller's running array size, 0 at first. */
bool store_call_add_user(struct store_call *call, size_t *capacity, const struct store_user *user);
/* The same thread. Whoever tries the call again has as much memory as this try had: drops what it added.
 * *used_bytes*: the arena's before it. */
void store_call_begin_anew(struct store_call *call, size_t used_bytes);

/* Loop thread, once all rows are there: closes a LIST's text, and gives back what its buffer has too much.
 * False without memory for the little that an empty list takes. */
bool store_call_end_text(struct store_call *call);

extern const struct store_driver store_driver_sqlite;
