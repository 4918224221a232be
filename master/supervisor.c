/* supervisor.c: see supervisor.h. Each step: what happened (to a slot, or a request), then what has
 * become due, then what follows for the whole: start what may be started, give up, go on with the
 * stop; at last the time of the next look. The life of a single slot is in slots.c, the well-being
 * of all workers in health.c. */
#include "master/supervisor.h"

#include "master/health.h"
#include "shared/check.h"

#include <stdlib.h>
#include <sys/wait.h>

static const char *const phase_names[] = {
#define X(name, text) [SUP_PHASE_##name] = text,
    SUP_PHASES(X)
#undef X
};

static const char *const event_names[] = {
#define X(name, text) [SUP_##name] = text,
    SUP_EVENTS(X)
#undef X
};

const char *sup_phase_name(enum sup_phase phase)
{
    return phase_names[phase];
}

const char *sup_event_name(enum sup_event_type type)
{
    return event_names[type];
}

struct sup_settings sup_settings_standard(unsigned workers)
{
    return (struct sup_settings){
        .workers = workers,
        .migrate = true,
        .checkpoint = true,
        .boot_timeout_ms = 60000,
        .graceful_timeout_ms = 30000,
        .min_ready_ms = 500,
        .stable_ms = 60000,
        .give_up_ms = 120000,
        .quick_ms = 2000,
        .quick_kill_ms = 3000,
        .kill_ms = 5000,
        .checkpoint_ms = 20000,
        .interrupt_again_ms = 5000,
        .boot_failures_max = 5,
        .backoff = {.first_ms = 100, .max_ms = 30000, .jitter_percent = 20},
    };
}

/* ---- looking and acting ---------------------------------------------------------------------- */

struct sup_action *sup_act(struct supervisor *s, struct sup_actions *out, enum sup_action_type type,
                           int slot)
{
    ASSERT(out->len < SUP_ACTIONS_MAX);
    struct sup_action *a = &out->items[out->len++];
    *a = (struct sup_action){.type = type, .slot = slot, .generation = s->generation};
    if (slot >= 0) {
        a->pid = s->slots[slot].pid;
        a->generation = s->slots[slot].generation;
        a->role = s->slots[slot].role;
    }
    return a;
}

struct sup_action *sup_say(struct supervisor *s, struct sup_actions *out, enum sup_log log)
{
    struct sup_action *a = sup_act(s, out, SUP_LOG, -1);
    a->log = log;
    return a;
}

int supervisor_job_slot(const struct supervisor *s)
{
    return (int)s->slots_len - 1;
}

unsigned supervisor_count(const struct supervisor *s, enum slot_state state)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        n += s->slots[i].state == state;
    return n;
}

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

/* ---- stopping -----------------------------------------------------------------------------------
 */

static void end(struct supervisor *s, struct sup_actions *out, enum exit_code code)
{
    ASSERT(!anyone_alive(s));
    s->phase = SUP_PHASE_DONE;
    sup_act(s, out, SUP_EXIT, -1)->code = code;
}

/* From now on no slot wants a worker. */
static void begin_stop(struct supervisor *s, mono_ms now, bool quick, struct sup_actions *out)
{
    enum slot_event event = quick ? SLOT_EVENT_QUIT : SLOT_EVENT_DRAIN;
    s->quick = quick;
    s->phase = SUP_PHASE_STOPPING;
    sup_act(s, out, SUP_REFUSE, -1);
    for (size_t i = 0; i < s->slots_len; i++) {
        s->slots[i].wanted = false;
        slot_decide(s, &s->slots[i], now, event, out);
    }
}

static void request_stop(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (s->phase > SUP_PHASE_SERVING)
        return; /* it is under way */
    sup_say(s, out, SUP_LOG_STOP)->value = s->settings.graceful_timeout_ms;
    begin_stop(s, now, false, out);
}

static void request_quick_stop(struct supervisor *s, mono_ms now, struct sup_actions *out)
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

