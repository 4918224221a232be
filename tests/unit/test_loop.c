/* test_loop.c: worker/loop/loop.c: flush hooks, finished tasks, wake-ups from other threads. */
#include "worker/loop/loop.h"

#include "worker/loop/task.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

enum { ALARM_S = 120 };

struct probe {
    struct task task; /* first */
    int id;
    struct probe *again; /* posted by done() */
    void (*post)(struct loop *l, struct task *t); /* NULL: as a thread does */
};

static int order[16];
static int order_len;

static void on_done(struct task *t)
{
    struct probe *p = (struct probe *)t;
    assert_null(t->next);
    order[order_len++] = p->id;
    if (p->again && p->post)
        p->post(t->loop, &p->again->task);
    else if (p->again)
        loop_post_done(t->loop, &p->again->task, &p->again->task);
}

static void probe_init(struct probe *p, struct loop *l, int id)
{
    *p = (struct probe){.id = id};
    task_init(&p->task, l, on_done);
}

static int setup(void **state)
{
    order_len = 0;
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state); /* NULL: the test did */
    return 0;
}

struct counted {
    struct loop_flush flush; /* first */
    int calls;
};

static void count_call(struct loop_flush *f)
{
    ((struct counted *)f)->calls++;
}

static void test_flush_runs_once_a_turn(void **state)
{
    struct loop *l = *state;
    struct counted a = {.flush.call = count_call};
    struct counted b = {.flush.call = count_call};
    loop_add_flush(l, &a.flush);
    loop_add_flush(l, &b.flush);
    for (int i = 1; i <= 3; i++) {
        loop_run_once(l, false);
        assert_int_equal(a.calls, i);
        assert_int_equal(b.calls, i);
    }
    loop_remove_flush(l, &a.flush);
    loop_remove_flush(l, &a.flush); /* absent: harmless */
    loop_run_once(l, false);
    assert_int_equal(a.calls, 3);
    assert_int_equal(b.calls, 4);
    loop_remove_flush(l, &b.flush);
}

struct leaver {
    struct loop_flush flush; /* first */
    struct loop *loop;
    int calls;
};

static void leave(struct loop_flush *f)
{
    struct leaver *v = (struct leaver *)f;
    v->calls++;
    loop_remove_flush(v->loop, f);
}

static void test_flush_may_remove_itself(void **state)
{
    struct loop *l = *state;
    struct counted first = {.flush.call = count_call};
    struct counted last = {.flush.call = count_call};
    struct leaver leaver = {.flush.call = leave, .loop = l};
    loop_add_flush(l, &first.flush);
    loop_add_flush(l, &leaver.flush);
    loop_add_flush(l, &last.flush);
    loop_run_once(l, false);
    loop_run_once(l, false);
    assert_int_equal(leaver.calls, 1);
    assert_int_equal(first.calls, 2);
    assert_int_equal(last.calls, 2);
    loop_remove_flush(l, &first.flush);
    loop_remove_flush(l, &last.flush);
}

