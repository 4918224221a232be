/* test_explore.c: every story that one to three workers can live through, breadth first, until no
 * new state appears or there are too many. The laws are supervisor_laws.h's, and two about the
 * whole graph: from every state a stop leads to EXIT, and every transition ends. */
#include "state_key.h"
#include "supervisor_sim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- worlds ---------------------------------------------------------------------------------- */

/* What may happen in one exploration. All of it together would be too much at once. */
struct world {
    const char *name;
    unsigned workers, room;
    bool jobs;
    int64_t stop_delay_ms;
    unsigned requests; /* of enum sup_request, a bit each */
    bool flags;        /* HUNG, WORN */
    size_t most;       /* states; 0: until no new one appears */
    bool to_the_end;   /* each state is also asked for its longest stop and transition */
};

#define ASK(request) (1u << SUP_REQUEST_##request)
#define STOPS        (ASK(STOP) | ASK(INTERRUPT) | ASK(QUIT))

static struct sup_settings settings_of(const struct world *w)
{
    bool plain = !(w->requests & ~STOPS) && !w->flags;
    return (struct sup_settings){
        .workers = w->workers,
        .workers_max = w->room,
        .migrate = w->jobs,
        .checkpoint = w->jobs,
        .boot_timeout_ms = 2 * UNIT_MS,
        .graceful_timeout_ms = plain ? 2 * UNIT_MS : UNIT_MS,
        .min_ready_ms = UNIT_MS,
        .stable_ms = plain ? 3 * UNIT_MS : 2 * UNIT_MS,
        .give_up_ms = 3 * UNIT_MS,
        .quick_ms = UNIT_MS,
        .quick_kill_ms = UNIT_MS,
        .kill_ms = plain ? 2 * UNIT_MS : UNIT_MS,
        .checkpoint_ms = UNIT_MS,
        .check_ms = UNIT_MS,
        .settle_ms = UNIT_MS,
        .hung_gap_ms = 3 * UNIT_MS,
        .stop_delay_ms = w->stop_delay_ms,
        .interrupt_again_ms = UNIT_MS,
        .boot_failures_max = plain ? 5 : 3,
        .backoff = {.first_ms = UNIT_MS, .max_ms = plain ? 4 * UNIT_MS : 2 * UNIT_MS},
        .forks_burst = plain ? 2 * w->workers : 1000,
        .forks_per_s = plain ? w->workers : 1000,
    };
}

/* ---- breadth first --------------------------------------------------------------------------- */

struct node {
    struct node *next;
    mono_ms now;
    unsigned depth;
    struct sim_memory *memory;  /* in the same block, cut to its size */
    unsigned char supervisor[]; /* bytes of a struct supervisor and its slots */
};

struct exploration {
    const struct world *world;
    struct sim sim; /* the state under the lens */
    size_t supervisor_size;
    struct seen seen;
    struct node *first, **last;
    size_t transitions;
    size_t exits[80]; /* by exit code */
    unsigned depth;
};

static void load(struct exploration *x, const struct node *node)
{
    memcpy(x->sim.s, node->supervisor, x->supervisor_size);
    memcpy(&x->sim.memory, node->memory, sim_memory_size(&x->sim));
    x->sim.now = node->now;
    x->sim.next_pid = 100;
    for (size_t i = 0; i < x->sim.s->slots_len; i++)
        if (x->sim.s->slots[i].pid >= x->sim.next_pid)
            x->sim.next_pid = x->sim.s->slots[i].pid + 1;
    x->sim.forks_fail = 0;
    x->sim.prepare_fails = x->sim.bind_fails = x->sim.exec_fails = false;
    x->sim.next.workers = x->world->workers;
    x->sim.exited = false;
}

static struct node *keep(struct exploration *x, unsigned depth)
{
    size_t memory_size = sim_memory_size(&x->sim);
    struct node *node = malloc(sizeof *node + x->supervisor_size + memory_size);
    assert_non_null(node);
    node->next = NULL;
    node->now = x->sim.now;
    node->depth = depth;
    node->memory = (struct sim_memory *)(void *)(node->supervisor + x->supervisor_size);
    memcpy(node->supervisor, x->sim.s, x->supervisor_size);
    memcpy(node->memory, &x->sim.memory, memory_size);
    return node;
}

