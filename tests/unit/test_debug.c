/* test_debug.c: debug mode over the layers of a worker: what is called from a foreign thread, loops
 * within loops, requests that are dropped, who holds the loop, what is left open. */
#include "http_tester.h"

#include "fake_driver.h"
#include "log_catcher.h"
#include "shared/debug.h"
#include "worker/auth/password.h"
#include "worker/http/response.h"
#include "worker/http/router.h"
#include "worker/loop/executor.h"
#include "worker/loop/stall.h"
#include "worker/net/conn.h"
#include "worker/net/handover.h"
#include "worker/net/listener.h"
#include "worker/pulse.h"
#include "worker/store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a foreign thread ------------------------------------------------------------------------ */

/* Everything there is to call, made by the loop's thread. */
struct things {
    struct tester tester;
    struct loop *loop;
    struct task task;
    struct executor *executor;
    struct store *store;
    struct passwords *passwords;
    struct acceptor *acceptor;
    struct inbox *inbox;
    struct conn_shared shared;
    struct conn conn;
    struct request *request;
    struct loop_flush flush;
    int fds[2];
};

static void on_task(struct task *t)
{
}

static void on_store(void *ctx, const struct store_reply *reply)
{
}

static void on_password(void *ctx, const struct password_reply *reply)
{
}

static void run(void *thread_state, struct task *first)
{
}

static void accepted(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                     socklen_t peer_len)
{
}

static unsigned connections(void *ctx)
{
    return 0;
}

static const struct executor_options executor_options = {
    .name = "x", .threads = 1, .max_queue = 1, .max_batch = 1, .run = run};
static struct iovec piece = {(char *)(uintptr_t)"x", 1};
static struct buf text;
static const struct store_list_form form;

/* Name of a function of the loop's thread, and a call of it. */
#define CALLS(X)                                                                                   \
    X(loop_ev, loop_ev(t->loop))                                                                   \
    X(loop_run, loop_run(t->loop))                                                                 \
    X(loop_run_once, loop_run_once(t->loop, false))                                                \
    X(loop_stop, loop_stop(t->loop))                                                               \
    X(loop_free, loop_free(t->loop))                                                               \
    X(loop_enter, loop_enter(t->loop, "x"))                                                        \
    X(loop_forget_fd, loop_forget_fd(t->loop, t->fds[0]))                                          \
    X(loop_add_flush, loop_add_flush(t->loop, &t->flush))                                          \
    X(loop_remove_flush, loop_remove_flush(t->loop, &t->flush))                                    \
    X(task_init_at, task_init(&t->task, t->loop, on_task))                                         \
    X(task_begin, task_begin(&t->task))                                                            \
    X(task_cancel, task_cancel(&t->task))                                                          \
    X(task_complete, task_complete(&t->task, TASK_RAN))                                            \
    X(executor_new, executor_new(t->loop, &executor_options))                                      \
    X(executor_submit, executor_submit(t->executor, &t->task))                                     \
    X(executor_free, executor_free(t->executor, true))                                             \
    X(conn_open, conn_open(&t->conn, &t->shared, t->fds[0]))                                       \
    X(conn_write, conn_write(&t->conn, &piece, 1))                                                 \
    X(conn_close, conn_close(&t->conn))                                                            \
    X(conn_detach, conn_detach(&t->conn))                                                          \
    X(conn_linger, conn_linger(&t->conn))                                                          \
    X(conn_again, conn_again(&t->conn))                                                            \
    X(conn_feed, conn_feed(&t->conn, "x", 1))                                                      \
    X(conn_read_now, conn_read_now(&t->conn))                                                      \
    X(conn_want_data, conn_want_data(&t->conn, true))                                              \
    X(conn_set_deadline, conn_set_deadline(&t->conn, (mono_ms){1}))                                \
    X(acceptor_start, acceptor_start(t->acceptor))                                                 \
    X(acceptor_stop, acceptor_stop(t->acceptor))                                                   \
    X(acceptor_drain, acceptor_drain(t->acceptor))                                                 \
    X(acceptor_free, acceptor_free(t->acceptor))                                                   \
    X(inbox_start, inbox_start(t->inbox))                                                          \
    X(inbox_empty, inbox_empty(t->inbox))                                                          \
    X(session_open, session_accept(&t->tester.service, t->fds[0], NULL, 0))                        \
    X(http_service_drain, http_service_drain(&t->tester.service))                                  \
    X(http_service_move, http_service_move(&t->tester.service, -1))                                \
    X(http_service_cut, http_service_cut(&t->tester.service))                                      \
    X(http_service_dump, http_service_dump(&t->tester.service))                                    \
    X(turn_hold, request_hold(t->request))                                                         \
    X(turn_release, request_release(t->request))                                                   \
    X(request_resumed, request_resumed(t->request))                                                \
    X(request_keep, request_keep(t->request, &text))                                               \
    X(response_send, response_json(t->request, 200, SLICE("1")))                                   \
    X(store_user_by_id, store_user_by_id(t->store, 1, on_store, NULL))                             \
    X(store_user_profile, store_user_profile(t->store, 1, on_store, NULL))                         \
    X(store_user_by_email, store_user_by_email(t->store, SLICE("x"), on_store, NULL))              \
    X(store_user_conflict, store_user_conflict(t->store, SLICE("x"), SLICE("x"), on_store, NULL))  \
    X(store_user_list, store_user_list(t->store, 0, 1, &form, 0, on_store, NULL))                  \
    X(store_user_create,                                                                           \
      store_user_create(t->store, SLICE("x"), SLICE("x"), SLICE("x"), on_store, NULL))             \
    X(store_user_update, store_user_update(t->store, 1, SLICE("x"), SLICE("x"), SLICE("x"),        \
                                           SLICE("x"), on_store, NULL))                            \
    X(store_user_delete, store_user_delete(t->store, 1, SLICE("x"), on_store, NULL))               \
    X(store_user_rehash, store_user_rehash(t->store, 1, SLICE("x"), SLICE("x"), on_store, NULL))   \
    X(store_probe, store_probe(t->store, on_store, NULL))                                          \
    X(store_queued, store_queued(t->store))                                                        \
    X(store_close, store_close(t->store))                                                          \
    X(password_hash, password_hash(t->passwords, SLICE("x"), 1, on_password, NULL))                \
    X(password_verify,                                                                             \
      password_verify(t->passwords, SLICE("x"), SLICE("x"), 1, on_password, NULL))                 \
    X(passwords_queued, passwords_queued(t->passwords))                                            \
    X(passwords_free, passwords_free(t->passwords))