static void test_done_in_order_in_a_later_turn(void **state)
{
    struct loop *l = *state;
    struct probe p[4];
    for (int i = 0; i < 4; i++)
        probe_init(&p[i], l, i);
    p[0].task.next = &p[1].task;
    p[1].task.next = &p[2].task;
    loop_post_done(l, &p[0].task, &p[2].task);
    loop_post_done(l, &p[3].task, &p[3].task);
    assert_int_equal(order_len, 0);
    loop_run_once(l, true);
    assert_int_equal(order_len, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
}

/* What comes back while done functions run has to wait its turn. */
static void test_done_during_done_waits(void **state)
{
    struct loop *l = *state;
    struct probe first, second;
    probe_init(&first, l, 1);
    probe_init(&second, l, 2);
    first.again = &second;
    loop_post_done(l, &first.task, &first.task);
    loop_run_once(l, true);
    assert_int_equal(order_len, 1);
    loop_run_once(l, true);
    assert_int_equal(order_len, 2);
    assert_int_equal(order[1], 2);
}

/* What was finished on the loop itself: in order, in the turn that comes, and not within another
 * done function. */
static void test_done_here(void **state)
{
    struct loop *l = *state;
    struct probe p[3];
    for (int i = 0; i < 3; i++) {
        probe_init(&p[i], l, i);
        p[i].again = NULL;
    }
    p[2].post = loop_post_here;
    p[2].again = &p[0];
    loop_post_here(l, &p[1].task);
    loop_post_here(l, &p[2].task);
    assert_int_equal(order_len, 0);
    loop_run_once(l, false);
    assert_memory_equal(order, ((int[]){1, 2}), 2 * sizeof(int));
    assert_int_equal(order_len, 2);
    loop_run_once(l, false);
    assert_int_equal(order_len, 3);
    probe_init(&p[1], l, 7);
    loop_post_here(l, &p[1].task);
    *state = NULL;
    loop_free(l);
    assert_int_equal(order[3], 7);
}

struct worked {
    struct loop_flush flush; /* first */
    struct task task;
    struct loop *loop;
    struct ev_timer begin;
    bool left;
};

static void leave_work(struct task *t)
{
    struct worked *w = (struct worked *)((char *)t - offsetof(struct worked, task));
    w->left = true;
}

static void do_work(struct loop_flush *f)
{
    struct worked *w = (struct worked *)f;
    if (w->left)
        loop_stop(w->loop);
}

static void end_it_here(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct worked *w = timer->data;
    ev_timer_stop(ev, timer);
    loop_post_here(w->loop, &w->task);
}

/* The loop does not sleep before its hooks have seen what done functions left. */
static void test_done_here_may_leave_work(void **state)
{
    struct loop *l = *state;
    struct worked w = {.flush.call = do_work, .loop = l};
    task_init(&w.task, l, leave_work);
    loop_add_flush(l, &w.flush);
    ev_timer_init(&w.begin, end_it_here, 0., 0.);
    w.begin.data = &w;
    ev_timer_start(loop_ev(l), &w.begin);
    alarm(30); /* libev itself wakes up after a minute */
    loop_run(l);
    alarm(ALARM_S);
    assert_true(w.left);
    loop_remove_flush(l, &w.flush);
}

static void test_free_runs_what_came_back(void **state)
{
    struct loop *l = loop_new();
    struct probe p;
    assert_non_null(l);
    probe_init(&p, l, 7);
    loop_post_done(l, &p.task, &p.task);
    loop_free(l);
    assert_int_equal(order_len, 1);
    loop_free(NULL);
}

static void stop_on_done(struct task *t)
{
    order[order_len++] = 1;
    loop_stop(t->loop);
}

static void *post_from_thread(void *arg)
{
    struct task *t = arg;
    loop_post_done(t->loop, t, t);
    return NULL;
}

/* No watcher is active: the loop must still sleep until the other thread wakes it. */
static void test_other_thread_wakes_a_sleeping_loop(void **state)
{
    struct loop *l = *state;
    struct task t;
    pthread_t thread;
    task_init(&t, l, stop_on_done);
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, &t), 0);
    loop_run(l);
    assert_int_equal(order_len, 1);
    pthread_join(thread, NULL);
}

static void test_backend_is_epoll_whatever_the_environment(void **state)
{
    setenv("LIBEV_FLAGS", "1", 1); /* EVBACKEND_SELECT */
    struct loop *l = loop_new();
    unsetenv("LIBEV_FLAGS");
    assert_non_null(l);
    assert_int_equal(ev_backend(loop_ev(l)), EVBACKEND_EPOLL);
    loop_free(l);
}

static void test_now_is_monotonic_time(void **state)
{
    mono_ms before = clock_now();
    mono_ms now = loop_now(*state);
    assert_false(mono_before(now, before));
    assert_false(mono_before(clock_now(), now));
}

/* Runs *bug* in a child, stderr closed; true when it aborted. */
static bool aborts(void (*bug)(struct loop *), struct loop *l)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        bug(l);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void *run_from_thread(void *l)
{
    loop_run_once(l, false);
    return NULL;
}

static void bug_foreign_thread(struct loop *l)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_from_thread, l) == 0)
        pthread_join(thread, NULL);
}

static void bug_flush_twice(struct loop *l)
{
    struct counted c = {.flush.call = count_call};
    loop_add_flush(l, &c.flush);
    loop_add_flush(l, &c.flush);
}

static void no_bug(struct loop *l)
{
    LOOP_ASSERT_OWNER(l);
}

