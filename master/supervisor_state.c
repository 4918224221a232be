/* supervisor_state.c: what the supervisor knows, as records of the state, and back (supervisor.h).
 * Only in the midst of a reload, at EXEC or RETURN, while it serves: what can be nothing else then
 * is not written. */
#include "master/state.h"
#include "master/supervisor.h"
#include "shared/check.h"

/* ---- out ------------------------------------------------------------------------------------- */

static void save_transition(const struct sup_transition *t, struct state_supervisor *to)
{
    to->reload_asked = t->reload_asked;
    to->upgrade_asked = t->upgrade_asked;
    to->reloads = t->reloads;
    to->trial_generation = t->generation;
    to->begun_ms = t->begun.ms;
    to->recycle_at_ms = t->recycle_at.ms;
    to->recycle_failures = t->recycle_failures;
    to->hung_at_ms = t->hung_at.ms;
    to->exec_born = (int64_t)t->exec_born;
}

static void save_slot(const struct sup_slot *slot, struct state_slot *to)
{
    to->state = slot->state;
    to->wanted = slot->wanted;
    to->recycle = slot->recycle;
    to->hung = slot->hung;
    to->moving = slot->moving;
    to->born = (int64_t)slot->born;
    to->generation = slot->generation;
    to->pid = slot->pid;
    to->deadline_ms = slot->deadline.ms;
    to->retry_at_ms = slot->retry_at.ms;
    to->ready_at_ms = slot->ready_at.ms;
    to->drain_until_ms = slot->drain_until.ms;
    to->told_to_cut = slot->told_to_cut;
    to->cut = slot->cut;
    to->deaths = slot->deaths;
    to->fork_failures = slot->fork_failures;
    to->last_status = slot->last_status;
    to->alike = slot->alike;
}

/* Any other is as slot_init leaves it, but for deaths that nobody looks at any more. */
static bool is_worth_saving(const struct sup_slot *slot)
{
    return slot->role == ROLE_SERVE && (slot->wanted || slot->state != SLOT_EMPTY);
}

void supervisor_save(const struct supervisor *s, struct state *state)
{
    ASSERT(s->phase == SUP_PHASE_SERVING);
    struct state_supervisor *to = state_add_supervisor(state);
    to->generation = s->generation;
    to->last_generation = s->last_generation;
    to->workers = s->settings.workers;
    to->override = s->override;
    to->born = (int64_t)s->born;
    to->served = s->served;
    to->announced = s->announced;
    to->one_at_a_time = s->one_at_a_time;
    to->boot_failures = s->boot_failures;
    to->first_deadline_ms = s->first_deadline.ms;
    to->give_up_at_ms = s->give_up_at.ms;
    to->interrupted_at_ms = s->interrupted_at.ms;
    to->milli_tokens = s->forks.milli_tokens;
    to->filled_at_ms = s->forks.filled_at.ms;
    to->random = (int64_t)s->random;
    to->foreign = (int64_t)s->foreign;
    to->late = (int64_t)s->late;
    save_transition(&s->transition, to);
    for (size_t i = 0; i < s->slots_len; i++) {
        if (!is_worth_saving(&s->slots[i]))
            continue;
        struct state_slot *slot = state_add_slot(state);
        slot->index = (int64_t)i;
        save_slot(&s->slots[i], slot);
    }
}

/* ---- back ------------------------------------------------------------------------------------ */

static void restore_transition(const struct state_supervisor *from, struct sup_transition *t)
{
    t->step = SUP_STEP_EXEC;
    t->kind = SUP_KIND_RELOAD;
    t->upgrade = true;
    t->reload_asked = from->reload_asked != 0;
    t->upgrade_asked = from->upgrade_asked != 0;
    t->reloads = (unsigned)from->reloads;
    t->generation = (unsigned)from->trial_generation;
    t->begun.ms = from->begun_ms;
    t->recycle_at.ms = from->recycle_at_ms;
    t->recycle_failures = (unsigned)from->recycle_failures;
    t->hung_at.ms = from->hung_at_ms;
    t->exec_born = (uint64_t)from->exec_born;
}

static void restore_slot(const struct state_slot *from, struct sup_slot *slot)
{
    slot->state = (enum slot_state)from->state;
    slot->wanted = from->wanted != 0;
    slot->recycle = from->recycle != 0;
    slot->hung = from->hung != 0;
    slot->moving = from->moving != 0;
    slot->born = (uint64_t)from->born;
    slot->generation = (unsigned)from->generation;
    slot->pid = (pid_t)from->pid;
    slot->deadline.ms = from->deadline_ms;
    slot->retry_at.ms = from->retry_at_ms;
    slot->ready_at.ms = from->ready_at_ms;
    slot->drain_until.ms = from->drain_until_ms;
    slot->told_to_cut = from->told_to_cut != 0;
    slot->cut = from->cut;
    slot->deaths = (unsigned)from->deaths;
    slot->fork_failures = (unsigned)from->fork_failures;
    slot->last_status = (int)from->last_status;
    slot->alike = (unsigned)from->alike;
}

static void restore(struct supervisor *s, const struct state_supervisor *from)
{
    s->phase = SUP_PHASE_SERVING;
    s->generation = (unsigned)from->generation;
    s->last_generation = (unsigned)from->last_generation;
    s->override = (unsigned)from->override;
    s->born = (uint64_t)from->born;
    s->served = from->served != 0;
    s->announced = from->announced != 0;
    s->one_at_a_time = from->one_at_a_time != 0;
    s->boot_failures = (unsigned)from->boot_failures;
    s->first_deadline.ms = from->first_deadline_ms;
    s->give_up_at.ms = from->give_up_at_ms;
    s->interrupted_at.ms = from->interrupted_at_ms;
    s->random = (uint64_t)from->random;
    s->foreign = (uint64_t)from->foreign;
    s->late = (uint64_t)from->late;
    sup_size_bucket(s);
    s->forks.milli_tokens = from->milli_tokens;
    s->forks.filled_at.ms = from->filled_at_ms;
}

struct supervisor *supervisor_restore(const struct sup_settings *settings,
                                      const struct state *state)
{
    const struct state_supervisor *from = &state->supervisor[0];
    struct sup_settings then = *settings;
    then.workers = (unsigned)from->workers;
    then.workers_max = (unsigned)(state->master[0].slots_len - 2) / 2;
    struct supervisor *s = supervisor_new(&then);
    if (!s)
        return NULL;
    restore(s, from);
    restore_transition(from, &s->transition);
    for (size_t i = 0; i < state->slot_len; i++)
        restore_slot(&state->slot[i], &s->slots[state->slot[i].index]);
    return s;
}
