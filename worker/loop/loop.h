/* loop.h: one libev loop and what every layer above shares of it: deferred completions and the hook
 * that runs before the loop sleeps. One thread owns a loop; only loop_post_done() may be called
 * from another. The backend is forced to epoll and LIBEV_FLAGS is ignored. Never used across a
 * fork. */
#pragma once

#include "shared/clock.h"

/* ev.h is written for lax compilers; its macros are used only through this header. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <ev.h>
#pragma GCC diagnostic pop

#include <stdbool.h>
#include <stdint.h>

struct task;
struct loop;

/* A callback that runs once each time round, just before the loop sleeps: where work that was
 * collected during a turn leaves in one hop. Embedded by its owner. */
struct loop_flush {
    void (*call)(struct loop_flush *f);
    struct loop_flush *next; /* the loop's list */
};

/* NULL without memory, or when epoll is not to be had (errno is set). */
struct loop *loop_new(void);
/* Everything started on it must have been stopped. Accepts NULL. */
void loop_free(struct loop *l);

/* For starting watchers. Borrowed. */
struct ev_loop *loop_ev(struct loop *l);
/* Call it with watchers stopped, before closing a descriptor whose open file description lives on
 * in another process: epoll(7) watches descriptions, not descriptors, so the closed one would go on
 * to fire here, and libev never removes any. False, with errno, when epoll could not be told. */
bool loop_forget_fd(struct loop *l, int fd);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* One turn without waiting; for tests. */
void loop_run_once(struct loop *l, bool wait);
/* Makes loop_run() return after this turn. */
void loop_stop(struct loop *l);

/* The time of this turn (cached by the loop, cheap). */
mono_ms loop_now(struct loop *l);
/* Aborts, naming the caller's place, when another thread than the loop's own calls. */
void loop_assert_owner(struct loop *l, const char *where);
#define LOOP_ASSERT_OWNER(l) loop_assert_owner((l), __func__)

/* Adds or removes a flush hook. Adding twice is a bug; removing an absent one is harmless. */
void loop_add_flush(struct loop *l, struct loop_flush *f);
void loop_remove_flush(struct loop *l, struct loop_flush *f);

/* Hands a finished chain of tasks (linked by task->next) to the loop, which calls their done
 * functions in its next turn. Any thread; wakes the loop only when it needs waking. */
void loop_post_done(struct loop *l, struct task *first, struct task *last);
