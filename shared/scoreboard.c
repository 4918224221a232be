/* scoreboard.c: see scoreboard.h. mmap(2). */
#include "shared/scoreboard.h"

#include "shared/check.h"
#include "shared/memory.h"
#include "shared/fault.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const state_names[] = {
#define X(name, text) [SLOT_##name] = text,
    SLOT_STATES(X)
#undef X
};

static const char *const breaker_names[] = {
#define X(name, text) [BREAKER_##name] = text,
    BREAKER_STATES(X)
#undef X
};

static const struct {
    const char *name;
    const char *help;
} counters[COUNTERS] = {
#define COUNTER(name, help) [COUNTER_##name] = {#name, help},
#include "shared/counters.def"
#undef COUNTER
};

static const char *const timed_names[] = {
#define TIMED(name, metric, label, help) #name,
#include "shared/histograms.def"
#undef TIMED
};

const char *timed_name(enum timed t)
{
    ASSERT(t < TIMED_REQUESTS);
    return timed_names[t];
}

const char *slot_state_name(enum slot_state state)
{
    ASSERT((size_t)state < sizeof state_names / sizeof *state_names);
    return state_names[state];
}

const char *breaker_state_name(enum breaker_state state)
{
    ASSERT((size_t)state < sizeof breaker_names / sizeof *breaker_names);
    return breaker_names[state];
}

const char *counter_name(enum counter c)
{
    ASSERT(c < COUNTERS);
    return counters[c].name;
}

const char *counter_help(enum counter c)
{
    ASSERT(c < COUNTERS);
    return counters[c].help;
}

static size_t map_len(size_t slots_len)
{
    return sizeof(struct scoreboard) + slots_len * sizeof(struct scoreboard_slot);
}

/* FNV-1a (draft-eastlake-fnv) over what a reader relies on: whoever changes that cannot forget it. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t scoreboard_layout(void)
{
    static const size_t places[] = {
        SCOREBOARD_LAYOUT,
        sizeof(struct scoreboard),
        sizeof(struct scoreboard_slot),
        sizeof(struct scoreboard_recent),
        offsetof(struct scoreboard, totals),
        offsetof(struct scoreboard_slot, counters),
        offsetof(struct scoreboard_slot, route),
        offsetof(struct scoreboard_slot, last_words),
        offsetof(struct scoreboard_slot, recent),
        sizeof(struct scoreboard_flight),
        offsetof(struct scoreboard_slot, flights),
        offsetof(struct scoreboard_slot, series),
        offsetof(struct scoreboard, total_series),
    };
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), places, sizeof places);
    for (size_t c = 0; c < COUNTERS; c++)
        hash = mix(hash, counters[c].name, strlen(counters[c].name) + 1);
    for (size_t i = 0; i < TIMED_REQUESTS; i++)
        hash = mix(hash, timed_names[i], strlen(timed_names[i]) + 1);
    return mix(hash, histogram_bounds_us, sizeof histogram_bounds_us);
}

struct scoreboard *scoreboard_make(size_t slots_len, int *fd_r)
{
    ASSERT(slots_len >= 1 && slots_len <= SCOREBOARD_SLOTS_MAX);
    return FAULT_CALL(scoreboard_mmap, NULL,
                      memory_new("colmeia-scoreboard", map_len(slots_len), fd_r));
}

struct scoreboard *scoreboard_new(size_t slots_len)
{
    int fd;
    struct scoreboard *s = scoreboard_make(slots_len, &fd);
    if (s)
        close(fd);
    return s;
}

struct scoreboard *scoreboard_map(int fd, size_t slots_len)
{
    return memory_map_exact(fd, map_len(slots_len));
}

_Static_assert(offsetof(struct scoreboard, stopping) == 0, "the first field in every layout");

void scoreboard_say_stopping(int fd)
{
    uint32_t one = 1;
    ssize_t n = pwrite(fd, &one, sizeof one, 0); /* file and mapping are one: mmap(2) */
    (void)n; /* then its workers hear it when they are told to leave */
}

int scoreboard_guard(struct scoreboard *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return mprotect(s, offsetof(struct scoreboard, db_lock_pid) / page * page, PROT_READ);
}

int scoreboard_protect(struct scoreboard *s)
{
    return mprotect(s, memory_len(s), PROT_READ);
}

void scoreboard_free(struct scoreboard *s)
{
    memory_free(s);
}

size_t scoreboard_slots_len(const struct scoreboard *s)
{
    return (memory_len(s) - sizeof *s) / sizeof s->slots[0];
}

size_t scoreboard_slots_used(const struct scoreboard *s)
{
    size_t used = atomic_load_explicit(&s->slots_used, memory_order_relaxed);
    size_t len = scoreboard_slots_len(s);
    return used < len ? used : len;
}

