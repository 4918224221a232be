/* test_pace.c: when the next call may begin, on a clock of the test's own. */
#include "worker/upstream/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { PLACES = 100, LATENCY_US = 100000, INTERVAL_US = LATENCY_US * PACE_SPREAD_PERCENT / 100 / PLACES };

static const int64_t NOON = INT64_C(43200000000);

static struct pace after_calls(unsigned n, int64_t took_us)
{
    struct pace p = {0};
    while (n-- > 0)
        pace_note(&p, took_us, NOON);
    return p;
}

/* Calls that begin from *from_us* on until *until_us*, asked for every *step_us*. */
static unsigned begun(struct pace *p, int64_t from_us, int64_t until_us, int64_t step_us)
{
    unsigned n = 0;
    for (int64_t now = from_us; now < until_us; now += step_us)
        for (; pace_wait_us(p, now) == 0 && n < 1000 * PLACES; n++)
            pace_began(p, PLACES, now);
    return n;
}

static void test_without_a_crowd(void **state)
{
    struct pace p = after_calls(1, LATENCY_US);
    for (unsigned i = 0; i < PLACES; i++) {
        assert_int_equal(pace_wait_us(&p, NOON), 0);
        pace_began(&p, PLACES, NOON);
    }
}

/* Nothing is known of how long a call takes: no reason to wait. */
static void test_before_the_first_answer(void **state)
{
    struct pace p = {0};
    pace_crowded(&p, true);
    for (unsigned i = 0; i < PLACES; i++) {
        assert_int_equal(pace_wait_us(&p, NOON), 0);
        pace_began(&p, PLACES, NOON);
    }
}

static void test_one_after_the_other(void **state)
{
    struct pace p = after_calls(1, LATENCY_US);
    pace_crowded(&p, true);
    pace_began(&p, PLACES, NOON);
    p.next_us = NOON + INTERVAL_US; /* whatever could be made up for is made up for */
    for (int64_t now = NOON; now < NOON + 10 * INTERVAL_US; now += INTERVAL_US) {
        assert_int_equal(pace_wait_us(&p, now), INTERVAL_US);
        assert_int_equal(pace_wait_us(&p, now + INTERVAL_US - 1), 1);
        assert_int_equal(pace_wait_us(&p, now + INTERVAL_US), 0);
        pace_began(&p, PLACES, now + INTERVAL_US);
    }
    pace_crowded(&p, false);
    assert_int_equal(pace_wait_us(&p, NOON), 0);
}

/* All places are taken well before the first call is over, also when the loop wakes late each time. */
static void test_it_is_fast_enough(void **state)
{
    static const int64_t steps[] = {10, INTERVAL_US, 1000, PACE_CATCH_UP_US};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct pace p = after_calls(1, LATENCY_US);
        pace_crowded(&p, true);
        unsigned n = begun(&p, NOON, NOON + LATENCY_US, steps[i]);
        assert_in_range(n, PLACES, PLACES * 100 / PACE_SPREAD_PERCENT + PACE_CATCH_UP_US / INTERVAL_US + 1);
    }
}

/* After a long pause no more than a little is made up for. */
static void test_no_burst_after_a_pause(void **state)
{
    struct pace p = after_calls(1, LATENCY_US);
    pace_crowded(&p, true);
    pace_began(&p, PLACES, NOON);
    unsigned n = begun(&p, NOON + 3600000000, NOON + 3600000001, 1);
    assert_in_range(n, 1, PACE_CATCH_UP_US / INTERVAL_US + 1);
}

/* All places were taken at once while calls were slow; those calls turn out to be quick. */
static void test_slow_calls_are_forgotten(void **state)
{
    struct pace p = after_calls(1, 50 * LATENCY_US);
    for (unsigned i = 0; i < PLACES; i++)
        pace_began(&p, PLACES, NOON);
    pace_crowded(&p, true);
    assert_true(pace_wait_us(&p, NOON) > 30 * LATENCY_US);
    for (unsigned i = 0; i < PLACES; i++)
        pace_note(&p, LATENCY_US, NOON + LATENCY_US);
    assert_in_range(pace_wait_us(&p, NOON + LATENCY_US), 0, LATENCY_US);
}

static void test_average(void **state)
{
    struct pace p = after_calls(1, 8000);
    assert_int_equal(p.latency_us, 8000);
    pace_note(&p, 16000, NOON);
    assert_int_equal(p.latency_us, 9000);
    pace_note(&p, -1, NOON); /* a clock that went back tells nothing */
    assert_int_equal(p.latency_us, 9000);
    for (unsigned i = 0; i < 40; i++)
        pace_note(&p, 100, NOON);
    assert_in_range(p.latency_us, 100, 200); /* it soon forgets what was */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_crowd),
        cmocka_unit_test(test_before_the_first_answer),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_it_is_fast_enough),
        cmocka_unit_test(test_no_burst_after_a_pause),
        cmocka_unit_test(test_slow_calls_are_forgotten),
        cmocka_unit_test(test_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
