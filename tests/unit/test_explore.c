/* test_explore.c: every story that one to three slots can live through, breadth first, until no new
 * state appears; and long random walks with many slots. The invariants are supervisor_sim.c's, plus
 * one about the whole graph: from every state a stop leads to EXIT.
 *
 * Time is counted in units: all settings are whole units and it moves one unit at a time, so that
 * the states are finite. Two states are the same when nothing that can still matter differs: times
 * count from now, counters up to where they stop mattering, slots in any order. */
#include "supervisor_sim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNIT_MS = 1000, KEY_SLOT_BYTES = 10, KEY_BYTES = 16 + 8 * KEY_SLOT_BYTES };

/* ---- the same state -------------------------------------------------------------------------- */

enum { CODE_NEVER = 100, CODE_PAST = 101 };

/* A point in the future, in units from now. */
static uint8_t ahead(mono_ms t, mono_ms now)
{
    if (!mono_before(t, MONO_NEVER))
        return CODE_NEVER;
    return mono_before(t, now) ? CODE_PAST : (uint8_t)(mono_diff_ms(t, now) / UNIT_MS);
}

/* A point in the past: its age in units, up to *most*. */
static uint8_t age(mono_ms t, mono_ms now, int64_t most)
{
    if (!mono_is_set(t))
        return CODE_NEVER;
    int64_t units = mono_diff_ms(now, t) / UNIT_MS;
    return (uint8_t)(units < most ? units : most);
}

static uint8_t upto(unsigned n, unsigned most)
{
    return (uint8_t)(n < most ? n : most);
}

static void slot_key(const struct supervisor *s, const struct sup_slot *slot, mono_ms now,
                     uint8_t key[KEY_SLOT_BYTES])
{
    int64_t stable = s->settings.stable_ms / UNIT_MS;
    bool late_ready_matters = slot->state == SLOT_DRAINING && !mono_is_set(slot->ready_at);
    key[0] = (uint8_t)slot->state;
    key[1] = (uint8_t)slot->role;
    key[2] = slot->wanted;
    key[3] = ahead(slot->deadline, now);
    key[4] = slot->state == SLOT_BACKOFF ? ahead(slot->retry_at, now) : 0;
    key[5] = slot_is_live(slot) ? age(slot->ready_at, now, slot->wanted ? stable : 0) : 0;
    key[6] = late_ready_matters ? ahead(slot->drain_until, now) : 0;
    key[7] = slot->told_to_cut;
    key[8] = slot->wanted ? upto(slot->deaths, 4) : 0;
    key[9] = upto(slot->fork_failures, 3);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, KEY_SLOT_BYTES);
}

static uint8_t tokens(const struct bucket *b, mono_ms now)
{
    int64_t level = b->milli_tokens + mono_diff_ms(now, b->filled_at) * b->per_s;
    int64_t full = b->burst * 1000;
    return (uint8_t)((level < full ? level : full) / 1000);
}

static size_t state_key(const struct supervisor *s, mono_ms now, uint8_t key[KEY_BYTES])
{
    bool serving = s->phase == SUP_PHASE_SERVING;
    memset(key, 0, KEY_BYTES);
    key[0] = (uint8_t)s->phase;
    key[1] = s->served;
    key[2] = serving && s->one_at_a_time;
    key[3] = s->quick;
    key[4] = (uint8_t)s->code;
    key[5] = s->cut;
    key[6] = s->served ? 0 : upto(s->boot_failures, s->settings.boot_failures_max);
    key[7] = serving && !s->served ? ahead(s->first_deadline, now) : mono_is_set(s->first_deadline);
    key[8] = serving ? ahead(s->give_up_at, now) : 0;
    key[9] = age(s->interrupted_at, now, s->settings.interrupt_again_ms / UNIT_MS + 1);
    key[10] = serving ? tokens(&s->forks, now) : 0;
    for (size_t i = 0; i < s->slots_len; i++)
        slot_key(s, &s->slots[i], now, key + 16 + i * KEY_SLOT_BYTES);
    qsort(key + 16, s->slots_len, KEY_SLOT_BYTES, by_bytes);
    return 16 + s->slots_len * KEY_SLOT_BYTES;
}

/* ---- what has been seen ---------------------------------------------------------------------- */

/* 64 bits of hash stand for a state: with a million of them two would be taken for one with a
 * probability of 3 in 10^8. */
static uint64_t hash(const uint8_t *bytes, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return h ? h : 1;
}

struct seen {
    uint64_t *cells;
    size_t cap; /* a power of two */
    size_t len;
};

static bool seen_add(struct seen *seen, uint64_t h)
{
    assert_true(seen->len < seen->cap / 2);
    size_t i = h & (seen->cap - 1);
    while (seen->cells[i] != 0 && seen->cells[i] != h)
        i = (i + 1) & (seen->cap - 1);
    if (seen->cells[i] == h)
        return false;
    seen->cells[i] = h;
    seen->len++;
    return true;
}