#define X(name, call)                                                                              \
    static void *call_##name(void *ctx)                                                            \
    {                                                                                              \
        struct things *t = ctx;                                                                    \
        pthread_setname_np(pthread_self(), "stranger");                                            \
        (void)(call);                                                                              \
        return NULL;                                                                               \
    }
CALLS(X)
#undef X

static const struct foreign {
    const char *name;
    void *(*call)(void *ctx);
} foreign[] = {
#define X(name, call) {#name, call_##name},
    CALLS(X)
#undef X
};

static void make_things(struct things *t)
{
    struct buf error = {0};
    memset(t, 0, sizeof *t);
    tester_init(&t->tester);
    tester_start(&t->tester);
    t->loop = t->tester.loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, t->fds), 0);
    task_init(&t->task, t->loop, on_task);
    t->executor = executor_new(t->loop, &executor_options);
    t->store = store_open_with(t->loop, &store_driver_fake, &(struct store_options){0}, &error);
    t->passwords = passwords_new(t->loop, &(struct password_options){.memory_bytes = 8192,
                                                                     .iterations = 1});
    t->acceptor = acceptor_new(t->loop, &(struct acceptor_options){.slot = &t->tester.slot,
                                                                   .accepted = accepted,
                                                                   .connections = connections,
                                                                   .max_connections = 9});
    t->inbox = inbox_new(t->loop, &(struct inbox_options){.queue_fd = t->fds[1],
                                                          .slot = &t->tester.slot});
    assert_int_equal(conn_shared_init(&t->shared, t->loop, &t->tester.slot, NULL, 1000), 0);
    conn_open(&t->conn, &t->shared, dup(t->fds[0]));
    assert_true(t->executor && t->store && t->passwords && t->acceptor && t->inbox);
}

static void end_things(struct things *t)
{
    conn_close(&t->conn);
    conn_shared_fini(&t->shared);
    inbox_free(t->inbox);
    acceptor_free(t->acceptor);
    passwords_free(t->passwords);
    store_close(t->store);
    executor_free(t->executor, true);
    close(t->fds[0]);
    close(t->fds[1]);
}

