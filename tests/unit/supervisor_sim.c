/* supervisor_sim.c: see supervisor_sim.h. */
#include "supervisor_sim.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before each step, to judge the actions by what was known when they were decided. */
static struct {
    enum sup_phase phase;
    int ended; /* the slot whose process, or fork, this very event ended; or -1 */
    size_t slots_len;
    struct sup_slot slots[2 * SCOREBOARD_WORKERS_MAX + 2];
} before;

static struct sup_actions out;

static const char *const log_names[] = {
#define X(name) [SUP_LOG_##name] = #name,
    SUP_LOGS(X)
#undef X
};

/* ---- text ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void add_text(struct sim *sim, const char *format, ...)
{
    size_t len = strlen(sim->text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(sim->text + len, sizeof sim->text - len, format, ap);
    va_end(ap);
}

static void show(struct sim *sim, const struct sup_action *a)
{
    if (sim->quiet)
        return;
    const char *space = sim->text[0] ? " " : "";
    switch (a->type) {
    case SUP_SPAWN:
        add_text(sim, "%s%s:%d", space,
                 a->role == ROLE_SERVE     ? "spawn"
                 : a->role == ROLE_MIGRATE ? "migrate"
                                           : "checkpoint",
                 a->slot);
        return;
    case SUP_SIGNAL:
        add_text(sim, "%s%s:%d", space, a->signal == SIGKILL ? "kill" : "term", a->slot);
        return;
    case SUP_NOTIFY:
        add_text(sim, "%s%s:%d", space, a->message == MESSAGE_DRAIN ? "drain" : "quit", a->slot);
        return;
    case SUP_REFUSE:
        add_text(sim, "%srefuse", space);
        return;
    case SUP_SHUT:
        add_text(sim, "%sshut", space);
        return;
    case SUP_LOG:
        add_text(sim, "%s%s", space, log_names[a->log]);
        if (a->log == SUP_LOG_DIED || a->log == SUP_LOG_SPAWN_FAILED)
            add_text(sim, "(%d,%lld,x%u)", a->slot, (long long)a->value, a->count);
        return;
    case SUP_EXIT:
        add_text(sim, "%sexit:%d", space, (int)a->code);
        return;
    }
}

/* ---- invariants ------------------------------------------------------------------------------ */

static void must(struct sim *sim, bool holds, const char *what)
{
    if (!holds && !sim->broken)
        sim->broken = what;
}

static void check_spawn(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    bool vacant = !slot_is_live(was) || a->slot == before.ended;
    must(sim, vacant, "SPAWN into an occupied slot");
    must(sim, !mono_before(sim->now, was->retry_at), "SPAWN before its time");
    if (a->role == ROLE_SERVE)
        must(sim, sim->s->phase == SUP_PHASE_SERVING, "SPAWN of a worker while not serving");
    if (a->role == ROLE_SERVE && sim->s->one_at_a_time)
        must(sim, supervisor_count(sim->s, SLOT_STARTING) == 1, "two try at a time");
    must(sim, before.phase != SUP_PHASE_DONE, "SPAWN after the end");
}

/* After its deadline; or at once where nobody can be served: never ready, or a job, in a quick
 * stop. */
static void check_signal(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    must(sim, a->pid > 0 && a->pid == was->pid, "signal to a pid that is not there");
    must(sim, was->state != SLOT_KILLED, "a killed process is signalled again");
    if (a->signal != SIGKILL)
        return;
    bool due = !mono_before(sim->now, was->deadline);
    bool harmless = sim->s->quick && (was->role != ROLE_SERVE || !mono_is_set(was->ready_at));
    must(sim, due || harmless, "SIGKILL before the deadline");
    must(sim, sim->s->slots[a->slot].state == SLOT_KILLED, "SIGKILL is not remembered");
}

