/* transition.c: see transition.h. */
#include "master/transition.h"

#include "master/supervisor.h"
#include "shared/check.h"

static const char *const step_names[] = {
#define X(name, text) [SUP_STEP_##name] = text,
    SUP_STEPS(X)
#undef X
};

const char *sup_step_name(enum sup_step step)
{
    return step_names[step];
}

bool transition_is_open(const struct supervisor *s)
{
    return s->transition.step == SUP_STEP_START || s->transition.step == SUP_STEP_SETTLE;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void tell(struct supervisor *s, enum sup_failure failure, int slot, int status,
                 struct sup_actions *out)
{
    struct sup_action *a = sup_act(s, out, SUP_TOLD, -1);
    a->kind = s->transition.kind;
    a->count = s->transition.reloads;
    a->failure = failure;
    a->lost = slot;
    a->status = status;
    a->unborn = s->transition.lost_unborn;
}

static void forget_flags(struct supervisor *s)
{
    for (size_t i = 0; i < s->slots_len; i++)
        s->slots[i].candidate = s->slots[i].leaving = false;
}

/* Whoever was here before gets the word; it tells what became of this. */
static void begin_return(struct supervisor *s, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    t->step = SUP_STEP_RETURN;
    struct sup_action *a = sup_act(s, out, SUP_RETURN, -1);
    a->count = t->reloads;
    a->failure = t->failure;
    a->lost = t->lost_slot;
    a->status = t->failure_status;
    a->unborn = t->lost_unborn;
}

static void note_failure(struct supervisor *s, enum sup_failure failure, int status)
{
    s->transition.failed = true;
    s->transition.failure = failure;
    s->transition.failure_status = status;
}

/* Goes back before any candidate was made. */
static void give_up(struct supervisor *s, enum sup_failure failure, int status,
                    struct sup_actions *out)
{
    sup_act(s, out, SUP_ROLLBACK, -1);
    if (s->transition.adopted) {
        note_failure(s, failure, status);
        begin_return(s, out);
        return;
    }
    s->transition.step = SUP_STEP_NONE;
    tell(s, failure, -1, status, out);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void begin(struct supervisor *s, mono_ms now, enum sup_kind kind)
{
    struct sup_transition *t = &s->transition;
    t->kind = kind;
    t->begun = now;
    t->lost_slot = -1;
    t->lost_unborn = false;
    t->failed = t->upgrade = t->adopted = false;
    t->settled_at = (mono_ms){0};
}

static void begin_reload(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    bool upgrade = t->upgrade_asked;
    begin(s, now, SUP_KIND_RELOAD);
    t->reload_asked = t->upgrade_asked = false;
    t->reloads++;
    t->generation = ++s->last_generation;
    t->step = SUP_STEP_CHECK;
    sup_say(s, out, SUP_LOG_CHECKING)->count = t->reloads;
    struct sup_action *a = sup_act(s, out, SUP_PREPARE, -1);
    a->generation = t->generation;
    a->value = upgrade;
}

void transition_ask_reload(struct supervisor *s, mono_ms now, bool upgrade, struct sup_actions *out)
{
    s->transition.upgrade_asked |= upgrade;
    if (s->phase == SUP_PHASE_SERVING && s->transition.step == SUP_STEP_NONE)
        begin_reload(s, now, out);
    else
        s->transition.reload_asked = true;
}

void transition_prepared(struct supervisor *s, const struct sup_event *event,
                         struct sup_actions *out)
{
    if (s->transition.step != SUP_STEP_CHECK) {
        s->late++;
        return;
    }
    ASSERT(!slot_is_live(&s->slots[supervisor_job_slot(s)])); /* it would judge already */
    s->transition.upgrade = event->value != 0;
    if (event->status != 0)
        give_up(s, SUP_FAILURE_UNREADABLE, event->status, out);
    else
        sup_start_job(s, ROLE_CHECK, out);
}

static void ask_bind(struct supervisor *s, struct sup_actions *out)
{
    sup_act(s, out, SUP_BIND, -1)->generation = s->transition.generation;
}

static void ask_exec(struct supervisor *s, struct sup_actions *out)
{
    s->transition.step = SUP_STEP_EXEC;
    s->transition.exec_born = s->born;
    sup_act(s, out, SUP_EXEC, -1);
}

void transition_checked(struct supervisor *s, int status, struct sup_actions *out)
{
    if (s->transition.step != SUP_STEP_CHECK)
        return;
    if (status != 0)
        give_up(s, SUP_FAILURE_CHECK,
                s->transition.lost_unborn ? s->transition.lost_status : status, out);
    else if (s->transition.upgrade)
        ask_exec(s, out);
    else
        ask_bind(s, out);
}

void transition_adopted(struct supervisor *s, struct sup_actions *out)
{
    ASSERT(s->transition.step == SUP_STEP_EXEC);
    s->transition.adopted = true;
    ask_bind(s, out);
}

void transition_returned(struct supervisor *s, struct sup_actions *out)
{
    ASSERT(s->transition.step == SUP_STEP_EXEC);
    s->transition.step = SUP_STEP_NONE;
    tell(s, SUP_FAILURE_PROGRAM, -1, 0, out);
}

/* Without a way there, all is as before. Without a way back, this program stays, with the workers
 * that are left. */
void transition_exec_failed(struct supervisor *s, int status, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    if (t->step == SUP_STEP_EXEC) {
        give_up(s, SUP_FAILURE_EXEC, status, out);
    } else if (t->step == SUP_STEP_RETURN) {
        t->step = SUP_STEP_NONE;
        tell(s, t->failure, t->lost_slot, t->failure_status, out);
    } else {
        s->late++;
    }
}

/* All that serve now are to be replaced by as many as are wanted then. */
void transition_bound(struct supervisor *s, const struct sup_event *event, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    if (t->step != SUP_STEP_CHECK && t->step != SUP_STEP_EXEC) {
        s->late++;
        return;
    }
    ASSERT(!slot_is_live(&s->slots[supervisor_job_slot(s)])); /* it has judged */
    if (event->status != 0) {
        give_up(s, SUP_FAILURE_BIND, event->status, out);
        return;
    }
    s->next = *event->settings;
    t->needed = sup_target(s, &s->next);
    t->step = SUP_STEP_START;
    for (size_t i = 0; i < s->slots_len; i++)
        s->slots[i].leaving = s->slots[i].wanted;
}

static void begin_single(struct supervisor *s, mono_ms now, enum sup_kind kind,
                         struct sup_slot *old)
{
    begin(s, now, kind);
    s->transition.generation = s->generation;
    s->transition.needed = 1;
    s->transition.step = SUP_STEP_START;
    old->leaving = true;
}

/* The oldest. */
static struct sup_slot *first_flagged(struct supervisor *s, enum sup_kind kind)
{
    struct sup_slot *first = NULL;
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        bool flagged = kind == SUP_KIND_HUNG ? slot->hung : slot->recycle;
        if (flagged && slot->wanted && slot->state == SLOT_READY &&
            (!first || slot->born < first->born))
            first = slot;
    }
    return first;
}

static void begin_next(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    struct sup_slot *slot;
    if (t->reload_asked)
        begin_reload(s, now, out);
    else if (!mono_before(now, t->hung_at) && (slot = first_flagged(s, SUP_KIND_HUNG)))
        begin_single(s, now, SUP_KIND_HUNG, slot);
    else if (!mono_before(now, t->recycle_at) && (slot = first_flagged(s, SUP_KIND_RECYCLE)))
        begin_single(s, now, SUP_KIND_RECYCLE, slot);
}

/* ---- START, SETTLE --------------------------------------------------------------------------- */

/* Candidates not yet made get the slots that are free; others wait for one. */
static void start_candidates(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    unsigned have = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        have += s->slots[i].candidate;
    for (; have < s->transition.needed; have++) {
        struct sup_slot *slot = sup_free_slot(s);
        if (!slot)
            return;
        slot->candidate = true;
        slot_decide(s, slot, now, SLOT_EVENT_START, out);
    }
}

static bool all_ready(const struct supervisor *s)
{
    unsigned ready = 0;
    for (size_t i = 0; i < s->slots_len; i++)
        ready += s->slots[i].candidate && s->slots[i].state == SLOT_READY;
    return ready == s->transition.needed;
}

static void count_failure(struct supervisor *s, mono_ms now)
{
    struct sup_transition *t = &s->transition;
    t->recycle_failures++;
    int64_t delay_ms = backoff_delay_ms(t->recycle_failures + 1, &s->settings.backoff, &s->random);
    t->recycle_at = mono_add(now, delay_ms);
}

/* The old one is of no use either way: it goes, and its slot is filled again like any other. */
static void abort_hung(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->leaving && slot->hung && slot->state == SLOT_READY)
            slot_decide(s, slot, now, SLOT_EVENT_ABORT, out);
    }
    s->transition.hung_at = mono_add(now, s->settings.hung_gap_ms);
}

