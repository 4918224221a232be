/* slots.c: see slots.h. The tables stand at the end: read them first. A cell that is NULL cannot be
 * reached; `late` marks reports that may cross a decision on their way. */
#include "master/slots.h"

#include "master/supervisor.h"
#include "shared/check.h"

#include <signal.h>
#include <sys/wait.h>

static const char *const event_names[SLOT_EVENTS_LEN] = {
#define X(name, text) [SLOT_EVENT_##name] = text,
    SLOT_EVENTS(X)
#undef X
};

const char *slot_event_name(enum slot_event event)
{
    return event_names[event];
}

/* ---- small tools ----------------------------------------------------------------------------- */

static struct sup_action *act(const struct slot_step *t, enum sup_action_type type)
{
    return sup_act(t->s, t->out, type, (int)(t->slot - t->s->slots));
}

static struct sup_action *say(const struct slot_step *t, enum sup_log log)
{
    struct sup_action *a = act(t, SUP_LOG);
    a->log = log;
    return a;
}

static void notify(const struct slot_step *t, enum message_type message, int64_t value)
{
    ASSERT(t->slot->pid > 0);
    struct sup_action *a = act(t, SUP_NOTIFY);
    a->message = message;
    a->value = value;
}

static void send_signal(const struct slot_step *t, int signal)
{
    ASSERT(t->slot->pid > 0);
    act(t, SUP_SIGNAL)->signal = signal;
}

/* Lines that repeat themselves are written for the 1st, 2nd, 4th, 8th … time, with their count. */
static bool worth_a_line(unsigned count)
{
    return (count & (count - 1)) == 0;
}

/* The process is gone; what is remembered about the slot's past stays. */
static void vacate(struct sup_slot *slot, enum slot_state state)
{
    ASSERT(state == SLOT_EMPTY || state == SLOT_BACKOFF);
    slot->state = state;
    slot->pid = 0;
    slot->deadline = MONO_NEVER;
    slot->retry_at = (mono_ms){0};
    slot->ready_at = (mono_ms){0};
    slot->drain_until = (mono_ms){0};
    slot->told_to_cut = slot->moving = false;
    slot->retiring = slot->recycle = slot->hung = slot->held = false;
    slot->cut = 0;
}

/* Nobody is wanted there any more: whoever comes next begins without the others' failures. */
static void forget_past(struct sup_slot *slot)
{
    slot->deaths = slot->fork_failures = slot->alike = 0;
    slot->born = 0;
}

static void late(const struct slot_step *t)
{
    t->s->late++;
}

static void nothing(const struct slot_step *t)
{
    (void)t;
}

/* ---- both kinds ------------------------------------------------------------------------------ */

static void start(const struct slot_step *t)
{
    vacate(t->slot, SLOT_EMPTY);
    t->slot->state = SLOT_STARTING;
    t->slot->generation = t->slot->candidate ? t->s->transition.generation : t->s->generation;
    t->slot->born = ++t->s->born;
    t->slot->held = t->slot->candidate;
    act(t, SUP_SPAWN)->held = t->slot->held;
}

static void kill_now(const struct slot_step *t)
{
    send_signal(t, SIGKILL);
    t->slot->state = SLOT_KILLED;
    t->slot->deadline = MONO_NEVER; /* more than SIGKILL there is not */
}

static void kill_again(const struct slot_step *t)
{
    kill_now(t);
}

static void kill_overdue(const struct slot_step *t)
{
    say(t, SUP_LOG_KILL);
    kill_now(t);
}

/* ---- workers: birth -------------------------------------------------------------------------- */

static void worker_spawned(const struct slot_step *t)
{
    t->slot->pid = t->event->pid;
    t->slot->fork_failures = 0;
    t->slot->deadline = mono_add(t->now, t->s->settings.boot_timeout_ms);
}

