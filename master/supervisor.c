/* supervisor.c: see supervisor.h. Each step: what happened (to a slot, or a request), then what has
 * become due, then what follows for the whole: start what may be started, give up, go on with the
 * stop; at last the time of the next look. The life of a single slot is in slots.c, the well-being
 * of all workers in health.c. */
#include "master/supervisor.h"

#include "master/health.h"
#include "master/requests.h"
#include "master/stopping.h"
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
        .check_ms = 10000,
        .settle_ms = 2000,
        .hung_gap_ms = 5000,
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

bool sup_serves(const struct supervisor *s)
{
    return s->phase == SUP_PHASE_SERVING || s->phase == SUP_PHASE_DELAYING;
}

unsigned sup_target(const struct supervisor *s, const struct sup_settings *settings)
{
    bool stands = s->override && settings->workers == s->settings.workers;
    return stands ? s->override : settings->workers;
}

struct sup_slot *sup_free_slot(struct supervisor *s)
{
    for (size_t i = 0; i + 1 < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->state == SLOT_EMPTY && !slot->wanted && !slot->candidate)
            return slot;
    }
    return NULL;
}

void sup_size_bucket(struct supervisor *s)
{
    int64_t target = sup_target(s, &s->settings);
    s->forks.burst = s->settings.forks_burst ? s->settings.forks_burst : 2 * target;
    s->forks.per_s = s->settings.forks_per_s ? s->settings.forks_per_s : target;
}

/* What scaling has set goes when its ground has changed. */
void sup_adopt_settings(struct supervisor *s, const struct sup_settings *settings)
{
    unsigned workers_max = s->settings.workers_max;
    if (settings->workers != s->settings.workers)
        s->override = 0;
    s->settings = *settings;
    s->settings.workers_max = workers_max;
    sup_size_bucket(s);
}

/* ---- one-shot children ----------------------------------------------------------------------- */

void sup_start_job(struct supervisor *s, enum role role, struct sup_actions *out)
{
    struct sup_slot *slot = &s->slots[supervisor_job_slot(s)];
    ASSERT(slot->state == SLOT_EMPTY);
    slot->role = role;
    slot_decide(s, slot, (mono_ms){0}, SLOT_EVENT_START, out);
}

static void begin_serving(struct supervisor *s, mono_ms now)
{
    s->phase = SUP_PHASE_SERVING;
    s->first_deadline = mono_add(now, s->settings.boot_timeout_ms);
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
    stopping_end(s, out,
                 WIFEXITED(status) ? (enum exit_code)WEXITSTATUS(status) : EXIT_CODE_INTERNAL);
}

/* The job's slot is empty again. A migration that a stop interrupted needs no more words. */
static void on_job_done(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    int status = s->slots[supervisor_job_slot(s)].last_status;
    if (s->phase == SUP_PHASE_MIGRATING)
        on_migrated(s, now, status, out);
    else if (s->phase == SUP_PHASE_CHECKPOINTING)
        stopping_checkpointed(s, status, out);
    else if (s->phase == SUP_PHASE_SERVING)
        transition_checked(s, status, out);
}

/* Some forks were asked for and not all of them are answered: those processes can be told nothing
 * yet, whatever has become due since. Their answers are the next events. */
static bool awaits_forks(const struct supervisor *s)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (s->slots[i].state == SLOT_STARTING && s->slots[i].pid == 0)
            return true;
    return false;
}

static bool gives_up(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    enum exit_code code = health_judge(s, now, out);
    if (code != EXIT_CODE_OK)
        stopping_fail(s, now, code, out);
    return code != EXIT_CODE_OK;
}

/* Judged again after changes: they may have taken the last one who was READY. */
static void serve(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (gives_up(s, now, out))
        return;
    if (s->phase == SUP_PHASE_SERVING)
        transition_run(s, now, out);
    health_scale(s, now, out);
    if (!awaits_forks(s) && gives_up(s, now, out))
        return;
    health_start_workers(s, now, out);
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
    else if (event->type == SUP_EXITED && sup_serves(s))
        health_on_death(s, out);
}

/* A flag for the next transition; forgotten with the process. */
static void on_flag(struct supervisor *s, const struct sup_event *event)
{
    ASSERT(event->slot >= 0 && (size_t)event->slot < s->slots_len);
    struct sup_slot *slot = &s->slots[event->slot];
    if (is_foreign(event, slot)) {
        s->foreign++;
    } else if (slot->wanted && slot->state == SLOT_READY) {
        slot->hung |= event->type == SUP_HUNG;
        slot->recycle |= event->type == SUP_WORN && !s->settings.keeps_data;
    } else {
        s->late++;
    }
}

static void on_start(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    ASSERT(s->phase == SUP_PHASE_IDLE);
    sup_size_bucket(s);
    bucket_init(&s->forks, s->forks.burst, s->forks.per_s, now);
    if (!s->settings.migrate) {
        begin_serving(s, now);
        return;
    }
    s->phase = SUP_PHASE_MIGRATING;
    sup_start_job(s, ROLE_MIGRATE, out);
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
    case SUP_PREPARED:
        transition_prepared(s, event, out);
        return;
    case SUP_BOUND:
        transition_bound(s, event, out);
        return;
    case SUP_ADOPTED:
        transition_adopted(s, out);
        return;
    case SUP_RETURNED:
        transition_returned(s, out);
        return;
    case SUP_EXEC_FAILED:
        transition_exec_failed(s, event->status, out);
        return;
    case SUP_HUNG:
    case SUP_WORN:
        on_flag(s, event);
        return;
    case SUP_REQUEST:
        requests_take(s, now, event, out);
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
    if (sup_serves(s))
        wake = mono_min(wake, health_wake(s, now));
    if (s->phase == SUP_PHASE_SERVING)
        wake = mono_min(wake, transition_wake(s));
    if (s->phase == SUP_PHASE_DELAYING)
        wake = mono_min(wake, s->stop_at);
    return wake;
}

void supervisor_step(struct supervisor *s, mono_ms now, const struct sup_event *event,
                     struct sup_actions *out)
{
    out->len = 0;
    if (s->phase != SUP_PHASE_DONE)
        on_event(s, now, event, out);
    if (s->phase != SUP_PHASE_DONE && !awaits_forks(s)) {
        run_due(s, now, out);
        if (s->phase == SUP_PHASE_DELAYING && !mono_before(now, s->stop_at))
            stopping_delayed(s, now, out);
        if (sup_serves(s))
            serve(s, now, out);
        if (s->phase == SUP_PHASE_STOPPING)
            stopping_run(s, now, out);
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
    unsigned max = settings->workers_max ? settings->workers_max : settings->workers;
    ASSERT(settings->workers >= 1 && settings->workers <= max && max <= SCOREBOARD_WORKERS_MAX);
    size_t len = supervisor_slots_len(max);
    struct supervisor *s = calloc(1, sizeof *s + len * sizeof s->slots[0]);
    if (!s)
        return NULL;
    s->settings = *settings;
    s->random = settings->random;
    s->settings.workers_max = max;
    s->generation = s->last_generation = 1;
    s->transition.lost_slot = -1;
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
