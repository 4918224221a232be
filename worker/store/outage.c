/* outage.c: see outage.h. */
#include "worker/store/outage.h"

bool outage_goes_on(struct outage *o, int code, mono_ms now)
{
    o->code = code;
    if (o->told == code)
        return false;
    int64_t gap = o->line == code ? OUTAGE_SAME_GAP_MS : OUTAGE_OTHER_GAP_MS;
    if (mono_is_set(o->at) && mono_diff_ms(now, o->at) < gap)
        return false;
    o->told = o->line = code;
    o->at = now;
    return true;
}

bool outage_is_over(struct outage *o)
{
    bool told = o->told != 0;
    o->code = o->told = 0;
    return told;
}
