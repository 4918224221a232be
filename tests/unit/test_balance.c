/* test_balance.c: worker/net/balance.c, and the acceptor that asks it. */
#include "worker/net/balance.h"

#include "worker/net/listener.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { PEERS_MAX = 3, NOW_US = 10000000 };

struct peer_row {
    enum slot_state state;
    uint32_t connections, busy;
    int64_t held_us; /* by its present turn; 0: it waits */
    int64_t silent_ms; /* since its last beat */
    bool accepts;
};

static void set_peer(struct scoreboard_slot *slot, const struct peer_row *row, int64_t now_us)
{
    slot->state = row->state;
    slot->accepting = row->accepts;
    slot->connections = row->connections;
    slot->busy = row->busy;
    slot->busy_since_us = row->held_us > 0 ? now_us - row->held_us : 0;
    slot->beat_ms = now_us / 1000 - row->silent_ms;
}

static void test_least(void **state)
{
    static const struct {
        const char *name;
        struct peer_row peers[PEERS_MAX];
        uint64_t least;
    } cases[] = {
        {"nobody", {{SLOT_EMPTY, 0, 0, 0, 0, true}}, UINT64_MAX},
        {"one", {{SLOT_READY, 7, 2, 0, 0, true}}, 15},
        {"the least of all",
         {{SLOT_READY, 7, 2, 0, 0, true}, {SLOT_READY, 9, 0, 0, 0, true}, {SLOT_READY, 10, 0, 0, 0, true}},
         9},
        {"busy ones weigh four", {{SLOT_READY, 2, 2, 0, 0, true}, {SLOT_READY, 9, 0, 0, 0, true}}, 9},
        {"only ready ones",
         {{SLOT_STARTING, 0, 0, 0, 0, true}, {SLOT_DRAINING, 1, 0, 0, 0, true}, {SLOT_READY, 50, 0, 0, 0, true}},
         50},
        {"in a turn that is not too long", {{SLOT_READY, 5, 0, 50000, 0, true}}, 5},
        {"stuck", {{SLOT_READY, 5, 0, 50001, 0, true}, {SLOT_READY, 30, 0, 0, 0, true}}, 30},
        {"stopped in its sleep", {{SLOT_READY, 5, 0, 0, 2501, true}, {SLOT_READY, 30, 0, 0, 2500, true}}, 30},
        {"not let in yet", {{SLOT_READY, 0, 0, 0, 0, false}, {SLOT_READY, 30, 0, 0, 0, true}}, 30},
        {"all are stuck", {{SLOT_READY, 5, 0, 60000, 0, true}}, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scoreboard *s = scoreboard_new(PEERS_MAX + 2);
        for (int p = 0; p < PEERS_MAX; p++) {
            scoreboard_use(s, (size_t)p + 1);
            set_peer(&s->slots[p + 1], &cases[i].peers[p], NOW_US);
        }
        s->slots[0].state = SLOT_READY;             /* one's own does not count, … */
        s->slots[PEERS_MAX + 1].state = SLOT_READY; /* … nor one that was never used */
        uint64_t least = balance_least(s, &s->slots[0], NOW_US);
        if (least != cases[i].least)
            fail_msg("%s: %llu", cases[i].name, (unsigned long long)least);
        scoreboard_free(s);
    }
}

static void test_yields(void **state)
{
    static const struct {
        uint32_t connections, busy;
        uint64_t least;
        bool yields;
    } cases[] = {
        {100, 10, UINT64_MAX, false}, /* alone */
        {3, 3, 0, false},             /* hardly anything to do */
        {4, 0, 0, false},
        {4, 1, 4, false}, /* 8 against 4: four more are not too much */
        {5, 1, 4, true},
        {37, 0, 33, false},
        {38, 0, 33, true},
        {112, 0, 100, false}, /* 12 percent of a hundred */
        {113, 0, 100, true},
        {100, 3, 100, false},
        {100, 4, 100, true},
        {99, 0, 100, false},
        {UINT32_MAX, UINT32_MAX, UINT32_MAX, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (balance_yields(cases[i].connections, cases[i].busy, cases[i].least) != cases[i].yields)
            fail_msg("case %zu", i);
    }
}

/* ---- the acceptor ---------------------------------------------------------------------------- */

enum { CLIENTS = 20 };

struct rig {
    struct loop *loop;
    struct scoreboard *scoreboard;
    struct listener listener;
    struct acceptor *acceptor;
    int clients[CLIENTS];
    int accepted[CLIENTS];
    unsigned accepted_len;
    unsigned opened, shut; /* gate() */
};

static void on_accepted(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                        socklen_t peer_len)
{
    struct rig *r = ctx;
    r->accepted[r->accepted_len++] = fd;
}

static unsigned connections(void *ctx)
{
    struct rig *r = ctx;
    return r->accepted_len;
}

static void on_gate(void *ctx, bool open)
{
    struct rig *r = ctx;
    if (open)
        r->opened++;
    else
        r->shut++;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct sock_address *a = &r->listener.address;
    r->loop = loop_new();
    r->scoreboard = scoreboard_new(2);
    scoreboard_use(r->scoreboard, 0);
    scoreboard_use(r->scoreboard, 1);
    a->u.in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a->len = sizeof a->u.in;
    r->listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->listener.fd, &a->u.any, a->len), 0);
    assert_int_equal(listen(r->listener.fd, CLIENTS), 0);
    assert_int_equal(getsockname(r->listener.fd, &a->u.any, &a->len), 0);
    r->acceptor = acceptor_new(r->loop, &(struct acceptor_options){
                                            .listeners = &r->listener,
                                            .listeners_len = 1,
                                            .max_connections = 1000,
                                            .slot = &r->scoreboard->slots[0],
                                            .scoreboard = r->scoreboard,
                                            .accepted = on_accepted,
                                            .connections = connections,
                                            .gate = on_gate,
                                            .ctx = r,
                                        });
    for (int i = 0; i < CLIENTS; i++) {
        r->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(r->clients[i], &a->u.any, a->len), 0);
    }
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    acceptor_free(r->acceptor);
    for (int i = 0; i < CLIENTS; i++)
        close(r->clients[i]);
    for (unsigned i = 0; i < r->accepted_len; i++)
        close(r->accepted[i]);
    close(r->listener.fd);
    scoreboard_free(r->scoreboard);
    loop_free(r->loop);
    free(r);
    return 0;
}

