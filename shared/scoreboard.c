/* scoreboard.c: see scoreboard.h. mmap(2). */
#include "shared/scoreboard.h"

#include "shared/check.h"
#include "shared/memory.h"
#include "shared/fault.h"

#include <errno.h>
#include <sched.h>
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
        offsetof(struct scoreboard_slot, latency),
        offsetof(struct scoreboard_slot, flights),
    };
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), places, sizeof places);
    for (size_t c = 0; c < COUNTERS; c++)
        hash = mix(hash, counters[c].name, strlen(counters[c].name) + 1);
    return hash;
}

struct scoreboard *scoreboard_make(size_t slots_len, int *fd_r)
{
    ASSERT(slots_len >= 1 && slots_len <= SCOREBOARD_SLOTS_MAX);
    struct scoreboard *s = FAULT_CALL(scoreboard_mmap, NULL,
                                      memory_new("colmeia-scoreboard", map_len(slots_len), fd_r));
    if (s)
        s->slots_len = (uint32_t)slots_len;
    return s;
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
    size_t len = 0;
    struct scoreboard *s = memory_map(fd, &len);
    if (!s || (len == map_len(slots_len) && s->slots_len == slots_len))
        return s;
    munmap(s, len);
    errno = EINVAL;
    return NULL;
}

_Static_assert(offsetof(struct scoreboard, stopping) == 0, "the first field in every layout");

void scoreboard_say_stopping(int fd)
{
    uint32_t one = 1;
    ssize_t n = pwrite(fd, &one, sizeof one, 0); /* file and mapping are one: mmap(2) */
    (void)n; /* then its workers hear it when they are told to leave */
}

void scoreboard_free(struct scoreboard *s)
{
    if (s)
        munmap(s, map_len(s->slots_len));
}

void scoreboard_use(struct scoreboard *s, size_t slot)
{
    ASSERT(slot < s->slots_len);
    if (slot >= atomic_load_explicit(&s->slots_used, memory_order_relaxed))
        atomic_store(&s->slots_used, (uint32_t)slot + 1);
}

static uint64_t sum(const struct scoreboard *s, enum counter c)
{
    uint64_t total = atomic_load_explicit(&s->totals[c], memory_order_relaxed);
    uint32_t used = atomic_load_explicit(&s->slots_used, memory_order_relaxed);
    for (size_t i = 0; i < used; i++)
        total += atomic_load_explicit(&s->slots[i].counters[c], memory_order_relaxed);
    return total;
}

/* A sequence lock around the fold (Linux Documentation/locking/seqlock.rst): without it a reader
 * could count a worker twice, or not at all, and a counter would seem to run backwards. A master
 * killed in mid-fold leaves it odd for good, hence the bound; one that only lost its processor
 * there gets it back sooner when the reader yields. */
uint64_t scoreboard_total(const struct scoreboard *s, enum counter c)
{
    ASSERT(c < COUNTERS);
    uint64_t total = 0;
    for (int tries = 0; tries < 10000; tries++) {
        uint32_t before = atomic_load_explicit(&s->fold, memory_order_acquire);
        total = sum(s, c);
        atomic_thread_fence(memory_order_acquire);
        uint32_t after = atomic_load_explicit(&s->fold, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            break;
        if (tries >= 100)
            sched_yield();
    }
    return total;
}

void scoreboard_raise_total(struct scoreboard *s, enum counter c, uint64_t value)
{
    uint64_t total = scoreboard_total(s, c);
    if (total < value)
        atomic_fetch_add(&s->totals[c], value - total);
}

uint64_t scoreboard_latency_below_us(unsigned bucket)
{
    ASSERT(bucket < SCOREBOARD_LATENCY_BUCKETS);
    unsigned next = bucket + 1, octave = next / 4;
    if (next == SCOREBOARD_LATENCY_BUCKETS)
        return UINT64_MAX;
    return octave == 0 ? next : UINT64_C(1) * (4 + next % 4) << (octave - 1);
}

static void clear(struct scoreboard_slot *slot)
{
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->generation, 0);
    atomic_store(&slot->state, SLOT_EMPTY);
    atomic_store(&slot->started_ms, 0);
    atomic_store(&slot->beat_ms, 0);
    atomic_store(&slot->busy_since_us, 0);
    atomic_store(&slot->connections, 0);
    atomic_store(&slot->busy, 0);
    atomic_store(&slot->hashes_queued, 0);
    atomic_store(&slot->store_queued, 0);
    atomic_store(&slot->holds_db_lock, 0);
    atomic_store(&slot->lag_us, 0);
    atomic_store(&slot->stack_len, 0);
    for (size_t i = 0; i < SCOREBOARD_TURN_BUCKETS; i++)
        atomic_store(&slot->turns[i], 0);
    for (size_t i = 0; i < SCOREBOARD_LATENCY_BUCKETS; i++)
        atomic_store(&slot->latency[i], 0);
    memset(slot->route, 0, sizeof slot->route);
    memset(slot->request_id, 0, sizeof slot->request_id);
    memset(slot->last_words, 0, sizeof slot->last_words);
    if (atomic_exchange(&slot->recent_next, 0) > 0) /* else its pages were never touched */
        memset(slot->recent, 0, sizeof slot->recent);
    if (atomic_exchange(&slot->flights_used, 0) > 0)
        memset(slot->flights, 0, sizeof slot->flights);
}

void scoreboard_retire(struct scoreboard *s, size_t slot)
{
    ASSERT(slot < s->slots_len);
    struct scoreboard_slot *dead = &s->slots[slot];
    atomic_fetch_add(&s->fold, 1);
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t c = 0; c < COUNTERS; c++) {
        uint64_t n = atomic_exchange(&dead->counters[c], 0);
        atomic_fetch_add(&s->totals[c], n);
    }
    atomic_fetch_add(&s->fold, 1);
    clear(dead);
}
