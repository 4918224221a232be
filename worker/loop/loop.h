/* loop.h: one libev loop and what every layer above shares of it: deferred completions, the hook
 * that runs before the loop sleeps, and the watch over who holds it (stall.h). The backend is forced
 * to epoll and LIBEV_FLAGS is ignored. Never used across a fork.
 *
 * Thread: one thread makes and owns a loop. Whatever lives on it is for that thread alone, and says
 * so at its entries with LOOP_ASSERT_OWNER(). Only loop_post_done() may be called from another. */
#pragma once

#include "shared/clock.h"
#include "worker/loop/ledger.h"

/* ev.h is written for lax compilers; its macros are used only through this header. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <ev.h>
#pragma GCC diagnostic pop

#include <stdbool.h>
#include <stdint.h>

struct stall;
struct task;
struct loop;

/* A callback that runs once each time round, just before the loop sleeps: where work that was
 * collected during a turn leaves in one hop. Embedded by its owner. */
struct loop_flush {
    void (*call)(struct loop_flush *f);
    struct loop_flush *next; /* the loop's list */
};

/* ---- on the loop's thread -------------------------------------------------------------------- */

/* NULL without memory, or when epoll is not to be had (errno is set). The thread that calls it is
 * the owner. */
struct loop *loop_new(const char *made_at);
#define loop_new() loop_new(MADE_HERE)
/* Everything started on it must have been stopped. Accepts NULL. */
void loop_free(struct loop *l);

/* For starting watchers. Borrowed. */
struct ev_loop *loop_ev(struct loop *l);
/* Call it with watchers stopped, before closing a descriptor whose open file description lives on
 * in another process: epoll(7) watches descriptions, not descriptors, so the closed one would go on
 * to fire here, and libev never removes any. False, with errno, when epoll could not be told. */
bool loop_forget_fd(struct loop *l, int fd);
/* Runs until loop_stop(). Not from within a callback of the same loop: that aborts. */
void loop_run(struct loop *l);
/* One turn, waiting for an event or not; before the loop runs and after it, and for tests. Not from
 * within a callback of the same loop: that aborts. */
void loop_run_once(struct loop *l, bool wait);
/* Makes loop_run() return after this turn. */
void loop_stop(struct loop *l);
/* The loop does not sleep before its next turn: a callback or a flush hook has left work behind, so
 * that this turn ends. (A timer of no time would do so only after a millisecond, which is libev's
 * shortest sleep with epoll.) */
void loop_hurry(struct loop *l);

/* The present (a cheap read of the clock). */
mono_ms loop_now(struct loop *l);

/* The first thing in every callback of a watcher: what runs from now on (static words, for reports
 * about who held the loop). Returns the time in microseconds. */
int64_t loop_enter(struct loop *l, const char *what);
/* When the present callback began, in microseconds; between callbacks the present. */
int64_t loop_entered_us(struct loop *l);
/* Who holds the loop, and the bounds of this turn. Borrowed; its *slot* and *limit_us* are the
 * caller's to set. */
struct stall *loop_stall(struct loop *l);

/* Adds or removes a flush hook. Adding twice is a bug; removing an absent one is harmless. */
void loop_add_flush(struct loop *l, struct loop_flush *f);
void loop_remove_flush(struct loop *l, struct loop_flush *f);

/* A task that is over without having left this thread: its done function is called before the loop
 * sleeps, or, from within such a function, in the next turn. */
void loop_post_here(struct loop *l, struct task *t);

/* Starting and stopping watchers goes through the ledger: what is not stopped is reported with the
 * place that started it. Same names and meaning as in ev(3). */
#define ev_io_start(ev, w)     loop_io_start((ev), (w), MADE_HERE)
#define ev_io_stop(ev, w)      loop_io_stop((ev), (w))
#define ev_timer_start(ev, w)  loop_timer_start((ev), (w), MADE_HERE)
#define ev_timer_stop(ev, w)   loop_timer_stop((ev), (w))
#define ev_signal_start(ev, w) loop_signal_start((ev), (w), MADE_HERE)
#define ev_signal_stop(ev, w)  loop_signal_stop((ev), (w))
#define LOOP_WATCHER(type, kind)                                                                   \
    static inline void loop_##type##_start(struct ev_loop *ev, struct ev_##type *w,                \
                                           const char *made_at)                                    \
    {                                                                                              \
        (ev_##type##_start)(ev, w);                                                                \
        ledger_made(kind, w, LEDGER_OPEN, made_at);                                                \
    }                                                                                              \
    static inline void loop_##type##_stop(struct ev_loop *ev, struct ev_##type *w)                 \
    {                                                                                              \
        (ev_##type##_stop)(ev, w);                                                                 \
        ledger_gone(kind, w);                                                                      \
    }
LOOP_WATCHER(io, LEDGER_IO_WATCHER)
LOOP_WATCHER(timer, LEDGER_TIMER)
LOOP_WATCHER(signal, LEDGER_SIGNAL_WATCHER)
#undef LOOP_WATCHER
/* For ledger_report(): a timer that has fired once is stopped without a word. */
bool loop_watcher_has_ended(enum ledger_kind kind, const void *what);

/* ---- on any thread --------------------------------------------------------------------------- */

/* Aborts, naming the function, the thread that called it and the one that owns the loop, when they
 * are not the same. Two loads and a branch. */
#define LOOP_ASSERT_OWNER(l) loop_assert_owner((l), __func__, MADE_HERE)
void loop_assert_owner(const struct loop *l, const char *function, const char *place);

/* Hands a finished chain of tasks (linked by task->next) to the loop, which calls their done
 * functions in its next turn. Wakes the loop only when it needs waking. */
void loop_post_done(struct loop *l, struct task *first, struct task *last);