static _Noreturn void broken(const struct exploration *x, unsigned depth, const char *what)
{
    const struct supervisor *s = x->sim.s;
    print_message("phase %s, %s, step %s, kind %d\n", sup_phase_name(s->phase),
                  s->quick ? "quick" : "not quick", sup_step_name(s->transition.step),
                  (int)s->transition.kind);
    for (size_t i = 0; i < s->slots_len; i++)
        print_message("  slot %zu: %s, flags %#x\n", i, slot_state_name(s->slots[i].state),
                      state_flags(&s->slots[i]));
    fail_msg("%s, depth %u: %s", x->world->name, depth, what);
    abort();
}

/* The state after a step: counted, and queued when it is new. */
static void arrive(struct exploration *x, unsigned depth)
{
    x->transitions++;
    if (x->sim.broken)
        broken(x, depth, x->sim.broken);
    if (x->sim.exited)
        x->exits[x->sim.code]++;
    if (x->world->most && x->seen.len >= x->world->most)
        return;
    if (!seen_add(&x->seen, x->sim.s, x->sim.now))
        return;
    x->depth = depth;
    if (x->sim.exited)
        return;
    struct node *node = keep(x, depth);
    *x->last = node;
    x->last = &node->next;
}

/* The ways in which the world may answer. */
struct twist {
    unsigned forks_fail;
    bool prepare_fails, bind_fails, exec_fails, one_more; /* configured */
};

static void try_twisted(struct exploration *x, const struct node *node,
                        const struct sup_event *event, int64_t passes_ms, struct twist twist)
{
    load(x, node);
    x->sim.now = mono_add(x->sim.now, passes_ms);
    x->sim.forks_fail = twist.forks_fail;
    x->sim.prepare_fails = twist.prepare_fails;
    x->sim.bind_fails = twist.bind_fails;
    x->sim.exec_fails = twist.exec_fails;
    x->sim.next.workers += twist.one_more;
    sim_step(&x->sim, event);
    arrive(x, node->depth + 1);
}

/* One event in the state of *node*, and every way in which what it leads to may fail. */
static void try_event(struct exploration *x, const struct node *node, const struct sup_event *event,
                      int64_t passes_ms)
{
    try_twisted(x, node, event, passes_ms, (struct twist){0});
    unsigned forks = x->sim.forks, prepares = x->sim.prepares, binds = x->sim.binds;
    unsigned execs = x->sim.execs;
    if (forks > 0)
        try_twisted(x, node, event, passes_ms, (struct twist){.forks_fail = SIM_ALL_FORKS});
    for (unsigned i = 0; forks > 1 && i < forks; i++)
        try_twisted(x, node, event, passes_ms, (struct twist){.forks_fail = 1u << i});
    if (prepares > 0)
        try_twisted(x, node, event, passes_ms, (struct twist){.prepare_fails = true});
    if (binds > 0)
        try_twisted(x, node, event, passes_ms, (struct twist){.bind_fails = true});
    if (execs > 0)
        try_twisted(x, node, event, passes_ms, (struct twist){.exec_fails = true});
    if (binds > 0 && x->world->room > x->world->workers)
        try_twisted(x, node, event, passes_ms, (struct twist){.one_more = true});
}

static void try_flags(struct exploration *x, const struct node *node, const struct sup_slot *slot,
                      struct sup_event *event)
{
    if (!x->world->flags || slot->state != SLOT_READY)
        return;
    event->type = SUP_HUNG;
    if (!slot->hung)
        try_event(x, node, event, 0);
    event->type = SUP_WORN;
    if (!slot->recycle)
        try_event(x, node, event, 0);
}