static void dismiss_candidates(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (!slot->candidate)
            continue;
        slot->retiring = slot_is_live(slot);
        slot_decide(s, slot, now, SLOT_EVENT_MOVE, out);
    }
}

static void roll_back(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    t->step = SUP_STEP_RETIRE;
    t->failed = true;
    if (t->kind == SUP_KIND_HUNG)
        abort_hung(s, now, out);
    if (t->kind == SUP_KIND_RELOAD)
        sup_act(s, out, SUP_ROLLBACK, -1);
    else
        count_failure(s, now);
    dismiss_candidates(s, now, out);
    if (t->adopted)
        note_failure(s, SUP_FAILURE_WORKER, t->lost_status);
    else
        tell(s, SUP_FAILURE_WORKER, t->lost_slot, t->lost_status, out);
    forget_flags(s);
}

/* From now on newcomers come to the candidates that are ready. */
static void let_in(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->candidate && slot->state == SLOT_READY)
            slot_decide(s, slot, now, SLOT_EVENT_ACCEPT, out);
    }
}

/* Of those who are to leave: one that hangs takes nobody. */
static bool anybody_serves(const struct supervisor *s)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (s->slots[i].wanted && s->slots[i].state == SLOT_READY && !s->slots[i].hung)
            return true;
    return false;
}

