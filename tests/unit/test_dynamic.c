/* test_dynamic.c: libraries that are there, that are not, that are no libraries, and that lack something. */
#include "shared/dynamic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Frees *text*. */
static void expect_words(struct buf *text, const char *words)
{
    buf_append_char(text, 0);
    if (!strstr(text->data, words))
        fail_msg("%s", text->data);
    buf_free(text);
}

static void expect_bad(const char *file, const char *symbol, const char *words)
{
    struct buf error = {0};
    assert_int_equal(dynamic_probe(file, symbol, &error), DYNAMIC_BAD);
    expect_words(&error, words);
}

static void test_libraries(void **state)
{
    struct buf error = {0};
    assert_int_equal(dynamic_probe("libc.so.6", "malloc", &error), DYNAMIC_GOOD);
    assert_int_equal(error.len, 0);
    expect_bad("libnobody.so.1", "malloc", "libnobody.so.1: cannot open");
    expect_bad("/etc/passwd", "malloc", "/etc/passwd: ");
    expect_bad("libc.so.6", "nobody_has_this", "nobody_has_this");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* each child was awaited */
}

/* As some parents leave it to their children. */
static void test_sigchld_is_ignored(void **state)
{
    struct buf error = {0};
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(dynamic_probe("libc.so.6", "malloc", &error), DYNAMIC_GOOD);
    expect_bad("libnobody.so.1", "malloc", "libnobody.so.1: cannot open");
    assert_ptr_equal(signal(SIGCHLD, SIG_DFL), SIG_IGN);
}

/* Then the library is not to blame, and a service manager should try again. */
static void test_no_descriptors(void **state)
{
    char upstream[] = "http://127.0.0.1:1";
    const struct config none = {0}, orders = {.orders_upstream = upstream};
    struct buf error = {0}, errors = {0};
    struct rlimit all, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    enum dynamic_result probed = dynamic_probe("libc.so.6", "malloc", &error);
    enum exit_code nothing_needed = dynamic_probe_for(&none, &errors);
    size_t nothing_said = errors.len;
    enum exit_code code = dynamic_probe_for(&orders, &errors);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(probed, DYNAMIC_UNTRIED);
    expect_words(&error, "libc.so.6: cannot be tried: Too many open files");
    assert_int_equal(nothing_needed, EXIT_CODE_OK);
    assert_int_equal(nothing_said, 0);
    assert_int_equal(code, EXIT_CODE_INTERNAL);
    expect_words(&errors, "[orders] upstream needs libcurl: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_sigchld_is_ignored),
        cmocka_unit_test(test_no_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