struct stranger {
    struct things *things;
    void *(*call)(void *ctx);
};

static void be_strange(void *ctx)
{
    struct stranger *s = ctx;
    pthread_t thread;
    if (pthread_create(&thread, NULL, s->call, s->things) == 0)
        pthread_join(thread, NULL);
}

/* Each function is named, and both threads. */
static void test_foreign_threads(void **state)
{
    struct things t;
    make_things(&t);
    int fd = tester_connect(&t.tester);
    tester_send(&t.tester, fd, "GET /wait HTTP/1.1\r\n" HOST_LINE "\r\n");
    tester_await(&t.tester, &t.tester.waiting_len, 1);
    t.request = t.tester.waiting[0];
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char function[80];
        struct stranger s = {&t, foreign[i].call};
        const char *said = catcher_abort(be_strange, &s);
        snprintf(function, sizeof function, " %s() (", foreign[i].name);
        if (!strstr(said, function) || !strstr(said, "was called on thread \"stranger\" (tid ") ||
            !strstr(said, "but the loop made at http_tester.c:") ||
            !strstr(said, "lives on thread \"test_debug\" (tid "))
            fail_msg("%s: %s", foreign[i].name, said);
    }
    tester_answer(&t.tester, 0, "1");
    close(fd);
    end_things(&t);
    tester_fini(&t.tester);
}

/* ---- a loop within a loop -------------------------------------------------------------------- */

struct nester {
    struct ev_timer timer; /* first */
    struct loop *loop;
    int how;
};

static void on_nest(struct ev_loop *ev, struct ev_timer *t, int revents)
{
    struct nester *n = (struct nester *)t;
    loop_enter(n->loop, "nesting timer");
    alarm(10); /* what should abort and runs instead comes to an end */
    loop_stop(n->loop);
    if (n->how == 0)
        loop_run(n->loop);
    else if (n->how == 1)
        loop_run_once(n->loop, false);
    else
        loop_free(n->loop);
}

static void nest(void *ctx)
{
    struct nester *n = ctx;
    n->loop = loop_new();
    ev_timer_init(&n->timer, on_nest, 0., 0.);
    ev_timer_start(loop_ev(n->loop), &n->timer);
    loop_run(n->loop);
}