static void on_request(struct supervisor *s, mono_ms now, enum sup_request request,
                       struct sup_actions *out)
{
    bool again = mono_is_set(s->interrupted_at) &&
                 mono_diff_ms(now, s->interrupted_at) <= s->settings.interrupt_again_ms;
    switch (request) {
    case SUP_REQUEST_STOP:
        request_stop(s, now, out);
        return;
    case SUP_REQUEST_INTERRUPT:
        s->interrupted_at = now;
        if (again)
            request_quick_stop(s, now, out);
        else
            request_stop(s, now, out);
        return;
    case SUP_REQUEST_QUIT:
        request_quick_stop(s, now, out);
        return;
    }
}

/* Gives up by itself: whoever still serves gets the short grace. */
static void fail(struct supervisor *s, mono_ms now, enum exit_code code, struct sup_actions *out)
{
    s->code = code;
    begin_stop(s, now, true, out);
}

/* ---- one-shot children ----------------------------------------------------------------------- */

static void start_job(struct supervisor *s, mono_ms now, enum role role, struct sup_actions *out)
{
    struct sup_slot *slot = &s->slots[supervisor_job_slot(s)];
    ASSERT(slot->state == SLOT_EMPTY);
    slot->role = role;
    slot_decide(s, slot, now, SLOT_EVENT_START, out);
}

static void begin_serving(struct supervisor *s, mono_ms now)
{
    s->phase = SUP_PHASE_SERVING;
    s->first_deadline = mono_add(now, s->settings.boot_timeout_ms);
    for (unsigned i = 0; i < s->settings.workers; i++)
        s->slots[i].wanted = true;
}

static void on_migrated(struct supervisor *s, mono_ms now, int status, struct sup_actions *out)
{
    if (status == 0) {
        begin_serving(s, now);
        return;
    }
    struct sup_action *a = sup_say(s, out, SUP_LOG_MIGRATION_FAILED);
    a->status = status;
    sup_act(s, out, SUP_SHUT, -1);
    end(s, out, WIFEXITED(status) ? (enum exit_code)WEXITSTATUS(status) : EXIT_CODE_INTERNAL);
}

static enum exit_code stop_code(const struct supervisor *s)
{
    return s->code != EXIT_CODE_OK ? s->code : s->cut ? EXIT_CODE_CUT : EXIT_CODE_OK;
}

static void on_checkpointed(struct supervisor *s, int status, struct sup_actions *out)
{
    if (status != 0)
        sup_say(s, out, SUP_LOG_CHECKPOINT_FAILED)->status = status;
    end(s, out, stop_code(s));
}

/* The job's slot is empty again. A migration that a stop interrupted needs no more words. */
static void on_job_done(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    int status = s->slots[supervisor_job_slot(s)].last_status;
    if (s->phase == SUP_PHASE_MIGRATING)
        on_migrated(s, now, status, out);
    else if (s->phase == SUP_PHASE_CHECKPOINTING)
        on_checkpointed(s, status, out);
}

static void serve(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    enum exit_code code = health_judge(s, now, out);
    if (code != EXIT_CODE_OK)
        fail(s, now, code, out);
    else
        health_start_workers(s, now, out);
}

/* Goes on when the last process is gone. The checkpoint is for a stop in peace after serving. */
static void stop(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (anyone_alive(s))
        return;
    sup_act(s, out, SUP_SHUT, -1);
    bool served = mono_is_set(s->first_deadline);
    if (!s->settings.checkpoint || !served || s->quick) {
        end(s, out, stop_code(s));
        return;
    }
    s->phase = SUP_PHASE_CHECKPOINTING;
    start_job(s, now, ROLE_CHECKPOINT, out);
}

/* ---- one step -------------------------------------------------------------------------------- */

static bool is_foreign(const struct sup_event *event, const struct sup_slot *slot)
{
    return slot->pid == 0 || event->pid != slot->pid || event->generation != slot->generation;
}