/* ---- breadth first --------------------------------------------------------------------------- */

struct node {
    struct node *next;
    mono_ms now;
    unsigned depth;
    unsigned char supervisor[]; /* bytes of a struct supervisor and its slots */
};

struct exploration {
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
    x->sim.now = node->now;
    x->sim.next_pid = 100;
    for (size_t i = 0; i < x->sim.s->slots_len; i++)
        if (x->sim.s->slots[i].pid >= x->sim.next_pid)
            x->sim.next_pid = x->sim.s->slots[i].pid + 1;
    x->sim.exited = false;
}

/* The state after a step: counted, and queued when it is new. */
static void arrive(struct exploration *x, unsigned depth)
{
    uint8_t key[KEY_BYTES];
    x->transitions++;
    if (x->sim.broken)
        fail_msg("depth %u, phase %s: %s [%s]", depth, sup_phase_name(x->sim.s->phase),
                 x->sim.broken, x->sim.text);
    if (x->sim.exited)
        x->exits[x->sim.code]++;
    if (!seen_add(&x->seen, hash(key, state_key(x->sim.s, x->sim.now, key))))
        return;
    x->depth = depth;
    if (x->sim.exited)
        return;
    struct node *node = malloc(sizeof *node + x->supervisor_size);
    assert_non_null(node);
    node->next = NULL;
    node->now = x->sim.now;
    node->depth = depth;
    memcpy(node->supervisor, x->sim.s, x->supervisor_size);
    *x->last = node;
    x->last = &node->next;
}

/* One event in the state of *node*, with forks that work, and with forks that fail where there are
 * any. */
static void try_event(struct exploration *x, const struct node *node, const struct sup_event *event,
                      int64_t passes_ms)
{
    for (int fail = 0; fail < 2; fail++) {
        load(x, node);
        x->sim.now = mono_add(x->sim.now, passes_ms);
        x->sim.forks_fail = fail;
        pid_t before = x->sim.next_pid;
        sim_step(&x->sim, event);
        arrive(x, node->depth + 1);
        if (!fail && x->sim.next_pid == before)
            return; /* it forked nothing */
    }
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
    event.type = SUP_READY;
    try_event(x, node, &event, 0);
    if (slot.state == SLOT_DRAINING && slot.cut == 0) {
        event.type = SUP_CUT;
        event.value = 1;
        try_event(x, node, &event, 0);
    }
}

static void expand(struct exploration *x, const struct node *node)
{
    struct sup_event event = {.type = SUP_TICK, .slot = -1};
    try_event(x, node, &event, UNIT_MS);
    event.type = SUP_REQUEST;
    static const enum sup_request requests[] = {SUP_REQUEST_STOP, SUP_REQUEST_INTERRUPT,
                                                SUP_REQUEST_QUIT};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        event.request = requests[i];
        try_event(x, node, &event, 0);
    }
    for (size_t i = 0; i < x->sim.s->slots_len; i++)
        try_slot(x, node, (int)i);
}

/* Whoever is told to leave never does, until it is killed: the longest stop there is. */
static void stop_ends(struct exploration *x, const struct node *node)
{
    load(x, node);
    x->sim.forks_fail = false;
    sim_request(&x->sim, SUP_REQUEST_STOP);
    for (int steps = 0; !x->sim.exited; steps++) {
        if (x->sim.broken || steps > 60)
            fail_msg("depth %u: a stop does not end: %s", node->depth,
                     x->sim.broken ? x->sim.broken : "waiting");
        int killed = -1;
        for (size_t i = 0; i < x->sim.s->slots_len; i++)
            if (x->sim.s->slots[i].state == SLOT_KILLED)
                killed = (int)i;
        if (killed >= 0) {
            sim_exited(&x->sim, killed, SIGKILL);
        } else {
            x->sim.now = x->sim.wake;
            sim_tick(&x->sim);
        }
    }
}

static struct sup_settings small_settings(unsigned workers)
{
    return (struct sup_settings){
        .workers = workers,
        .migrate = true,
        .checkpoint = true,
        .boot_timeout_ms = 2 * UNIT_MS,
        .graceful_timeout_ms = 2 * UNIT_MS,
        .min_ready_ms = UNIT_MS,
        .stable_ms = 3 * UNIT_MS,
        .give_up_ms = 3 * UNIT_MS,
        .quick_ms = UNIT_MS,
        .quick_kill_ms = UNIT_MS,
        .kill_ms = 2 * UNIT_MS,
        .checkpoint_ms = UNIT_MS,
        .interrupt_again_ms = UNIT_MS,
        .boot_failures_max = 5,
        .backoff = {.first_ms = UNIT_MS, .max_ms = 4 * UNIT_MS, .jitter_percent = 0},
        .forks_burst = 2 * workers,
        .forks_per_s = workers,
    };
}

