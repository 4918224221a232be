/* balance.c: see balance.h. */
#include "worker/net/balance.h"

#include <stdatomic.h>

#define READ(field) atomic_load_explicit(&(field), memory_order_relaxed)

static bool can_accept(const struct scoreboard_slot *slot, int64_t now_us)
{
    if (READ(slot->state) != SLOT_READY || !READ(slot->accepting))
        return false;
    if (mono_diff_ms((mono_ms){now_us / 1000}, (mono_ms){READ(slot->beat_ms)}) > BALANCE_SILENT_MS)
        return false; /* stopped in its sleep */
    int64_t since_us = READ(slot->busy_since_us);
    return since_us == 0 || since_us >= now_us - (int64_t)BALANCE_STUCK_MS * 1000;
}

uint64_t balance_least(const struct scoreboard *s, const struct scoreboard_slot *own,
                       int64_t now_us)
{
    uint64_t least = UINT64_MAX;
    const struct scoreboard_slot *end = s->slots + scoreboard_slots_used(s);
    for (const struct scoreboard_slot *at = s->slots; at < end; at++) {
        if (at == own || !can_accept(at, now_us))
            continue;
        uint64_t load = balance_load(READ(at->connections), READ(at->busy));
        if (load < least)
            least = load;
    }
    return least;
}

bool balance_yields(uint32_t connections, uint32_t busy, uint64_t least)
{
    if (connections < BALANCE_QUIET || least == UINT64_MAX)
        return false;
    uint64_t margin = least * BALANCE_MARGIN_PERCENT / 100;
    if (margin < BALANCE_MARGIN)
        margin = BALANCE_MARGIN;
    return balance_load(connections, busy) > least + margin;
}
