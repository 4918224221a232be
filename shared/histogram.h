/* histogram.h: how long things took: counts by duration in fixed buckets, and their sum. Lives in
 * shared memory; one writer. Noting costs two relaxed stores. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Upper bounds of the buckets in microseconds; one more takes what is longer. */
#define HISTOGRAM_BOUNDS(X)                                                                        \
    X(100)                                                                                         \
    X(250) X(500) X(1000) X(2500) X(5000) X(10000) X(25000) X(50000) X(100000) X(250000) X(500000) \
        X(1000000) X(2500000) X(5000000) X(10000000) X(30000000)

enum {
#define X(bound) +1
    HISTOGRAM_BOUNDS_LEN = 0 HISTOGRAM_BOUNDS(X),
#undef X
    HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS_LEN + 1,
    HISTOGRAM_CELLS = HISTOGRAM_BUCKETS + 1 /* the last one is the sum, in microseconds */
};
extern const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS_LEN];

struct histogram {
    _Atomic(uint64_t) cells[HISTOGRAM_CELLS];
};

/* A copy to reckon with. */
struct histogram_copy {
    uint64_t cells[HISTOGRAM_CELLS];
};

/* The bucket of a duration; below 0 is 0. */
static inline size_t histogram_bucket(int64_t us)
{
    size_t i = 0;
    while (i < HISTOGRAM_BOUNDS_LEN && us > histogram_bounds_us[i])
        i++;
    return i;
}

static inline void histogram_add(struct histogram *h, size_t cell, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&h->cells[cell], memory_order_relaxed);
    atomic_store_explicit(&h->cells[cell], now + n, memory_order_relaxed);
}

/* The writer of *h* notes one. */
static inline void histogram_note(struct histogram *h, int64_t us)
{
    histogram_add(h, histogram_bucket(us), 1);
    histogram_add(h, HISTOGRAM_BUCKETS, us > 0 ? (uint64_t)us : 0);
}

/* Adds what *h* holds to the copy. */
void histogram_collect(const struct histogram *h, struct histogram_copy *to);
uint64_t histogram_count(const struct histogram_copy *h);
/* The duration below which so many thousandths of all lie, in microseconds, as if they were spread
 * evenly within their bucket; beyond the last bound that bound. -1: there are none. */
int64_t histogram_quantile_us(const struct histogram_copy *h, unsigned permille);
