/* pace.c: see pace.h. */
#include "worker/upstream/pace.h"

enum { NEWEST_PART = 8 }; /* a call's share in the average is one of so many parts */

void pace_crowded(struct pace *p, bool crowded)
{
    p->crowded = crowded;
}

void pace_note(struct pace *p, int64_t took_us)
{
    if (took_us < 0)
        return;
    p->latency_us =
        p->latency_us ? p->latency_us + (took_us - p->latency_us) / NEWEST_PART : took_us;
}

void pace_began(struct pace *p, unsigned max_calls, int64_t now_us)
{
    int64_t earliest_us = now_us - PACE_CATCH_UP_US;
    if (p->next_us < earliest_us)
        p->next_us = earliest_us;
    p->next_us += p->latency_us * PACE_SPREAD_PERCENT / 100 / max_calls;
}

int64_t pace_wait_us(const struct pace *p, int64_t now_us)
{
    return p->crowded && p->next_us > now_us ? p->next_us - now_us : 0;
}
