/* store.h: the accounts, behind one asynchronous interface for every database. A call is started on
 * the loop's thread and answered by its done function exactly once, after the callback that
 * started it has returned: also when the store is full or too slow (STORE_BUSY, STORE_UNKNOWN) or
 * broken (STORE_UNAVAILABLE). Only a write that was answered UNKNOWN may still come to be. Results
 * are an enum, never text. Nothing here blocks, but store_open() and store_close().
 *
 * Thread: all functions and all done functions run on the loop's thread; the database is worked on
 * elsewhere (driver.h), but for reads that neither have to wait nor take long (sqlite.c). */
#pragma once

#include "shared/config.h"
#include "shared/scoreboard.h"
#include "worker/loop/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_RESULTS(X)                                                                           \
    X(OK, "ok")                                                                                    \
    X(NOT_FOUND, "not found")                                                                      \
    X(USERNAME_TAKEN, "username taken")                                                            \
    X(EMAIL_TAKEN, "email taken")                                                                  \
    X(CHANGED, "changed meanwhile") /* the row is not (any more) as the caller saw it */           \
    X(BUSY, "busy")                 /* queue full, or the lock was not to be had in time: retry */ \
    X(UNKNOWN, "outcome unknown")   /* a write that had begun took too long */                     \
    X(UNAVAILABLE, "unavailable")   /* disk full, read-only, I/O error, connection lost */         \
    X(NO_MEMORY, "no memory")                                                                      \
    X(TOO_LARGE, "too large")       /* a list's text, for the bytes it was given */

enum store_result {
#define X(name, text) STORE_##name,
    STORE_RESULTS(X)
#undef X
};
const char *store_result_name(enum store_result result);

struct store_user {
    int64_t id;
    struct slice username;
    struct slice email;
    struct slice password; /* the stored hash text; absent in lists */
};

/* How a list becomes text: written where the database is worked on, not on the loop, for a list may be of
 * any size. Static. */
struct store_list_form {
    struct slice open, between, close; /* before the first row, between two, behind the last */
    void (*row)(struct buf *out, const struct store_user *user); /* any thread */
};

/* What done() gets. Valid until it returns; copy what is needed longer. */
struct store_reply {
    enum store_result result;
    const struct store_user *users; /* OK: the row (create, update, by_…, profile), or list_after's rows */
    size_t users_len;
    struct buf *text; /* OK of store_user_list(): on the heap, exactly as long; to be moved away, leaving {0},
                       * if it is needed longer. Else NULL */
};
typedef void store_done_fn(void *ctx, const struct store_reply *reply);

struct store;

struct store_options {
    enum config_database kind;
    const char *path;              /* SQLite file; NULL for :memory:; borrowed */
    int durability;                /* CONFIG_DURABILITY_… */
    struct scoreboard *scoreboard; /* for the lock holder's name; may be NULL */
    struct scoreboard_slot *slot;  /* counters; may be NULL */
    unsigned max_queue;            /* calls in flight, reads and writes each; 0: a default */
    int64_t timeout_ms;            /* a call is answered by then: BUSY, or UNKNOWN; 0: a default */
};

/* Opens the store for this process: after the fork, on the loop's thread, before serving (it may
 * wait). NULL with one clear line in *error* that says what to do. For :memory: the schema is made
 * here. */
struct store *store_open(struct loop *l, const struct store_options *options, struct buf *error);
/* Finishes what was accepted, then closes. The last done() calls come when the loop turns again. */
void store_close(struct store *s);

/* ---- calls ----------------------------------------------------------------------------------- */

/* Each returns the call's task, for task_cancel(), valid until its done() was called; NULL only
 * without memory (then done() is not called). Slices are copied. */
struct task *store_user_by_id(struct store *s, int64_t id, store_done_fn *done, void *ctx,
                              const char *made_at);
/* The same row as everybody may see it: its stored password is not read. */
struct task *store_user_profile(struct store *s, int64_t id, store_done_fn *done, void *ctx,
                                const char *made_at);
struct task *store_user_by_email(struct store *s, struct slice email, store_done_fn *done,
                                 void *ctx, const char *made_at);
/* The first row that has this username or this email: USERNAME_TAKEN, EMAIL_TAKEN or NOT_FOUND. The
 * username is looked at first. */
struct task *store_user_conflict(struct store *s, struct slice username, struct slice email,
                                 store_done_fn *done, void *ctx, const char *made_at);
/* As text of that form, ordered by id. offset, limit >= 0. TOO_LARGE when it has more than max_bytes; 0: as
 * many as any call may have, then NO_MEMORY. */
struct task *store_user_list(struct store *s, int64_t offset, int64_t limit,
                             const struct store_list_form *form, size_t max_bytes,
                             store_done_fn *done, void *ctx, const char *made_at);
/* The first *limit* with an id above *after*, ordered by id: for going through all of them, page by
 * page, at a cost that does not grow. limit >= 0. */
struct task *store_user_list_after(struct store *s, int64_t after, int64_t limit,
                                   store_done_fn *done, void *ctx, const char *made_at);
/* OK with the new row, USERNAME_TAKEN or EMAIL_TAKEN (username first). When OK is reported it is
 * durable as [database] durability says. */
struct task *store_user_create(struct store *s, struct slice username, struct slice email,
                               struct slice password, store_done_fn *done, void *ctx,
                               const char *made_at);
/* Changes the row that has this id and this stored password, else CHANGED. */
struct task *store_user_update(struct store *s, int64_t id, struct slice seen_password,
                               struct slice username, struct slice email, struct slice password,
                               store_done_fn *done, void *ctx, const char *made_at);
/* Removes that row (and, in a database that has them, its todos), else CHANGED. */
struct task *store_user_delete(struct store *s, int64_t id, struct slice seen_password,
                               store_done_fn *done, void *ctx, const char *made_at);
/* Replaces only the stored hash (re-hash at login), else CHANGED. */
struct task *store_user_rehash(struct store *s, int64_t id, struct slice seen_password,
                               struct slice password, store_done_fn *done, void *ctx,
                               const char *made_at);
/* OK once a read and the writer's side have been tried: what READY waits for. */
struct task *store_probe(struct store *s, store_done_fn *done, void *ctx, const char *made_at);
/* Calls made and not answered. */
unsigned store_queued(const struct store *s);

/* Where a call is made is its last argument, for reports; nobody writes it. */
#define store_user_by_id(...) store_user_by_id(__VA_ARGS__, MADE_HERE)
#define store_user_profile(...) store_user_profile(__VA_ARGS__, MADE_HERE)
#define store_user_by_email(...) store_user_by_email(__VA_ARGS__, MADE_HERE)
#define store_user_conflict(...) store_user_conflict(__VA_ARGS__, MADE_HERE)
#define store_user_list(...) store_user_list(__VA_ARGS__, MADE_HERE)
#define store_user_list_after(...) store_user_list_after(__VA_ARGS__, MADE_HERE)
#define store_user_create(...) store_user_create(__VA_ARGS__, MADE_HERE)
#define store_user_update(...) store_user_update(__VA_ARGS__, MADE_HERE)
#define store_user_delete(...) store_user_delete(__VA_ARGS__, MADE_HERE)
#define store_user_rehash(...) store_user_rehash(__VA_ARGS__, MADE_HERE)
#define store_probe(...) store_probe(__VA_ARGS__, MADE_HERE)
