/* scoreboard.h: the shared memory in which each worker writes about itself and anyone reads without
 * asking: fixed layout, atomic fields, one writer per field. Made by the master before it forks. */
#pragma once

#include "shared/clock.h"
#include "shared/histogram.h"
#include "shared/str.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Grows when a field means something else than before; what else matters is looked at by
 * scoreboard_layout(). */
#ifndef SCOREBOARD_LAYOUT
#define SCOREBOARD_LAYOUT 3
#endif

enum {
    SCOREBOARD_WORKERS_MAX = 256,
    SCOREBOARD_SLOTS_MAX = 2 * SCOREBOARD_WORKERS_MAX + 2,
    SCOREBOARD_ROUTE_MAX = 48,
    SCOREBOARD_REQUEST_ID_MAX = 24,
    SCOREBOARD_STACK_MAX = 24,
    SCOREBOARD_WORDS_MAX = 1000,
    SCOREBOARD_RECENT_MAX = 64,
    SCOREBOARD_FLIGHTS_MAX = 64,
    SCOREBOARD_TURN_BUCKETS = 12, /* turns of a loop, by duration: scoreboard_note_turn() */
    SCOREBOARD_ROUTES_MAX = 48,   /* that are timed each for itself; the first is for all others */
    SCOREBOARD_CLASSES = 4,       /* of answers: 2xx to 5xx */
    SCOREBOARD_PAGE_MAX = 65536   /* of memory, on any machine */
};

/* A slot's life: names for logs and status come from the same list. */
#define SLOT_STATES(X)                                                                             \
    X(EMPTY, "empty")                                                                              \
    X(STARTING, "starting")                                                                        \
    X(READY, "ready")                                                                              \
    X(DRAINING, "draining")                                                                        \
    X(KILLED, "killed")                                                                            \
    X(BACKOFF, "backoff")

enum slot_state {
#define X(name, text) SLOT_##name,
    SLOT_STATES(X)
#undef X
};
const char *slot_state_name(enum slot_state state);

/* Whether a worker may call its upstream (worker/upstream/breaker.h). */
#define BREAKER_STATES(X)                                                                          \
    X(NONE, "none") /* there is no upstream */                                                     \
    X(CLOSED, "closed")                                                                            \
    X(OPEN, "open")                                                                                \
    X(HALF_OPEN, "half-open")

enum breaker_state {
#define X(name, text) BREAKER_##name,
    BREAKER_STATES(X)
#undef X
};
const char *breaker_state_name(enum breaker_state state);

enum counter {
#define COUNTER(name, help) COUNTER_##name,
#include "shared/counters.def"
#undef COUNTER
    COUNTERS
};
const char *counter_name(enum counter c);
const char *counter_help(enum counter c);

/* What is timed. The requests' series follow: scoreboard_series(). */
enum timed {
#define TIMED(name, metric, label, help) TIMED_##name,
#include "shared/histograms.def"
#undef TIMED
    TIMED_REQUESTS,
    SCOREBOARD_SERIES = TIMED_REQUESTS + SCOREBOARD_ROUTES_MAX * SCOREBOARD_CLASSES
};

/* "hash", "store_read" … */
const char *timed_name(enum timed t);

/* "GET /users/{user_id}". Routes get their places from the workers that serve them, of whatever
 * program; who comes first writes the name, which then stays. */
struct scoreboard_route {
    _Atomic(uint32_t) state; /* 0: free, 1: its name is being written, 2: it stands */
    char name[SCOREBOARD_ROUTE_MAX];
};

/* A request that was answered, for `ctl why`. Torn reads are possible and harmless. */
struct scoreboard_recent {
    int64_t at_ms; /* mono_ms of the answer */
    uint32_t duration_us;
    uint16_t status; /* 0: the client had left */
    char route[SCOREBOARD_ROUTE_MAX]; /* method and path, no query; cut */
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
};

/* A request that is not answered yet, the same. */
struct scoreboard_flight {
    _Atomic(int64_t) began_ms; /* mono_ms; 0: free */
    char route[SCOREBOARD_ROUTE_MAX];
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
};

