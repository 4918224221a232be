/* supervisor_laws.c: see supervisor_laws.h. */
#include "supervisor_laws.h"

#include <signal.h>
#include <string.h>

/* Before each step. */
static struct {
    enum sup_phase phase;
    struct sup_transition transition;
    unsigned generation;
    unsigned wanted;
    int ended; /* the slot whose process, or fork, this very event ended; or -1 */
    const struct sup_event *event;
    struct sup_slot slots[SCOREBOARD_SLOTS_MAX];
} before;

static bool committed; /* COMMIT came in this step */

void must(struct sim *sim, bool holds, const char *what)
{
    if (!holds && !sim->broken)
        sim->broken = what;
}

unsigned count_wanted(const struct sim *sim)
{
    unsigned n = 0;
    for (size_t i = 0; i < sim->s->slots_len; i++)
        n += sim->s->slots[i].wanted;
    return n;
}

static bool is_open(const struct sup_transition *t)
{
    return t->step == SUP_STEP_START || t->step == SUP_STEP_SETTLE;
}

/* A candidate that is none any more and did not go back: it is wanted; or was, and scaling has
 * taken it in the same step. */
static bool became_wanted(const struct sim *sim)
{
    for (size_t i = 0; i < sim->s->slots_len && sim->s->phase == SUP_PHASE_SERVING; i++) {
        const struct sup_slot *was = &before.slots[i], *is = &sim->s->slots[i];
        if (was->candidate && is->pid > 0 && is->pid == was->pid && !is->candidate && !is->retiring)
            return true;
    }
    return false;
}

/* This step makes the candidates the workers. */
static bool commits(const struct sim *sim)
{
    return committed || (before.transition.kind != SUP_KIND_RELOAD && became_wanted(sim));
}

/* The transition is still the one of before. */
static bool is_same(const struct sim *sim)
{
    const struct sup_transition *t = &sim->s->transition, *was = &before.transition;
    return was->step != SUP_STEP_NONE && t->begun.ms == was->begun.ms && t->kind == was->kind &&
           t->reloads == was->reloads && !commits(sim);
}

void laws_before(struct sim *sim, const struct sup_event *event)
{
    const struct supervisor *s = sim->s;
    bool ends = event->type == SUP_EXITED || event->type == SUP_SPAWN_FAILED;
    before.phase = s->phase;
    before.transition = s->transition;
    before.generation = s->generation;
    before.wanted = count_wanted(sim);
    before.ended = ends ? event->slot : -1;
    before.event = event;
    memcpy(before.slots, s->slots, s->slots_len * sizeof before.slots[0]);
    if (event->type == SUP_SPAWNED)
        before.slots[event->slot].pid = event->pid; /* the rest of the step knows it */
    struct sim_memory *m = &sim->memory;
    bool reload = event->type == SUP_REQUEST && event->request == SUP_REQUEST_RELOAD;
    if (reload && s->phase < SUP_PHASE_DELAYING)
        m->reload_asked = true;
    if (event->type == SUP_PREPARED && m->stage == SIM_ASKED_PREPARE && event->status == 0)
        m->stage = SIM_PREPARED;
    if (event->type == SUP_ADOPTED && m->stage == SIM_ASKED_EXEC)
        m->stage = SIM_ADOPTED;
    if ((event->type == SUP_RETURNED || event->type == SUP_EXEC_FAILED) &&
        m->stage == SIM_ASKED_RETURN)
        m->stage = SIM_BACK;
    if (event->type == SUP_BOUND && m->stage == SIM_ASKED_BIND && event->status == 0)
        m->stage = SIM_BOUND;
    if (event->type == SUP_EXITED && event->slot == supervisor_job_slot(s) &&
        m->stage == SIM_CHECKING && event->status == 0)
        m->stage = SIM_CHECKED;
    committed = false;
}

/* ---- processes ------------------------------------------------------------------------------- */

static void check_worker_spawn(struct sim *sim, const struct sup_action *a)
{
    const struct supervisor *s = sim->s;
    const struct sup_slot *was = &before.slots[a->slot], *is = &s->slots[a->slot];
    must(sim, sup_serves(s), "SPAWN of a worker while not serving");
    must(sim, is->wanted != is->candidate, "a worker that is neither wanted nor a candidate");
    must(sim, !is->candidate || !was->candidate || !is_same(sim), "a candidate is tried again");
    must(sim, !is->candidate || is_open(&s->transition), "a candidate without a transition");
    must(sim, a->generation == (is->candidate ? s->transition.generation : s->generation),
         "a worker of the wrong generation");
    if (s->one_at_a_time && !is->candidate)
        must(sim, supervisor_count(s, SLOT_STARTING) == 1, "two try at a time");
}

