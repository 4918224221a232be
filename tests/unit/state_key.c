/* state_key.c: see state_key.h. */
#include "state_key.h"

#include "shared/check.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_SLOT_BYTES = 12,
    KEY_HEAD_BYTES = 24,
    KEY_BYTES = KEY_HEAD_BYTES + (2 * STATE_WORKERS_MAX + 2) * KEY_SLOT_BYTES
};

/* ---- the same state -------------------------------------------------------------------------- */

enum { CODE_NEVER = 100, CODE_PAST = 101 };

/* A point in the future, in units from now. */
static uint8_t ahead(mono_ms t, mono_ms now)
{
    if (!mono_before(t, MONO_NEVER))
        return CODE_NEVER;
    return mono_before(t, now) ? CODE_PAST : (uint8_t)(mono_diff_ms(t, now) / UNIT_MS);
}

/* A point in the past: its age in units, up to *most*. */
static uint8_t age(mono_ms t, mono_ms now, int64_t most)
{
    if (!mono_is_set(t))
        return CODE_NEVER;
    int64_t units = mono_diff_ms(now, t) / UNIT_MS;
    return (uint8_t)(units < most ? units : most);
}

static uint8_t upto(unsigned n, unsigned most)
{
    return (uint8_t)(n < most ? n : most);
}

/* How many of those that scaling may take are younger. */
static uint8_t rank(const struct supervisor *s, const struct sup_slot *slot)
{
    uint8_t younger = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        younger += s->slots[i].wanted && s->slots[i].born > slot->born;
    return younger;
}

uint8_t state_flags(const struct sup_slot *slot)
{
    return (uint8_t)(slot->wanted | slot->candidate << 1 | slot->leaving << 2 |
                     slot->retiring << 3 | slot->recycle << 4 | slot->hung << 5 |
                     slot->moving << 6 | slot->told_to_cut << 7);
}

static void slot_key(const struct supervisor *s, const struct sup_slot *slot, mono_ms now,
                     uint8_t key[KEY_SLOT_BYTES])
{
    int64_t stable = s->settings.stable_ms / UNIT_MS;
    bool late_ready_matters = slot->state == SLOT_DRAINING && !mono_is_set(slot->ready_at);
    bool stays = slot->wanted || slot->candidate;
    key[0] = (uint8_t)slot->state;
    key[1] = (uint8_t)slot->role;
    key[2] = state_flags(slot);
    key[3] = ahead(slot->deadline, now);
    key[4] = slot->state == SLOT_BACKOFF ? ahead(slot->retry_at, now) : 0;
    key[5] = slot_is_live(slot) ? age(slot->ready_at, now, stays ? stable : 0) : 0;
    key[6] = late_ready_matters ? ahead(slot->drain_until, now) : 0;
    key[7] = slot->wanted && s->settings.workers_max > s->settings.workers ? rank(s, slot) : 0;
    key[8] = slot->wanted ? upto(slot->deaths, 4) : 0;
    key[9] = upto(slot->fork_failures, 3);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, KEY_SLOT_BYTES);
}

static uint8_t tokens(const struct bucket *b, mono_ms now)
{
    int64_t level = b->milli_tokens + mono_diff_ms(now, b->filled_at) * b->per_s;
    int64_t full = b->burst * 1000;
    return (uint8_t)((level < full ? level : full) / 1000);
}

static void transition_key(const struct supervisor *s, mono_ms now, uint8_t key[8])
{
    const struct sup_transition *t = &s->transition;
    key[0] = (uint8_t)t->step;
    key[1] = t->step != SUP_STEP_NONE ? (uint8_t)t->kind : 0;
    bool goes_on = t->step != SUP_STEP_NONE;
    key[2] = (uint8_t)(t->reload_asked | t->failed << 1 | t->upgrade_asked << 2 |
                       (goes_on && t->upgrade) << 3 | (goes_on && t->adopted) << 4);
    key[3] = transition_is_open(s) ? (uint8_t)t->needed : 0;
    key[4] = t->step == SUP_STEP_SETTLE ? ahead(t->settled_at, now) : 0;
    key[5] = ahead(mono_max(t->recycle_at, now), now);
    key[6] = ahead(mono_max(t->hung_at, now), now);
    key[7] = upto(t->recycle_failures, 2);
}

static size_t state_key(const struct supervisor *s, mono_ms now, uint8_t key[KEY_BYTES])
{
    bool serving = sup_serves(s);
    memset(key, 0, KEY_BYTES);
    key[0] = (uint8_t)s->phase;
    key[1] = s->served;
    key[2] = serving && s->one_at_a_time;
    key[3] = s->quick;
    key[4] = (uint8_t)s->code;
    key[5] = s->cut;
    key[6] = s->served ? 0 : upto(s->boot_failures, s->settings.boot_failures_max);
    key[7] = serving && !s->served ? ahead(s->first_deadline, now) : mono_is_set(s->first_deadline);
    key[8] = serving ? ahead(s->give_up_at, now) : 0;
    key[9] = age(s->interrupted_at, now, s->settings.interrupt_again_ms / UNIT_MS + 1);
    key[10] = serving ? tokens(&s->forks, now) : 0;
    key[11] = (uint8_t)s->override;
    key[12] = (uint8_t)s->settings.workers;
    key[13] = s->phase == SUP_PHASE_DELAYING ? ahead(s->stop_at, now) : 0;
    transition_key(s, now, key + 16);
    for (size_t i = 0; i < s->slots_len; i++)
        slot_key(s, &s->slots[i], now, key + KEY_HEAD_BYTES + i * KEY_SLOT_BYTES);
    qsort(key + KEY_HEAD_BYTES, s->slots_len, KEY_SLOT_BYTES, by_bytes);
    return KEY_HEAD_BYTES + s->slots_len * KEY_SLOT_BYTES;
}

/* ---- what has been seen ---------------------------------------------------------------------- */

/* 64 bits of hash stand for a state: with a million of them two would be taken for one with a
 * probability of 3 in 10^8. */
static uint64_t hash(const uint8_t *bytes, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return h ? h : 1;
}

bool seen_add(struct seen *seen, const struct supervisor *s, mono_ms now)
{
    uint8_t key[KEY_BYTES];
    uint64_t h = hash(key, state_key(s, now, key));
    ASSERT(seen->len < seen->cap / 2);
    size_t i = h & (seen->cap - 1);
    while (seen->cells[i] != 0 && seen->cells[i] != h)
        i = (i + 1) & (seen->cap - 1);
    if (seen->cells[i] == h)
        return false;
    seen->cells[i] = h;
    seen->len++;
    return true;
}