struct scoreboard_slot {
    /* the master writes these */
    _Atomic(int32_t) pid;
    _Atomic(uint32_t) generation;
    _Atomic(uint32_t) state;            /* enum slot_state */
    _Atomic(int64_t) started_ms;        /* mono_ms */
    /* the slot's worker writes the rest */
    _Atomic(int64_t) beat_ms;           /* mono_ms of its last loop turn */
    _Atomic(int64_t) busy_since_us;     /* a callback runs since then; 0: it waits */
    _Atomic(uint32_t) accepting;        /* newcomers may come to it */
    _Atomic(uint32_t) connections;      /* open */
    _Atomic(uint32_t) busy;             /* with a request in flight */
    _Atomic(uint32_t) hashes_queued;    /* password hashes asked for and not answered */
    _Atomic(uint32_t) store_queued;     /* calls of the database, the same */
    _Atomic(uint32_t) holds_db_lock;    /* 1 while its writer holds the database lock */
    _Atomic(uint32_t) lag_us;           /* longest time the loop was held by one turn in the last second */
    _Atomic(uint32_t) stack_len;        /* return addresses in *stack*, written on SIGABRT */
    _Atomic(uint64_t) stack[SCOREBOARD_STACK_MAX];
    _Atomic(uint64_t) counters[COUNTERS];
    _Atomic(uint64_t) turns[SCOREBOARD_TURN_BUCKETS];
    _Atomic(uint32_t) upstream_breaker; /* enum breaker_state */
    _Atomic(uint32_t) upstream_busy;    /* calls under way */
    _Atomic(uint32_t) upstream_waiting; /* for their turn */
    _Atomic(int64_t) store_ok_ms;       /* mono_ms: the database answered; 0: not yet */
    _Atomic(int64_t) store_bad_ms;      /* … it did not, or with an error; 0: never */
    /* what it works on, for the obituary; torn reads are possible and harmless */
    char route[SCOREBOARD_ROUTE_MAX];
    char request_id[SCOREBOARD_REQUEST_ID_MAX];
    char last_words[SCOREBOARD_WORDS_MAX]; /* its error lines, as far as they fit; log_keep_errors() */
    _Atomic(uint32_t) recent_next; /* how many requests were noted so far; the next one's place modulo */
    struct scoreboard_recent recent[SCOREBOARD_RECENT_MAX];
    _Atomic(uint32_t) flights_used; /* only the first so many have ever been in use */
    struct scoreboard_flight flights[SCOREBOARD_FLIGHTS_MAX]; /* more than fit are not noted */
    struct histogram series[SCOREBOARD_SERIES];
} __attribute__((aligned(64)));

struct scoreboard {
    /* the master alone writes these: scoreboard_guard() */
    _Atomic(uint32_t) stopping;         /* the master: a full stop has begun (healthcheck 503); the
                                           first field in every layout */
    _Atomic(uint32_t) slots_used;       /* the first so many have been used by workers; the master */
    _Atomic(uint32_t) fold;             /* odd while the master moves counters into the totals */
    _Atomic(uint64_t) totals[COUNTERS]; /* of workers that are gone; the master adds */
    struct histogram total_series[SCOREBOARD_SERIES]; /* as *totals* */
    char apart[SCOREBOARD_PAGE_MAX];    /* no page has a part of both */
    /* workers write the rest */
    _Atomic(int32_t) db_lock_pid;       /* who holds the database lock, 0: nobody of ours */
    struct scoreboard_route routes[SCOREBOARD_ROUTES_MAX];
    struct scoreboard_slot slots[];
};

/* Maps a shared scoreboard of 1 to SCOREBOARD_SLOTS_MAX slots, zeroed. NULL with errno. */
struct scoreboard *scoreboard_new(size_t slots_len);
/* The same, and the descriptor it lives behind (memory.h): with it another program that has the same
 * layout, which a number stands for, maps it too. NULL with errno. */
struct scoreboard *scoreboard_make(size_t slots_len, int *fd_r);
struct scoreboard *scoreboard_map(int fd, size_t slots_len);
uint64_t scoreboard_layout(void);
/* Sets *stopping* in a scoreboard of any layout, by its descriptor. */
void scoreboard_say_stopping(int fd);
/* In a worker: what the master alone writes there can only be read from now on, so that a stray write
 * ends the one who made it, and nobody else believes it. -1 with errno. */
