/* pace.h: when the next call may begin, while more calls wait than may be under way. Calls that
 * begin together are answered together and free their places together, again and again: bursts,
 * which hold the loop and everybody else at one moment and leave them idle at the next. So
 * beginnings are spread over the time that a call takes: max_calls in PACE_SPREAD_PERCENT of it,
 * which is fast enough for all places to stay taken. Without such a crowd nothing waits. Pure: the
 * clock is the caller's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_SPREAD_PERCENT = 80,
    PACE_CATCH_UP_US =
        2000 /* of lost beginnings that are made up for: timers wake by the millisecond */
};

/* All zero is its beginning: no call was seen yet, and nothing waits. */
struct pace {
    bool crowded;
    int64_t latency_us; /* of a call, moving average; 0: not known */
    int64_t next_us;    /* the next beginning is not before this */
};

/* Whether more calls wait than may be under way. */
void pace_crowded(struct pace *p, bool crowded);
/* A call took so long. Once calls are quicker nobody waits longer than they take now, however many
 * began while they were slow. */
void pace_note(struct pace *p, int64_t took_us, int64_t now_us);
/* A call began; *max_calls* (> 0) may be under way at once. */
void pace_began(struct pace *p, unsigned max_calls, int64_t now_us);
/* Until the next one may begin; 0: it may now. */
int64_t pace_wait_us(const struct pace *p, int64_t now_us);
