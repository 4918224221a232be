/* explore_ends.c: see explore_internal.h. */
#include "explore_internal.h"

#include <signal.h>

enum { PATH_MAX_STEPS = 60 };

/* Nobody does what he is told: whoever gets SIGKILL dies of it, else time passes. */
static void be_stubborn(struct exploration *x)
{
    for (size_t i = 0; i < x->sim.s->slots_len; i++) {
        const struct sup_slot *slot = &x->sim.s->slots[i];
        if (slot->state == SLOT_KILLED && !mono_before(slot->deadline, MONO_NEVER)) {
            sim_exited(&x->sim, (int)i, SIGKILL);
            return;
        }
    }
    int64_t wait_ms = mono_diff_ms(x->sim.wake, x->sim.now) + UNIT_MS - 1;
    x->sim.now = mono_add(x->sim.now, wait_ms - wait_ms % UNIT_MS);
    sim_tick(&x->sim);
}

/* Goes on until *over*; or until a state from which that is known to come. */
static void must_end(struct exploration *x, unsigned depth, struct seen *known,
                     bool (*over)(const struct exploration *x))
{
    struct state_key path[PATH_MAX_STEPS];
    size_t len = 0;
    for (; !over(x); be_stubborn(x)) {
        if (x->sim.broken)
            explore_broken(x, depth, x->sim.broken);
        if (len == PATH_MAX_STEPS)
            explore_broken(x, depth, "it does not end");
        state_key(&x->lens, &x->sim, &path[len]);
        if (seen_has(known, &path[len]))
            break;
        len++;
    }
    for (size_t i = 0; i < len; i++)
        seen_add(known, &path[i]);
}

static bool has_exited(const struct exploration *x)
{
    return x->sim.exited;
}

/* The longest stop there is. */
static void stop_must_end(struct exploration *x, const struct node *node)
{
    explore_load(x);
    x->sim.fate = NULL;
    sim_request(&x->sim, SUP_REQUEST_STOP);
    must_end(x, node->depth, &x->stoppable, has_exited);
    x->sim.fate = &x->fate;
}

static struct sup_transition present; /* that is to end */

static bool transition_is_over(const struct exploration *x)
{
    const struct sup_transition *t = &x->sim.s->transition;
    return x->sim.exited || t->step == SUP_STEP_NONE || t->begun.ms != present.begun.ms ||
           t->kind != present.kind || t->reloads != present.reloads;
}

/* The longest transition: it goes back, or the master gives up. */
static void transition_must_end(struct exploration *x, const struct node *node)
{
    explore_load(x);
    present = x->sim.s->transition;
    if (present.step == SUP_STEP_NONE)
        return;
    x->sim.fate = NULL;
    sim_tick(&x->sim); /* for the wake */
    must_end(x, node->depth, &x->finite, transition_is_over);
    x->sim.fate = &x->fate;
}

void explore_ends(struct exploration *x, const struct node *node)
{
    stop_must_end(x, node);
    transition_must_end(x, node);
}