void scoreboard_use(struct scoreboard *s, size_t slot)
{
    ASSERT(slot < scoreboard_slots_len(s));
    if (slot >= atomic_load_explicit(&s->slots_used, memory_order_relaxed))
        atomic_store(&s->slots_used, (uint32_t)slot + 1);
}

static uint64_t sum(const struct scoreboard *s, enum counter c)
{
    uint64_t total = atomic_load_explicit(&s->totals[c], memory_order_relaxed);
    size_t used = scoreboard_slots_used(s);
    for (size_t i = 0; i < used; i++)
        total += atomic_load_explicit(&s->slots[i].counters[c], memory_order_relaxed);
    return total;
}

/* A sequence lock around the fold (Linux Documentation/locking/seqlock.rst): without it a reader
 * could count a worker twice, or not at all, and a counter would seem to run backwards. A master
 * killed in mid-fold leaves it odd for good, hence the bound; one that only lost its processor
 * there gets it back sooner when the reader yields. */
struct reading {
    uint32_t before;
    int tries;
};

static void begin_reading(const struct scoreboard *s, struct reading *r)
{
    r->before = atomic_load_explicit(&s->fold, memory_order_acquire);
}

/* What was read meanwhile counts, or it is to be read again. */
static bool has_read(const struct scoreboard *s, struct reading *r)
{
    atomic_thread_fence(memory_order_acquire);
    uint32_t after = atomic_load_explicit(&s->fold, memory_order_relaxed);
    if ((r->before == after && after % 2 == 0) || ++r->tries >= 10000)
        return true;
    if (r->tries >= 100)
        sched_yield();
    return false;
}

uint64_t scoreboard_total(const struct scoreboard *s, enum counter c)
{
    ASSERT(c < COUNTERS);
    struct reading r = {0};
    uint64_t total;
    do {
        begin_reading(s, &r);
        total = sum(s, c);
    } while (!has_read(s, &r));
    return total;
}

void scoreboard_raise_total(struct scoreboard *s, enum counter c, uint64_t value)
{
    uint64_t total = scoreboard_total(s, c);
    if (total < value)
        atomic_fetch_add(&s->totals[c], value - total);
}

static void clear(struct scoreboard_slot *slot)
{
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->generation, 0);
    atomic_store(&slot->state, SLOT_EMPTY);
    atomic_store(&slot->started_ms, 0);
    atomic_store(&slot->beat_ms, 0);
    atomic_store(&slot->busy_since_us, 0);
    atomic_store(&slot->accepting, 0);
    atomic_store(&slot->connections, 0);
    atomic_store(&slot->busy, 0);
    atomic_store(&slot->hashes_queued, 0);
    atomic_store(&slot->store_queued, 0);
    atomic_store(&slot->holds_db_lock, 0);
    atomic_store(&slot->lag_us, 0);
    atomic_store(&slot->stack_len, 0);
    for (size_t i = 0; i < SCOREBOARD_TURN_BUCKETS; i++)
        atomic_store(&slot->turns[i], 0);
    atomic_store(&slot->store_ok_ms, 0);
    atomic_store(&slot->store_bad_ms, 0);
    memset(slot->route, 0, sizeof slot->route);
    memset(slot->request_id, 0, sizeof slot->request_id);
    memset(slot->last_words, 0, sizeof slot->last_words);
    if (atomic_exchange(&slot->recent_next, 0) > 0) /* else its pages were never touched */
        memset(slot->recent, 0, sizeof slot->recent);
    if (atomic_exchange(&slot->flights_used, 0) > 0)
        memset(slot->flights, 0, sizeof slot->flights);
}

enum { ROUTE_FREE, ROUTE_WRITING, ROUTE_STANDS };

static bool has_name(const struct scoreboard *s, size_t route)
{
    return route == 0 ||
           atomic_load_explicit(&s->routes[route].state, memory_order_acquire) == ROUTE_STANDS;
}

/* The memory of places that no route has is left alone. */
static bool has_series(const struct scoreboard *s, size_t series)
{
    return series < TIMED_REQUESTS || has_name(s, (series - TIMED_REQUESTS) / SCOREBOARD_CLASSES);
}

static void fold_series(struct scoreboard *s, struct scoreboard_slot *dead)
{
    for (size_t i = 0; i < SCOREBOARD_SERIES; i++)
        for (size_t c = 0; c < HISTOGRAM_CELLS && has_series(s, i); c++) {
            uint64_t n = atomic_load(&dead->series[i].cells[c]);
            if (n == 0)
                continue;
            atomic_store(&dead->series[i].cells[c], 0);
            atomic_fetch_add(&s->total_series[i].cells[c], n);
        }
}

