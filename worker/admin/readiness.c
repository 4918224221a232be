/* readiness.c: see readiness.h. */
#include "worker/admin/readiness.h"

#include "shared/check.h"

const char *readiness_reason_text(enum readiness_reason reason)
{
    static const char *const texts[] = {
#define X(name, text) [READINESS_##name] = text,
        READINESS_REASONS(X)
#undef X
    };
    ASSERT((size_t)reason < READINESS_REASONS_LEN);
    return texts[reason];
}

/* The last answer was one, and is not too old. */
static bool reaches_store(const struct scoreboard_slot *slot, mono_ms now, int64_t store_ms)
{
    int64_t ok_ms = atomic_load(&slot->store_ok_ms);
    return ok_ms > 0 && ok_ms >= atomic_load(&slot->store_bad_ms) && now.ms - ok_ms <= store_ms;
}

unsigned readiness_judge(enum status_state state, const struct scoreboard *s, mono_ms now,
                         int64_t store_ms)
{
    unsigned reasons = 0, ready = 0, reaching = 0;
    for (size_t i = 0; i < scoreboard_slots_used(s); i++) {
        if (status_slot_state(&s->slots[i]) != SLOT_READY)
            continue;
        ready++;
        reaching += reaches_store(&s->slots[i], now, store_ms);
    }
    if (state == STATUS_STARTING)
        reasons |= 1u << READINESS_STARTING;
    if (state == STATUS_STOPPING || atomic_load(&s->stopping))
        reasons |= 1u << READINESS_STOPPING;
    if (ready == 0)
        reasons |= 1u << READINESS_NO_WORKER;
    else if (reaching == 0)
        reasons |= 1u << READINESS_STORE;
    return reasons;
}
