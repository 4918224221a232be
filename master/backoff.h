/* backoff.h: how long to wait before trying again: a delay that grows with the deaths of one slot,
 * and a bucket that limits the forks of all. Pure: no clock, no system call, integers only. Called
 * by slots.c and supervisor.c, in the master's one thread. */
#pragma once

#include "shared/clock.h"

#include <stdbool.h>
#include <stdint.h>

/* A point in time that never comes. */
#define MONO_NEVER ((mono_ms){INT64_MAX})

struct backoff_times {
    int64_t first_ms;        /* delay after the second death in a row; then it doubles */
    int64_t max_ms;          /* up to here, before the jitter */
    unsigned jitter_percent; /* each delay is off by up to this much, either way */
};

/* The delay before the next try after *deaths* deaths in a row (0 and 1: none). *random is the
 * state of the jitter and moves on with each call that needs it. */
int64_t backoff_delay_ms(unsigned deaths, const struct backoff_times *times, uint64_t *random);

/* Tokens that come back with time. Counted in thousandths, so that whole milliseconds at per_s
 * tokens a second lose nothing. */
struct bucket {
    int64_t milli_tokens; /* 0 to burst * 1000 */
    int64_t burst;
    int64_t per_s; /* tokens a second = thousandths a millisecond; at least 1 */
    mono_ms filled_at;
};

/* A full bucket. */
void bucket_init(struct bucket *b, int64_t burst, int64_t per_s, mono_ms now);
/* Takes one token; false when there is none yet. */
bool bucket_take(struct bucket *b, mono_ms now);
/* When the next token is there: now, or later. */
mono_ms bucket_next(const struct bucket *b, mono_ms now);
