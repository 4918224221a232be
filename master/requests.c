/* requests.c: see requests.h. */
#include "master/requests.h"

#include "master/stopping.h"

static void scale_to(struct supervisor *s, int64_t workers, struct sup_actions *out)
{
    int64_t max = s->settings.workers_max;
    workers = workers < 1 ? 1 : workers > max ? max : workers;
    s->override = (unsigned)workers == s->settings.workers ? 0 : (unsigned)workers;
    sup_size_bucket(s);
    struct sup_action *a = sup_say(s, out, SUP_LOG_SCALED);
    a->value = workers;
    a->count = s->settings.workers;
}

static void flag_for_recycling(struct supervisor *s, int slot)
{
    for (size_t i = 0; i < s->slots_len && !s->settings.keeps_data; i++)
        if (s->slots[i].wanted && s->slots[i].state == SLOT_READY &&
            (slot < 0 || (size_t)slot == i))
            s->slots[i].recycle = true;
}

static void clear_back_off(struct supervisor *s, mono_ms now)
{
    s->transition.recycle_failures = 0;
    s->transition.recycle_at = (mono_ms){0};
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        slot->deaths = slot->fork_failures = slot->alike = 0;
        if (slot->state == SLOT_BACKOFF)
            slot->retry_at = now;
    }
}

void requests_take(struct supervisor *s, mono_ms now, const struct sup_event *event,
                   struct sup_actions *out)
{
    bool again = mono_is_set(s->interrupted_at) &&
                 mono_diff_ms(now, s->interrupted_at) <= s->settings.interrupt_again_ms;
    if (event->request >= SUP_REQUEST_RELOAD && s->phase >= SUP_PHASE_DELAYING) {
        sup_say(s, out, SUP_LOG_REQUEST_REFUSED);
        return;
    }
    switch (event->request) {
    case SUP_REQUEST_STOP:
        stopping_ask(s, now, out);
        return;
    case SUP_REQUEST_INTERRUPT:
        s->interrupted_at = now;
        if (again)
            stopping_ask_quick(s, now, out);
        else
            stopping_ask(s, now, out);
        return;
    case SUP_REQUEST_QUIT:
        stopping_ask_quick(s, now, out);
        return;
    case SUP_REQUEST_RELOAD:
        transition_ask_reload(s, now, event->value != 0, out);
        return;
    case SUP_REQUEST_SCALE:
        scale_to(s, event->value, out);
        return;
    case SUP_REQUEST_SCALE_BY:
        scale_to(s, sup_target(s, &s->settings) + event->value, out);
        return;
    case SUP_REQUEST_SCALE_RESET:
        scale_to(s, s->settings.workers, out);
        return;
    case SUP_REQUEST_RECYCLE:
        flag_for_recycling(s, event->slot);
        return;
    case SUP_REQUEST_RETRY:
        clear_back_off(s, now);
        return;
    }
}
