/* explore_offer.c: see explore_internal.h. */
#include "explore_internal.h"

#include <signal.h>

/* One event in the state of *node*, so much later, and every answer to what it leads to. */
static void offer(struct exploration *x, const struct node *node, const struct sup_event *event,
                  int64_t later_ms)
{
    x->fate = (struct fate){0};
    do {
        explore_load(x);
        x->sim.now = mono_add(x->sim.now, later_ms);
        sim_step(&x->sim, event);
        explore_arrive(x, node);
    } while (fate_next(&x->fate));
}

bool explore_ready_is_late(const struct sup_slot *slot)
{
    return slot->role != ROLE_SERVE || slot->state == SLOT_READY || slot->state == SLOT_KILLED ||
           (slot->state == SLOT_DRAINING && mono_is_set(slot->ready_at));
}

bool explore_can_be_flagged(const struct sup_slot *slot)
{
    return slot->state == SLOT_READY && slot->wanted;
}

/* How a worker left that was to leave, or a candidate, matters only to the exit code, if at all;
 * and with which other signal or code one died only to the log. */
static unsigned deaths_that_differ(const struct exploration *x, const struct sup_slot *slot)
{
    if (slot->role != ROLE_SERVE || x->world->counts_cut)
        return 4;
    return slot->wanted ? 3 : 1;
}

static void offer_deaths(struct exploration *x, const struct node *node,
                         const struct sup_slot *slot, struct sup_event event, int64_t later_ms)
{
    static const int deaths[] = {SIGSEGV, SIGKILL, EXIT_CODE_CONFIG << 8, 0};
    event.type = SUP_EXITED;
    for (unsigned i = 0; i < deaths_that_differ(x, slot); i++) {
        event.status = deaths[i];
        offer(x, node, &event, later_ms);
    }
}

static void offer_reports(struct exploration *x, const struct node *node,
                          const struct sup_slot *slot, struct sup_event event, int64_t later_ms)
{
    offer_deaths(x, node, slot, event, later_ms);
    if (slot->role != ROLE_SERVE)
        return;
    event.type = SUP_READY;
    if (!explore_ready_is_late(slot) || later_ms > 0)
        offer(x, node, &event, later_ms);
    event.type = SUP_CUT;
    event.value = slot->cut == 0;
    if (x->world->counts_cut)
        offer(x, node, &event, later_ms);
    event.type = SUP_HUNG;
    if (x->world->flags && explore_can_be_flagged(slot) && !slot->hung)
        offer(x, node, &event, later_ms);
    event.type = SUP_WORN;
    if (x->world->flags && explore_can_be_flagged(slot) && !slot->recycle)
        offer(x, node, &event, later_ms);
}

/* Of slots that are the same but for their index, one is enough. */
bool explore_is_double(const struct exploration *x, size_t i, uint64_t codes[])
{
    codes[i] = state_slot_code(&x->lens, &x->sim, i);
    for (size_t j = 0; j < i; j++)
        if (codes[j] == codes[i])
            return true;
    return false;
}

static void offer_slots(struct exploration *x, const struct node *node, int64_t later_ms)
{
    uint64_t codes[STATE_SLOTS_MAX];
    for (size_t i = 0; i < x->sim.s->slots_len; i++) {
        explore_load(x);
        struct sup_slot slot = x->sim.s->slots[i];
        if (!explore_is_double(x, i, codes) && slot.pid > 0)
            offer_reports(x, node, &slot,
                          (struct sup_event){
                              .slot = (int)i, .generation = slot.generation, .pid = slot.pid},
                          later_ms);
    }
}

static void offer_recycling(struct exploration *x, const struct node *node, int64_t later_ms)
{
    uint64_t codes[STATE_SLOTS_MAX];
    struct sup_event event = {.type = SUP_REQUEST, .request = SUP_REQUEST_RECYCLE, .slot = -1};
    offer(x, node, &event, later_ms);
    for (size_t i = 0; i < x->sim.s->slots_len; i++) {
        explore_load(x);
        event.slot = (int)i;
        if (!explore_is_double(x, i, codes) && x->sim.s->slots[i].state == SLOT_READY)
            offer(x, node, &event, later_ms);
    }
}

static void offer_request(struct exploration *x, const struct node *node, enum sup_request request,
                          int64_t later_ms)
{
    struct sup_event event = {.type = SUP_REQUEST, .slot = -1, .request = request};
    switch (request) {
    case SUP_REQUEST_RECYCLE:
        offer_recycling(x, node, later_ms);
        return;
    case SUP_REQUEST_SCALE: /* one too many: it is cut */
        for (event.value = 1; event.value <= x->world->room + 1; event.value++)
            offer(x, node, &event, later_ms);
        return;
    case SUP_REQUEST_SCALE_BY:
        for (event.value = -1; event.value <= 1; event.value += 2)
            offer(x, node, &event, later_ms);
        return;
    case SUP_REQUEST_RELOAD:
        for (event.value = 0; event.value <= x->world->upgrades; event.value++)
            offer(x, node, &event, later_ms);
        return;
    case SUP_REQUEST_STOP:
    case SUP_REQUEST_INTERRUPT:
    case SUP_REQUEST_QUIT:
    case SUP_REQUEST_SCALE_RESET:
    case SUP_REQUEST_RETRY:
        offer(x, node, &event, later_ms);
        return;
    }
}

static void offer_requests(struct exploration *x, const struct node *node, int64_t later_ms)
{
    for (int request = SUP_REQUEST_STOP; request <= SUP_REQUEST_RETRY; request++)
        if (x->world->requests >> request & 1)
            offer_request(x, node, (enum sup_request)request, later_ms);
}

void explore_offer(struct exploration *x, const struct node *node)
{
    static const struct sup_event tick = {.type = SUP_TICK, .slot = -1};
    enum { LONG_MS = 7 * UNIT_MS }; /* everything is overdue */
    offer(x, node, &tick, UNIT_MS);
    offer_requests(x, node, 0);
    offer_slots(x, node, 0);
    if (!x->world->late)
        return;
    offer(x, node, &tick, LONG_MS);
    offer_requests(x, node, UNIT_MS);
    offer_slots(x, node, UNIT_MS);
}