static void on_report(struct supervisor *s, mono_ms now, const struct sup_event *event,
                      enum slot_event slot_event, struct sup_actions *out)
{
    ASSERT(event->slot >= 0 && (size_t)event->slot < s->slots_len);
    struct sup_slot *slot = &s->slots[event->slot];
    bool answer = event->type == SUP_SPAWNED || event->type == SUP_SPAWN_FAILED;
    if (answer)
        ASSERT(slot->state == SLOT_STARTING && slot->pid == 0);
    else if (is_foreign(event, slot)) {
        s->foreign++;
        return;
    }
    slot_step(&(struct slot_step){.s = s, .slot = slot, .now = now, .event = event, .out = out},
              slot_event);
    if (slot->role != ROLE_SERVE && slot->state == SLOT_EMPTY)
        on_job_done(s, now, out);
    else if (event->type == SUP_EXITED && s->phase == SUP_PHASE_SERVING)
        health_on_death(s, out);
}

static void on_start(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    ASSERT(s->phase == SUP_PHASE_IDLE);
    const struct sup_settings *set = &s->settings;
    bucket_init(&s->forks, set->forks_burst ? set->forks_burst : 2 * (int64_t)set->workers,
                set->forks_per_s ? set->forks_per_s : (int64_t)set->workers, now);
    if (!set->migrate) {
        begin_serving(s, now);
        return;
    }
    s->phase = SUP_PHASE_MIGRATING;
    start_job(s, now, ROLE_MIGRATE, out);
}

static void on_event(struct supervisor *s, mono_ms now, const struct sup_event *event,
                     struct sup_actions *out)
{
    switch (event->type) {
    case SUP_START:
        on_start(s, now, out);
        return;
    case SUP_SPAWNED:
        on_report(s, now, event, SLOT_EVENT_SPAWNED, out);
        return;
    case SUP_SPAWN_FAILED:
        on_report(s, now, event, SLOT_EVENT_SPAWN_FAILED, out);
        return;
    case SUP_READY:
        on_report(s, now, event, SLOT_EVENT_READY, out);
        return;
    case SUP_CUT:
        on_report(s, now, event, SLOT_EVENT_CUT, out);
        return;
    case SUP_EXITED:
        on_report(s, now, event, SLOT_EVENT_EXITED, out);
        return;
    case SUP_REQUEST:
        on_request(s, now, event->request, out);
        return;
    case SUP_TICK:
        return; /* time has passed: that is all */
    }
}

static void run_due(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (mono_before(now, slot->deadline))
            continue;
        slot->deadline = MONO_NEVER;
        slot_decide(s, slot, now, SLOT_EVENT_DUE, out);
    }
}

static mono_ms next_wake(struct supervisor *s, mono_ms now)
{
    if (s->phase == SUP_PHASE_DONE)
        return MONO_NEVER;
    mono_ms wake = MONO_NEVER;
    for (size_t i = 0; i < s->slots_len; i++)
        wake = mono_min(wake, s->slots[i].deadline);
    if (s->phase == SUP_PHASE_SERVING)
        wake = mono_min(wake, health_wake(s, now));
    return wake;
}

void supervisor_step(struct supervisor *s, mono_ms now, const struct sup_event *event,
                     struct sup_actions *out)
{
    out->len = 0;
    if (s->phase != SUP_PHASE_DONE) {
        on_event(s, now, event, out);
        run_due(s, now, out);
        if (s->phase == SUP_PHASE_SERVING)
            serve(s, now, out);
        if (s->phase == SUP_PHASE_STOPPING)
            stop(s, now, out);
    }
    out->wake = next_wake(s, now);
}

/* ---- making
 * -----------------------------------------------------------------------------------------------
 */

size_t supervisor_slots_len(unsigned workers)
{
    return 2 * (size_t)workers + 2;
}

struct supervisor *supervisor_new(const struct sup_settings *settings)
{
    ASSERT(settings->workers >= 1 && settings->workers <= SCOREBOARD_WORKERS_MAX);
    size_t len = supervisor_slots_len(settings->workers);
    struct supervisor *s = calloc(1, sizeof *s + len * sizeof s->slots[0]);
    if (!s)
        return NULL;
    s->settings = *settings;
    s->random = settings->random;
    s->generation = 1;
    s->give_up_at = MONO_NEVER;
    s->slots_len = len;
    for (size_t i = 0; i < len; i++)
        slot_init(&s->slots[i], ROLE_SERVE, false);
    s->slots[supervisor_job_slot(s)].role = ROLE_MIGRATE;
    return s;
}

void supervisor_free(struct supervisor *s)
{
    free(s);
}