/* The transition goes back; a candidate is not tried again. */
static void lose_candidate(const struct slot_step *t)
{
    t->s->transition.lost_slot = (int)(t->slot - t->s->slots);
    t->s->transition.lost_status = t->event->status;
    t->s->transition.lost_unborn = t->event->type == SUP_SPAWN_FAILED;
    t->slot->candidate = false;
    forget_past(t->slot);
    vacate(t->slot, SLOT_EMPTY);
}

/* Without memory or processes a try at once would fail again: even the first one waits. */
static void worker_spawn_failed(const struct slot_step *t)
{
    struct sup_slot *slot = t->slot;
    slot->fork_failures++;
    int64_t delay_ms =
        backoff_delay_ms(slot->fork_failures + 1, &t->s->settings.backoff, &t->s->random);
    if (worth_a_line(slot->fork_failures)) {
        struct sup_action *a = say(t, SUP_LOG_SPAWN_FAILED);
        a->status = t->event->status;
        a->value = slot->candidate ? SUP_NO_RETRY : delay_ms;
        a->count = slot->fork_failures;
    }
    if (slot->candidate) {
        lose_candidate(t);
        return;
    }
    vacate(slot, SLOT_BACKOFF);
    slot->retry_at = mono_add(t->now, delay_ms);
}

static void boot_overdue(const struct slot_step *t)
{
    say(t, SUP_LOG_BOOT_TIMEOUT)->value = t->s->settings.boot_timeout_ms;
    kill_now(t);
}

static void became_ready(const struct slot_step *t)
{
    t->slot->state = SLOT_READY;
    t->slot->ready_at = t->now;
    t->slot->deadline = mono_add(t->now, t->s->settings.min_ready_ms);
    t->s->one_at_a_time = false;
}

static void accept_ready(const struct slot_step *t)
{
    if (t->slot->held)
        notify(t, MESSAGE_ACCEPT, 0);
    t->slot->held = false;
}

static void outlived_min_ready(const struct slot_step *t)
{
    t->s->served = true;
}

static void remember_cut(const struct slot_step *t)
{
    t->slot->cut = t->event->value;
}

/* ---- workers: unexpected death --------------------------------------------------------------- */

static bool was_ready_for(const struct slot_step *t, int64_t duration_ms)
{
    return mono_is_set(t->slot->ready_at) && mono_diff_ms(t->now, t->slot->ready_at) >= duration_ms;
}

/* Our own SIGKILL is sent in other states. */
static bool killed_from_outside(const struct slot_step *t)
{
    return t->slot->state == SLOT_READY && WIFSIGNALED(t->event->status) &&
           WTERMSIG(t->event->status) == SIGKILL && was_ready_for(t, t->s->settings.min_ready_ms);
}

static bool refused_its_configuration(const struct slot_step *t)
{
    return !mono_is_set(t->slot->ready_at) && WIFEXITED(t->event->status) &&
           WEXITSTATUS(t->event->status) == EXIT_CODE_CONFIG;
}

static void count_death(const struct slot_step *t)
{
    struct sup_slot *slot = t->slot;
    if (killed_from_outside(t) || was_ready_for(t, t->s->settings.stable_ms))
        slot->deaths = 0;
    slot->deaths++;
    slot->alike = slot->deaths > 1 && slot->last_status == t->event->status ? slot->alike + 1 : 1;
    slot->last_status = t->event->status;
    if (was_ready_for(t, t->s->settings.min_ready_ms))
        t->s->served = true; /* its tick may not have come yet */
    else if (!t->s->served)
        t->s->boot_failures++;
}

static void candidate_died(const struct slot_step *t)
{
    struct sup_action *a = say(t, SUP_LOG_DIED);
    a->status = t->event->status;
    a->count = 1;
    a->value = SUP_NO_RETRY;
    lose_candidate(t);
}

