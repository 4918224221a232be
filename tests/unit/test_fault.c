/* test_fault.c: shared/fault.c: what an order says, and when it is for now. */
#include "shared/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#ifdef COLMEIA_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/colmeia-fault-XXXXXX";

static void path_of(const char *point, char path_r[static PATH_MAX])
{
    snprintf(path_r, PATH_MAX, "%s/%s", directory, point);
}

static void order(const char *point, const char *text)
{
    char path[PATH_MAX];
    path_of(point, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    assert_int_equal(fclose(f), 0);
}

static bool stands(const char *point)
{
    char path[PATH_MAX];
    path_of(point, path);
    return access(path, F_OK) == 0;
}

static int clear(void **state)
{
    char path[PATH_MAX];
    path_of("accept", path);
    unlink(path);
    path_of("worker_boot", path);
    unlink(path);
    fault_strikes(FAULT_accept); /* nothing is there: what was counted is forgotten */
    return 0;
}

/* errno of a call that went through the point; 0: it was made. */
static int try_it(void)
{
    errno = EXDEV;
    int result = FAULT_CALL(accept, -1, 7);
    assert_int_equal(result, errno == EXDEV ? 7 : -1);
    return errno == EXDEV ? 0 : errno;
}

static void test_no_order(void **state)
{
    assert_int_equal(try_it(), 0);
    order("listener_bind", "errno EACCES"); /* another point's */
    assert_int_equal(try_it(), 0);
}

static void test_every_time(void **state)
{
    order("accept", "errno EMFILE");
    for (int i = 0; i < 3; i++)
        assert_int_equal(try_it(), EMFILE);
    assert_true(stands("accept"));
}

static void test_once(void **state)
{
    order("accept", "once errno ECONNABORTED");
    assert_int_equal(try_it(), ECONNABORTED);
    assert_false(stands("accept"));
    assert_int_equal(try_it(), 0);
}

static void test_skip(void **state)
{
    order("accept", "skip 2 once errno EINTR");
    assert_int_equal(try_it(), 0);
    assert_int_equal(try_it(), 0);
    assert_true(stands("accept"));
    assert_int_equal(try_it(), EINTR);
    assert_int_equal(try_it(), 0);
    order("accept", "skip 1 errno EINTR"); /* counted anew */
    assert_int_equal(try_it(), 0);
    assert_int_equal(try_it(), EINTR);
    assert_int_equal(try_it(), EINTR);
}

static void test_fails_without_a_descriptor_to_spare(void **state)
{
    int fds[2048], len = 0;
    assert_int_equal(try_it(), 0);
    while (len < 2048 && (fds[len] = open("/dev/null", O_RDONLY)) >= 0)
        len++;
    int found = try_it();
    for (int i = 0; i < len; i++)
        close(fds[i]);
    assert_int_equal(found, 0);
}

/* wait(2)'s status of a child that comes to the point. */
static int child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        FAULT_POINT(worker_boot);
        _exit(42);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_what_ends_a_process(void **state)
{
    assert_int_equal(WEXITSTATUS(child()), 42);
    order("worker_boot", "once exit 3");
    assert_int_equal(WEXITSTATUS(child()), 3);
    order("worker_boot", "once signal KILL");
    assert_int_equal(WTERMSIG(child()), SIGKILL);
    assert_int_equal(WEXITSTATUS(child()), 42);
}

static volatile sig_atomic_t got;

static void on_signal(int number)
{
    got = number;
}

static void test_signal_to_the_parent(void **state)
{
    signal(SIGUSR1, on_signal);
    order("worker_boot", "once signal-parent USR1");
    assert_int_equal(WEXITSTATUS(child()), 42);
    assert_int_equal(got, SIGUSR1);
}

/* A test that orders nonsense would prove nothing: it is not passed over. */
static void test_nonsense_aborts(void **state)
{
    static const char *const texts[] = {"errno", "errno ENOTHING", "signal NOTHING", "perhaps",
                                        "once",  "skip 1",         "errno EMFILE" /* a place */};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        order("worker_boot", texts[i]);
        pid_t pid = fork();
        if (pid == 0) {
            close(STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            FAULT_POINT(worker_boot);
            FAULT_POINT(worker_boot);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static int remove_all(void **state)
{
    char path[PATH_MAX];
    path_of("listener_bind", path);
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_order, clear),
        cmocka_unit_test_teardown(test_every_time, clear),
        cmocka_unit_test_teardown(test_once, clear),
        cmocka_unit_test_teardown(test_skip, clear),
        cmocka_unit_test_teardown(test_fails_without_a_descriptor_to_spare, clear),
        cmocka_unit_test_teardown(test_what_ends_a_process, clear),
        cmocka_unit_test_teardown(test_signal_to_the_parent, clear),
        cmocka_unit_test_teardown(test_nonsense_aborts, clear),
    };
    if (!mkdtemp(directory) || setenv("COLMEIA_FAULTS", directory, 1))
        return 1;
    return cmocka_run_group_tests(tests, NULL, remove_all);
}

#else

/* Built without fault points: the macros are the bare call, or nothing. */
static void test_bare(void **state)
{
    FAULT_POINT(anything);
    assert_int_equal(FAULT_CALL(anything, -1, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bare)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
