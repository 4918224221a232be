/* test_priority.c: worker/auth/priority.c: which thread does the work, by how much of a core the
 * work before it had. Work that waits has had little of one; test_password has a core that is
 * really busy. */
#include "worker/auth/priority.h"

#include "shared/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { TRIES = 500 };

/* What a piece of work costs, and where it was done. */
struct work {
    int64_t burn_us; /* of a core */
    int64_t wait_ms; /* besides */
    pid_t tid;
    int niceness;
};

static int own_niceness(void)
{
    return getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

static void do_work(void *arg)
{
    struct work *w = arg;
    int64_t began_us = clock_thread_us();
    while (clock_thread_us() - began_us < w->burn_us)
        ;
    if (w->wait_ms)
        nanosleep(&(struct timespec){.tv_nsec = w->wait_ms * 1000000}, NULL);
    w->tid = (pid_t)syscall(SYS_gettid);
    w->niceness = own_niceness();
}

static const struct work starved = {.burn_us = 1500, .wait_ms = 20};
static const struct work satisfied = {.burn_us = 20000};
static const struct work cheap = {0};

/* Whether it gave way. */
static bool gives_way(struct priority *p, struct work w)
{
    bool raised = priority_do(p, do_work, &w);
    bool here = w.tid == (pid_t)syscall(SYS_gettid);
    int below = own_niceness() + 10;
    assert_int_equal(w.niceness, here ? own_niceness() : below > 19 ? 19 : below);
    assert_int_equal(raised, here && w.burn_us > 0);
    return !here;
}

static void test_judge(void **state)
{
    static const struct {
        bool raised;
        int64_t cpu_us, took_us;
        bool wanted;
    } rows[] = {
        {false, 80000, 80000, false},  {false, 80000, 239000, false}, {false, 80000, 241000, true},
        {false, 80000, 8000000, true}, {true, 80000, 8000000, true},  {true, 80000, 121000, true},
        {true, 80000, 119000, false},  {true, 80000, 80000, false},   {false, 999, 1000, true},
        {true, 999, 1000, true},       {false, 1000, 1000, false},    {false, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(priority_judge(rows[i].raised, rows[i].cpu_us, rows[i].took_us),
                         rows[i].wanted);
}

static void test_gives_way_until_starved(void **state)
{
    struct priority p;
    priority_open(&p);
    assert_true(gives_way(&p, starved));
    assert_false(gives_way(&p, starved));
    assert_false(gives_way(&p, satisfied));
    for (int i = 0; !gives_way(&p, satisfied); i++)
        assert_true(i < TRIES); /* others may have wanted the core as well */
    priority_close(&p);
}

/* It would be dearer on another thread. */
static void test_cheap_work_stays(void **state)
{
    struct priority p;
    priority_open(&p);
    assert_true(gives_way(&p, cheap));
    assert_false(gives_way(&p, cheap));
    assert_false(gives_way(&p, cheap));
    priority_close(&p);
}

static void test_never_used(void **state)
{
    struct priority p;
    priority_open(&p);
    priority_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_gives_way_until_starved),
        cmocka_unit_test(test_cheap_work_stays),
        cmocka_unit_test(test_never_used),
    };
    alarm(60); /* whoever fails leaves a thread behind */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