static void died(const struct slot_step *t)
{
    struct sup_slot *slot = t->slot;
    if (slot->candidate) {
        candidate_died(t);
        return;
    }
    bool refused = refused_its_configuration(t);
    count_death(t);
    if (refused && !t->s->served)
        t->s->config_refused = true;
    int64_t delay_ms = backoff_delay_ms(slot->deaths, &t->s->settings.backoff, &t->s->random);
    if (worth_a_line(slot->alike)) {
        struct sup_action *a = say(t, SUP_LOG_DIED);
        a->status = t->event->status;
        a->count = slot->alike;
        a->value = !refused ? delay_ms : t->s->served ? SUP_RETRY_AFTER_RELOAD : SUP_NO_RETRY;
    }
    vacate(slot, SLOT_BACKOFF);
    slot->retry_at = refused ? MONO_NEVER : mono_add(t->now, delay_ms);
}

/* ---- workers: leaving as told ---------------------------------------------------------------- */

static void begin_drain(const struct slot_step *t, enum message_type message)
{
    t->slot->state = SLOT_DRAINING;
    t->slot->moving = message == MESSAGE_MOVE;
    t->slot->drain_until = mono_add(t->now, t->s->settings.graceful_timeout_ms);
    t->slot->deadline = t->slot->drain_until;
    notify(t, message, 0);
}

static void drain_ready(const struct slot_step *t)
{
    begin_drain(t, MESSAGE_DRAIN);
}

static void move_ready(const struct slot_step *t)
{
    begin_drain(t, MESSAGE_MOVE);
}

/* It serves nobody, unless its READY is on the way: it need not be waited for long. */
static void shorten(const struct slot_step *t)
{
    t->slot->deadline = mono_min(t->slot->drain_until, mono_add(t->now, t->s->settings.quick_ms));
}

static void drain_starting(const struct slot_step *t)
{
    drain_ready(t);
    shorten(t);
}

static void move_starting(const struct slot_step *t)
{
    move_ready(t);
    shorten(t);
}

/* Now there is nobody to hand over to. Its time goes on as it is. */
static void drain_moving(const struct slot_step *t)
{
    if (t->slot->moving && !t->slot->told_to_cut)
        notify(t, MESSAGE_DRAIN, 0);
    t->slot->moving = false;
}

/* ABRT leaves a stack, and a core where that is allowed. */
static void abort_ready(const struct slot_step *t)
{
    say(t, SUP_LOG_ABORTED);
    send_signal(t, SIGABRT);
    t->slot->state = SLOT_KILLED;
    t->slot->deadline = mono_add(t->now, t->s->settings.kill_ms);
}

/* Its READY had been on the way: it has clients, and their time. */
static void ready_while_draining(const struct slot_step *t)
{
    if (mono_is_set(t->slot->ready_at)) {
        late(t);
        return;
    }
    t->slot->ready_at = t->now;
    if (!t->slot->told_to_cut)
        t->slot->deadline = t->slot->drain_until;
}

static void tell_to_cut(const struct slot_step *t, int64_t kill_ms)
{
    mono_ms kill_at = mono_add(t->now, kill_ms);
    t->slot->deadline = t->slot->told_to_cut ? mono_min(t->slot->deadline, kill_at) : kill_at;
    t->slot->told_to_cut = true;
    t->slot->state = SLOT_DRAINING;
    notify(t, MESSAGE_QUIT, t->s->settings.quick_ms);
}

static void drain_overdue(const struct slot_step *t)
{
    if (t->slot->told_to_cut || !mono_is_set(t->slot->ready_at)) {
        kill_overdue(t);
        return;
    }
    say(t, SUP_LOG_GRACE_OVER)->value = t->s->settings.graceful_timeout_ms;
    tell_to_cut(t, t->s->settings.kill_ms);
}

static void quit(const struct slot_step *t)
{
    if (mono_is_set(t->slot->ready_at))
        tell_to_cut(t, t->s->settings.quick_kill_ms);
    else
        kill_now(t);
}

