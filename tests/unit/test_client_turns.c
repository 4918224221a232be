/* test_client_turns.c: what a client of an upstream does in one turn of the loop, counted: calls that wait
 * for libcurl to be loaded, many answers at once, many that are cancelled at once, and sockets whose
 * numbers come again. */
#include "client_tester.h"

#include "worker/upstream/curl_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- while libcurl is loaded ------------------------------------------------------------------ */

static void test_calls_wait_for_libcurl(void **state)
{
    struct world *w = *state;
    struct one o[3];
    open_client(w, w->base, 0);
    for (unsigned i = 0; i < 3; i++)
        begin(w, &o[i], "/");
    assert_int_equal(client_calls(w->client), 3);
    task_cancel(&o[1].call.task); /* the loop has not turned: they all wait */
    assert_int_equal(client_calls(w->client), 2);
    await_done(w, &o[1]);
    assert_int_equal(o[1].call.result, CALL_CANCELLED);
    hear(w);
    say(w, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
    await_done(w, &o[0]);
    assert_int_equal(o[0].call.result, CALL_ANSWERED);
    task_cancel(&o[2].call.task);
    await_done(w, &o[2]);
}

static void test_the_client_goes_while_libcurl_is_loaded(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    begin(w, &o, "/");
    client_free(w->client);
    w->client = NULL;
    await_done(w, &o);
    assert_int_equal(o.call.result, CALL_CANCELLED);
}

/* ---- many at once ----------------------------------------------------------------------------- */

struct many {
    struct one o[MANY];
    int peers[MANY];
    unsigned peers_len;
    unsigned heard;
};

static void hear_all(struct world *w, struct many *m)
{
    static const char end[] = "\r\n\r\n";
    while (m->heard < MANY) {
        int fd;
        while ((fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
            m->peers[m->peers_len++] = fd;
        for (unsigned i = 0; i < m->peers_len; i++) {
            ssize_t n = read(m->peers[i], w->heard, sizeof w->heard);
            m->heard += n > 4 && memcmp(w->heard + n - 4, end, 4) == 0;
        }
        loop_run_once(w->loop, false);
    }
}

static void begin_many(struct world *w, struct many *m)
{
    m->heard = 0;
    for (unsigned i = 0; i < MANY; i++)
        begin(w, &m->o[i], "/");
    hear_all(w, m);
}

static void answer_many(struct many *m)
{
    static const char text[] = "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nok";
    for (unsigned i = 0; i < m->peers_len; i++)
        assert_int_equal(write(m->peers[i], text, sizeof text - 1), sizeof text - 1);
}

static void end_many(struct many *m)
{
    for (unsigned i = 0; i < m->peers_len; i++)
        close(m->peers[i]);
    for (unsigned i = 0; i < MANY; i++)
        buf_free(&m->o[i].call.body);
}

/* Somebody else on the loop, who always has something to do. */
struct bystander {
    struct ev_io io; /* first */
    struct client *client;
    unsigned turns;
    unsigned calls_seen;
};

static void on_bystander(struct ev_loop *ev, struct ev_io *io, int revents)
{
    struct bystander *b = (struct bystander *)io;
    b->turns++;
    b->calls_seen = client_calls(b->client);
}

/* All answers are there; each turn of the loop takes a few, and everybody else comes first. */
static void test_a_turn_takes_a_few_answers(void **state)
{
    struct world *w = *state;
    struct many m = {0};
    struct bystander b = {0};
    int ends[2];
    open_client(w, w->base, 0);
    begin_many(w, &m);
    assert_int_equal(m.peers_len, MANY);
    answer_many(&m);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    b.client = w->client;
    ev_io_init(&b.io, on_bystander, ends[0], EV_READ);
    ev_io_start(loop_ev(w->loop), &b.io);
    unsigned turns = 0;
    for (unsigned before; (before = client_calls(w->client)) > 0; turns++) {
        loop_run_once(w->loop, true);
        assert_int_equal(client_calls(w->client), before - CURL_WATCH_SOCKETS);
        assert_int_equal(b.turns, turns + 1);
        assert_int_equal(b.calls_seen, before);
    }
    assert_int_equal(turns, MANY / CURL_WATCH_SOCKETS);
    ev_io_stop(loop_ev(w->loop), &b.io);
    loop_run_once(w->loop, false);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(m.o[i].done, 1);
        assert_true(slice_equals(buf_slice(&m.o[i].call.body), SLICE("ok")));
        buf_free(&m.o[i].call.body);
    }
    begin_many(w, &m); /* over the same connections */
    assert_int_equal(m.peers_len, MANY);
    answer_many(&m);
    for (unsigned i = 0; i < MANY; i++)
        await_done(w, &m.o[i]);
    end_many(&m);
    close(ends[0]);
    close(ends[1]);
}

static unsigned closed_peers(struct many *m)
{
    unsigned closed = 0;
    char byte;
    for (unsigned i = 0; i < m->peers_len; i++) {
        ssize_t n = read(m->peers[i], &byte, 1);
        closed += n == 0 || (n < 0 && errno != EAGAIN);
    }
    return closed;
}

/* All are over at once; their connections are closed over several turns. */
static void test_a_turn_takes_a_few_leaves(void **state)
{
    struct world *w = *state;
    struct many m = {0};
    open_client(w, w->base, 0);
    begin_many(w, &m);
    for (unsigned i = 0; i < MANY; i++)
        task_cancel(&m.o[i].call.task);
    assert_int_equal(client_calls(w->client), 0);
    assert_int_equal(closed_peers(&m), 0);
    for (unsigned turn = 1; turn <= MANY / CLIENT_LEAVES; turn++) {
        loop_run_once(w->loop, turn < MANY / CLIENT_LEAVES); /* behind the last ones it may sleep */
        assert_int_equal(closed_peers(&m), turn * CLIENT_LEAVES);
    }
    for (unsigned i = 0; i < MANY; i++)
        await_done(w, &m.o[i]);
    end_many(&m);
}

/* The numbers of closed sockets come again: each new one is watched. */
static void test_connections_that_the_upstream_closes(void **state)
{
    struct world *w = *state;
    struct one o;
    open_client(w, w->base, 0);
    for (unsigned i = 0; i < 5; i++) {
        begin(w, &o, "/");
        hear(w);
        say(w, "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
        await_done(w, &o);
        assert_int_equal(o.call.result, CALL_ANSWERED);
        close(w->peer);
        w->peer = -1;
        loop_run_once(w->loop, i % 2 == 0); /* its end is seen now, or only by the next call */
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)
    const struct CMUnitTest tests[] = {
        T(test_calls_wait_for_libcurl),
        T(test_the_client_goes_while_libcurl_is_loaded),
        T(test_a_turn_takes_a_few_answers),
        T(test_a_turn_takes_a_few_leaves),
        T(test_connections_that_the_upstream_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