static void test_loop_within_a_loop(void **state)
{
    static const char *const names[] = {"loop_run", "loop_run_once", "loop_free"};
    for (int i = 0; i < 3; i++) {
        char words[128];
        struct nester n = {.how = i};
        snprintf(words, sizeof words,
                 "%s() was called from within a callback of the same loop (nesting timer)", names[i]);
        const char *said = catcher_abort(nest, &n);
        if (!strstr(said, words))
            fail_msg("%s", said);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static int setup(void **state)
{
    struct tester *t = calloc(1, sizeof *t);
    assert_non_null(t);
    debug_set(true);
    tester_init(t);
    tester_start(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tester *t = *state;
    tester_fini(t);
    free(t);
    ledger_clear();
    debug_set(false);
    return 0;
}

static bool nothing_is_awaited(const struct request *r)
{
    return false;
}

static bool all_is_awaited(const struct request *r)
{
    return true;
}

/* The handler has returned, there is no answer, and nothing is under way: said once. */
static void test_dropped_request(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), other = tester_connect(t);
    tester_send(t, fd, "GET /wait/1?secret HTTP/1.1\r\nX-Request-Id: d1\r\n" HOST_LINE "\r\n");
    tester_send(t, other, "GET /a HTTP/1.1\r\n" HOST_LINE "\r\n");
    tester_await(t, &t->waiting_len, 1);
    tester_receive_until(t, other, "}");
    assert_int_equal(http_service_look(&t->service), 0); /* nobody knows */
    t->service.awaits = all_is_awaited;
    assert_int_equal(http_service_look(&t->service), 0);
    t->service.awaits = nothing_is_awaited;
    catcher_begin();
    unsigned first = http_service_look(&t->service), second = http_service_look(&t->service);
    const char *said = catcher_end();
    assert_int_equal(first, 1);
    assert_int_equal(second, 0);
    assert_non_null(strstr(said, "debug: a request was dropped without an answer: GET /wait/1 (no "
                                 "route) id=d1, "));
    assert_null(strstr(said, "secret"));
    tester_answer(t, 0, "1");
    close(fd);
    close(other);
    tester_turn(t);
}

static const struct route route = {.method = HTTP_GET, .path = "/wait", .name = "wait_for_it"};

/* At the end: a request that nobody answered, and one that was answered but is still held. */
static void test_requests_left(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    tester_send(t, fd, "GET /wait/1 HTTP/1.1\r\nX-Request-Id: l1\r\n" HOST_LINE "\r\n"
                       "GET /wait/2 HTTP/1.1\r\nX-Request-Id: l2\r\n" HOST_LINE "\r\n");
    tester_await(t, &t->waiting_len, 2);
    struct request *held = t->waiting[1];
    request_routed(t->waiting[0], &route);
    request_routed(held, &route);
    request_hold(held);
    tester_answer(t, 1, "2");
    catcher_begin();
    unsigned n = ledger_report(loop_watcher_has_ended);
    const char *said = catcher_end();
    assert_non_null(strstr(said, "debug: a request was dropped without an answer (GET /wait/1, "
                                 "wait_for_it, id=l1), made at intake.c:"));
    assert_non_null(strstr(said, "debug: a request is still open (GET /wait/2, wait_for_it, id=l2), "
                                 "made at intake.c:"));
    assert_non_null(strstr(said, "debug: a connection is still open, made at http_tester.c:"));
    assert_non_null(strstr(said, "debug: a descriptor watcher is still open, made at conn.c:"));
    assert_true(n >= 4);
    request_release(held);
    tester_answer(t, 0, "1");
    close(fd);
    tester_turn(t);
}

/* Whatever was made for a client is gone when he is. */
static void test_nothing_left(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), gone = tester_connect(t);
    tester_send(t, fd, "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" HOST_LINE
                       "\r\n");
    tester_receive_until(t, fd, "100 Continue");
    tester_send(t, fd, "xGET /large HTTP/1.1\r\nConnection: close\r\n" HOST_LINE "\r\n");
    tester_receive_all(t, fd);
    tester_send(t, gone, "GET /wait HTTP/1.1\r\n" HOST_LINE "\r\nGET /a HT");
    tester_await(t, &t->waiting_len, 1);
    close(gone);
    tester_await(t, &t->gone, 1);
    tester_answer(t, 0, "1");
    close(fd);
    tester_turn(t);
    assert_int_equal(http_service_connections(&t->service), 0);
    catcher_begin();
    unsigned n = ledger_report(loop_watcher_has_ended);
    const char *said = catcher_end();
    if (n > 0)
        fail_msg("%s", said);
}

/* ---- who holds the loop ---------------------------------------------------------------------- */

static void slow_handle(struct request *r)
{
    request_routed(r, &route);
    int64_t until = clock_now_us() + 21000;
    while (clock_now_us() < until)
        continue;
    response_json(r, 200, SLICE("1"));
}

static void test_slow_handler_is_named(void **state)
{
    struct tester *t = *state;
    struct pulse p;
    int fd = tester_connect(t);
    t->service.handle = slow_handle;
    pulse_start(&p, t->loop, &t->slot, 20);
    tester_send(t, fd, "GET /wait?q HTTP/1.1\r\nX-Request-Id: s1\r\n" HOST_LINE "\r\n");
    catcher_begin();
    tester_receive_until(t, fd, "\r\n\r\n1");
    const char *said = catcher_end();
    if (!strstr(said, "slow callback: bytes of a connection, GET /wait (wait_for_it) id=s1: held the "
                      "loop for ") ||
        !strstr(said, " ms (limit 20.0 ms)"))
        fail_msg("%s", said);
    assert_true(tester_counter(t, COUNTER_slow_callbacks) >= 1);
    assert_true(t->slot.turns[5] + t->slot.turns[6] + t->slot.turns[7] + t->slot.turns[8] +
                    t->slot.turns[9] + t->slot.turns[10] + t->slot.turns[11] >=
                1);
    pulse_stop(&p);
    close(fd);
    tester_turn(t);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_threads),
        cmocka_unit_test(test_loop_within_a_loop),
        CASE(test_dropped_request),
        CASE(test_requests_left),
        CASE(test_nothing_left),
        CASE(test_slow_handler_is_named),
    };
    return cmocka_run_group_tests_name("debug", tests, NULL, NULL);
}