static void test_our_bugs_abort(void **state)
{
    assert_true(aborts(bug_foreign_thread, *state));
    assert_true(aborts(bug_flush_twice, *state));
    assert_false(aborts(no_bug, *state));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- loop_forget_fd ------------------------------------------------------------------------------ */

struct seen {
    struct ev_io io; /* first */
    int calls;
};

static void on_seen(struct ev_loop *ev, struct ev_io *io, int revents)
{
    char c;
    ((struct seen *)io)->calls++;
    assert_int_equal(read(io->fd, &c, 1), 1);
}

static void watch_fd(struct loop *l, struct seen *s, int fd)
{
    s->calls = 0;
    ev_io_init(&s->io, on_seen, fd, EV_READ);
    ev_io_start(loop_ev(l), &s->io);
    loop_run_once(l, false);
}

/* The epoll descriptor of this process that has *fd* in its set (proc(5)), -1: none has. */
static int watched_by(int fd)
{
    char path[64], link[64], line[256];
    for (int at = 0; at < 64; at++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", at);
        ssize_t len = readlink(path, link, sizeof link - 1);
        if (len < 0 || !memmem(link, (size_t)len, "eventpoll", 9))
            continue;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", at);
        FILE *info = fopen(path, "r");
        assert_non_null(info);
        int tfd = -1;
        while (tfd != fd && fgets(line, sizeof line, info)) {
            if (sscanf(line, "tfd: %d", &tfd) != 1)
                tfd = -1;
        }
        fclose(info);
        if (tfd == fd)
            return at;
    }
    return -1;
}

/* A connection whose description lives on elsewhere, *kept* standing for the other process. */
struct given {
    struct seen seen;
    int near, far, kept;
};

static void given_init(struct loop *l, struct given *g)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    *g = (struct given){.near = pair[0], .far = pair[1], .kept = fcntl(pair[0], F_DUPFD, 40)};
    assert_true(g->kept >= 40);
    watch_fd(l, &g->seen, g->near);
    assert_true(watched_by(g->near) >= 0);
    ev_io_stop(loop_ev(l), &g->seen.io);
}

static void given_fini(struct given *g)
{
    close(g->far);
    close(g->kept);
}

static void test_forget_fd(void **state)
{
    struct loop *l = *state;
    struct given g;
    given_init(l, &g);
    assert_true(loop_forget_fd(l, g.near));
    assert_int_equal(watched_by(g.near), -1);
    close(g.near);
    assert_int_equal(write(g.far, "x", 1), 1); /* nobody here is woken by it */
    loop_run_once(l, false);

    int pair[2]; /* the number is used again */
    struct seen again;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pair[0], g.near);
    watch_fd(l, &again, pair[0]);
    assert_int_equal(again.calls, 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    loop_run_once(l, false);
    assert_int_equal(again.calls, 1);
    ev_io_stop(loop_ev(l), &again.io);
    close(pair[0]);
    close(pair[1]);
    given_fini(&g);
}

/* A stopped watcher that epoll has not heard of yet is as good as forgotten. */
static void test_forget_fd_at_once(void **state)
{
    struct loop *l = *state;
    int pair[2];
    struct seen s = {.calls = 0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ev_io_init(&s.io, on_seen, pair[0], EV_READ);
    ev_io_start(loop_ev(l), &s.io);
    ev_io_stop(loop_ev(l), &s.io);
    assert_true(loop_forget_fd(l, pair[0]));
    loop_run_once(l, false);
    assert_int_equal(watched_by(pair[0]), -1);
    close(pair[0]);
    assert_false(loop_forget_fd(l, pair[0]));
    close(pair[1]);
}

/* libev makes itself another epoll descriptor when it meets what was not forgotten: asked again. */
static void test_forget_fd_of_a_new_epoll(void **state)
{
    int lower = dup(0);
    struct loop *l = loop_new();
    struct given first, stale, g;
    given_init(l, &first);
    assert_true(loop_forget_fd(l, first.near));
    close(first.near);
    given_init(l, &stale);
    int before = watched_by(stale.near);
    close(stale.near);
    close(lower);
    assert_int_equal(write(stale.far, "x", 1), 1);
    loop_run_once(l, false);
    loop_run_once(l, false);
    given_init(l, &g);
    assert_int_not_equal(watched_by(g.near), before);
    assert_true(loop_forget_fd(l, g.near));
    assert_int_equal(watched_by(g.near), -1);
    close(g.near);
    given_fini(&g);
    given_fini(&stale);
    given_fini(&first);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_flush_runs_once_a_turn),
        CASE(test_flush_may_remove_itself),
        CASE(test_done_in_order_in_a_later_turn),
        CASE(test_done_during_done_waits),
        CASE(test_done_here),
        CASE(test_done_here_may_leave_work),
        CASE(test_free_runs_what_came_back),
        CASE(test_other_thread_wakes_a_sleeping_loop),
        CASE(test_backend_is_epoll_whatever_the_environment),
        CASE(test_now_is_monotonic_time),
        CASE(test_our_bugs_abort),
        CASE(test_forget_fd),
        CASE(test_forget_fd_at_once),
        CASE(test_forget_fd_of_a_new_epoll),
    };
    alarm(ALARM_S); /* a lost wake-up must not hang the run */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
