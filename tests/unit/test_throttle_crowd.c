/* test_throttle_crowd.c: shared/throttle.h under many: threads at one key and in one set, random walks
 * against a model without cells, and schedules of attempts that want more than the header promises. */
#include "shared/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct throttle_rule pair = {5, 900, true};
static const struct throttle_rule crowd = {4000, 60, true};
static const struct throttle_rule rules[] = {
    {5, 900, true}, {50, 900, true}, {20, 60, true}, {1, 3600, false}, {60, 60, false}, {3600, 1, false}};

static struct throttle *table;

static int setup(void **state)
{
    int fd;
    table = throttle_make(&fd);
    if (table)
        close(fd);
    return table ? 0 : -1;
}

static int teardown(void **state)
{
    throttle_free(table);
    return 0;
}

/* xorshift64 (Marsaglia 2003): the same numbers in each run. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 6, TURNS = 4000, KEYS = 6 };

static struct {
    const struct throttle_rule *rule;
    mono_ms now;
    pthread_barrier_t start;
    atomic_int admitted[KEYS];
} crowded;

static void run_threads(void *(*body)(void *), const struct throttle_rule *rule, mono_ms now)
{
    pthread_t threads[THREADS];
    crowded.rule = rule;
    crowded.now = now;
    for (int i = 0; i < KEYS; i++)
        atomic_store(&crowded.admitted[i], 0);
    assert_int_equal(pthread_barrier_init(&crowded.start, NULL, THREADS), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&crowded.start);
}

static struct throttle_key in_one_set(unsigned i)
{
    return (struct throttle_key){.set = 4711, .tag = 1000 + i};
}

static void *try_all(void *number)
{
    uint64_t seed = (uintptr_t)number;
    struct throttle_charge c;
    pthread_barrier_wait(&crowded.start);
    for (int i = 0; i < 200; i++) {
        unsigned key = (unsigned)(next_random(&seed) % KEYS);
        if (throttle_charge(table, in_one_set(key), crowded.rule, crowded.now, &c) == 0)
            atomic_fetch_add(&crowded.admitted[key], 1);
    }
    return NULL;
}

static void test_not_one_too_many(void **state)
{
    for (int round = 0; round < 40; round++) {
        mono_ms now = {1000000 + round * 7200000};
        run_threads(try_all, &pair, now);
        for (int i = 0; i < KEYS; i++)
            assert_int_equal(atomic_load(&crowded.admitted[i]), 5);
        now = mono_add(now, 1000);
        run_threads(try_all, &pair, now);
        for (int i = 0; i < KEYS; i++)
            assert_int_equal(atomic_load(&crowded.admitted[i]), 1);
    }
}

static void *try_one(void *number)
{
    struct throttle_charge c;
    pthread_barrier_wait(&crowded.start);
    for (int i = 0; i < TURNS; i++)
        if (throttle_charge(table, in_one_set(0), crowded.rule, crowded.now, &c) == 0)
            atomic_fetch_add(&crowded.admitted[0], 1);
    return NULL;
}

/* Nobody's count is lost among the others. */
static void test_all_are_counted(void **state)
{
    for (int round = 0; round < 10; round++) {
        run_threads(try_one, &crowd, (mono_ms){1000000});
        assert_int_equal(atomic_load(&crowded.admitted[0]), 4000);
        throttle_forget(table, in_one_set(0));
    }
}

static void *try_and_take_back(void *number)
{
    uint64_t seed = (uintptr_t)number;
    struct throttle_charge c[4];
    pthread_barrier_wait(&crowded.start);
    for (int i = 0; i < TURNS; i++) {
        unsigned len = 0, key = (unsigned)(next_random(&seed) % KEYS);
        for (unsigned n = 1 + (unsigned)(next_random(&seed) % COUNT(c)); n > 0; n--)
            if (throttle_charge(table, in_one_set(key), crowded.rule, crowded.now, &c[len]) == 0)
                len++;
        while (len > 0)
            throttle_undo(table, &c[--len]);
    }
    return NULL;
}

static void test_what_is_taken_back_leaves_nothing(void **state)
{
    mono_ms now = {1000000};
    run_threads(try_and_take_back, &crowd, now);
    assert_int_equal(throttle_used(table, now), 0);
}

/* More keys than cells, so that they take each other's places all the time; one of them is guilty. */
static void *crowd_out(void *number)
{
    uint64_t seed = (uintptr_t)number;
    struct throttle_charge c;
    pthread_barrier_wait(&crowded.start);
    for (int i = 0; i < TURNS; i++) {
        unsigned key = 100 + (unsigned)(next_random(&seed) % 40);
        bool admitted = throttle_charge(table, in_one_set(key), crowded.rule, crowded.now, &c) == 0;
        if (admitted && next_random(&seed) % 2)
            throttle_undo(table, &c);
        else if (next_random(&seed) % 64 == 0)
            throttle_forget(table, in_one_set(key));
    }
    return NULL;
}

