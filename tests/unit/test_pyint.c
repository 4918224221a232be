/* test_pyint.c: worker/validate/pyint.c. */
#include "worker/validate/pyint.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_accepted(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
        bool overflow;
    } rows[] = {
        {"1", 1, false},
        {"0", 0, false},
        {"-1", -1, false},
        {"+1", 1, false},
        {"-0", 0, false},
        {"007", 7, false},
        {"-007", -7, false},
        {"000", 0, false},
        {" 5 ", 5, false},
        {"\t5\n", 5, false},
        {"\xC2\xA0"
         "5\xE3\x80\x80",
         5, false},
        {"1_0", 10, false},
        {"1_000_000", 1000000, false},
        {"0_1", 1, false},
        {"0__1", 1, false}, /* the original's oddity */
        {"0-5", -5, false}, /* likewise */
        {"1.0", 1, false},
        {"1.000", 1, false},
        {"00.0", 0, false},
        {"-0.0", 0, false},
        {"1_0.0", 10, false},
        {" +1_0.00 ", 10, false},
        {"9223372036854775807", INT64_MAX, false},
        {"-9223372036854775808", INT64_MIN, false},
        {"9223372036854775808", INT64_MAX, true},
        {"-9223372036854775809", INT64_MIN, true},
        {"92233720368547758070", INT64_MAX, true},
        {"-99999999999999999999999999", INT64_MIN, true},
        {"00000000000000000000000000000000000001", 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pyint n = {0, false};
        if (pyint_parse(slice_of(rows[i].text), &n) != PYINT_OK || n.value != rows[i].value ||
            n.overflow != rows[i].overflow)
            fail_msg("'%s' gave %" PRId64 " (overflow %d)", rows[i].text, n.value, n.overflow);
    }
}

static void test_malformed(void **state)
{
    static const struct slice rows[] = {
        {"", 0},
        {" ", 1},
        {"abc", 3},
        {"1.5", 3},
        {"1e2", 3},
        {"true", 4},
        {"null", 4},
        {"0x10", 4},
        {"1.", 2},
        {".5", 2},
        {".0", 2},
        {"1__0", 4},
        {"_1", 2},
        {"1_", 2},
        {"--1", 3},
        {"+-1", 3},
        {"-+1", 3},
        {"++1", 3},
        {"- ", 2},
        {"-", 1},
        {"+", 1},
        {"- 1", 3},
        {"1 2", 3},
        {"1.0.0", 5},
        {"1.0_0", 5},
        {"0_", 2},
        {"0.", 2},
        {"0x", 2},
        {"\xD9\xA1", 2},
        {"1\0", 2},
        {"\x1c"
         "1",
         2},
        {"-0-5", 4},
        {"0-05", 4},
        {"1-5", 3},
        {"\xEF\xBC\x91", 3},
    };
    struct pyint n;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (pyint_parse(rows[i], &n) != PYINT_MALFORMED)
            fail_msg("'%.*s' was taken", SLICE_ARGS(rows[i]));
}

/* Too many digits have an error of their own, unless something has to be cleaned first. */
static void test_too_long(void **state)
{
    static char digits[PYINT_DIGITS_MAX + 3];
    struct pyint n;
    memset(digits, '7', sizeof digits);
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX}, &n), PYINT_OK);
    assert_true(n.overflow);
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX + 1}, &n), PYINT_TOO_LONG);
    digits[0] = '-';
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX + 1}, &n), PYINT_OK);
    assert_true(n.value == INT64_MIN && n.overflow);
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX + 2}, &n), PYINT_TOO_LONG);
    digits[0] = '+';
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX + 2}, &n),
                     PYINT_MALFORMED);
    digits[0] = '0';
    assert_int_equal(pyint_parse((struct slice){digits, PYINT_DIGITS_MAX + 1}, &n), PYINT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