int scoreboard_guard(struct scoreboard *s);
/* In a child: it can only be read from now on. -1 with errno. */
int scoreboard_protect(struct scoreboard *s);
/* Unmaps it from this process. Accepts NULL. */
void scoreboard_free(struct scoreboard *s);
/* How many slots it was made with. Any process. */
size_t scoreboard_slots_len(const struct scoreboard *s);
/* How many of them were ever used: the memory of the others need not even exist. Never more than there
 * are, whatever has been written to the shared memory. Any process. */
size_t scoreboard_slots_used(const struct scoreboard *s);

/* The worker's own slot: relaxed add, no read-modify-write across processes is needed. */
static inline void counter_add(struct scoreboard_slot *slot, enum counter c, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&slot->counters[c], memory_order_relaxed);
    atomic_store_explicit(&slot->counters[c], now + n, memory_order_relaxed);
}

/* One turn of the loop held it for so long. Bucket 0 counts those below 1 ms, bucket i those from
 * 2^(i-1) ms to below 2^i ms, the last one also all that took longer. The slot's worker. */
static inline void scoreboard_note_turn(struct scoreboard_slot *slot, int64_t held_us)
{
    uint64_t ms = held_us > 0 ? (uint64_t)held_us / 1000 : 0;
    unsigned bucket = ms == 0 ? 0 : 64 - (unsigned)__builtin_clzll(ms);
    if (bucket >= SCOREBOARD_TURN_BUCKETS)
        bucket = SCOREBOARD_TURN_BUCKETS - 1;
    uint64_t n = atomic_load_explicit(&slot->turns[bucket], memory_order_relaxed);
    atomic_store_explicit(&slot->turns[bucket], n + 1, memory_order_relaxed);
}

/* A worker lives in this slot, or will: readers look at it from now on. The memory of slots that
 * were never used is not even allocated. Master. */
void scoreboard_use(struct scoreboard *s, size_t slot);

/* The sum over the dead and the living: never smaller than an earlier one. Any process. */
uint64_t scoreboard_total(const struct scoreboard *s, enum counter c);
/* Lets the sum be at least *value*: what another scoreboard had counted before. Master. */
void scoreboard_raise_total(struct scoreboard *s, enum counter c, uint64_t value);
/* Folds the counters of a worker that has been reaped into the totals and zeroes the slot (state
 * EMPTY). Master. */
void scoreboard_retire(struct scoreboard *s, size_t slot);

/* ---- durations ------------------------------------------------------------------------------- */

/* The place of a route, for scoreboard_series(); 0, which stands for all others, when there is no
 * more room. Any process; not for the way of a request. */
unsigned scoreboard_route(struct scoreboard *s, const char *method, const char *path);
unsigned scoreboard_route_named(struct scoreboard *s, const char *name);
/* The name of that place, "other" the first one's; {NULL, 0} if nobody has it. It lies in the shared memory:
 * within its bounds, but of whatever bytes have been written there. */
struct slice scoreboard_route_name(const struct scoreboard *s, unsigned route);
/* Where requests of a route with answers of a class (status / 100, 2 to 5) are timed. */
static inline size_t scoreboard_series(unsigned route, unsigned status_class)
{
    return TIMED_REQUESTS + route * SCOREBOARD_CLASSES + (status_class - 2);
}
/* Adds the dead and the living of one series to *to_r*: never fewer than before. Any process. */
void scoreboard_collect(const struct scoreboard *s, size_t series, struct histogram_copy *to_r);
/* The requests of one slot, all routes and classes. */
void scoreboard_collect_slot(const struct scoreboard *s, size_t slot, struct histogram_copy *to_r);
/* What was counted and timed so far in this slot does not count. Its worker. */
void scoreboard_forget(struct scoreboard *s, size_t slot);
/* One more in the totals. Master. */
void scoreboard_count(struct scoreboard *s, enum counter c);
void scoreboard_note(struct scoreboard *s, enum timed what, int64_t us);
/* Lets a cell's sum be at least *value*, as scoreboard_raise_total. Master. */
void scoreboard_raise_cell(struct scoreboard *s, size_t series, size_t cell, uint64_t value);
