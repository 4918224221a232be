/* test_worker_signs.c: what a worker leaves in its slot for others to read: worker/pulse.c,
 * worker/last_stack.c and the recent requests. */
#include "http_tester.h"

#include "shared/log.h"
#include "worker/last_stack.h"
#include "worker/pulse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- pulse ----------------------------------------------------------------------------------- */

struct holder {
    struct ev_timer timer; /* first */
    struct scoreboard_slot *slot;
    int64_t hold_us;
    int64_t seen_since_us;
    int calls;
};

static void hold_loop(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct holder *h = (struct holder *)t;
    h->calls++;
    h->seen_since_us = h->slot->busy_since_us;
    int64_t until = clock_now_us() + h->hold_us;
    while (clock_now_us() < until)
        continue;
}

/* libev calls the one right before it waits in epoll_wait(2), the other right after. */
static struct scoreboard_slot *waiting;
static unsigned waits;

static void on_wait(struct ev_loop *ev) EV_NOEXCEPT
{
    waits++;
    assert_int_equal(waiting->busy_since_us, 0);
}

static void on_waited(struct ev_loop *ev) EV_NOEXCEPT
{
}

static void hold_for(struct loop *l, struct holder *h, int64_t us)
{
    h->hold_us = us;
    int calls = h->calls;
    ev_timer_init(&h->timer, hold_loop, 0., 0.);
    ev_timer_start(loop_ev(l), &h->timer);
    while (h->calls == calls)
        loop_run_once(l, true);
    loop_run_once(l, false); /* the turn is over when the next one begins to wait */
}

static void test_pulse(void **state)
{
    struct loop *l = loop_new();
    struct scoreboard_slot *slot = calloc(1, sizeof *slot);
    struct holder h = {.slot = slot};
    struct pulse p;
    int64_t before = clock_now().ms;
    pulse_start(&p, l, slot, 100);
    assert_true(slot->beat_ms >= before);
    waiting = slot;
    ev_set_loop_release_cb(loop_ev(l), on_wait, on_waited);
    int64_t before_us = clock_now_us();
    hold_for(l, &h, 30000);
    assert_true(h.seen_since_us >= before_us);
    assert_true(slot->beat_ms >= before_us / 1000);
    assert_true(waits > 0);
    assert_true(slot->lag_us >= 30000);
    uint32_t longest = slot->lag_us;
    hold_for(l, &h, 5000);
    assert_int_equal(slot->lag_us, longest);
    /* it is forgotten when a whole second has known nothing like it */
    int64_t beat = slot->beat_ms;
    while (slot->lag_us >= 30000)
        loop_run_once(l, true);
    assert_true(slot->beat_ms > beat); /* the idle loop's own beat */
    pulse_stop(&p);
    loop_free(l);
    free(slot);
}

/* ---- the last stack -------------------------------------------------------------------------- */

__attribute__((noinline)) static void fall_over(void)
{
    raise(SIGABRT);
    __asm__ volatile("" ::: "memory"); /* no tail call: this frame is looked for */
}

static void test_last_stack(void **state)
{
    struct scoreboard *s = scoreboard_new(1);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        last_stack_keep(&s->slots[0]);
        fall_over();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_in_range(s->slots[0].stack_len, 3, SCOREBOARD_STACK_MAX);
    unsigned found = 0;
    for (uint32_t i = 0; i < s->slots[0].stack_len; i++) {
        uint64_t at = s->slots[0].stack[i], from = (uint64_t)(uintptr_t)fall_over;
        found += at > from && at < from + 200;
    }
    assert_int_equal(found, 1);
    scoreboard_free(s);
}

/* ---- recent requests ------------------------------------------------------------------------- */