static void take_over(struct supervisor *s, struct sup_actions *out)
{
    if (s->transition.kind != SUP_KIND_RELOAD)
        return;
    sup_adopt_settings(s, &s->next);
    s->generation = s->transition.generation;
    sup_act(s, out, SUP_COMMIT, -1);
}

static void commit(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    t->step = SUP_STEP_RETIRE;
    t->recycle_failures = 0;
    take_over(s, out);
    let_in(s, now, out); /* before anyone leaves */
    if (t->kind == SUP_KIND_HUNG)
        abort_hung(s, now, out);
    for (size_t i = 0; i < s->slots_len; i++) {
        struct sup_slot *slot = &s->slots[i];
        if (slot->candidate)
            slot->wanted = true;
        if (!slot->leaving)
            continue;
        slot->wanted = slot->recycle = slot->hung = false;
        slot->retiring = slot_is_live(slot);
        if (slot->state != SLOT_KILLED)
            slot_decide(s, slot, now, SLOT_EVENT_MOVE, out);
    }
    forget_flags(s);
}

static void wait_for_candidates(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    if (t->lost_slot >= 0) {
        roll_back(s, now, out);
        return;
    }
    start_candidates(s, now, out);
    if (!anybody_serves(s))
        let_in(s, now, out); /* on trial, but better than nobody */
    if (!all_ready(s))
        return;
    if (t->step == SUP_STEP_START) {
        t->step = SUP_STEP_SETTLE;
        t->settled_at = mono_add(now, t->kind == SUP_KIND_RELOAD ? s->settings.settle_ms : 0);
    }
    if (!mono_before(now, t->settled_at))
        commit(s, now, out);
}

/* ---- RETIRE ---------------------------------------------------------------------------------- */

static void wait_for_the_leaving(struct supervisor *s, struct sup_actions *out)
{
    for (size_t i = 0; i < s->slots_len; i++)
        if (s->slots[i].retiring)
            return;
    if (s->transition.failed && s->transition.adopted) {
        begin_return(s, out);
        return;
    }
    s->transition.step = SUP_STEP_NONE;
    if (!s->transition.failed)
        tell(s, SUP_FAILURE_NONE, -1, 0, out);
}

void transition_run(struct supervisor *s, mono_ms now, struct sup_actions *out)
{
    if (transition_is_open(s))
        wait_for_candidates(s, now, out);
    if (s->transition.step == SUP_STEP_RETIRE)
        wait_for_the_leaving(s, out);
    if (s->transition.step == SUP_STEP_NONE)
        begin_next(s, now, out);
    if (s->transition.step == SUP_STEP_START)
        wait_for_candidates(s, now, out);
}

void transition_abandon(struct supervisor *s, mono_ms now, bool others_go_on,
                        struct sup_actions *out)
{
    struct sup_transition *t = &s->transition;
    bool reload = t->kind == SUP_KIND_RELOAD;
    bool early = t->step == SUP_STEP_CHECK || t->step == SUP_STEP_EXEC || transition_is_open(s);
    bool untold = t->step != SUP_STEP_NONE && (!t->failed || t->adopted);
    if (reload && early)
        sup_act(s, out, SUP_ROLLBACK, -1);
    if (untold)
        tell(s, early || t->failed || !reload ? SUP_FAILURE_STOP : SUP_FAILURE_NONE, -1, 0, out);
    if (others_go_on)
        dismiss_candidates(s, now, out);
    t->step = SUP_STEP_NONE;
    t->reload_asked = t->upgrade_asked = false;
    forget_flags(s);
}

mono_ms transition_wake(const struct supervisor *s)
{
    const struct sup_transition *t = &s->transition;
    mono_ms wake = MONO_NEVER;
    if (t->step == SUP_STEP_SETTLE)
        wake = t->settled_at;
    for (size_t i = 0; t->step == SUP_STEP_NONE && i < s->slots_len; i++) {
        const struct sup_slot *slot = &s->slots[i];
        if (!slot->wanted || slot->state != SLOT_READY)
            continue;
        if (slot->hung)
            wake = mono_min(wake, t->hung_at);
        if (slot->recycle)
            wake = mono_min(wake, t->recycle_at);
    }
    return wake;
}
