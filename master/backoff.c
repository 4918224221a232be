/* backoff.c: see backoff.h. */
#include "master/backoff.h"

#include "shared/check.h"

enum { MILLI = 1000 };

/* splitmix64: one addition and three mixes; jitter needs no better. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t with_jitter(int64_t delay_ms, unsigned percent, uint64_t *random)
{
    int64_t spread_ms = delay_ms * percent / 100;
    if (spread_ms == 0)
        return delay_ms;
    return delay_ms - spread_ms + (int64_t)(next_random(random) % (uint64_t)(2 * spread_ms + 1));
}

int64_t backoff_delay_ms(unsigned deaths, const struct backoff_times *times, uint64_t *random)
{
    if (deaths <= 1)
        return 0;
    int64_t delay_ms = times->first_ms;
    for (unsigned i = 2; i < deaths && delay_ms < times->max_ms; i++)
        delay_ms *= 2;
    if (delay_ms > times->max_ms)
        delay_ms = times->max_ms;
    return with_jitter(delay_ms, times->jitter_percent, random);
}

void bucket_init(struct bucket *b, int64_t burst, int64_t per_s, mono_ms now)
{
    ASSERT(burst >= 1 && per_s >= 1);
    *b = (struct bucket){
        .milli_tokens = burst * MILLI, .burst = burst, .per_s = per_s, .filled_at = now};
}

/* What is in it now. A long absence fills it and must not overflow the product. */
static int64_t level(const struct bucket *b, mono_ms now)
{
    int64_t missing = b->burst * MILLI - b->milli_tokens;
    int64_t passed_ms = mono_diff_ms(now, b->filled_at);
    if (passed_ms >= missing / b->per_s + 1)
        return b->burst * MILLI;
    return b->milli_tokens + passed_ms * b->per_s;
}

bool bucket_take(struct bucket *b, mono_ms now)
{
    b->milli_tokens = level(b, now);
    b->filled_at = now;
    if (b->milli_tokens < MILLI)
        return false;
    b->milli_tokens -= MILLI;
    return true;
}

mono_ms bucket_next(const struct bucket *b, mono_ms now)
{
    int64_t missing = MILLI - level(b, now);
    return missing <= 0 ? now : mono_add(now, (missing + b->per_s - 1) / b->per_s);
}
