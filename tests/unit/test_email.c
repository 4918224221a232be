/* test_email.c: worker/validate/email*.c and idna*.c. */
#include "worker/validate/email.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct row {
    struct slice sent;
    enum email_result result;
    struct slice text;
} rows[] = {
#define VALID(sent, stored) {{sent, sizeof(sent) - 1}, EMAIL_OK, {stored, sizeof(stored) - 1}},
#define REFUSED(sent, reason)                                                                      \
    {{sent, sizeof(sent) - 1}, EMAIL_INVALID, {reason, sizeof(reason) - 1}},
#include "tests/unit/email_cases.def"
#undef VALID
#undef REFUSED
};

enum { ROWS = sizeof rows / sizeof *rows };

static void check(const struct row *row)
{
    struct arena a;
    struct slice stored = {NULL, 0}, reason = {NULL, 0};
    arena_init(&a, NULL, 0, 1 << 20);
    enum email_result result = email_normalize(&a, row->sent, &stored, &reason);
    struct slice got = result == EMAIL_OK ? stored : reason;
    if (result != row->result || !slice_equals(got, row->text))
        fail_msg("'%.*s' gave %d '%.*s', not %d '%.*s'", SLICE_ARGS(row->sent), result,
                 SLICE_ARGS(got), row->result, SLICE_ARGS(row->text));
    arena_fini(&a);
}

static void test_table(void **state)
{
    for (size_t i = 0; i < ROWS; i++)
        check(&rows[i]);
}

/* What is stored is its own normal form, or lookups would miss it. */
static void test_stored_is_stable(void **state)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].result == EMAIL_OK)
            check(&(struct row){rows[i].text, EMAIL_OK, rows[i].text});
}

static struct slice repeat(char *out, const char *unit, size_t times, const char *tail)
{
    size_t len = 0;
    for (size_t i = 0; i < times; i++, len += strlen(unit))
        memcpy(out + len, unit, strlen(unit));
    memcpy(out + len, tail, strlen(tail));
    return (struct slice){out, len + strlen(tail)};
}

static void test_code_points_max(void **state)
{
    static const struct {
        const char *unit;
        size_t times;
        const char *tail, *reason;
    } longs[] = {
        {"a", 2049, "", "Length must not exceed 2048 characters"},
        {"a", 2043, "@b.com", "Length must not exceed 2048 characters"},
        {"\n", 2049, "", "Length must not exceed 2048 characters"},
        {"\xC3\xA9", 2048, "", "An email address must have an @-sign."},
        {"\xF0\x9F\x98\x80", 2049, "", "Length must not exceed 2048 characters"},
        {"a", 2042, "@b.com", "The email address is too long (1794 characters too many)."},
    };
    char *space = malloc(3 * 4096);
    assert_non_null(space);
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++)
        check(&(struct row){repeat(space, longs[i].unit, longs[i].times, longs[i].tail),
                            EMAIL_INVALID, slice_of(longs[i].reason)});
    free(space);
}

/* With any amount of memory the verdict is the right one or "no memory". */
static void test_exhaustion(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        bool done = false;
        for (size_t max_bytes = 0; !done; max_bytes += 1 + max_bytes / 8) {
            struct arena a;
            struct slice stored, reason;
            arena_init(&a, NULL, 0, max_bytes);
            enum email_result result = email_normalize(&a, rows[i].sent, &stored, &reason);
            done = result != EMAIL_NO_MEMORY;
            if (done) {
                assert_int_equal(result, rows[i].result);
                assert_true(slice_equals(result == EMAIL_OK ? stored : reason, rows[i].text));
            }
            arena_fini(&a);
            assert_true(max_bytes < 1 << 20);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_stored_is_stable),
        cmocka_unit_test(test_code_points_max),
        cmocka_unit_test(test_exhaustion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
