/* histogram.c: see histogram.h. */
#include "shared/histogram.h"

const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS_LEN] = {
#define X(bound) bound,
    HISTOGRAM_BOUNDS(X)
#undef X
};

void histogram_collect(const struct histogram *h, struct histogram_copy *to)
{
    for (size_t i = 0; i < HISTOGRAM_CELLS; i++)
        to->cells[i] += atomic_load_explicit(&h->cells[i], memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram_copy *h)
{
    uint64_t n = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += h->cells[i];
    return n;
}

/* *within* of the *inside* that bucket i holds, in proportion. */
static int64_t interpolate(size_t i, uint64_t within, uint64_t inside)
{
    int64_t low = i == 0 ? 0 : histogram_bounds_us[i - 1];
    if (i == HISTOGRAM_BOUNDS_LEN || inside == 0)
        return low;
    return low +
           (int64_t)((double)(histogram_bounds_us[i] - low) * (double)within / (double)inside);
}

int64_t histogram_quantile_us(const struct histogram_copy *h, unsigned permille)
{
    uint64_t count = histogram_count(h), before = 0;
    uint64_t rank = (count * permille + 999) / 1000; /* the one that is asked for, from 1 */
    if (count == 0)
        return -1;
    rank = rank == 0 ? 1 : rank;
    size_t i = 0;
    /* sums of shared memory, where anything may have been written, need not be what they seem */
    while (i < HISTOGRAM_BOUNDS_LEN && before + h->cells[i] < rank)
        before += h->cells[i++];
    uint64_t within = rank - before, inside = h->cells[i];
    return interpolate(i, within < inside ? within : inside, inside);
}
