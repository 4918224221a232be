/* test_client.c: libcurl on the loop, over sockets that the test itself serves by hand: what is asked,
 * how an answer arrives, and that nothing that ends early makes the loop wait, or is left open. */
#include "client_tester.h"

#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a look-up that takes as long as the test likes ------------------------------------------- */

static sem_t looked_up, let_go;

/* In place of the C library's: libcurl's thread asks it. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found_r)
{
    (void)service, (void)hints, (void)found_r;
    if (strcmp(node, "slow.example") == 0) {
        sem_post(&looked_up);
        while (sem_wait(&let_go))
            ;
    }
    return EAI_NONAME;
}

/* ---- calls ------------------------------------------------------------------------------------ */

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void test_a_call(void **state)
{
    struct world *w = *state;
    struct one o;
    char want[512];
    open_client(w, w->base, 0);
    struct caller *caller = client_caller(w->client);
    memset(&o, 0, sizeof o);
    task_init(&o.call.task, w->loop, on_done);
    o.call.path = "/a/b";
    o.call.traceparent = TRACE "garbage behind it";
    o.call.timeout_ms = 3600000;
    caller->start(caller, &o.call);
    hear(w);
    snprintf(want, sizeof want,
             "GET /a/b HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\ntraceparent: " TRACE "\r\n"
             "User-Agent: colmeia/0.1.0\r\nX-One: 1\r\n\r\n",
             w->base + 7);
    assert_string_equal(w->heard, want);
    say(w, "HTTP/1.1 203 x\r\nContent-Length: 4\r\n\r\nbody");
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_ANSWERED);
    assert_int_equal(o.call.status, 203);
    assert_true(slice_equals(buf_slice(&o.call.body), SLICE("body")));
    assert_int_equal(client_calls(w->client), 0);
    buf_free(&o.call.body);
}

static void test_the_next_call_takes_the_same_connection(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    for (unsigned i = 0; i < 3; i++) {
        begin(w, &o, "/");
        hear(w); /* accepts only once */
        say(w, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
        await_done(w, &o);
        assert_int_equal(o.call.result, CALL_ANSWERED);
    }
}

static void test_a_body_that_breaks_off(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    begin(w, &o, "/");
    hear(w);
    say(w, "HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nbo");
    close(w->peer);
    w->peer = -1;
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_FAILED);
    assert_null(o.call.body.data);
    assert_true(o.call.error[0]);
}

static void test_an_announced_body_that_is_too_long(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    begin(w, &o, "/");
    hear(w);
    say(w, "HTTP/1.1 200 x\r\nContent-Length: 524289\r\n\r\n");
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_TOO_LONG);
    assert_true(await_close(w));
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void test_cancelling(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    begin(w, &o, "/"); /* before it has connected */
    task_cancel(&o.call.task);
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_CANCELLED);
    begin(w, &o, "/"); /* with half an answer */
    hear(w);
    say(w, "HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nbo");
    for (unsigned i = 0; i < 10; i++)
        loop_run_once(w->loop, false);
    task_cancel(&o.call.task);
    task_cancel(&o.call.task);
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_CANCELLED);
    assert_null(o.call.body.data);
    assert_true(await_close(w));
}

static void test_the_client_goes_with_calls_under_way(void **state)
{
    struct world *w = *state;
    struct one o[3];
    open_client(w, w->base, 0);
    for (unsigned i = 0; i < 3; i++)
        begin(w, &o[i], "/");
    hear(w);
    client_free(w->client);
    w->client = NULL;
    for (unsigned i = 0; i < 3; i++) {
        await_done(w, &o[i]);
        assert_int_equal(o[i].call.result, CALL_CANCELLED);
    }
    assert_true(await_close(w));
}

/* Whoever calls nobody for a while keeps no connection open. */
static void test_rest(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 20);
    for (unsigned i = 0; i < 2; i++) {
        begin(w, &o, "/");
        hear(w);
        say(w, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
        await_done(w, &o);
        assert_true(await_close(w));
        close(w->peer);
        w->peer = -1;
    }
}

/* libcurl's thread looks a name up and cannot be stopped: nobody may wait for it. If somebody did, this
 * test would not end, but for the alarm. */
static void test_a_name_that_is_still_looked_up(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, "http://slow.example:1", 0);
    begin(w, &o, "/");
    while (sem_trywait(&looked_up))
        loop_run_once(w->loop, false);
    task_cancel(&o.call.task);
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_CANCELLED);
    begin(w, &o, "/");
    while (sem_trywait(&looked_up))
        loop_run_once(w->loop, false);
    client_free(w->client);
    w->client = NULL;
    await_done(w, &o);
    sem_post(&let_go);
    sem_post(&let_go);
}

static void test_a_name_that_nobody_knows(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, "http://unknown.example:1", 0);
    begin(w, &o, "/");
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_FAILED);
    assert_non_null(strstr(o.call.error, "resolve"));
}

int main(void)
{
    assert_int_equal(sem_init(&looked_up, 0, 0), 0);
    assert_int_equal(sem_init(&let_go, 0, 0), 0);
#define T(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_call),
        T(test_the_next_call_takes_the_same_connection),
        T(test_a_body_that_breaks_off),
        T(test_an_announced_body_that_is_too_long),
        T(test_cancelling),
        T(test_the_client_goes_with_calls_under_way),
        T(test_rest),
        T(test_a_name_that_is_still_looked_up),
        T(test_a_name_that_nobody_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
