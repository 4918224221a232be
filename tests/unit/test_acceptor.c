/* test_acceptor.c: worker/net/listener.c: batches, gates, descriptors that run out. */
#include "worker/net/listener.h"

#include "shared/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

enum { LISTENERS = 2, FDS_MAX = 256 };

struct rig {
    struct loop *loop;
    struct scoreboard_slot slot;
    struct listener listeners[LISTENERS];
    struct acceptor *acceptor;
    unsigned open; /* what connections() says, but for *claimed* */
    unsigned claimed;
    int accepted[FDS_MAX];
    unsigned accepted_len;
    int clients[FDS_MAX];
    unsigned clients_len;
};

static void on_accepted(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                        socklen_t peer_len)
{
    struct rig *r = ctx;
    assert_int_equal(peer->sa_family, AF_INET);
    assert_int_equal(peer_len, sizeof(struct sockaddr_in));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    r->accepted[r->accepted_len++] = fd;
    r->open++;
}

static unsigned count_connections(void *ctx)
{
    struct rig *r = ctx;
    return r->open + r->claimed;
}

static void listen_on_loopback(struct listener *l)
{
    l->address.u.in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    l->address.len = sizeof l->address.u.in;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->fd, &l->address.u.any, l->address.len), 0);
    assert_int_equal(listen(l->fd, 128), 0);
    assert_int_equal(getsockname(l->fd, &l->address.u.any, &l->address.len), 0);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->loop = loop_new();
    for (int i = 0; i < LISTENERS; i++)
        listen_on_loopback(&r->listeners[i]);
    r->acceptor = acceptor_new(r->loop, &(struct acceptor_options){
                                            .listeners = r->listeners,
                                            .listeners_len = LISTENERS,
                                            .max_connections = 80,
                                            .slot = &r->slot,
                                            .accepted = on_accepted,
                                            .connections = count_connections,
                                            .ctx = r,
                                            .refusal = SLICE("full"),
                                        });
    assert_non_null(r->acceptor);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    acceptor_free(r->acceptor);
    acceptor_free(NULL);
    for (unsigned i = 0; i < r->accepted_len; i++)
        close(r->accepted[i]);
    for (unsigned i = 0; i < r->clients_len; i++)
        close(r->clients[i]);
    for (int i = 0; i < LISTENERS; i++)
        close(r->listeners[i].fd);
    loop_free(r->loop);
    free(r);
    return 0;
}

static int connect_client(struct rig *r, int listener)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const struct sock_address *a = &r->listeners[listener].address;
    assert_int_equal(connect(fd, &a->u.any, a->len), 0);
    r->clients[r->clients_len++] = fd;
    return fd;
}

static void turn(struct rig *r)
{
    for (int i = 0; i < 20; i++)
        loop_run_once(r->loop, false);
}

static void test_both_listeners(void **state)
{
    struct rig *r = *state;
    connect_client(r, 0);
    connect_client(r, 1);
    turn(r);
    assert_int_equal(r->accepted_len, 0); /* not started */
    acceptor_start(r->acceptor);
    acceptor_start(r->acceptor);
    turn(r);
    assert_int_equal(r->accepted_len, 2);
}

static void test_batch(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 20; i++)
        connect_client(r, 0);
    acceptor_start(r->acceptor);
    loop_run_once(r->loop, false);
    assert_int_equal(r->accepted_len, 16);
    loop_run_once(r->loop, false);
    assert_int_equal(r->accepted_len, 20);
}

static void test_stop_and_start(void **state)
{
    struct rig *r = *state;
    acceptor_start(r->acceptor);
    acceptor_stop(r->acceptor);
    connect_client(r, 0);
    turn(r);
    assert_int_equal(r->accepted_len, 0);
    assert_true(fcntl(r->listeners[0].fd, F_GETFD) >= 0); /* T4: the descriptor stays */
    acceptor_start(r->acceptor);
    turn(r);
    assert_int_equal(r->accepted_len, 1);
}

/* 7/8 of 80 is 70; below 3/4, 60, it goes on. */
static void test_full(void **state)
{
    struct rig *r = *state;
    r->claimed = 68;
    for (int i = 0; i < 5; i++)
        connect_client(r, 0);
    acceptor_start(r->acceptor);
    turn(r);
    assert_int_equal(r->accepted_len, 2);
    r->claimed = 60; /* 62 open: not yet below */
    for (int i = 0; i < 3; i++)
        loop_run_once(r->loop, true); /* it looks again now and then */
    assert_int_equal(r->accepted_len, 2);
    r->claimed = 57;
    while (r->accepted_len < 5)
        loop_run_once(r->loop, true);
}