static void try_slot(struct exploration *x, const struct node *node, int i)
{
    static const int deaths[] = {0, SIGSEGV, SIGKILL, EXIT_CODE_CONFIG << 8};
    load(x, node);
    const struct sup_slot slot = x->sim.s->slots[i];
    if (slot.pid == 0)
        return;
    struct sup_event event = {.slot = i, .generation = slot.generation, .pid = slot.pid};
    for (size_t d = 0; d < sizeof deaths / sizeof deaths[0]; d++) {
        event.type = SUP_EXITED;
        event.status = deaths[d];
        try_event(x, node, &event, 0);
    }
    if (slot.role != ROLE_SERVE)
        return;
    event.status = 0;
    event.type = SUP_READY;
    try_event(x, node, &event, 0);
    if (slot.state == SLOT_DRAINING && slot.cut == 0) {
        event.type = SUP_CUT;
        event.value = 1;
        try_event(x, node, &event, 0);
    }
    try_flags(x, node, &slot, &event);
}

static void try_requests(struct exploration *x, const struct node *node)
{
    struct sup_event event = {.type = SUP_REQUEST, .slot = -1};
    for (int request = SUP_REQUEST_STOP; request <= SUP_REQUEST_RETRY; request++) {
        if (!(x->world->requests >> request & 1))
            continue;
        event.request = (enum sup_request)request;
        bool twofold = request == SUP_REQUEST_SCALE_BY || request == SUP_REQUEST_RELOAD;
        event.value = 1;
        try_event(x, node, &event, 0);
        event.value = request == SUP_REQUEST_RELOAD ? 0 : -1;
        if (twofold)
            try_event(x, node, &event, 0);
    }
}

static void expand(struct exploration *x, const struct node *node)
{
    struct sup_event event = {.type = SUP_TICK, .slot = -1};
    try_event(x, node, &event, UNIT_MS);
    try_requests(x, node);
    for (size_t i = 0; i < x->sim.s->slots_len; i++)
        try_slot(x, node, (int)i);
}

/* ---- to the end ------------------------------------------------------------------------------ */

/* Nobody does what he is told: whoever gets SIGKILL dies of it, else time passes. */
static void be_stubborn(struct exploration *x, const struct node *node, int steps)
{
    if (x->sim.broken || steps > 60)
        broken(x, node->depth, x->sim.broken ? x->sim.broken : "it does not end");
    for (size_t i = 0; i < x->sim.s->slots_len; i++) {
        const struct sup_slot *slot = &x->sim.s->slots[i];
        if (slot->state == SLOT_KILLED && !mono_before(slot->deadline, MONO_NEVER)) {
            sim_exited(&x->sim, (int)i, SIGKILL);
            return;
        }
    }
    x->sim.now = x->sim.wake;
    sim_tick(&x->sim);
}

/* The longest stop there is. */
static void stop_ends(struct exploration *x, const struct node *node)
{
    load(x, node);
    sim_request(&x->sim, SUP_REQUEST_STOP);
    for (int steps = 0; !x->sim.exited; steps++)
        be_stubborn(x, node, steps);
}

/* The longest transition: it goes back, or the master gives up. */
static void transition_ends(struct exploration *x, const struct node *node)
{
    load(x, node);
    const struct sup_transition *t = &x->sim.s->transition, was = *t;
    if (t->step == SUP_STEP_NONE)
        return;
    sim_tick(&x->sim); /* for the wake */
    for (int steps = 0; !x->sim.exited && t->step != SUP_STEP_NONE && t->begun.ms == was.begun.ms &&
                        t->kind == was.kind && t->reloads == was.reloads;
         steps++)
        be_stubborn(x, node, steps);
}

/* ---- exploring ------------------------------------------------------------------------------- */

/* Two beginnings: the first start, and a server that has been well for long. */
static void arrive_at_beginnings(struct exploration *x)
{
    sim_start(&x->sim);
    arrive(x, 0);
    if (x->world->jobs)
        return;
    for (unsigned i = 0; i < x->world->workers; i++)
        sim_ready(&x->sim, (int)i);
    x->sim.now = mono_add(x->sim.now, 3 * UNIT_MS);
    sim_tick(&x->sim);
    arrive(x, 0);
}

static void explore_all(struct exploration *x)
{
    arrive_at_beginnings(x);
    while (x->first) {
        struct node *node = x->first;
        expand(x, node);
        if (x->world->to_the_end) {
            stop_ends(x, node);
            transition_ends(x, node);
        }
        x->first = node->next;
        if (!x->first)
            x->last = &x->first;
        free(node);
    }
}