static void explore(unsigned workers)
{
    struct sup_settings settings = small_settings(workers);
    struct exploration x = {.seen = {.cap = (size_t)1 << 23}};
    sim_init(&x.sim, &settings);
    x.sim.quiet = true;
    x.supervisor_size = sizeof *x.sim.s + x.sim.s->slots_len * sizeof x.sim.s->slots[0];
    x.seen.cells = calloc(x.seen.cap, sizeof x.seen.cells[0]);
    assert_non_null(x.seen.cells);
    x.last = &x.first;
    sim_start(&x.sim);
    arrive(&x, 0);
    while (x.first) {
        struct node *node = x.first;
        expand(&x, node);
        stop_ends(&x, node);
        x.first = node->next;
        if (!x.first)
            x.last = &x.first;
        free(node);
    }
    print_message("%u workers: %zu states, %zu transitions, depth %u; exits 0:%zu 3:%zu 5:%zu "
                  "70:%zu 78:%zu\n",
                  workers, x.seen.len, x.transitions, x.depth, x.exits[0], x.exits[3], x.exits[5],
                  x.exits[70], x.exits[78]);
    assert_true(x.seen.len > 100);
    static const enum exit_code reached[] = {EXIT_CODE_OK, EXIT_CODE_NO_WORKER, EXIT_CODE_CUT,
                                             EXIT_CODE_INTERNAL, EXIT_CODE_CONFIG};
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++)
        assert_true(x.exits[reached[i]] > 0);
    free(x.seen.cells);
    sim_fini(&x.sim);
}

static void test_one_worker(void **state)
{
    (void)state;
    explore(1);
}

static void test_two_workers(void **state)
{
    (void)state;
    explore(2);
}

static void test_three_workers(void **state)
{
    (void)state;
    explore(3);
}

/* ---- random walks ---------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Something happens to the process in a random slot, if there is one. */
static void random_report(struct sim *sim, uint64_t *seed)
{
    static const int deaths[] = {0, SIGSEGV, SIGKILL, SIGTERM, 1 << 8, 5 << 8, 6 << 8};
    int slot = (int)(draw(seed) % sim->s->slots_len);
    if (sim->s->slots[slot].pid == 0)
        return;
    bool worker = sim->s->slots[slot].role == ROLE_SERVE;
    uint64_t what = draw(seed) % 10;
    if (what < 5 && worker)
        sim_ready(sim, slot);
    else if (what < 6 && worker)
        sim_cut(sim, slot, (int64_t)(draw(seed) % 3));
    else if (!worker)
        sim_exited(sim, slot, sim->s->phase == SUP_PHASE_MIGRATING ? 0 : deaths[draw(seed) % 7]);
    else
        sim_exited(sim, slot, deaths[draw(seed) % 7]);
}

static void random_step(struct sim *sim, uint64_t *seed, bool may_stop)
{
    uint64_t what = draw(seed) % 1000;
    sim->forks_fail = draw(seed) % 50 == 0;
    if (what < 400) {
        sim->now = mono_add(sim->now, (int64_t)(draw(seed) % 50));
        random_report(sim, seed);
    } else if (what < 700 && mono_before(sim->wake, MONO_NEVER)) {
        sim->now = sim->wake;
        sim_tick(sim);
    } else if (what < 998 || !may_stop) {
        sim->now = mono_add(sim->now, (int64_t)(draw(seed) % 3000));
        sim_tick(sim); /* late: the machine was busy */
    } else {
        sim_request(sim, (enum sup_request)(draw(seed) % 3));
    }
}

static void walk(uint64_t seed, unsigned workers)
{
    struct sup_settings settings = sup_settings_standard(workers);
    settings.random = seed;
    settings.boot_failures_max = 1000; /* or most walks would be short */
    struct sim sim;
    sim_init(&sim, &settings);
    sim.quiet = true;
    sim.now = (mono_ms){SIM_EPOCH_MS};
    uint64_t first_seed = seed;
    sim_start(&sim);
    for (int i = 0; i < 3000 && !sim.exited; i++) {
        random_step(&sim, &seed, i > 1000);
        if (sim.broken)
            fail_msg("seed %llu, %u workers, step %d: %s", (unsigned long long)first_seed, workers,
                     i, sim.broken);
    }
    sim_fini(&sim);
}

static void test_random_walks(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 3, 4, 5, 8, 16, 61};
    for (uint64_t seed = 1; seed <= 96; seed++)
        walk(seed * UINT64_C(0x9e3779b97f4a7c15), sizes[seed % 8]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_worker),
        cmocka_unit_test(test_two_workers),
        cmocka_unit_test(test_three_workers),
        cmocka_unit_test(test_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