void scoreboard_retire(struct scoreboard *s, size_t slot)
{
    ASSERT(slot < scoreboard_slots_len(s));
    struct scoreboard_slot *dead = &s->slots[slot];
    uint32_t fold = atomic_load(&s->fold) | 1; /* whoever may have left it odd */
    atomic_store(&s->fold, fold);
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t c = 0; c < COUNTERS; c++) {
        uint64_t n = atomic_exchange(&dead->counters[c], 0);
        atomic_fetch_add(&s->totals[c], n);
    }
    fold_series(s, dead);
    atomic_store(&s->fold, fold + 1);
    clear(dead);
}

/* ---- durations ------------------------------------------------------------------------------- */

static const char other[] = "other";

/* Who writes it does so in no time, or was killed in the middle: then the place is lost. */
static uint32_t await_name(const struct scoreboard_route *r)
{
    uint32_t state = atomic_load_explicit(&r->state, memory_order_acquire);
    for (int tries = 0; state == ROUTE_WRITING && tries < 1000; tries++) {
        sched_yield();
        state = atomic_load_explicit(&r->state, memory_order_acquire);
    }
    return state;
}

unsigned scoreboard_route(struct scoreboard *s, const char *method, const char *path)
{
    char name[SCOREBOARD_ROUTE_MAX];
    snprintf(name, sizeof name, "%s %s", method, path);
    return scoreboard_route_named(s, name);
}

unsigned scoreboard_route_named(struct scoreboard *s, const char *name)
{
    if (strcmp(name, other) == 0)
        return 0;
    for (unsigned i = 1; i < SCOREBOARD_ROUTES_MAX; i++) {
        struct scoreboard_route *r = &s->routes[i];
        uint32_t state = ROUTE_FREE;
        if (atomic_compare_exchange_strong(&r->state, &state, ROUTE_WRITING)) {
            snprintf(r->name, sizeof r->name, "%s", name);
            atomic_store_explicit(&r->state, ROUTE_STANDS, memory_order_release);
            return i;
        }
        if (await_name(r) == ROUTE_STANDS && strncmp(r->name, name, sizeof r->name) == 0)
            return i;
    }
    return 0;
}

struct slice scoreboard_route_name(const struct scoreboard *s, unsigned route)
{
    ASSERT(route < SCOREBOARD_ROUTES_MAX);
    if (!has_name(s, route))
        return (struct slice){NULL, 0};
    const char *name = route == 0 ? other : s->routes[route].name;
    return (struct slice){name, strnlen(name, SCOREBOARD_ROUTE_MAX - 1)};
}

void scoreboard_collect(const struct scoreboard *s, size_t series, struct histogram_copy *to_r)
{
    ASSERT(series < SCOREBOARD_SERIES);
    struct reading r = {0};
    do {
        *to_r = (struct histogram_copy){0};
        begin_reading(s, &r);
        histogram_collect(&s->total_series[series], to_r);
        for (size_t i = 0, used = scoreboard_slots_used(s); i < used; i++)
            histogram_collect(&s->slots[i].series[series], to_r);
    } while (!has_read(s, &r));
}

void scoreboard_collect_slot(const struct scoreboard *s, size_t slot, struct histogram_copy *to_r)
{
    ASSERT(slot < scoreboard_slots_len(s));
    *to_r = (struct histogram_copy){0};
    for (size_t i = TIMED_REQUESTS; i < SCOREBOARD_SERIES; i++)
        if (has_series(s, i))
            histogram_collect(&s->slots[slot].series[i], to_r);
}

void scoreboard_forget(struct scoreboard *s, size_t slot)
{
    struct scoreboard_slot *own = &s->slots[slot];
    for (size_t c = 0; c < COUNTERS; c++)
        atomic_store_explicit(&own->counters[c], 0, memory_order_relaxed);
    for (size_t i = 0; i < SCOREBOARD_SERIES; i++)
        for (size_t c = 0; c < HISTOGRAM_CELLS && has_series(s, i); c++)
            atomic_store_explicit(&own->series[i].cells[c], 0, memory_order_relaxed);
}

void scoreboard_count(struct scoreboard *s, enum counter c)
{
    atomic_fetch_add(&s->totals[c], 1);
}

void scoreboard_note(struct scoreboard *s, enum timed what, int64_t us)
{
    ASSERT(what < TIMED_REQUESTS);
    histogram_note(&s->total_series[what], us);
}

void scoreboard_raise_cell(struct scoreboard *s, size_t series, size_t cell, uint64_t value)
{
    struct histogram_copy now;
    ASSERT(cell < HISTOGRAM_CELLS);
    scoreboard_collect(s, series, &now);
    if (now.cells[cell] < value)
        atomic_fetch_add(&s->total_series[series].cells[cell], value - now.cells[cell]);
}
