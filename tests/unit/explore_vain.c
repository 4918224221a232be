/* explore_vain.c: see explore_internal.h. The linker puts __wrap_check_failed in the place of
 * check_failed (--wrap). */
#include "explore_internal.h"

#include "shared/check.h"

#include <setjmp.h>
#include <string.h>

static jmp_buf *impossible; /* where an ASSERT leads to; NULL: to the end, as ever */

_Noreturn void __real_check_failed(const char *file, int line, const char *what);
_Noreturn void __wrap_check_failed(const char *file, int line, const char *what);

/* The linker's --wrap puts it in the place of check_failed. */
_Noreturn void __wrap_check_failed(const char *file, int line, const char *what)
{
    if (impossible)
        longjmp(*impossible, 1);
    __real_check_failed(file, line, what);
}

/* An event that cannot be: an ASSERT must say so. */
static void must_assert(struct exploration *x, const struct node *node,
                        const struct sup_event *event)
{
    static struct sup_actions out;
    jmp_buf back;
    x->offered[event->type]++;
    impossible = &back;
    if (setjmp(back) == 0) {
        supervisor_step(x->sim.s, x->sim.now, event, &out);
        impossible = NULL;
        explore_broken(x, node->depth, "an impossible event is taken for a possible one");
    }
    impossible = NULL;
}

/* An event that is late or foreign: counted or not, nothing follows. */
static void must_ignore(struct exploration *x, const struct node *node,
                        const struct sup_event *event, bool counted)
{
    static struct sup_actions out;
    uint64_t ignored = x->sim.s->foreign + x->sim.s->late;
    x->offered[event->type]++;
    supervisor_step(x->sim.s, x->sim.now, event, &out);
    if (out.len > 0)
        explore_broken(x, node->depth, "an event that is late or foreign leads to something");
    if (counted && x->sim.s->foreign + x->sim.s->late != ignored + 1)
        explore_broken(x, node->depth, "an event that is late or foreign is not counted");
}

static void ignore_foreign(struct exploration *x, const struct node *node, int i)
{
    static const enum sup_event_type types[] = {SUP_READY, SUP_CUT, SUP_EXITED, SUP_HUNG, SUP_WORN};
    const struct sup_slot *slot = &x->sim.s->slots[i];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        struct sup_event event = {
            .type = types[t], .slot = i, .generation = slot->generation, .pid = slot->pid + 1};
        must_ignore(x, node, &event, true);
        event.pid = slot->pid;
        event.generation++;
        must_ignore(x, node, &event, true);
    }
}

/* About a process that lives, but not of a kind that could matter now. */
static void ignore_late(struct exploration *x, const struct node *node, int i)
{
    const struct sup_slot *slot = &x->sim.s->slots[i];
    struct sup_event event = {.slot = i, .generation = slot->generation, .pid = slot->pid};
    if (slot->pid == 0)
        return;
    event.type = SUP_READY;
    if (explore_ready_is_late(slot))
        must_ignore(x, node, &event, true);
    event.type = SUP_CUT;
    if (slot->role != ROLE_SERVE)
        must_ignore(x, node, &event, true);
    event.type = SUP_HUNG;
    if (!explore_can_be_flagged(slot) || slot->hung)
        must_ignore(x, node, &event, !explore_can_be_flagged(slot));
    event.type = SUP_WORN;
    if (!explore_can_be_flagged(slot) || slot->recycle)
        must_ignore(x, node, &event, !explore_can_be_flagged(slot));
}

static void ignore_requests(struct exploration *x, const struct node *node)
{
    static struct sup_actions out;
    struct sup_event event = {.type = SUP_REQUEST, .slot = -1};
    x->offered[SUP_REQUEST]++; /* here, or as something that is asked for */
    if (x->sim.s->phase < SUP_PHASE_DELAYING)
        return;
    for (int request = SUP_REQUEST_RELOAD; request <= SUP_REQUEST_RETRY; request++) {
        event.request = (enum sup_request)request;
        supervisor_step(x->sim.s, x->sim.now, &event, &out);
        if (out.len != 1 || out.items[0].log != SUP_LOG_REQUEST_REFUSED)
            explore_broken(x, node->depth, "a request during a stop is not refused");
    }
}

static void refuse_answers(struct exploration *x, const struct node *node, int i)
{
    must_assert(x, node, &(struct sup_event){.type = SUP_SPAWNED, .slot = i, .pid = 9});
    must_assert(x, node, &(struct sup_event){.type = SUP_SPAWN_FAILED, .slot = i});
}

static void refuse_impossible(struct exploration *x, const struct node *node)
{
    static const struct sup_settings settings;
    must_assert(x, node, &(struct sup_event){.type = SUP_START, .slot = -1});
    must_assert(x, node, &(struct sup_event){.type = SUP_ADOPTED, .slot = -1});
    must_assert(x, node, &(struct sup_event){.type = SUP_RETURNED, .slot = -1});
    must_ignore(x, node, &(struct sup_event){.type = SUP_EXEC_FAILED, .slot = -1}, true);
    for (int status = -1; status <= 0; status++) {
        struct sup_event event = {.slot = -1, .status = status, .settings = &settings};
        for (int i = 0; i < 2; i++) {
            event.type = i == 0 ? SUP_PREPARED : SUP_BOUND;
            if (x->sim.s->transition.step == SUP_STEP_CHECK)
                must_assert(x, node, &event);
            else
                must_ignore(x, node, &event, true);
        }
    }
}

/* All of it on one and the same state, which must be as it was in the end. */
void explore_offer_in_vain(struct exploration *x, const struct node *node)
{
    static uint64_t image[IMAGE_WORDS];
    uint64_t codes[STATE_SLOTS_MAX];
    explore_load(x);
    uint64_t late = x->sim.s->late, foreign = x->sim.s->foreign;
    must_ignore(x, node, &(struct sup_event){.type = SUP_TICK, .slot = -1}, false);
    for (int i = 0; i < (int)x->sim.s->slots_len; i++) {
        if (explore_is_double(x, (size_t)i, codes))
            continue;
        ignore_foreign(x, node, i);
        ignore_late(x, node, i);
        refuse_answers(x, node, i);
    }
    ignore_requests(x, node);
    refuse_impossible(x, node);
    x->sim.s->late = late;
    x->sim.s->foreign = foreign;
    explore_save(x, image);
    if (memcmp(image, x->image, x->image_words * sizeof image[0]) != 0)
        explore_broken(x, node->depth, "what should be ignored has changed something");
}

