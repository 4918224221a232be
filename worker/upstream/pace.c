/* pace.c: see pace.h. */
#include "worker/upstream/pace.h"

enum { NEWEST_PART = 8 }; /* a call's share in the average is one of so many parts */

void pace_crowded(struct pace *p, bool crowded)
{
    p->crowded = crowded;
}

/* In which max_calls begin. */
static int64_t spread_us(const struct pace *p)
{
    return p->latency_us * PACE_SPREAD_PERCENT / 100;
}

void pace_note(struct pace *p, int64_t took_us, int64_t now_us)
{
    if (took_us < 0)
        return;
    p->latency_us =
        p->latency_us ? p->latency_us + (took_us - p->latency_us) / NEWEST_PART : took_us;
    int64_t latest_us = now_us + spread_us(p);
    if (p->next_us > latest_us)
        p->next_us = latest_us;
}

void pace_began(struct pace *p, unsigned max_calls, int64_t now_us)
{
    int64_t earliest_us = now_us - PACE_CATCH_UP_US;
    if (p->next_us < earliest_us)
        p->next_us = earliest_us;
    p->next_us += spread_us(p) / max_calls;
}

int64_t pace_wait_us(const struct pace *p, int64_t now_us)
{
    return p->crowded && p->next_us > now_us ? p->next_us - now_us : 0;
}
