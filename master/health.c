/* health.c: see health.h. */
#include "master/health.h"

void health_on_death(struct supervisor *s, struct sup_actions *out)
{
    unsigned failing = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        failing += s->slots[i].wanted && s->slots[i].state != SLOT_READY && s->slots[i].deaths >= 2;
    unsigned target = sup_target(s, &s->settings);
    if (s->one_at_a_time || target == 1 || 2 * failing < target)
        return;
    s->one_at_a_time = true; /* whatever the reason is, it is not the slots' own */
    sup_say(s, out, SUP_LOG_ONE_AT_A_TIME)->value = failing;
}

/* ---- scaling --------------------------------------------------------------------------------- */

static unsigned count_wanted(const struct supervisor *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        n += s->slots[i].wanted;
    return n;
}

static int use_of(const struct sup_slot *slot)
{
    return slot->state == SLOT_READY ? 2 : slot_is_live(slot);
}

/* First those that are yet to be made, then those that do not serve (one that fails at its start must
 * not outlive one that is well); of the same use the youngest. */
static bool is_missed_less(const struct sup_slot *a, const struct sup_slot *b)
{
    return use_of(a) == use_of(b) ? a->born > b->born : use_of(a) < use_of(b);
}

static struct sup_slot *least_missed(struct supervisor *s)
{
    struct sup_slot *least = NULL;
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->wanted && (!least || is_missed_less(slot, least)))
            least = slot;
    }
    return least;
}

void health_scale(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (transition_is_open(s))
        return; /* its set stands; afterwards */
    unsigned target = sup_target(s, &s->settings);
    unsigned wanted = count_wanted(s);
    struct sup_slot *slot;
    for (; wanted < target && (slot = sup_free_slot(s)); wanted++)
        slot->wanted = true;
    for (; wanted > target; wanted--) {
        slot = least_missed(s);
        slot->wanted = false;
        slot_decide(s, slot, now, SLOT_EVENT_MOVE, out);
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Of two that wait for the same time, the one that lost the older worker. */
static bool goes_first(const struct sup_slot *a, const struct sup_slot *b)
{
    return mono_before(a->retry_at, b->retry_at) ||
           (a->retry_at.ms == b->retry_at.ms && a->born < b->born);
}

/* The wanted slot that has waited longest; NULL: none waits, or only for a reload. */
static struct sup_slot *next_to_start(struct supervisor *s)
{
    struct sup_slot *next = NULL;
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->wanted && !slot_is_live(slot) && mono_before(slot->retry_at, MONO_NEVER) &&
            (!next || goes_first(slot, next)))
            next = slot;
    }
    return next;
}

static bool must_wait_for_another(const struct supervisor *s)
{
    return s->one_at_a_time && supervisor_count(s, SLOT_STARTING) > 0;
}

void health_start_workers(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_slot *slot;
    while ((slot = next_to_start(s)) && !mono_before(now, slot->retry_at)) {
        if (must_wait_for_another(s) || !bucket_take(&s->forks, now))
            return;
        slot_decide(s, slot, now, SLOT_EVENT_START, out);
    }
}

/* The other's end, or its READY, is an event of its own. */
static mono_ms wake_to_start(struct supervisor *s, mono_ms now)
{
    struct sup_slot *slot = next_to_start(s);
    if (!slot || must_wait_for_another(s))
        return MONO_NEVER;
    mono_ms token_at = bucket_next(&s->forks, now);
    return mono_before(slot->retry_at, token_at) ? token_at : slot->retry_at;
}

mono_ms health_wake(struct supervisor *s, mono_ms now)
{
    return mono_min(s->give_up_at, wake_to_start(s, now));
}

/* ---- judging --------------------------------------------------------------------------------- */

static void announce(struct supervisor *s, unsigned ready, struct sup_actions *out)
{
    if (s->announced || ready < sup_target(s, &s->settings))
        return;
    s->announced = true;
    sup_say(s, out, SUP_LOG_ALL_READY)->value = ready;
}

/* Keeps give_up_at. True when the time is over. */
static bool nobody_ready_for_too_long(struct supervisor *s, mono_ms now, unsigned ready)
{
    if (ready > 0)
        s->give_up_at = MONO_NEVER;
    else if (!s->served)
        s->give_up_at = s->first_deadline;
    else if (!mono_before(s->give_up_at, MONO_NEVER))
        s->give_up_at = mono_add(now, s->settings.give_up_ms);
    return !mono_before(now, s->give_up_at);
}

/* Somebody who is READY at this moment, if only just, is a reason to go on. */
static bool never_boots(const struct supervisor *s, unsigned ready)
{
    return !s->served && ready == 0 && s->boot_failures >= s->settings.boot_failures_max;
}

enum exit_code health_judge(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    unsigned ready = supervisor_count(s, SLOT_READY);
    announce(s, ready, out);
    if (s->config_refused) {
        sup_say(s, out, SUP_LOG_CONFIG_REFUSED);
        return EXIT_CODE_CONFIG;
    }
    if (nobody_ready_for_too_long(s, now, ready)) {
        sup_say(s, out, s->served ? SUP_LOG_NONE_READY : SUP_LOG_NEVER_READY)->value =
            s->served ? s->settings.give_up_ms : s->settings.boot_timeout_ms;
        return EXIT_CODE_NO_WORKER;
    }
    if (never_boots(s, ready)) {
        sup_say(s, out, SUP_LOG_BOOT_FAILURES)->value = s->boot_failures;
        return EXIT_CODE_NO_WORKER;
    }
    return EXIT_CODE_OK;
}