static void check_spawn(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    bool vacant = !slot_is_live(was) || a->slot == before.ended;
    must(sim, vacant, "SPAWN into an occupied slot");
    bool anew = before.event->type == SUP_REQUEST || commits(sim); /* the back-off was given up */
    must(sim, anew || !mono_before(sim->now, was->retry_at), "SPAWN before its time");
    must(sim, before.phase != SUP_PHASE_DONE, "SPAWN after the end");
    must(sim, sim->memory.away[a->slot] == 0 || a->slot == before.ended,
         "SPAWN where somebody is leaving");
    must(sim, a->held == sim->s->slots[a->slot].candidate, "newcomers at the wrong one");
    if (a->role == ROLE_SERVE)
        check_worker_spawn(sim, a);
    if (a->role == ROLE_CHECK) {
        must(sim, sim->memory.stage == SIM_PREPARED, "CHECK of what was not prepared");
        sim->memory.stage = SIM_CHECKING;
    }
}

/* After its deadline; or at once where nobody can be served: never ready, or a job, in a quick
 * stop. */
static void check_kill(struct sim *sim, const struct sup_slot *was, const struct sup_slot *is)
{
    bool due = !mono_before(sim->now, was->deadline);
    bool harmless = sim->s->quick && (was->role != ROLE_SERVE || !mono_is_set(was->ready_at));
    must(sim, due || harmless, "SIGKILL before the deadline");
    must(sim, is->state == SLOT_KILLED, "SIGKILL is not remembered");
    must(sim, !mono_before(is->deadline, MONO_NEVER), "SIGKILL twice");
}

static void check_abort(struct sim *sim, const struct sup_action *a)
{
    struct sim_memory *m = &sim->memory;
    const struct sup_slot *was = &before.slots[a->slot], *is = &sim->s->slots[a->slot];
    must(sim, was->state == SLOT_READY && was->hung && was->leaving, "ABRT to one that is well");
    must(sim, before.transition.kind == SUP_KIND_HUNG, "ABRT in another transition");
    must(sim, mono_diff_ms(is->deadline, sim->now) == sim->s->settings.kill_ms,
         "ABRT without a deadline");
    must(sim,
         !mono_is_set(m->aborted_at) ||
             mono_diff_ms(sim->now, m->aborted_at) >= sim->s->settings.hung_gap_ms,
         "two ABRT too near");
    m->aborted_at = sim->now;
    m->away[a->slot] |= SIM_AWAY_ABORTED;
}

static void check_signal(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot], *is = &sim->s->slots[a->slot];
    bool aborted = sim->memory.away[a->slot] & SIM_AWAY_ABORTED;
    must(sim, a->pid > 0 && a->pid == was->pid, "signal to a pid that is not there");
    must(sim, was->state != SLOT_KILLED || aborted, "a killed process is signalled again");
    if (a->signal == SIGKILL)
        check_kill(sim, was, is);
    else if (a->signal == SIGABRT)
        check_abort(sim, a);
    else
        must(sim, was->role != ROLE_SERVE, "TERM to a worker");
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Scaling takes those that never were READY first, and of the same use the youngest. */
static void check_choice(struct sim *sim, int taken)
{
    const struct sup_slot *it = &sim->s->slots[taken];
    bool served = mono_is_set(it->ready_at);
    for (size_t i = 0; i < sim->s->slots_len; i++) {
        const struct sup_slot *stays = &sim->s->slots[i];
        bool serves = mono_is_set(stays->ready_at);
        if (!stays->wanted || !slot_is_live(stays))
            continue;
        must(sim, serves || !served, "scaling takes one that serves and leaves one that does not");
        must(sim, serves != served || stays->born < it->born, "scaling takes an older one");
    }
}

/* No old worker is touched before the commit; nor after a rollback. */
static void check_move(struct sim *sim, const struct sup_action *a)
{
    const struct supervisor *s = sim->s;
    const struct sup_slot *was = &before.slots[a->slot];
    bool told = was->state == SLOT_STARTING || was->state == SLOT_READY;
    must(sim, told, "a worker is told to move twice");
    must(sim, before.phase == SUP_PHASE_SERVING, "a worker is to move while not serving");
    if (was->candidate) {
        must(sim, !is_open(&s->transition) || !is_same(sim),
             "a candidate is told to leave in the middle");
        return;
    }
    if (commits(sim))
        return; /* one of the old; or there are more now than are wanted */
    must(sim, !is_same(sim) || !is_open(&s->transition),
         "an old worker is touched before the commit");
    must(sim, was->wanted && !transition_is_open(s), "a worker is told to move for no reason");
    must(sim, before.wanted > sup_target(s, &s->settings), "scaled away without a need");
    check_choice(sim, a->slot);
}