static void test_drain(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 40; i++)
        connect_client(r, i % 2);
    r->claimed = 1000; /* no gate any more */
    acceptor_start(r->acceptor);
    acceptor_drain(r->acceptor);
    assert_int_equal(r->accepted_len, 40);
    connect_client(r, 0);
    turn(r);
    assert_int_equal(r->accepted_len, 40);
    acceptor_drain(r->acceptor);
    assert_int_equal(r->accepted_len, 41);
}

/* What waits at a service manager's socket is the next start's. */
static void test_drain_leaves_activated(void **state)
{
    struct rig *r = *state;
    r->listeners[1].activated = true;
    for (int i = 0; i < 20; i++)
        connect_client(r, i % 2);
    acceptor_start(r->acceptor);
    acceptor_drain(r->acceptor);
    assert_int_equal(r->accepted_len, 10);
    turn(r);
    assert_int_equal(r->accepted_len, 10);
}

/* shutdown(2) by another process: no busy loop on what can never be accepted again. */
static void test_shut_down(void **state)
{
    struct rig *r = *state;
    acceptor_start(r->acceptor);
    assert_int_equal(shutdown(r->listeners[0].fd, SHUT_RDWR), 0);
    turn(r);
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 1);
    connect_client(r, 1);
    turn(r);
    assert_int_equal(r->accepted_len, 1);
    acceptor_stop(r->acceptor);
    acceptor_start(r->acceptor);
    turn(r);
    acceptor_drain(r->acceptor);
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 1); /* nobody asked it again */
}

/* Turns the loop while no descriptor is to be had. */
static void turn_without_descriptors(struct rig *r)
{
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int lowest = dup(0);
    close(lowest);
    none = before;
    none.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turn(r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* One client is told, the others wait, and all goes on when descriptors are there again. */
static void test_out_of_descriptors(void **state)
{
    struct rig *r = *state;
    int first = connect_client(r, 0);
    connect_client(r, 0);
    acceptor_start(r->acceptor);
    turn_without_descriptors(r);
    assert_int_equal(r->accepted_len, 0);
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 1);
    char got[8];
    assert_int_equal(read(first, got, sizeof got), 4);
    assert_memory_equal(got, "full", 4);
    assert_int_equal(read(first, got, sizeof got), 0);
    while (r->accepted_len < 1)
        loop_run_once(r->loop, true);
}

/* Behind "tls" nobody could read it: there the door only closes. */
static void test_out_of_descriptors_with_tls(void **state)
{
    struct rig *r = *state;
    r->listeners[1].words = DOOR_TLS;
    int secure = connect_client(r, 1);
    acceptor_start(r->acceptor);
    turn_without_descriptors(r);
    char got[8];
    assert_int_equal(read(secure, got, sizeof got), 0);
    assert_int_equal(r->accepted_len, 0);
}

/* The pause doubles only as long as nobody can be accepted: of two shortages with a success between
 * them the second is announced like the first. */
static void test_pause_begins_anew(void **state)
{
    struct rig *r = *state;
    FILE *log = tmpfile();
    int stderr_kept = dup(2);
    assert_non_null(log);
    acceptor_start(r->acceptor);
    assert_int_equal(dup2(fileno(log), 2), 2);
    for (unsigned i = 1; i <= 2; i++) {
        connect_client(r, 0);
        connect_client(r, 0);
        turn_without_descriptors(r);
        while (r->accepted_len < i)
            loop_run_once(r->loop, true);
    }
    assert_int_equal(dup2(stderr_kept, 2), 2);
    close(stderr_kept);
    char line[512];
    rewind(log);
    for (int i = 0; i < 2; i++) {
        assert_non_null(fgets(line, sizeof line, log));
        assert_non_null(strstr(line, "next try in 100 ms"));
    }
    assert_null(fgets(line, sizeof line, log));
    fclose(log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_both_listeners),
        TEST(test_batch),
        TEST(test_stop_and_start),
        TEST(test_full),
        TEST(test_drain),
        TEST(test_drain_leaves_activated),
        TEST(test_shut_down),
        TEST(test_out_of_descriptors),
        TEST(test_out_of_descriptors_with_tls),
        TEST(test_pause_begins_anew),
    };
    return cmocka_run_group_tests_name("acceptor", tests, NULL, NULL);
}