static void left(const struct slot_step *t)
{
    struct sup_slot *slot = t->slot;
    bool served = mono_is_set(slot->ready_at);
    if (t->s->phase == SUP_PHASE_STOPPING && (slot->cut > 0 || (served && t->event->status != 0)))
        t->s->cut = true;
    struct sup_action *a = say(t, SUP_LOG_LEFT);
    a->status = t->event->status;
    a->value = slot->cut;
    forget_past(slot);
    vacate(slot, SLOT_EMPTY);
}

/* SIGKILL was for a boot that took too long, or at the end of a stop. */
static void exited_when_killed(const struct slot_step *t)
{
    if (t->slot->wanted || t->slot->candidate)
        died(t);
    else
        left(t);
}

static void give_up_waiting(const struct slot_step *t)
{
    forget_past(t->slot);
    vacate(t->slot, SLOT_EMPTY);
}

/* ---- one-shot children ----------------------------------------------------------------------- */

static void job_spawned(const struct slot_step *t)
{
    t->slot->pid = t->event->pid;
    if (t->slot->role == ROLE_CHECKPOINT) /* a migration takes what it takes */
        t->slot->deadline = mono_add(t->now, t->s->settings.checkpoint_ms);
    if (t->slot->role == ROLE_CHECK)
        t->slot->deadline = mono_add(t->now, t->s->settings.check_ms);
}

static void job_spawn_failed(const struct slot_step *t)
{
    say(t, SUP_LOG_JOB_SPAWN_FAILED)->status = t->event->status;
    vacate(t->slot, SLOT_EMPTY);
    t->slot->last_status = W_EXITCODE(EXIT_CODE_INTERNAL, 0);
    if (t->slot->role == ROLE_CHECK) {
        t->s->transition.lost_status = t->event->status;
        t->s->transition.lost_unborn = true;
    }
}

static void job_terminate(const struct slot_step *t)
{
    send_signal(t, SIGTERM);
    t->slot->state = SLOT_DRAINING;
    t->slot->deadline = mono_add(t->now, t->s->settings.kill_ms);
}

static void job_exited(const struct slot_step *t)
{
    vacate(t->slot, SLOT_EMPTY);
    t->slot->last_status = t->event->status;
}

/* ---- the tables ------------------------------------------------------------------------------ */

typedef void slot_handler(const struct slot_step *t);

/* clang-format off */
static slot_handler *const worker_table[][SLOT_EVENTS_LEN] = {
    [SLOT_EMPTY] = {
        [SLOT_EVENT_START]        = start,
        [SLOT_EVENT_MOVE]         = nothing,
        [SLOT_EVENT_DRAIN]        = nothing,
        [SLOT_EVENT_QUIT]         = nothing,
    },
    [SLOT_STARTING] = {
        [SLOT_EVENT_SPAWNED]      = worker_spawned,
        [SLOT_EVENT_SPAWN_FAILED] = worker_spawn_failed,
        [SLOT_EVENT_READY]        = became_ready,
        [SLOT_EVENT_CUT]          = remember_cut,
        [SLOT_EVENT_EXITED]       = died,
        [SLOT_EVENT_DUE]          = boot_overdue,
        [SLOT_EVENT_MOVE]         = move_starting,
        [SLOT_EVENT_DRAIN]        = drain_starting,
        [SLOT_EVENT_QUIT]         = quit,
    },
    [SLOT_READY] = {
        [SLOT_EVENT_READY]        = late,
        [SLOT_EVENT_CUT]          = remember_cut,
        [SLOT_EVENT_EXITED]       = died,
        [SLOT_EVENT_DUE]          = outlived_min_ready,
        [SLOT_EVENT_ACCEPT]       = accept_ready,
        [SLOT_EVENT_MOVE]         = move_ready,
        [SLOT_EVENT_ABORT]        = abort_ready,
        [SLOT_EVENT_DRAIN]        = drain_ready,
        [SLOT_EVENT_QUIT]         = quit,
    },
    [SLOT_DRAINING] = {
        [SLOT_EVENT_READY]        = ready_while_draining,
        [SLOT_EVENT_CUT]          = remember_cut,
        [SLOT_EVENT_EXITED]       = left,
        [SLOT_EVENT_DUE]          = drain_overdue,
        [SLOT_EVENT_MOVE]         = nothing,
        [SLOT_EVENT_DRAIN]        = drain_moving,
        [SLOT_EVENT_QUIT]         = quit,
    },
    [SLOT_KILLED] = {
        [SLOT_EVENT_READY]        = late,
        [SLOT_EVENT_CUT]          = remember_cut,
        [SLOT_EVENT_EXITED]       = exited_when_killed,
        [SLOT_EVENT_DUE]          = kill_again,
        [SLOT_EVENT_MOVE]         = nothing,
        [SLOT_EVENT_DRAIN]        = nothing,
        [SLOT_EVENT_QUIT]         = nothing,
    },
    [SLOT_BACKOFF] = {
        [SLOT_EVENT_START]        = start,
        [SLOT_EVENT_MOVE]         = give_up_waiting,
        [SLOT_EVENT_DRAIN]        = give_up_waiting,
        [SLOT_EVENT_QUIT]         = give_up_waiting,
    },
};

