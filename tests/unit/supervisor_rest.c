/* supervisor_rest.c: the laws at rest: see supervisor_laws.h. */
#include "supervisor_laws.h"

#include <stdlib.h>

static void check_slot(struct sim *sim, const struct sup_slot *slot)
{
    const struct supervisor *s = sim->s;
    bool timed = mono_before(slot->deadline, MONO_NEVER);
    bool worker = slot->role == ROLE_SERVE;
    must(sim, slot_is_live(slot) == (slot->pid > 0), "pid and state disagree");
    must(sim, slot_is_live(slot) || !timed, "a deadline without a process");
    if (slot->state == SLOT_STARTING && worker)
        must(sim, timed, "a boot without a deadline");
    if (slot->state == SLOT_STARTING && slot->role == ROLE_CHECK)
        must(sim, timed, "a check without a deadline");
    if (slot->state == SLOT_DRAINING)
        must(sim, timed, "a drain without a deadline");
    if (slot->state == SLOT_BACKOFF)
        must(sim, slot->wanted, "a back-off for nobody");
    if (slot->state == SLOT_BACKOFF && mono_before(slot->retry_at, MONO_NEVER))
        must(sim, mono_diff_ms(slot->retry_at, sim->now) <= s->settings.backoff.max_ms * 12 / 10,
             "a back-off above its cap");
    if (worker && sup_serves(s) && (slot->state == SLOT_STARTING || slot->state == SLOT_READY))
        must(sim, slot->wanted || slot->candidate, "a worker that nobody wants goes on");
    must(sim, !slot->candidate || (transition_is_open(s) && !slot->wanted), "a stray candidate");
    must(sim, !slot->held || slot->candidate || !slot->wanted, "a worker that is never let in");
    must(sim, !slot->leaving || (transition_is_open(s) && slot->wanted), "a stray leaver");
    must(sim, !(slot->hung || slot->recycle) || mono_is_set(slot->ready_at),
         "a new process is held to be the old one");
    must(sim, !slot->retiring || slot_is_live(slot), "it waits for the end of nobody");
    must(sim, worker || !(slot->wanted || slot->candidate || slot->hung || slot->recycle),
         "a job among the workers");
}

static void check_transition(struct sim *sim)
{
    const struct supervisor *s = sim->s;
    const struct sup_transition *t = &s->transition;
    unsigned candidates = 0, leaving = 0, retiring = 0, wanted = count_wanted(sim);
    for (size_t i = 0; i < s->slots_len; i++) {
        candidates += s->slots[i].candidate;
        leaving += s->slots[i].leaving;
        retiring += s->slots[i].retiring;
    }
    if (transition_is_open(s)) {
        must(sim, candidates <= t->needed, "too many candidates");
        must(sim, leaving == (t->kind == SUP_KIND_RELOAD ? wanted : 1),
             "the wrong ones will leave");
        must(sim, candidates == t->needed || candidates + wanted + 1 <= s->slots_len,
             "a candidate is missing");
        must(sim, t->kind == SUP_KIND_RELOAD || t->needed == 1, "more than one at a time");
    }
    must(sim, t->step != SUP_STEP_RETIRE || retiring > 0, "nobody is left to be waited for");
    must(sim, t->step != SUP_STEP_CHECK || sim->memory.stage == SIM_CHECKING,
         "a check that nobody makes");
    bool reload = t->step != SUP_STEP_NONE && t->kind == SUP_KIND_RELOAD &&
                  (!t->failed || t->adopted);
    must(sim, t->step != SUP_STEP_EXEC && t->step != SUP_STEP_RETURN,
         "the program is to change, and does not");
    must(sim, reload == (sim->memory.stage != SIM_NO_RELOAD), "a reload is told once");
    if (s->phase != SUP_PHASE_SERVING)
        return;
    must(sim, t->step != SUP_STEP_NONE || !sim->memory.reload_asked, "a reload is forgotten");
    must(sim, t->reload_asked == sim->memory.reload_asked, "a request counts once");
    if (!transition_is_open(s)) {
        unsigned target = sup_target(s, &s->settings);
        bool short_of_slots = wanted < target && !sup_free_slot(sim->s);
        must(sim, wanted == target || short_of_slots, "not as many are wanted as were asked for");
    }
}

static int by_pid(const void *a, const void *b)
{
    return *(const pid_t *)a < *(const pid_t *)b ? -1 : *(const pid_t *)a > *(const pid_t *)b;
}

static void check_pids(struct sim *sim)
{
    const struct supervisor *s = sim->s;
    pid_t pids[SCOREBOARD_SLOTS_MAX];
    size_t live = 0, serving = 0;
    for (size_t i = 0; i < s->slots_len; i++) {
        if (s->slots[i].pid == 0)
            continue;
        pids[live++] = s->slots[i].pid;
        serving += s->slots[i].role == ROLE_SERVE && !(sim->memory.away[i] & SIM_AWAY_SCALED);
    }
    qsort(pids, live, sizeof pids[0], by_pid);
    for (size_t i = 1; i < live; i++)
        must(sim, pids[i - 1] != pids[i], "a pid in two slots");
    size_t wanted = count_wanted(sim),
           needed = s->transition.step >= SUP_STEP_START ? s->transition.needed : 0;
    size_t most = wanted > needed ? wanted : needed;
    bool calm = s->phase == SUP_PHASE_SERVING && s->transition.step == SUP_STEP_NONE;
    if (calm || (sup_serves(s) && most > sim->memory.peak))
        sim->memory.peak = most;
    must(sim, !sup_serves(s) || serving <= (calm ? 1 : 2) * sim->memory.peak, "too many workers");
    must(sim, !sim->exited || live == 0, "EXIT while a process lives");
    must(sim, s->phase != SUP_PHASE_STOPPING || live > 0, "a stop that waits for nobody");
}

/* Somebody will wake us before any time that matters; and never at once again. */
static void check_wake(struct sim *sim)
{
    const struct supervisor *s = sim->s;
    must(sim, mono_before(sim->now, sim->wake), "wake is not in the future: a busy loop");
    must(sim, (s->phase == SUP_PHASE_DONE) == sim->exited, "EXIT and DONE disagree");
    bool ready = supervisor_count(s, SLOT_READY) > 0, never = !mono_before(sim->wake, MONO_NEVER);
    for (size_t i = 0; i < s->slots_len; i++) {
        const struct sup_slot *slot = &s->slots[i];
        must(sim, s->phase == SUP_PHASE_DONE || !mono_before(slot->deadline, sim->wake),
             "a deadline is slept through");
        bool waits = slot->wanted && !slot_is_live(slot) && mono_before(slot->retry_at, MONO_NEVER);
        if (sup_serves(s) && waits && !(s->one_at_a_time && supervisor_count(s, SLOT_STARTING)))
            must(sim, !never, "a slot is forgotten");
        bool flagged = slot->wanted && slot->state == SLOT_READY && (slot->hung || slot->recycle);
        if (s->phase == SUP_PHASE_SERVING && s->transition.step == SUP_STEP_NONE && flagged)
            must(sim, !never, "a replacement is forgotten");
    }
    if (sup_serves(s) && !ready)
        must(sim, !never, "nobody is ready and nobody will give up");
    if (s->transition.step == SUP_STEP_SETTLE || s->phase == SUP_PHASE_DELAYING)
        must(sim, !never, "the end of a delay is forgotten");
}

void laws_at_rest(struct sim *sim)
{
    for (size_t i = 0; i < sim->s->slots_len; i++)
        check_slot(sim, &sim->s->slots[i]);
    check_transition(sim);
    check_pids(sim);
    check_wake(sim);
}