static void check_notify(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    must(sim, a->pid > 0 && a->pid == was->pid, "message to a pid that is not there");
    must(sim, sim->s->phase == SUP_PHASE_STOPPING, "a worker is told to leave without a stop");
    must(sim,
         a->message != MESSAGE_DRAIN || was->state == SLOT_STARTING || was->state == SLOT_READY,
         "a worker is told to drain twice");
}

static void check_action(struct sim *sim, const struct sup_action *a)
{
    switch (a->type) {
    case SUP_SPAWN:
        check_spawn(sim, a);
        return;
    case SUP_SIGNAL:
        check_signal(sim, a);
        return;
    case SUP_NOTIFY:
        check_notify(sim, a);
        return;
    case SUP_EXIT:
        must(sim, sim->s->phase == SUP_PHASE_DONE && before.phase != SUP_PHASE_DONE, "EXIT twice");
        sim->exited = true;
        sim->code = a->code;
        return;
    case SUP_REFUSE:
    case SUP_SHUT:
    case SUP_LOG:
        return;
    }
}

static void check_slot(struct sim *sim, const struct sup_slot *slot)
{
    bool timed = mono_before(slot->deadline, MONO_NEVER);
    must(sim, slot_is_live(slot) == (slot->pid > 0), "pid and state disagree");
    must(sim, slot_is_live(slot) || !timed, "a deadline without a process");
    if (slot->state == SLOT_STARTING && slot->role == ROLE_SERVE)
        must(sim, timed, "a boot without a deadline");
    if (slot->state == SLOT_DRAINING)
        must(sim, timed, "a drain without a deadline");
    if (slot->state == SLOT_BACKOFF && mono_before(slot->retry_at, MONO_NEVER))
        must(sim,
             mono_diff_ms(slot->retry_at, sim->now) <= sim->s->settings.backoff.max_ms * 12 / 10,
             "a back-off above its cap");
}

static int by_pid(const void *a, const void *b)
{
    return *(const pid_t *)a < *(const pid_t *)b ? -1 : *(const pid_t *)a > *(const pid_t *)b;
}

static void check_pids(struct sim *sim)
{
    pid_t pids[2 * SCOREBOARD_WORKERS_MAX + 2];
    size_t live = 0, serving = 0;
    for (size_t i = 0; i < sim->s->slots_len; i++) {
        if (sim->s->slots[i].pid == 0)
            continue;
        pids[live++] = sim->s->slots[i].pid;
        serving += sim->s->slots[i].role == ROLE_SERVE;
    }
    qsort(pids, live, sizeof pids[0], by_pid);
    for (size_t i = 1; i < live; i++)
        must(sim, pids[i - 1] != pids[i], "a pid in two slots");
    must(sim, live <= 2 * (size_t)sim->s->settings.workers + 2, "too many processes");
    must(sim, serving <= sim->s->settings.workers, "more workers than wanted");
    must(sim, !sim->exited || live == 0, "EXIT while a process lives");
    must(sim, sim->s->phase != SUP_PHASE_STOPPING || live > 0, "a stop that waits for nobody");
}

/* Somebody will wake us before any time that matters; and never at once again. */
static void check_wake(struct sim *sim)
{
    const struct supervisor *s = sim->s;
    must(sim, mono_before(sim->now, sim->wake), "wake is not in the future: a busy loop");
    must(sim, (s->phase == SUP_PHASE_DONE) == sim->exited, "EXIT and DONE disagree");
    bool starting = supervisor_count(s, SLOT_STARTING) > 0,
         ready = supervisor_count(s, SLOT_READY) > 0;
    for (size_t i = 0; i < s->slots_len; i++) {
        const struct sup_slot *slot = &s->slots[i];
        must(sim, s->phase == SUP_PHASE_DONE || !mono_before(slot->deadline, sim->wake),
             "a deadline is slept through");
        bool waits = slot->wanted && !slot_is_live(slot) && mono_before(slot->retry_at, MONO_NEVER);
        if (s->phase == SUP_PHASE_SERVING && waits && !(s->one_at_a_time && starting))
            must(sim, mono_before(sim->wake, MONO_NEVER), "a slot is forgotten");
    }
    if (s->phase == SUP_PHASE_SERVING && !ready)
        must(sim, mono_before(sim->wake, MONO_NEVER), "nobody is ready and nobody will give up");
}

