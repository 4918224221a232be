/* test_upgrade.c: the state as a file, and programs that are asked to take over by it. What really does
 * is in tests/process/test_upgrade.py. */
#include "master/upgrade.h"

#include "master/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int state_file(void)
{
    struct state s = {0};
    state_add_master(&s)->version = SLICE("1.0");
    int fd = upgrade_write_state(&s);
    assert_true(fd >= 0);
    state_free(&s);
    return fd;
}

static void test_nobody_changes_the_file(void **state)
{
    (void)state;
    int fd = state_file();
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_true(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    close(fd);
}

static void test_what_was_written_is_read(void **state)
{
    (void)state;
    int fd = state_file();
    struct buf bytes = {0}, error = {0};
    struct state s;
    assert_true(upgrade_read_state(fd, &bytes, &error));
    assert_true(state_decode(buf_slice(&bytes), &s, &error));
    assert_true(slice_equals(s.master[0].version, SLICE("1.0")));
    state_free(&s);
    buf_free(&bytes);
    close(fd);
}

static void test_other_files_are_refused(void **state)
{
    (void)state;
    struct buf bytes = {0}, error = {0};
    int open_one = memfd_create("x", MFD_ALLOW_SEALING);
    assert_int_equal(write(open_one, "COLMEIA\n", 8), 8);
    const int fds[] = {-1, 0, open_one};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        assert_false(upgrade_read_state(fds[i], &bytes, &error));
    assert_true(error.len > 0);
    assert_int_equal(bytes.len, 0);
    buf_free(&error);
    close(open_one);
}

/* What this program says, asked to take over; each word is bound to one state. */
static void rehearse(const char *path, const char *says)
{
    int fd = state_file(), exe = open(path, O_RDONLY | O_CLOEXEC);
    struct buf said = {0};
    assert_true(exe >= 0);
    assert_false(upgrade_rehearse("name", path, exe, fd, &said));
    buf_append_char(&said, '\0');
    if (!strstr(said.data, says))
        fail_msg("%s: %.200s", path, said.data);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    buf_free(&said);
    close(exe);
    close(fd);
}

static void test_programs_that_are_not_ours(void **state)
{
    (void)state;
    rehearse("/bin/true", "/bin/true: it does not take over as colmeia does (exit code 0)");
    rehearse("/bin/false", "/bin/false: it does not take over as colmeia does (exit code 1)");
    rehearse("/bin/echo", "rehearse ");
    rehearse("/usr/bin/yes", "rehearse "); /* it never ends by itself */
    rehearse("/etc/passwd", "cannot be executed: Permission denied");
}

/* printenv(1) takes the words for names. */
static void test_environment_of_the_start(void **state)
{
    (void)state;
    assert_int_equal(setenv("rehearse", "what the service manager said", 1), 0);
    upgrade_keep_environment(environ);
    assert_int_equal(unsetenv("rehearse"), 0);
    rehearse("/usr/bin/printenv", "what the service manager said\n");
}

static void test_word(void **state)
{
    (void)state;
    char one[UPGRADE_WORD_MAX], two[UPGRADE_WORD_MAX];
    char bytes[40] = {0};
    upgrade_word((struct slice){bytes, sizeof bytes}, one);
    bytes[30] = 1; /* of the checksum */
    upgrade_word((struct slice){bytes, sizeof bytes}, two);
    assert_string_not_equal(one, two);
    upgrade_word((struct slice){bytes, 3}, two);
    assert_string_equal(one, two);
}

/* Without a net there is no way back, and nothing happens. */
static void test_no_net(void **state)
{
    (void)state;
    static char name[] = "colmeia", verb[] = "adopt", fd[] = "0", none[] = "0";
    char *argv[] = {name, verb, fd, none, NULL};
    upgrade_net_up(4, argv);
    upgrade_fall_back("why");
    upgrade_net_down();
    upgrade_net_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_changes_the_file),
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_other_files_are_refused),
        cmocka_unit_test(test_programs_that_are_not_ours),
        cmocka_unit_test(test_environment_of_the_start),
        cmocka_unit_test(test_word),
        cmocka_unit_test(test_no_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
