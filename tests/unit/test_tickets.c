/* test_tickets.c: shared/tickets.h between threads and between processes: never more holders than
 * tickets, no waiter forgotten, and what the dead held comes back. */
#include "shared/tickets.h"

#include "shared/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 60000, CHILDREN_MAX = 8 };

/* What a test holds, let go of by teardown() whether it passed or not. */
static struct {
    struct tickets *tickets;
    pid_t children[CHILDREN_MAX];
    size_t children_len;
} held;

static void use(unsigned count)
{
    tickets_free(held.tickets);
    held.tickets = tickets_new(count);
    assert_non_null(held.tickets);
}

static int teardown(void **state)
{
    for (size_t i = 0; i < held.children_len; i++)
        if (held.children[i] > 0 && kill(held.children[i], SIGKILL) == 0)
            waitpid(held.children[i], NULL, 0);
    tickets_free(held.tickets);
    memset(&held, 0, sizeof held);
    return 0;
}

/* ---- children ------------------------------------------------------------------------------- */

/* Runs body in a child, which exits with what it returns. */
static pid_t child(int (*body)(struct tickets *t))
{
    assert_true(held.children_len < CHILDREN_MAX);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(held.tickets));
    held.children[held.children_len++] = pid;
    return pid;
}

/* Reaps it; returns what waitpid(2) says. */
static int reap(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 0; i < held.children_len; i++)
        if (held.children[i] == pid)
            held.children[i] = held.children[--held.children_len];
    return status;
}

static char state_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = 0;
    const char *close = strrchr(text, ')');
    assert_non_null(close);
    return close[2];
}

/* Until it sleeps: its body sleeps nowhere but in tickets_take(). */
static void await_asleep(pid_t pid)
{
    while (state_of(pid) != 'S')
        sched_yield();
}

static int take_one_and_exit(struct tickets *t)
{
    return tickets_take(t, 0) >= 0 ? 0 : 1;
}

static int take_two_and_exit(struct tickets *t)
{
    return tickets_take(t, 0) >= 0 && tickets_take(t, 0) >= 0 ? 0 : 1;
}

static int take_and_wait_for_death(struct tickets *t)
{
    if (tickets_take(t, 0) < 0)
        return 1;
    for (;;)
        pause();
}

static int wait_and_give(struct tickets *t)
{
    int ticket = tickets_take(t, LONG_MS);
    if (ticket < 0)
        return 1;
    tickets_give(t, ticket);
    return 0;
}

/* ---- one process ---------------------------------------------------------------------------- */

static void test_take_and_give(void **state)
{
    use(3);
    unsigned seen = 0;
    assert_int_equal(tickets_count(held.tickets), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tickets_taken(held.tickets), i);
        int ticket = tickets_take(held.tickets, 0);
        assert_in_range(ticket, 0, 2);
        seen |= 1u << ticket;
    }
    assert_int_equal(seen, 7); /* each once */
    assert_int_equal(tickets_take(held.tickets, 0), -1);
    tickets_give(held.tickets, 1);
    assert_int_equal(tickets_taken(held.tickets), 2);
    assert_int_equal(tickets_take(held.tickets, 0), 1);
    assert_int_equal(tickets_take(held.tickets, 0), -1);
    for (int i = 0; i < 3; i++)
        tickets_give(held.tickets, i);
    assert_int_equal(tickets_taken(held.tickets), 0);
}

static void test_most(void **state)
{
    use(256);
    for (int i = 0; i < 256; i++)
        assert_int_equal(tickets_take(held.tickets, 0), i);
    assert_int_equal(tickets_take(held.tickets, 0), -1);
    assert_int_equal(tickets_taken(held.tickets), 256);
    tickets_free(NULL);
}

/* Not before its time, and without a trace in errno. */
static void test_timeout(void **state)
{
    static const int64_t timeouts_ms[] = {-5, 0, 1, 30};
    use(1);
    assert_int_equal(tickets_take(held.tickets, 0), 0);
    for (size_t i = 0; i < sizeof timeouts_ms / sizeof *timeouts_ms; i++) {
        mono_ms before = clock_now();
        errno = 123;
        assert_int_equal(tickets_take(held.tickets, timeouts_ms[i]), -1);
        assert_int_equal(errno, 123);
        assert_true(mono_diff_ms(clock_now(), before) >= timeouts_ms[i]);
    }
}

/* ---- processes ------------------------------------------------------------------------------ */

static void test_reclaim(void **state)
{
    use(4);
    int ours = tickets_take(held.tickets, 0);
    pid_t pid = child(take_two_and_exit), other = child(take_one_and_exit);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(reap(other), 0);
    assert_int_equal(tickets_taken(held.tickets), 4); /* the dead do not give */
    assert_int_equal(tickets_take(held.tickets, 0), -1);
    assert_int_equal(tickets_reclaim(held.tickets, pid), 2);
    assert_int_equal(tickets_reclaim(held.tickets, pid), 0);
    assert_int_equal(tickets_taken(held.tickets), 2);
    assert_int_equal(tickets_reclaim(held.tickets, other), 1);
    tickets_give(held.tickets, ours); /* still ours */
    assert_int_equal(tickets_taken(held.tickets), 0);
}

