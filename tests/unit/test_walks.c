/* test_walks.c: long random walks of the supervisor, with more workers than test_explore*.c can try
 * exhaustively. The laws are supervisor_laws.h's. */
#include "supervisor_sim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static bool chance(uint64_t *seed, unsigned of_1000)
{
    return draw(seed) % 1000 < of_1000;
}

/* -1: nobody lives. */
static int random_process(const struct sim *sim, uint64_t *seed)
{
    size_t start = draw(seed) % sim->s->slots_len;
    for (size_t i = 0; i < sim->s->slots_len; i++) {
        size_t slot = (start + i) % sim->s->slots_len;
        if (sim->s->slots[slot].pid > 0)
            return (int)slot;
    }
    return -1;
}

/* Something happens to some process. */
static void random_report(struct sim *sim, uint64_t *seed)
{
    static const int deaths[] = {0, SIGSEGV, SIGKILL, SIGTERM, 1 << 8, 5 << 8};
    int slot = random_process(sim, seed);
    if (slot < 0)
        return;
    const struct sup_slot *in = &sim->s->slots[slot];
    bool worker = in->role == ROLE_SERVE, refuses = sim->s->served && chance(seed, 50);
    int death = refuses ? 78 << 8 : deaths[draw(seed) % 6];
    if (!worker)
        sim_exited(sim, slot, chance(seed, in->role == ROLE_MIGRATE ? 10 : 150) ? death : 0);
    else if (in->state == SLOT_STARTING && !chance(seed, 80))
        sim_ready(sim, slot);
    else if (in->state == SLOT_READY && !chance(seed, 60))
        sim_report(sim, chance(seed, 500) ? SUP_HUNG : SUP_WORN, slot, 0, 0);
    else if (chance(seed, 100))
        sim_cut(sim, slot, (int64_t)(draw(seed) % 3));
    else
        sim_exited(sim, slot, death);
}

static void random_request(struct sim *sim, uint64_t *seed)
{
    static const enum sup_request requests[] = {
        SUP_REQUEST_RELOAD,      SUP_REQUEST_RELOAD,  SUP_REQUEST_SCALE, SUP_REQUEST_SCALE_BY,
        SUP_REQUEST_SCALE_RESET, SUP_REQUEST_RECYCLE, SUP_REQUEST_RETRY};
    enum sup_request request = requests[draw(seed) % 7];
    int slot = chance(seed, 500) ? -1 : (int)(draw(seed) % sim->s->slots_len);
    int64_t value =
        request == SUP_REQUEST_RELOAD  ? chance(seed, 200)
        : request == SUP_REQUEST_SCALE ? (int64_t)(draw(seed) % 12) : (int64_t)(draw(seed) % 7) - 3;
    if (chance(seed, 100))
        sim->next.workers = 1 + (unsigned)(draw(seed) % sim->s->settings.workers_max);
    sim_request_for(sim, request, slot, value);
}

/* The world is kind for most of the time, or nothing would ever go through. */
static void random_step(struct sim *sim, uint64_t *seed, bool may_stop)
{
    sim->forks_fail = chance(seed, 20)   ? SIM_ALL_FORKS
                      : chance(seed, 20) ? (unsigned)draw(seed)
                                         : 0;
    sim->fork_ms = chance(seed, 900) ? 0 : (int64_t)(draw(seed) % 40);
    sim->prepare_fails = chance(seed, 50);
    sim->bind_fails = chance(seed, 100);
    sim->upgrade = chance(seed, 300);
    sim->exec_fails = chance(seed, 50);
    if (may_stop && chance(seed, 3)) {
        sim_request(sim, (enum sup_request)(draw(seed) % 3));
    } else if (chance(seed, 30)) {
        random_request(sim, seed);
    } else if (chance(seed, 700)) {
        sim->now = mono_add(sim->now, (int64_t)(draw(seed) % 50));
        random_report(sim, seed);
    } else if (chance(seed, 700) && mono_before(sim->wake, MONO_NEVER)) {
        sim->now = mono_max(sim->now, sim->wake);
        sim_tick(sim);
    } else {
        sim->now = mono_add(sim->now, (int64_t)(draw(seed) % 3000));
        sim_tick(sim); /* late: the machine was busy */
    }
}

static struct sup_settings walk_settings(uint64_t seed, unsigned workers)
{
    struct sup_settings settings = sup_settings_standard(workers);
    settings.workers_max = workers + seed % 4 * workers;
    settings.random = seed;
    settings.boot_failures_max = 1000; /* or most walks would be short */
    settings.give_up_ms = 10000000;
    settings.graceful_timeout_ms = seed % 3 ? 2000 : 30000;
    settings.stop_delay_ms = seed % 5 ? 0 : 5000;
    return settings;
}

/* One life; returns its steps. What was told is added up. */
static unsigned walk(uint64_t seed, unsigned workers, unsigned long told[][SUP_FAILURE_STOP + 1])
{
    enum { STEPS = 4000 };
    struct sup_settings settings = walk_settings(seed, workers);
    struct sim sim;
    unsigned i;
    uint64_t first_seed = seed;
    sim_init(&sim, &settings);
    sim.quiet = true;
    sim_start(&sim);
    for (i = 0; i < STEPS && !sim.exited; i++) {
        random_step(&sim, &seed, i > STEPS * 3 / 4);
        if (sim.broken)
            fail_msg("seed %llu, %u workers, step %u, phase %s, step %s: %s",
                     (unsigned long long)first_seed, workers, i, sup_phase_name(sim.s->phase),
                     sup_step_name(sim.s->transition.step), sim.broken);
    }
    for (int kind = 0; kind <= SUP_KIND_HUNG; kind++)
        for (int f = 0; f <= SUP_FAILURE_STOP; f++)
            told[kind][f] += sim.told[kind][f];
    sim_fini(&sim);
    return i;
}

static void test_random_walks(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 2, 3, 4, 2, 5, 3, 1, 8, 2, 3, 16, 4, 1, 2, 3};
    enum { STEPS = 1000000 };
    unsigned long told[SUP_KIND_HUNG + 1][SUP_FAILURE_STOP + 1] = {0};
    unsigned steps = 0;
    uint64_t n = 0;
    for (; steps < STEPS; n++)
        steps += walk((n + 1) * UINT64_C(0x9e3779b97f4a7c15), sizes[n % 16], told);
    for (int kind = 0; kind <= SUP_KIND_HUNG; kind++)
        print_message("kind %d: ok %lu, lost %lu, stop %lu\n", kind, told[kind][SUP_FAILURE_NONE],
                      told[kind][SUP_FAILURE_WORKER], told[kind][SUP_FAILURE_STOP]);
    print_message("%llu walks, %u steps\n", (unsigned long long)n, steps);
    assert_true(told[SUP_KIND_RELOAD][SUP_FAILURE_PROGRAM] > 100 &&
                told[SUP_KIND_RELOAD][SUP_FAILURE_EXEC] > 10);
    for (int kind = 0; kind <= SUP_KIND_HUNG; kind++)
        assert_true(told[kind][SUP_FAILURE_NONE] > 100 && told[kind][SUP_FAILURE_WORKER] > 100);
}

/* Few, but large. */
static void test_large_fleets(void **state)
{
    (void)state;
    static const unsigned sizes[] = {61, 128, 256};
    unsigned long told[SUP_KIND_HUNG + 1][SUP_FAILURE_STOP + 1] = {0};
    for (uint64_t n = 0; n < 3; n++)
        walk(UINT64_C(4) * (n + 1), sizes[n], told); /* a multiple of four: no room beyond */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walks),
        cmocka_unit_test(test_large_fleets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
