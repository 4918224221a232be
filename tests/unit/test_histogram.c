/* test_histogram.c: durations in buckets, and what is read from them. */
#include "shared/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A duration is in the first bucket whose bound it does not exceed: "le". */
static void test_buckets(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(-5), 0);
    assert_int_equal(histogram_bucket(0), 0);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS_LEN; i++) {
        assert_int_equal(histogram_bucket(histogram_bounds_us[i]), i);
        assert_int_equal(histogram_bucket(histogram_bounds_us[i] + 1), i + 1);
        if (i > 0)
            assert_true(histogram_bounds_us[i] > histogram_bounds_us[i - 1]);
    }
    assert_int_equal(histogram_bucket(INT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_note_and_collect(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct histogram_copy copy = {0};
    static const int64_t us[] = {100, 101, 30000001, -7};
    for (size_t i = 0; i < sizeof us / sizeof *us; i++)
        histogram_note(&h, us[i]);
    histogram_collect(&h, &copy);
    histogram_collect(&h, &copy); /* adds */
    assert_int_equal(copy.cells[0], 4);
    assert_int_equal(copy.cells[1], 2);
    assert_int_equal(copy.cells[HISTOGRAM_BUCKETS - 1], 2);
    assert_int_equal(copy.cells[HISTOGRAM_BUCKETS], 2 * (100 + 101 + 30000001));
    assert_int_equal(histogram_count(&copy), 8);
}

static void test_quantiles(void **state)
{
    (void)state;
    struct histogram_copy h = {0};
    assert_int_equal(histogram_quantile_us(&h, 500), -1);
    h.cells[3] = 100; /* 500 to 1000 */
    assert_int_equal(histogram_quantile_us(&h, 500), 750);
    assert_int_equal(histogram_quantile_us(&h, 990), 995);
    assert_int_equal(histogram_quantile_us(&h, 1000), 1000);
    assert_int_equal(histogram_quantile_us(&h, 0), 505); /* the first of them */
    h.cells[HISTOGRAM_BUCKETS - 1] = 300;
    assert_int_equal(histogram_quantile_us(&h, 250), 1000);
    assert_int_equal(histogram_quantile_us(&h, 251), 30000000); /* as far as is known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_note_and_collect),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