static void test_give_wakes(void **state)
{
    use(1);
    int ticket = tickets_take(held.tickets, 0);
    pid_t waiter = child(wait_and_give);
    await_asleep(waiter);
    tickets_give(held.tickets, ticket);
    assert_int_equal(reap(waiter), 0);
    assert_int_equal(tickets_taken(held.tickets), 0);
}

static void test_reclaim_wakes(void **state)
{
    use(1);
    pid_t holder = child(take_and_wait_for_death);
    while (tickets_taken(held.tickets) == 0)
        sched_yield();
    pid_t waiter = child(wait_and_give), second = child(wait_and_give);
    await_asleep(waiter);
    await_asleep(second);
    assert_int_equal(kill(holder, SIGKILL), 0);
    reap(holder);
    assert_int_equal(tickets_reclaim(held.tickets, holder), 1);
    assert_int_equal(reap(waiter), 0);
    assert_int_equal(reap(second), 0);
}

/* The one that is woken is killed before it can take: the other one must not sleep on. */
static void test_wake_of_the_dying(void **state)
{
    for (int round = 0; round < 20; round++) {
        use(1);
        int ticket = tickets_take(held.tickets, 0);
        pid_t first = child(wait_and_give);
        await_asleep(first);
        pid_t second = child(wait_and_give);
        await_asleep(second);
        assert_int_equal(kill(first, SIGKILL), 0);
        tickets_give(held.tickets, ticket);
        reap(first);
        tickets_reclaim(held.tickets, first);
        assert_int_equal(reap(second), 0);
        assert_int_equal(tickets_taken(held.tickets), 0);
    }
}

static int give_foreign(struct tickets *t)
{
    tickets_give(t, 0);
    return 0;
}

static int give_free(struct tickets *t)
{
    tickets_give(t, 1);
    return 0;
}

static int give_beyond(struct tickets *t)
{
    tickets_give(t, 2);
    return 0;
}

static int give_negative(struct tickets *t)
{
    tickets_give(t, -1);
    return 0;
}

static int reclaim_nobody(struct tickets *t)
{
    tickets_reclaim(t, 0); /* would free what is free */
    return 0;
}

/* Our own bugs end in an abort, not in two holders of one ticket. */
static void test_misuse_aborts(void **state)
{
    static int (*const bodies[])(struct tickets *) = {give_foreign, give_free, give_beyond,
                                                      give_negative, reclaim_nobody};
    struct rlimit none = {0};
    use(2);
    assert_int_equal(tickets_take(held.tickets, 0), 0);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            setrlimit(RLIMIT_CORE, &none);
            close(STDERR_FILENO); /* what it says is not news */
            _exit(bodies[i](held.tickets));
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("misuse %zu: status %#x", i, (unsigned)status);
    }
}

/* ---- crowds --------------------------------------------------------------------------------- */

enum { TICKETS = 3, CROWD = 6, TURNS = 2000 };

/* Counts holders. Whoever finds too many, or a ticket held twice, says so. */
struct turnstile {
    struct tickets *tickets;
    _Atomic(int) inside;
    _Atomic(int) most;
    _Atomic(int) wrong;
    int turns[TICKETS]; /* plain: the holder of a ticket has its cell alone */
};

static void pass(struct turnstile *t)
{
    int ticket = tickets_take(t->tickets, LONG_MS);
    if (ticket < 0 || ticket >= TICKETS) {
        atomic_fetch_add(&t->wrong, 1);
        return;
    }
    int inside = atomic_fetch_add(&t->inside, 1) + 1;
    int most = atomic_load(&t->most);
    while (inside > most && !atomic_compare_exchange_weak(&t->most, &most, inside))
        ;
    int before = t->turns[ticket];
    sched_yield(); /* an invitation to the others */
    t->turns[ticket] = before + 1;
    atomic_fetch_sub(&t->inside, 1);
    tickets_give(t->tickets, ticket);
}

static void assert_orderly(const struct turnstile *t)
{
    int turns = 0;
    for (int i = 0; i < TICKETS; i++)
        turns += t->turns[i];
    assert_int_equal(t->wrong, 0);
    assert_in_range(t->most, 1, TICKETS);
    assert_int_equal(turns, CROWD * TURNS);
    assert_int_equal(tickets_taken(t->tickets), 0);
}

static void *pass_often(void *turnstile)
{
    for (int i = 0; i < TURNS; i++)
        pass(turnstile);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[CROWD];
    use(TICKETS);
    struct turnstile t = {.tickets = held.tickets};
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass_often, &t), 0);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_orderly(&t);
}

static struct turnstile *between_processes;

static int pass_in_child(struct tickets *t)
{
    pass_often(between_processes);
    return 0;
}

static void test_processes(void **state)
{
    use(TICKETS);
    struct turnstile *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t != MAP_FAILED);
    t->tickets = held.tickets;
    between_processes = t;
    pid_t pids[CROWD];
    for (int i = 0; i < CROWD; i++)
        pids[i] = child(pass_in_child);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(reap(pids[i]), 0);
    assert_orderly(t);
    munmap(t, sizeof *t);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_take_and_give),     TEST(test_most),          TEST(test_timeout),
        TEST(test_reclaim),           TEST(test_give_wakes),    TEST(test_reclaim_wakes),
        TEST(test_wake_of_the_dying), TEST(test_misuse_aborts), TEST(test_processes),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
