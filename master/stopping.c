/* stopping.c: see stopping.h. */
#include "master/stopping.h"

#include "shared/check.h"

#include <sys/wait.h>

static bool anyone_alive(const struct supervisor *s)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (slot_is_live(&s->slots[i]))
            return true;
    return false;
}

static void step_workers(struct supervisor *s, mono_ms now, enum slot_event event,
                         struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (s->slots[i].role == ROLE_SERVE)
            slot_decide(s, &s->slots[i], now, event, out);
}

void stopping_end(struct supervisor *s, struct sup_actions *out, enum exit_code code)
{
    ASSERT(!anyone_alive(s));
    s->phase = SUP_PHASE_DONE;
    sup_act(s, out, SUP_EXIT, -1)->code = code;
}

static void decide(struct supervisor *s, mono_ms now, bool moving, enum slot_event event,
                   struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (s->slots[i].moving == moving)
            slot_decide(s, &s->slots[i], now, event, out);
}

/* From now on no slot wants a worker. Those who hand their connections over hear it first: who leaves
 * before it does so while others still take what it gave. */
static void begin_stop(struct supervisor *s, mono_ms now, bool quick, struct sup_actions *out)
{
    enum slot_event event = quick ? SLOT_EVENT_QUIT : SLOT_EVENT_DRAIN;
    s->quick = quick;
    transition_abandon(s, now, false, out);
    s->phase = SUP_PHASE_STOPPING;
    sup_act(s, out, SUP_STOPPING, -1);
    sup_act(s, out, SUP_REFUSE, -1);
    for (size_t i = 0; i < s->slots_len; i++)
        s->slots[i].wanted = false;
    decide(s, now, true, event, out);
    decide(s, now, false, event, out);
}

void stopping_ask(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (s->phase > SUP_PHASE_SERVING)
        return; /* it is under way */
    if (s->phase == SUP_PHASE_SERVING && s->settings.stop_delay_ms > 0) {
        transition_abandon(s, now, true, out);
        s->phase = SUP_PHASE_DELAYING;
        s->stop_at = mono_add(now, s->settings.stop_delay_ms);
        sup_act(s, out, SUP_STOPPING, -1);
        sup_say(s, out, SUP_LOG_STOP_DELAY)->value = s->settings.stop_delay_ms;
        return;
    }
    sup_say(s, out, SUP_LOG_STOP)->value = s->settings.graceful_timeout_ms;
    begin_stop(s, now, false, out);
}

void stopping_ask_quick(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (s->quick || s->phase == SUP_PHASE_DONE)
        return;
    sup_say(s, out, SUP_LOG_STOP_QUICK)->value = s->settings.quick_ms;
    if (s->phase == SUP_PHASE_CHECKPOINTING) {
        s->quick = true;
        slot_decide(s, &s->slots[supervisor_job_slot(s)], now, SLOT_EVENT_QUIT, out);
    } else if (s->phase == SUP_PHASE_STOPPING) {
        s->quick = true;
        slot_decide(s, &s->slots[supervisor_job_slot(s)], now, SLOT_EVENT_QUIT, out);
        step_workers(s, now, SLOT_EVENT_QUIT, out);
    } else {
        begin_stop(s, now, true, out);
    }
}

void stopping_delayed(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    sup_say(s, out, SUP_LOG_STOP)->value = s->settings.graceful_timeout_ms;
    begin_stop(s, now, false, out);
}

/* Gives up by itself: whoever still serves gets the short grace. */
void stopping_fail(struct supervisor *s, mono_ms now, enum exit_code code, struct sup_actions *out)
{
    s->code = code;
    begin_stop(s, now, true, out);
}

static enum exit_code stop_code(const struct supervisor *s)
{
    return s->code != EXIT_CODE_OK ? s->code : s->cut ? EXIT_CODE_CUT : EXIT_CODE_OK;
}

void stopping_checkpointed(struct supervisor *s, int status, struct sup_actions *out)
{
    if (status != 0)
        sup_say(s, out, SUP_LOG_CHECKPOINT_FAILED)->status = status;
    stopping_end(s, out, stop_code(s));
}

/* Goes on when the last process is gone. The checkpoint is for a stop in peace after serving. */
void stopping_run(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (anyone_alive(s))
        return;
    sup_act(s, out, SUP_SHUT, -1);
    bool served = mono_is_set(s->first_deadline);
    if (!s->settings.checkpoint || !served || s->quick) {
        stopping_end(s, out, stop_code(s));
        return;
    }
    s->phase = SUP_PHASE_CHECKPOINTING;
    sup_start_job(s, ROLE_CHECKPOINT, out);
}
