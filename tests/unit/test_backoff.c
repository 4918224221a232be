/* test_backoff.c: delays after deaths, and the bucket of forks. */
#include "master/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct backoff_times exact = {.first_ms = 100, .max_ms = 30000, .jitter_percent = 0};
static const struct backoff_times standard = {
    .first_ms = 100, .max_ms = 30000, .jitter_percent = 20};

static void test_delays(void **state)
{
    (void)state;
    static const struct {
        unsigned deaths;
        int64_t delay_ms;
    } cases[] = {
        {0, 0},      {1, 0},      {2, 100},    {3, 200},      {4, 400},           {5, 800},
        {6, 1600},   {7, 3200},   {8, 6400},   {9, 12800},    {10, 25600},        {11, 30000},
        {12, 30000}, {64, 30000}, {65, 30000}, {1000, 30000}, {UINT32_MAX, 30000}};
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(backoff_delay_ms(cases[i].deaths, &exact, &random), cases[i].delay_ms);
    assert_int_equal(random, 1); /* no jitter, no draw */
}

/* Both ends of the 20 % are reached, and nothing beyond them. */
static void test_jitter(void **state)
{
    (void)state;
    uint64_t random = 42;
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t d = backoff_delay_ms(2, &standard, &random);
        least = d < least ? d : least;
        most = d > most ? d : most;
    }
    assert_int_equal(least, 80);
    assert_int_equal(most, 120);
    for (int i = 0; i < 10000; i++)
        assert_in_range(backoff_delay_ms(99, &standard, &random), 24000, 36000);
}

static void test_delay_never_shrinks(void **state)
{
    (void)state;
    uint64_t random = 7;
    int64_t last = 0;
    for (unsigned deaths = 0; deaths < 100; deaths++) {
        int64_t d = backoff_delay_ms(deaths, &exact, &random);
        assert_true(d >= last);
        last = d;
    }
}

static void test_bucket_burst_then_rate(void **state)
{
    (void)state;
    mono_ms now = {1000};
    struct bucket b;
    bucket_init(&b, 6, 3, now);
    for (int i = 0; i < 6; i++)
        assert_true(bucket_take(&b, now));
    assert_false(bucket_take(&b, now));
    assert_int_equal(bucket_next(&b, now).ms, 1334); /* a third of a second, rounded up */
    assert_false(bucket_take(&b, (mono_ms){1333}));
    assert_true(bucket_take(&b, (mono_ms){1334}));
    assert_false(bucket_take(&b, (mono_ms){1335}));
}

/* Over a long time exactly per_s tokens a second come, however often one asks. */
static void test_bucket_loses_nothing(void **state)
{
    (void)state;
    struct bucket b;
    bucket_init(&b, 2, 7, (mono_ms){0});
    int taken = 0;
    for (int64_t ms = 0; ms <= 60000; ms++)
        while (bucket_take(&b, (mono_ms){ms}))
            taken++;
    assert_int_equal(taken, 2 + 7 * 60);
}

static void test_bucket_never_overflows(void **state)
{
    (void)state;
    struct bucket b;
    bucket_init(&b, 4, 2, (mono_ms){1});
    assert_true(bucket_take(&b, (mono_ms){1}));
    mono_ms far = {INT64_MAX / 2};
    assert_int_equal(bucket_next(&b, far).ms, far.ms);
    int taken = 0;
    while (bucket_take(&b, far))
        taken++;
    assert_int_equal(taken, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_delay_never_shrinks),
        cmocka_unit_test(test_bucket_burst_then_rate),
        cmocka_unit_test(test_bucket_loses_nothing),
        cmocka_unit_test(test_bucket_never_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