static void set_load(struct rig *r, uint32_t own, uint32_t other)
{
    r->scoreboard->slots[0].connections = own;
    r->scoreboard->slots[1].connections = other;
    r->scoreboard->slots[1].state = SLOT_READY;
    r->scoreboard->slots[1].accepting = 1;
    r->scoreboard->slots[1].beat_ms = clock_now().ms;
}

/* It waits once, with the gate shut, and takes them then although nothing has changed. */
static void test_waits_once(void **state)
{
    struct rig *r = *state;
    set_load(r, 100, 10);
    acceptor_start(r->acceptor);
    assert_int_equal(r->opened, 1);
    loop_run_once(r->loop, false);
    assert_int_equal(r->accepted_len, 0);
    assert_int_equal(r->shut, 1);
    assert_false(acceptor_may_take(r->acceptor));
    while (r->accepted_len == 0) /* on a busy machine it comes back too late, and waits again */
        loop_run_once(r->loop, true);
    assert_int_equal(r->accepted_len, 16);
    assert_int_equal(r->opened, r->shut + 1);
    unsigned waits = r->shut;
    while (r->accepted_len < CLIENTS) /* the next ones are another matter */
        loop_run_once(r->loop, true);
    assert_true(r->shut > waits);
}

static void test_takes_at_once(void **state)
{
    struct rig *r = *state;
    set_load(r, 14, 10);
    acceptor_start(r->acceptor);
    assert_true(acceptor_may_take(r->acceptor));
    loop_run_once(r->loop, false);
    assert_int_equal(r->accepted_len, 16);
    assert_int_equal(r->shut, 0);
}

/* A way beside the listener asks the same gate. */
static void test_may_take(void **state)
{
    struct rig *r = *state;
    assert_false(acceptor_may_take(r->acceptor)); /* not started */
    set_load(r, 100, 10);
    acceptor_start(r->acceptor);
    assert_false(acceptor_may_take(r->acceptor));
    assert_int_equal(r->shut, 1);
    while (r->opened < 2 || !acceptor_may_take(r->acceptor))
        loop_run_once(r->loop, true);
}

static void test_one_a_turn_when_lagging(void **state)
{
    struct rig *r = *state;
    set_load(r, 0, 0);
    r->scoreboard->slots[0].lag_us = 20001;
    acceptor_start(r->acceptor);
    for (unsigned i = 1; i <= 3; i++) {
        loop_run_once(r->loop, false);
        assert_int_equal(r->accepted_len, i);
    }
    r->scoreboard->slots[0].lag_us = 20000;
    loop_run_once(r->loop, false);
    assert_int_equal(r->accepted_len, 19);
}

/* Of the listeners only those that end are emptied. */
static void test_drain_some(void **state)
{
    struct rig *r = *state;
    acceptor_start(r->acceptor);
    acceptor_drain_some(r->acceptor, 2);
    assert_int_equal(r->accepted_len, 0);
    assert_int_equal(r->shut, 1);
    acceptor_drain_some(r->acceptor, 1);
    assert_int_equal(r->accepted_len, CLIENTS);
}

/* What another worker has written there is no reason to look beyond. */
static void test_least_of_those_that_exist(void **state)
{
    (void)state;
    static const struct peer_row peer = {SLOT_READY, 7, 2, 0, 0, true};
    struct scoreboard *s = scoreboard_new(2);
    set_peer(&s->slots[1], &peer, NOW_US);
    atomic_store(&s->slots[0].beat_ms, INT64_MIN);
    atomic_store(&s->slots[0].busy_since_us, INT64_MIN);
    atomic_store(&s->slots_used, 100000000);
    assert_int_equal(balance_least(s, NULL, NOW_US), 15);
    scoreboard_free(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least), cmocka_unit_test(test_yields),
        TEST(test_waits_once),        TEST(test_takes_at_once),
        TEST(test_may_take),          TEST(test_one_a_turn_when_lagging),
        TEST(test_drain_some),        cmocka_unit_test(test_least_of_those_that_exist),
    };
    return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
