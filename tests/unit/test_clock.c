/* test_clock.c: shared/clock.h: units, and that the clocks are those of the kernel. */
#include "shared/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static int64_t kernel_ns(clockid_t id)
{
    struct timespec ts;
    assert_int_equal(clock_gettime(id, &ts), 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t now_ms(void)
{
    return clock_now().ms;
}

/* Each reading stands between two of the kernel's in its own unit, rounded down. */
static void test_units(void **state)
{
    static const struct {
        const char *name;
        int64_t (*read)(void);
        clockid_t id;
        int64_t unit_ns;
    } cases[] = {
        {"clock_now", now_ms, CLOCK_MONOTONIC, 1000000},
        {"clock_now_us", clock_now_us, CLOCK_MONOTONIC, 1000},
        {"clock_wall_s", clock_wall_s, CLOCK_REALTIME, 1000000000},
        {"clock_wall_ms", clock_wall_ms, CLOCK_REALTIME, 1000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t before = kernel_ns(cases[i].id) / cases[i].unit_ns;
        int64_t value = cases[i].read();
        int64_t after = kernel_ns(cases[i].id) / cases[i].unit_ns;
        if (value < before || value > after)
            fail_msg("%s: %lld is not from %lld to %lld", cases[i].name, (long long)value,
                     (long long)before, (long long)after);
    }
}

static void test_never_back(void **state)
{
    int64_t last_us = clock_now_us();
    mono_ms last = clock_now();
    for (int i = 0; i < 10000; i++) {
        int64_t us = clock_now_us();
        mono_ms now = clock_now();
        assert_true(us >= last_us);
        assert_false(mono_before(now, last));
        last_us = us;
        last = now;
    }
}

static void test_arithmetic(void **state)
{
    static const struct {
        int64_t at, add_ms, sum;
    } cases[] = {{0, 0, 0},   {1000, 500, 1500},         {1000, -1500, -500},
                 {-5, 10, 5}, {INT64_MAX, 0, INT64_MAX}, {INT64_MAX - 1, 1, INT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mono_ms at = {cases[i].at}, sum = mono_add(at, cases[i].add_ms);
        assert_int_equal(sum.ms, cases[i].sum);
        assert_int_equal(mono_diff_ms(sum, at), cases[i].add_ms);
        assert_int_equal(mono_diff_ms(at, sum), -cases[i].add_ms);
    }
}

static void test_order(void **state)
{
    mono_ms early = {-1}, late = {1};
    assert_true(mono_before(early, late));
    assert_false(mono_before(late, early));
    assert_false(mono_before(late, late));
    assert_int_equal(mono_min(early, late).ms, -1);
    assert_int_equal(mono_min(late, early).ms, -1);
    assert_int_equal(mono_min(late, late).ms, 1);
}

static void test_never_set(void **state)
{
    mono_ms never = {0};
    assert_false(mono_is_set(never));
    assert_true(mono_is_set((mono_ms){1}));
    assert_true(mono_is_set((mono_ms){-1}));
    assert_true(mono_is_set(clock_now()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),      cmocka_unit_test(test_never_back),
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_order),
        cmocka_unit_test(test_never_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