/* A candidate meets clients once all are there; before, only where nobody else would serve them. */
static void check_accept(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    must(sim, was->candidate && was->held, "a worker is let in twice");
    for (size_t i = 0; i < sim->s->slots_len && !commits(sim); i++) {
        const struct sup_slot *old = &before.slots[i];
        bool gone = (int)i == before.ended || before.event->type == SUP_HUNG;
        must(sim, !old->wanted || old->state != SLOT_READY || old->hung || gone,
             "a candidate is let in before the commit");
    }
}

static void check_notify(struct sim *sim, const struct sup_action *a)
{
    const struct sup_slot *was = &before.slots[a->slot];
    bool stopping = sim->s->phase == SUP_PHASE_STOPPING;
    must(sim, a->pid > 0 && a->pid == was->pid, "message to a pid that is not there");
    if (a->message == MESSAGE_MOVE) {
        check_move(sim, a);
    } else if (a->message == MESSAGE_ACCEPT) {
        check_accept(sim, a);
    } else if (a->message == MESSAGE_DRAIN) {
        bool first = was->state == SLOT_STARTING || was->state == SLOT_READY;
        bool moving = was->state == SLOT_DRAINING && was->moving && !was->told_to_cut;
        must(sim, stopping, "a worker is told to drain without a stop");
        must(sim, first || moving, "a worker is told to drain twice");
    } else {
        bool overdue = was->state == SLOT_DRAINING && !mono_before(sim->now, was->deadline);
        must(sim, stopping || overdue, "a worker is told to quit without a stop");
    }
}

/* ---- transitions ----------------------------------------------------------------------------- */

static void check_prepare(struct sim *sim, const struct sup_action *a)
{
    struct sim_memory *m = &sim->memory;
    must(sim, m->stage == SIM_NO_RELOAD, "PREPARE in the middle of a reload");
    must(sim, m->reload_asked, "a reload that nobody asked for");
    must(sim, a->generation > m->generation, "a generation is given twice");
    must(sim, !transition_is_open(sim->s), "PREPARE while candidates live");
    must(sim, before.phase < SUP_PHASE_DELAYING, "PREPARE during a stop");
    m->stage = SIM_ASKED_PREPARE;
    m->reload_asked = false;
    m->generation = a->generation;
}

static void check_commit(struct sim *sim)
{
    must(sim, sim->memory.stage == SIM_BOUND, "COMMIT of what was not bound");
    must(sim, sim->s->generation == sim->memory.generation, "COMMIT without the new generation");
    must(sim, sim->s->phase == SUP_PHASE_SERVING, "COMMIT while not serving");
    unsigned ready = 0;
    for (size_t i = 0; i < sim->s->slots_len; i++) {
        must(sim, !before.slots[i].candidate || (int)i != before.ended, "COMMIT with a loss");
        ready += before.slots[i].candidate && sim->s->slots[i].pid == before.slots[i].pid;
    }
    must(sim, ready == before.transition.needed, "COMMIT before all are there");
    sim->memory.stage = SIM_COMMITTED;
    committed = true;
}

static void check_told(struct sim *sim, const struct sup_action *a)
{
    struct sim_memory *m = &sim->memory;
    if (a->kind != SUP_KIND_RELOAD) {
        must(sim, before.transition.step != SUP_STEP_NONE && before.transition.kind == a->kind,
             "TOLD of what was not begun");
        must(sim, before.transition.step != SUP_STEP_RETIRE || !before.transition.failed,
             "TOLD of a failure twice");
        return;
    }
    bool stays = !before.transition.adopted || a->failure == SUP_FAILURE_STOP;
    must(sim,
         m->stage == SIM_COMMITTED || m->stage == SIM_BACK ||
             ((m->stage == SIM_ROLLED_BACK || m->stage == SIM_ASKED_RETURN) && stays),
         "TOLD before the end");
    must(sim, (a->failure == SUP_FAILURE_PROGRAM) == (before.event->type == SUP_RETURNED),
         "TOLD of another program");
    must(sim, (a->failure == SUP_FAILURE_NONE) == (m->stage == SIM_COMMITTED),
         "TOLD the wrong thing");
    must(sim, (a->failure == SUP_FAILURE_WORKER) == (a->lost >= 0), "who was lost?");
    m->stage = SIM_NO_RELOAD;
}