/* Jobs have nothing to report but their end; what one says all the same is not to be trusted. */
static slot_handler *const job_table[][SLOT_EVENTS_LEN] = {
    [SLOT_EMPTY] = {
        [SLOT_EVENT_START]        = start,
        [SLOT_EVENT_DRAIN]        = nothing,
        [SLOT_EVENT_QUIT]         = nothing,
    },
    [SLOT_STARTING] = {
        [SLOT_EVENT_SPAWNED]      = job_spawned,
        [SLOT_EVENT_SPAWN_FAILED] = job_spawn_failed,
        [SLOT_EVENT_READY]        = late,
        [SLOT_EVENT_CUT]          = late,
        [SLOT_EVENT_EXITED]       = job_exited,
        [SLOT_EVENT_DUE]          = job_terminate,
        [SLOT_EVENT_DRAIN]        = job_terminate,
        [SLOT_EVENT_QUIT]         = kill_now,
    },
    [SLOT_DRAINING] = {
        [SLOT_EVENT_READY]        = late,
        [SLOT_EVENT_CUT]          = late,
        [SLOT_EVENT_EXITED]       = job_exited,
        [SLOT_EVENT_DUE]          = kill_overdue,
        [SLOT_EVENT_DRAIN]        = nothing,
        [SLOT_EVENT_QUIT]         = kill_now,
    },
    [SLOT_KILLED] = {
        [SLOT_EVENT_READY]        = late,
        [SLOT_EVENT_CUT]          = late,
        [SLOT_EVENT_EXITED]       = job_exited,
        [SLOT_EVENT_DRAIN]        = nothing,
        [SLOT_EVENT_QUIT]         = nothing,
    },
    [SLOT_BACKOFF] = {0}, /* jobs are not tried again */
};
/* clang-format on */

void slot_init(struct sup_slot *slot, enum role role, bool wanted)
{
    *slot = (struct sup_slot){.role = role, .wanted = wanted};
    vacate(slot, SLOT_EMPTY);
}

void slot_step(const struct slot_step *t, enum slot_event event)
{
    slot_handler *handler = t->slot->role == ROLE_SERVE ? worker_table[t->slot->state][event]
                                                        : job_table[t->slot->state][event];
    ASSERT(handler);
    handler(t);
}

void slot_decide(struct supervisor *s, struct sup_slot *slot, mono_ms now, enum slot_event event,
                 struct sup_actions *out)
{
    slot_step(&(struct slot_step){.s = s, .slot = slot, .now = now, .out = out}, event);
}
