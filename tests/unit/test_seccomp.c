/* test_seccomp.c: each call of the table is refused, and what serves needs is not. */
#include "worker/seccomp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *name;
    long number;
} denied[] = {
#define DENY(call) {#call, SYS_##call},
#include "worker/seccomp.def"
#undef DENY
};

/* The child's exit status; what it complains of is on standard error. */
static int in_child(int (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(body()); /* not exit(3): leak checkers trace their own process */
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Arguments that none of them can do anything with. */
static int error_of(long number)
{
    errno = 0;
    return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) == -1 ? errno : 0;
}

static int try_all(void)
{
    int wrong = 0;
    if (seccomp_start() != 0)
        return 99;
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        int error = error_of(denied[i].number);
        if (error == EPERM)
            continue;
        fprintf(stderr, "%s: errno %d\n", denied[i].name, error);
        wrong++;
    }
    return wrong;
}

static void test_each_is_refused(void **state)
{
    (void)state;
    assert_true(sizeof denied / sizeof *denied >= 40);
    assert_int_equal(in_child(try_all), 0);
}

/* These would say something else for such arguments. */
static int try_without(void)
{
    return error_of(SYS_execve) == EFAULT && error_of(SYS_process_vm_readv) != EPERM &&
                   error_of(SYS_keyctl) != EPERM
               ? 0
               : 1;
}

static void test_it_is_the_filter_that_refuses(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_without), 0);
}

#ifdef __x86_64__
/* write(2) by its x32 number, and getpid(2) by that of i386. */
static int try_foreign(void)
{
    long answer = 20;
    if (seccomp_start() != 0)
        return 99;
    if (error_of(0x40000000L + SYS_write) != EPERM)
        return 1;
    __asm__ volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
    return answer == -EPERM ? 0 : 2;
}

static void test_other_architectures_are_refused(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_foreign), 0);
}
#endif

/* How a process of its own namespaces is asked for, or any; the child, if there is one, ends at once. */
static int clone_error(unsigned long flags)
{
    errno = 0;
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    return pid < 0 ? errno : waitpid((pid_t)pid, NULL, 0) == pid ? 0 : ECHILD;
}

static int try_namespaces(void)
{
    static const unsigned long namespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                               CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    if (seccomp_start() != 0)
        return 99;
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
        if (clone_error(namespaces[i]) != EPERM)
            return 1 + (int)i;
    if (error_of(SYS_clone3) != ENOSYS)
        return 50;
    return clone_error(0) == 0 ? 0 : 51;
}

static void test_new_namespaces_are_refused(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_namespaces), 0);
}

static void *on_thread(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)error_of(SYS_execve);
}

static int try_daily_work(void)
{
    int pair[2];
    char byte = 'x';
    pthread_t thread;
    void *refused = NULL;
    if (seccomp_start() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 99;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || write(pair[0], &byte, 1) != 1 ||
        read(pair[1], &byte, 1) != 1)
        return 1;
    if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        return 2;
    if (pthread_create(&thread, NULL, on_thread, NULL) != 0 || pthread_join(thread, &refused) != 0)
        return 3;
    return (intptr_t)refused == EPERM ? 0 : 4; /* threads have it, too */
}

static void test_the_rest_works(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_daily_work), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_refused),
        cmocka_unit_test(test_it_is_the_filter_that_refuses),
#ifdef __x86_64__
        cmocka_unit_test(test_other_architectures_are_refused),
#endif
        cmocka_unit_test(test_new_namespaces_are_refused),
        cmocka_unit_test(test_the_rest_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
