/* fanout.h: many calls of an upstream for one request. All of them are made at once, as far as the
 * upstream's limit allows; what waits takes turns between requests, so that an order of a hundred
 * packages does not hold up one of two. A call that broke off, or was answered with 502, 503 or 504,
 * is made again, after a random pause that doubles, up to FANOUT_TRIES times and within the time of
 * the whole. The first call that settles the outcome ends all others. Each call asks the circuit
 * breaker first and tells it how it ended. Loop thread.
 *
 *   fanout_start() → fanout_add()… → on_body() for each answer, which may add more → done()
 *
 * The whole is a task: task_cancel() cancels all of its calls. */
#pragma once

#include "shared/arena.h"
#include "worker/upstream/breaker.h"
#include "worker/upstream/call.h"

enum {
    FANOUT_TRIES = 3,
    FANOUT_PAUSE_MS = 100,
    FANOUT_BURST = 2 /* calls begun in one turn of the loop: a thousand at once would hold it for long */
};

#define FANOUT_RESULTS(X)                                                                          \
    X(OK, "answered")                                                                              \
    X(NOT_FOUND, "not found")     /* a call was answered with 404 */                               \
    X(FAILED, "failed")           /* a call cannot be had, or is answered with what it may not */  \
    X(BROKEN_CIRCUIT, "refused")  /* the breaker is open */                                        \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(CANCELLED, "cancelled")

enum fanout_result {
#define X(name, text) FANOUT_##name,
    FANOUT_RESULTS(X)
#undef X
};
const char *fanout_result_name(enum fanout_result result);

/* What on_body() thinks of an answer. */
enum fanout_verdict { FANOUT_GOOD, FANOUT_BAD, FANOUT_TOO_MUCH_MEMORY };

/* ---- what all fan-outs of a worker share ----------------------------------------------------- */

struct fanouts;

struct fanouts_options {
    struct caller *caller;        /* borrowed */
    unsigned max_calls;           /* under way at once */
    int64_t timeout_ms;           /* of one fan-out */
    struct breaker_rule breaker;
    struct scoreboard_slot *slot; /* counters, gauges, latency; borrowed */
};

/* Copies the options. NULL without memory. */
struct fanouts *fanouts_new(struct loop *l, const struct fanouts_options *options);
/* All fan-outs must be over. Accepts NULL. */
void fanouts_free(struct fanouts *s);

/* ---- one ------------------------------------------------------------------------------------- */

struct fanout_call;

/* Embedded by its owner, who sets the first part; it and its arena stay until done() was called. */
struct fanout {
    struct task task;        /* first; task_init() is the owner's */
    struct arena *arena;     /* for its calls; borrowed */
    const char *traceparent; /* sent with each call (call.h), or NULL; borrowed */
    /* An answer with a 2xx; its bytes go when this returns. It may call fanout_add(). */
    enum fanout_verdict (*on_body)(struct fanout *f, unsigned tag, struct slice body);

    /* in done() */
    enum fanout_result result;
    int64_t retry_after_ms;       /* BROKEN_CIRCUIT: trying again may help after this time */
    const char *failed_path;      /* FAILED: of the call that settled it, or NULL; in the arena */
    char failure[CALL_ERROR_MAX]; /* … and why, for a log */

    /* private */
    struct fanouts *home;
    struct task_group group;
    struct fanout_call *calls;         /* all of them, newest first */
    struct fanout_call *waiting_first; /* for their turn */
    struct fanout_call *waiting_last;
    struct fanout *ring_next; /* of those that have calls waiting */
    struct fanout *ring_previous;
    bool in_ring;
    bool settled;
    mono_ms until;
    struct ev_timer deadline;
};

/* Begins it. What it needs in this very turn is added until fanout_started(). */
void fanout_start(struct fanouts *s, struct fanout *f);
/* One more call; *path* is borrowed until done(). Without memory, or when it is settled already,
 * nothing more is called, and done() says what it came to. */
void fanout_add(struct fanout *f, const char *path, unsigned tag);
/* The starter has added what it knows of: done() follows in a later turn, when all calls are over. */
void fanout_started(struct fanout *f);
