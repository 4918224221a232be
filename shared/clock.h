/* clock.h: the only source of "now". Durations are int64_t with their unit in the name; points in
 * time are mono_ms (monotonic) or, for people, tokens and Date headers, wall seconds. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A point on CLOCK_MONOTONIC in milliseconds; the same for all processes of the machine.
 * A struct, so that it is never mixed up with a duration. {0} means "never set". */
typedef struct {
    int64_t ms;
} mono_ms;

/* The present. clock_gettime(2) cannot fail for these clocks. */
mono_ms clock_now(void);
/* The same in microseconds, for measuring short durations. */
int64_t clock_now_us(void);
/* How long the calling thread has been on a core, in microseconds. */
int64_t clock_thread_us(void);
/* Wall time, seconds since the epoch, UTC. */
int64_t clock_wall_s(void);
/* Wall time, milliseconds since the epoch, UTC. */
int64_t clock_wall_ms(void);

static inline mono_ms mono_add(mono_ms t, int64_t duration_ms)
{
    return (mono_ms){t.ms + duration_ms};
}

/* a - b in milliseconds. */
static inline int64_t mono_diff_ms(mono_ms a, mono_ms b)
{
    int64_t ms;
    if (__builtin_sub_overflow(a.ms, b.ms, &ms))
        return a.ms < b.ms ? INT64_MIN : INT64_MAX;
    return ms;
}

static inline bool mono_before(mono_ms a, mono_ms b)
{
    return a.ms < b.ms;
}

static inline bool mono_is_set(mono_ms t)
{
    return t.ms != 0;
}

static inline mono_ms mono_max(mono_ms a, mono_ms b)
{
    return a.ms > b.ms ? a : b;
}

static inline mono_ms mono_min(mono_ms a, mono_ms b)
{
    return a.ms < b.ms ? a : b;
}