static int setup(void **state)
{
    struct tester *t = malloc(sizeof *t);
    tester_init(t);
    tester_start(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    tester_fini(*state);
    free(*state);
    return 0;
}

static void test_recent(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    mono_ms before = clock_now();
    tester_send(t, fd, "GET /a?secret=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: r1\r\n\r\n");
    tester_receive_until(t, fd, "}");
    assert_int_equal(t->slot.recent_next, 1);
    const struct scoreboard_recent *first = &t->slot.recent[0];
    assert_string_equal(first->route, "GET /a");
    assert_string_equal(first->request_id, "r1");
    assert_int_equal(first->status, 200);
    assert_in_range(first->at_ms, before.ms, clock_now().ms);

    tester_send(t, fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    tester_await(t, &t->waiting_len, 1);
    assert_int_equal(t->slot.recent_next, 1);
    close(fd); /* the client leaves */
    tester_turn(t);
    assert_int_equal(t->slot.recent_next, 2);
    assert_string_equal(t->slot.recent[1].route, "GET /wait");
    assert_int_equal(t->slot.recent[1].status, 0);
    tester_answer(t, 0, "1");
    assert_int_equal(t->slot.recent_next, 2);

    fd = tester_connect(t);
    tester_send(t, fd, "NOT HTTP\r\n\r\n");
    tester_receive_all(t, fd);
    assert_int_equal(t->slot.recent_next, 3);
    assert_string_equal(t->slot.recent[2].route, "- -");
    assert_int_equal(t->slot.recent[2].status, 400);
    close(fd);
    tester_turn(t);
}

/* The last 64. */
static void test_recent_goes_round(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    for (int i = 0; i < SCOREBOARD_RECENT_MAX + 6; i++) {
        char request[256];
        snprintf(
            request, sizeof request,
            "GET /%d/0123456789012345678901234567890123456789012345678901234567890 HTTP/1.1\r\n"
            "Host: x\r\nX-Request-Id: id%d-abcdefghijklmnopqrstuvwxyz\r\n\r\n",
            i, i);
        tester_send(t, fd, request);
        tester_receive_until(t, fd, "}");
    }
    assert_int_equal(t->slot.recent_next, SCOREBOARD_RECENT_MAX + 6);
    for (int i = 6; i < SCOREBOARD_RECENT_MAX + 6; i++) {
        const struct scoreboard_recent *note = &t->slot.recent[i % SCOREBOARD_RECENT_MAX];
        char expected[256];
        snprintf(expected, sizeof expected,
                 "GET /%d/0123456789012345678901234567890123456789012345678901234567890", i);
        expected[SCOREBOARD_ROUTE_MAX - 1] = 0;
        assert_string_equal(note->route, expected);
        snprintf(expected, sizeof expected, "id%d-abcdefghijklmnopqrstuvwxyz", i);
        expected[SCOREBOARD_REQUEST_ID_MAX - 1] = 0;
        assert_string_equal(note->request_id, expected);
    }
    close(fd);
    tester_turn(t);
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void test_dump(void **state)
{
    struct tester *t = *state;
    char path[] = "/tmp/test_worker_signs.XXXXXX", log[8192];
    int fd = tester_connect(t), idle = tester_connect(t);
    tester_send(t, fd, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    tester_receive_until(t, fd, "}");
    tester_send(t, fd, "GET /wait/1?secret=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: w1\r\n\r\n");
    tester_await(t, &t->waiting_len, 1);
    int saved = dup(STDERR_FILENO), file = mkstemp(path);
    dup2(file, STDERR_FILENO);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    http_service_dump(&t->service);
    dup2(saved, STDERR_FILENO);
    close(saved);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    ssize_t n = pread(file, log, sizeof log - 1, 0);
    close(file);
    unlink(path);
    assert_true(n > 0);
    log[n] = 0;
    char *line = strstr(log, "in flight: GET /wait/1 id=w1 for ");
    assert_non_null(line);
    assert_non_null(strstr(line, ", request 2 of a connection open for 0 s\n"));
    assert_null(strstr(line + 1, "in flight"));
    assert_null(strstr(log, "secret"));
    tester_answer(t, 0, "1");
    close(fd);
    close(idle);
    tester_turn(t);
}

/* ---- in flight ------------------------------------------------------------------------------- */

/* "GET /wait/1 w1, GET /wait/3 w3": what is in flight, by place. */
static const char *in_flight(const struct tester *t)
{
    static char text[8192];
    size_t len = 0;
    text[0] = 0;
    for (unsigned i = 0; i < t->slot.flights_used; i++) {
        const struct scoreboard_flight *f = &t->slot.flights[i];
        if (f->began_ms)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %s", len ? ", " : "",
                                    f->route, f->request_id);
    }
    return text;
}

static int ask_to_wait(struct tester *t, int number)
{
    char request[128];
    unsigned before = t->waiting_len;
    int fd = tester_connect(t);
    snprintf(request, sizeof request,
             "GET /wait/%d?secret=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: w%d\r\n\r\n", number,
             number);
    tester_send(t, fd, request);
    tester_await(t, &t->waiting_len, before + 1);
    return fd;
}

static void test_in_flight(void **state)
{
    struct tester *t = *state;
    int64_t before_ms = clock_now().ms;
    int first = ask_to_wait(t, 1), second = ask_to_wait(t, 2), third = ask_to_wait(t, 3);
    assert_string_equal(in_flight(t), "GET /wait/1 w1, GET /wait/2 w2, GET /wait/3 w3");
    assert_in_range(t->slot.flights[0].began_ms, before_ms, clock_now().ms);
    tester_answer(t, 1, "1");
    tester_receive_until(t, second, "\r\n\r\n1");
    assert_string_equal(in_flight(t), "GET /wait/1 w1, GET /wait/3 w3");
    close(first); /* a client that leaves takes its request along */
    tester_turn(t);
    assert_string_equal(in_flight(t), "GET /wait/3 w3");
    int fourth = ask_to_wait(t, 4);
    assert_string_equal(in_flight(t), "GET /wait/4 w4, GET /wait/3 w3");
    assert_int_equal(t->slot.flights_used, 3);
    while (t->waiting_len > 0)
        tester_answer(t, 0, "1");
    tester_turn(t);
    assert_string_equal(in_flight(t), "");
    close(second);
    close(third);
    close(fourth);
    tester_turn(t);
}

/* Those beyond are served and not noted. */
static void test_in_flight_is_bounded(void **state)
{
    struct tester *t = *state;
    int fds[SCOREBOARD_FLIGHTS_MAX];
    for (int i = 0; i < SCOREBOARD_FLIGHTS_MAX; i++)
        fds[i] = ask_to_wait(t, i);
    char all[8192];
    snprintf(all, sizeof all, "%s", in_flight(t));
    int fd = tester_connect(t);
    tester_send(t, fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    tester_receive_until(t, fd, "}");
    assert_string_equal(in_flight(t), all);
    assert_int_equal(t->slot.flights_used, SCOREBOARD_FLIGHTS_MAX);
    while (t->waiting_len > 0)
        tester_answer(t, 0, "1");
    tester_turn(t);
    assert_string_equal(in_flight(t), "");
    close(fd);
    for (int i = 0; i < SCOREBOARD_FLIGHTS_MAX; i++)
        close(fds[i]);
    tester_turn(t);
}

/* Answers are counted by how long they took; one that nobody heard is none. */
static void test_latency(void **state)
{
    struct tester *t = *state;
    uint64_t count = 0;
    int fd = ask_to_wait(t, 1);
    tester_answer(t, 0, "1");
    tester_receive_until(t, fd, "\r\n\r\n1");
    int gone = ask_to_wait(t, 2);
    close(gone);
    tester_turn(t);
    tester_answer(t, 0, "1");
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        count += t->slot.series[scoreboard_series(0, 2)].cells[b];
    assert_int_equal(count, 1);
    close(fd);
    tester_turn(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pulse),
        cmocka_unit_test(test_last_stack),
        cmocka_unit_test_setup_teardown(test_recent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recent_goes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_flight_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump, setup, teardown),
    };
    return cmocka_run_group_tests_name("worker_signs", tests, NULL, NULL);
}