static void check_state(struct sim *sim)
{
    for (size_t i = 0; i < sim->s->slots_len; i++)
        check_slot(sim, &sim->s->slots[i]);
    check_pids(sim);
    check_wake(sim);
}

/* ---- stepping -------------------------------------------------------------------------------- */

struct answers {
    size_t len;
    struct sup_event items[2 * SCOREBOARD_WORKERS_MAX + 2];
};

static void answer(struct sim *sim, const struct sup_action *a, struct answers *answers)
{
    struct sup_event *event = &answers->items[answers->len++];
    *event = (struct sup_event){.type = SUP_SPAWNED, .slot = a->slot, .generation = a->generation};
    if (sim->forks_fail) {
        event->type = SUP_SPAWN_FAILED;
        event->status = EAGAIN;
    } else {
        event->pid = sim->next_pid++;
    }
}

static void step_once(struct sim *sim, const struct sup_event *event, struct answers *answers)
{
    before.phase = sim->s->phase;
    bool ends = event->type == SUP_EXITED || event->type == SUP_SPAWN_FAILED;
    before.ended = ends ? event->slot : -1;
    before.slots_len = sim->s->slots_len;
    memcpy(before.slots, sim->s->slots, sim->s->slots_len * sizeof before.slots[0]);
    supervisor_step(sim->s, sim->now, event, &out);
    sim->wake = out.wake;
    for (size_t i = 0; i < out.len; i++) {
        show(sim, &out.items[i]);
        check_action(sim, &out.items[i]);
        if (out.items[i].type == SUP_SPAWN)
            answer(sim, &out.items[i], answers);
    }
}

void sim_step(struct sim *sim, const struct sup_event *event)
{
    static struct answers answers;
    answers.len = 0;
    sim->text[0] = '\0';
    step_once(sim, event, &answers);
    while (answers.len > 0) {
        struct sup_event next = answers.items[0];
        answers.len--;
        memmove(answers.items, answers.items + 1, answers.len * sizeof next);
        step_once(sim, &next, &answers);
    }
    check_state(sim);
}

void sim_init(struct sim *sim, const struct sup_settings *settings)
{
    *sim = (struct sim){.s = supervisor_new(settings), .now = {SIM_EPOCH_MS}, .next_pid = 100};
}

void sim_fini(struct sim *sim)
{
    supervisor_free(sim->s);
    sim->s = NULL;
}

static void report(struct sim *sim, enum sup_event_type type, int slot, int status, int64_t value)
{
    sim_step(sim, &(struct sup_event){.type = type,
                                      .slot = slot,
                                      .generation = sim->s->slots[slot].generation,
                                      .pid = sim->s->slots[slot].pid,
                                      .status = status,
                                      .value = value});
}

void sim_start(struct sim *sim)
{
    sim_step(sim, &(struct sup_event){.type = SUP_START, .slot = -1});
}

void sim_ready(struct sim *sim, int slot)
{
    report(sim, SUP_READY, slot, 0, 0);
}

void sim_cut(struct sim *sim, int slot, int64_t connections)
{
    report(sim, SUP_CUT, slot, 0, connections);
}

void sim_exited(struct sim *sim, int slot, int status)
{
    report(sim, SUP_EXITED, slot, status, 0);
}

void sim_request(struct sim *sim, enum sup_request request)
{
    sim_step(sim, &(struct sup_event){.type = SUP_REQUEST, .slot = -1, .request = request});
}

void sim_tick(struct sim *sim)
{
    sim_step(sim, &(struct sup_event){.type = SUP_TICK, .slot = -1});
}