static void begin(struct exploration *x, const struct world *world)
{
    struct sup_settings settings = settings_of(world);
    *x = (struct exploration){.world = world, .seen = {.cap = (size_t)1 << 22}};
    sim_init(&x->sim, &settings);
    x->sim.quiet = true;
    x->supervisor_size = sizeof *x->sim.s + x->sim.s->slots_len * sizeof x->sim.s->slots[0];
    x->seen.cells = calloc(x->seen.cap, sizeof x->seen.cells[0]);
    assert_non_null(x->seen.cells);
    x->last = &x->first;
}

static void end(struct exploration *x)
{
    print_message("%s: %zu states%s, %zu transitions, depth %u; exits 0:%zu 3:%zu 5:%zu 70:%zu "
                  "78:%zu\n",
                  x->world->name, x->seen.len,
                  x->world->most && x->seen.len >= x->world->most ? " (not all)" : "",
                  x->transitions, x->depth, x->exits[0], x->exits[3], x->exits[5], x->exits[70],
                  x->exits[78]);
    assert_true(x->seen.len > 100);
    assert_true(x->exits[0] > 0 && x->exits[3] > 0 && x->exits[5] > 0 && x->exits[78] > 0);
    assert_true(!x->world->jobs || x->exits[EXIT_CODE_INTERNAL] > 0);
    free(x->seen.cells);
    sim_fini(&x->sim);
}

/* Each way in which a reload can end was gone. */
static void check_told(const struct exploration *x)
{
    const unsigned long(*told)[SUP_FAILURE_STOP + 1] = x->sim.told;
    if (x->world->requests & ASK(RELOAD))
        for (int f = SUP_FAILURE_NONE; f <= SUP_FAILURE_STOP; f++)
            assert_true(told[SUP_KIND_RELOAD][f] > 0);
    if (x->world->flags) {
        static const enum sup_failure ends[] = {SUP_FAILURE_NONE, SUP_FAILURE_WORKER,
                                                SUP_FAILURE_STOP};
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            assert_true(told[SUP_KIND_HUNG][ends[i]] > 0 && told[SUP_KIND_RECYCLE][ends[i]] > 0);
    }
}

static void explore(const struct world *world)
{
    struct exploration x;
    begin(&x, world);
    explore_all(&x);
    check_told(&x);
    end(&x);
}

/* What is not complete is cut where one more unit of depth would take long. */
static void test_stops(void **state)
{
    (void)state;
    static const struct world worlds[] = {
        {"1 worker, stops", 1, 1, true, 0, STOPS, false, 0, true},
        {"2 workers, stops", 2, 2, true, 0, STOPS, false, 0, true},
        {"3 workers, stops", 3, 3, true, 0, STOPS, false, 9000, true},
        {"2 workers, delayed stops", 2, 2, true, UNIT_MS, STOPS, false, 9000, true},
    };
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++)
        explore(&worlds[i]);
}

static void test_transitions(void **state)
{
    (void)state;
    static const struct world worlds[] = {
        {"1 worker, reloads", 1, 1, false, 0, ASK(STOP) | ASK(RELOAD), false, 9000, true},
        {"2 workers, reloads", 2, 2, false, 0, ASK(QUIT) | ASK(RELOAD), false, 9000, true},
        {"3 workers, reloads", 3, 3, false, 0, ASK(STOP) | ASK(RELOAD), false, 9000, true},
        {"1 worker, flags", 1, 1, false, 0, ASK(STOP) | ASK(RETRY), true, 9000, true},
        {"2 workers, flags", 2, 2, false, 0, STOPS | ASK(RECYCLE), true, 9000, true},
        {"1 to 2 workers, reloads, scaling", 1, 2, false, UNIT_MS,
         ASK(STOP) | ASK(RELOAD) | ASK(SCALE_BY), false, 9000, true},
        {"1 to 3 workers, all", 2, 3, false, UNIT_MS, ~0u, true, 9000, true},
    };
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++)
        explore(&worlds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_transitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