static void test_the_guilty_is_not_crowded_out(void **state)
{
    mono_ms now = {1000000};
    struct throttle_charge c;
    for (int i = 0; i < 3900; i++)
        assert_int_equal(throttle_charge(table, in_one_set(1), &crowd, now, &c), 0);
    run_threads(crowd_out, &crowd, now);
    for (int i = 0; i < 100; i++)
        assert_int_equal(throttle_charge(table, in_one_set(1), &crowd, now, &c), 0);
    assert_in_range(throttle_charge(table, in_one_set(1), &crowd, now, &c), 875, 1000);
}

/* ---- a model --------------------------------------------------------------------------------- */

/* One key for itself, as the header tells it. */
struct model {
    double debt_s; /* at *at_ms* */
    int64_t at_ms; /* of the last attempt */
};

static double model_debt_s(const struct model *m, int64_t now_ms)
{
    double left = m->debt_s - (double)(now_ms - m->at_ms) / 1000;
    return left > 0 ? left : 0;
}

static double model_wait_ms(const struct model *m, const struct throttle_rule *r, int64_t now_ms)
{
    double wait_s;
    if (!r->grows) {
        wait_s = m->debt_s - (double)(r->limit - 1) * r->forget_s;
    } else {
        int failures = (int)(m->debt_s / r->forget_s); /* one that is half forgotten counts */
        failures += failures * (double)r->forget_s < m->debt_s;
        int over = failures - (int)r->limit;
        wait_s = over < 0 ? 0 : over < 10 ? 1 << over : THROTTLE_WAIT_MAX_S;
    }
    return wait_s * 1000 - (double)(now_ms - m->at_ms);
}

/* Steps of whole seconds, so that model and table round alike. */
static void walk(uint64_t seed, const struct throttle_rule *r)
{
    struct model m = {0};
    struct throttle_key key = {.set = (uint32_t)(seed % 8192), .tag = (uint32_t)(seed % 4001)};
    mono_ms now = {(int64_t)(next_random(&seed) % 4000000000) * 125};
    m.at_ms = now.ms;
    for (int i = 0; i < 3000; i++) {
        static const int steps_s[] = {0, 0, 1, 1, 2, 60, 600, 1000, 40000};
        struct throttle_charge c;
        now = mono_add(now, steps_s[next_random(&seed) % COUNT(steps_s)] * INT64_C(1000));
        double wanted = m.debt_s > 0 ? model_wait_ms(&m, r, now.ms) : 0;
        int64_t wait_ms = throttle_charge(table, key, r, now, &c);
        if (wait_ms != (wanted > 0 ? (int64_t)wanted : 0))
            fail_msg("rule %u/%u, step %d: waits %lld, not %f", r->limit, r->forget_s, i,
                     (long long)wait_ms, wanted);
        if (wait_ms > 0 || next_random(&seed) % 4 == 0) {
            if (wait_ms == 0)
                throttle_undo(table, &c);
            continue;
        }
        m = (struct model){model_debt_s(&m, now.ms) + r->forget_s, now.ms};
        if (next_random(&seed) % 100 == 0) {
            throttle_forget(table, key);
            m.debt_s = 0;
        }
    }
    throttle_forget(table, key);
}

static void test_walks(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        walk(seed * UINT64_C(0x9e3779b97f4a7c15), &rules[seed % COUNT(rules)]);
}

/* ---- the promise ----------------------------------------------------------------------------- */

/* How an attacker spreads attempts: seconds from one that was let through to the next try. */
static int64_t pause_ms(unsigned schedule, uint64_t *seed)
{
    switch (schedule) {
    case 0:
        return 0; /* as soon as possible */
    case 1:
        return 900000; /* just when one is forgotten */
    case 2:
        return 899999;
    case 3:
        return (int64_t)(next_random(seed) % 1800000);
    case 4: /* rest for half a day, then all at once */
        return next_random(seed) % 30 == 0 ? 43200000 : 0;
    default:
        return (int64_t)(next_random(seed) % 2000);
    }
}

static void attack(const struct throttle_rule *r, unsigned schedule)
{
    uint64_t seed = 99 + schedule;
    struct throttle_key key = {.set = schedule, .tag = r->limit};
    mono_ms begin = {500000}, now = begin;
    struct throttle_charge c;
    for (long admitted = 0; now.ms < 20 * INT64_C(86400000) && admitted < 20000;) {
        int64_t wait_ms = throttle_charge(table, key, r, now, &c);
        admitted += wait_ms == 0;
        now = mono_add(now, wait_ms > 0 ? wait_ms : pause_ms(schedule, &seed));
        long most = r->limit + 12 + (long)(mono_diff_ms(now, begin) / 1000 / r->forget_s);
        if (admitted > most)
            fail_msg("schedule %u got %ld attempts where %ld are promised", schedule, admitted, most);
    }
    throttle_forget(table, key);
}

static void test_no_schedule_gets_more_than_promised(void **state)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        for (unsigned schedule = 0; schedule <= 5; schedule++)
            attack(&rules[i], schedule);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_not_one_too_many),
        TEST(test_all_are_counted),
        TEST(test_what_is_taken_back_leaves_nothing),
        TEST(test_the_guilty_is_not_crowded_out),
        TEST(test_walks),
        TEST(test_no_schedule_gets_more_than_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
