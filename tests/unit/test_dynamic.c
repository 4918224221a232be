/* test_dynamic.c: libraries that are there, that are not, that are no libraries, and that lack something. */
#include "shared/dynamic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>

static void expect_failure(const char *file, const char *symbol, const char *words)
{
    struct buf error = {0};
    assert_false(dynamic_probe(file, symbol, &error));
    buf_append_char(&error, 0);
    if (!strstr(error.data, words))
        fail_msg("%s: %s", file, error.data);
    buf_free(&error);
}

static void test_libraries(void **state)
{
    struct buf error = {0};
    assert_true(dynamic_probe("libc.so.6", "malloc", &error));
    assert_int_equal(error.len, 0);
    expect_failure("libnobody.so.1", "malloc", "libnobody.so.1: cannot open");
    expect_failure("/etc/passwd", "malloc", "/etc/passwd: ");
    expect_failure("libc.so.6", "nobody_has_this", "nobody_has_this");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* each child was awaited */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_libraries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