static void check_exec(struct sim *sim)
{
    must(sim, sim->memory.stage == SIM_CHECKED, "EXEC of what was not checked");
    must(sim, sim->s->transition.step == SUP_STEP_EXEC || sim->s->phase > SUP_PHASE_SERVING,
         "EXEC in another step"); /* a stop in the same step takes it back: nobody executes */
    sim->memory.stage = SIM_ASKED_EXEC;
}

/* Nobody of the new program's workers is left. */
static void check_return(struct sim *sim, const struct sup_action *a)
{
    must(sim, sim->memory.stage == SIM_ROLLED_BACK, "RETURN before ROLLBACK");
    must(sim, before.transition.adopted, "RETURN from nowhere");
    must(sim, (a->failure == SUP_FAILURE_WORKER) == (a->lost >= 0), "who was lost?");
    for (size_t i = 0; i < sim->s->slots_len; i++)
        must(sim, !sim->s->slots[i].retiring && !sim->s->slots[i].candidate,
             "RETURN while the new program's workers live");
    sim->memory.stage = SIM_ASKED_RETURN;
}

static void check_rollback(struct sim *sim)
{
    enum sim_stage stage = sim->memory.stage;
    must(sim, stage >= SIM_ASKED_PREPARE && stage <= SIM_BOUND, "ROLLBACK of nothing");
    must(sim, sim->s->generation == before.generation, "ROLLBACK changed the generation");
    sim->memory.stage = SIM_ROLLED_BACK;
}

void laws_on_action(struct sim *sim, const struct sup_action *a)
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
    case SUP_PREPARE:
        check_prepare(sim, a);
        return;
    case SUP_BIND:
        must(sim, sim->memory.stage == SIM_CHECKED || sim->memory.stage == SIM_ADOPTED,
             "BIND of what was not checked");
        sim->memory.stage = SIM_ASKED_BIND;
        return;
    case SUP_EXEC:
        check_exec(sim);
        return;
    case SUP_RETURN:
        check_return(sim, a);
        return;
    case SUP_COMMIT:
        check_commit(sim);
        return;
    case SUP_ROLLBACK:
        check_rollback(sim);
        return;
    case SUP_TOLD:
        check_told(sim, a);
        return;
    case SUP_EXIT:
        must(sim, sim->s->phase == SUP_PHASE_DONE && before.phase != SUP_PHASE_DONE, "EXIT twice");
        sim->exited = true;
        sim->code = a->code;
        return;
    case SUP_STOPPING:
    case SUP_REFUSE:
        must(sim, sim->s->phase >= SUP_PHASE_DELAYING, "the doors close without a stop");
        return;
    case SUP_SHUT:
    case SUP_LOG:
        return;
    }
}

/* ---- after each step ------------------------------------------------------------------------- */

static void check_obedience(struct sim *sim)
{
    const struct supervisor *s = sim->s;
    const struct sup_event *e = before.event;
    bool stop = e->type == SUP_REQUEST && e->request <= SUP_REQUEST_QUIT;
    must(sim, !stop || s->phase >= SUP_PHASE_DELAYING, "a stop is not obeyed");
    must(sim, s->phase < SUP_PHASE_DELAYING || s->transition.step == SUP_STEP_NONE,
         "a transition goes on during a stop");
    must(sim, s->generation >= before.generation, "the generation went back");
    must(sim, s->generation == before.generation || committed, "a generation without a COMMIT");
}

/* It leaves, and no transition waits for that. */
static bool is_scaled_away(const struct sup_slot *was, const struct sup_slot *is)
{
    return (was->wanted || was->candidate) && !is->wanted && !is->candidate && !is->retiring;
}

void laws_after(struct sim *sim)
{
    struct sim_memory *m = &sim->memory;
    for (size_t i = 0; i < sim->s->slots_len; i++) {
        const struct sup_slot *was = &before.slots[i], *is = &sim->s->slots[i];
        if (!slot_is_live(is) || is->pid != was->pid)
            m->away[i] = 0;
        else if (is_scaled_away(was, is))
            m->away[i] |= SIM_AWAY_SCALED;
    }
    if (sim->s->phase >= SUP_PHASE_DELAYING)
        m->reload_asked = false;
    must(sim, commits(sim) || !became_wanted(sim), "candidates take over without a COMMIT");
    check_obedience(sim);
}
