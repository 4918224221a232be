/* test_gate.c: worker/api/gate.h through the routes, over the scripted fake store: which ends of a login
 * and of a sign-up stay counted in the throttle's table, and which leave nothing there. */
#include "worker/api/gate.h"

#include "tests/unit/fake_driver.h"
#include "worker/http/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct config config;
    struct scoreboard *board;
    struct tickets *tickets;
    struct http_service service;
    struct api api;
    struct proxies *exempt;
    int client;
    char answer[4096];
};

/* ---- a worker in small ------------------------------------------------------------------------ */

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct buf error = {0};
    static const char *const items[] = {"203.0.113.0/24"};
    int fd;
    assert_non_null(w);
    w->loop = loop_new();
    w->board = scoreboard_new(1);
    w->tickets = tickets_new(1);
    w->exempt = proxies_new(&(struct config_list){.items = items, .len = 1});
    assert_true(w->loop && w->board && w->tickets && w->exempt);
    w->config = (struct config){
        .limits_header_timeout = 10000,
        .limits_body_timeout = 10000,
        .limits_write_timeout = 10000,
        .limits_keepalive_timeout = 10000,
        .limits_max_target = 8192,
        .limits_max_head = 16384,
        .limits_max_headers = 100,
        .limits_max_body = 65536,
        .auth_throttle = true,
        .auth_throttle_address = 8,
        .auth_create_limit = 2,
    };
    fake_driver_script(NULL, 0);
    struct scoreboard_slot *slot = &w->board->slots[0];
    w->api = (struct api){
        .config = &w->config,
        .store = store_open_with(w->loop, &store_driver_fake, &(struct store_options){.slot = slot}, &error),
        .tokens = tokens_new(SLICE("0123456789abcdef0123456789abcdef"), 30, 86400),
        .passwords = passwords_new(w->loop, &(struct password_options){.memory_bytes = 8192,
                                                                       .iterations = 1,
                                                                       .threads = 1,
                                                                       .max_queue = 4,
                                                                       .tickets = w->tickets,
                                                                       .slot = slot}),
        .scoreboard = w->board,
        .site = site_new(&w->config),
        .attempts = {throttle_make(&fd), slot, attempt_rules_of(&w->config)},
        .exempt = w->exempt,
    };
    assert_true(w->api.store && w->api.passwords && w->api.site && w->api.attempts.table);
    close(fd);
    w->service = (struct http_service){.loop = w->loop,
                                       .config = &w->config,
                                       .slot = slot,
                                       .handle = api_handle,
                                       .context = &w->api};
    assert_int_equal(http_service_init(&w->service), 0);
    w->client = -1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    fake_driver_script(NULL, 0);
    if (w->client >= 0)
        close(w->client);
    http_service_cut(&w->service);
    passwords_free(w->api.passwords);
    loop_run_once(w->loop, false);
    store_close(w->api.store);
    loop_run_once(w->loop, false);
    http_service_fini(&w->service);
    tokens_free(w->api.tokens);
    site_free(w->api.site);
    throttle_free(w->api.attempts.table);
    proxies_free(w->exempt);
    tickets_free(w->tickets);
    scoreboard_free(w->board);
    loop_free(w->loop);
    free(w);
    return 0;
}

/* Over a unix socket, whose X-Forwarded-For is believed. */
static void post(struct world *w, const char *target, const char *from, const char *type, const char *body)
{
    int pair[2];
    struct buf out = {0};
    struct sockaddr peer = {.sa_family = AF_UNIX};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    if (w->client >= 0)
        close(w->client);
    w->client = pair[0];
    session_accept(&w->service, pair[1], &peer, sizeof peer.sa_family);
    buf_printf(&out, "POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n", target);
    if (from)
        buf_printf(&out, "X-Forwarded-For: %s\r\n", from);
    buf_printf(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", type, strlen(body), body);
    assert_int_equal(write(w->client, out.data, out.len), out.len);
    buf_free(&out);
}

static int receive(struct world *w)
{
    size_t len = 0;
    ssize_t n;
    while ((n = read(w->client, w->answer + len, sizeof w->answer - 1 - len)) != 0) {
        if (n > 0)
            len += (size_t)n;
        else
            loop_run_once(w->loop, true);
    }
    w->answer[len] = 0;
    assert_memory_equal(w->answer, "HTTP/1.1 ", 9);
    return atoi(w->answer + 9);
}

static void start_login(struct world *w, const char *from, const char *email)
{
    char form[128];
    snprintf(form, sizeof form, "username=%s&password=secret", email);
    post(w, "/auth/token", from, "application/x-www-form-urlencoded", form);
}

static int login(struct world *w, const char *from, const char *email)
{
    start_login(w, from, email);
    return receive(w);
}

static void start_sign_up(struct world *w, const char *from, const char *name)
{
    char json[160];
    snprintf(json, sizeof json, "{\"username\":\"%s\",\"email\":\"%s@test.com\",\"password\":\"secret\"}",
             name, name);
    post(w, "/users/", from, "application/json", json);
}

static int sign_up(struct world *w, const char *from, const char *name)
{
    start_sign_up(w, from, name);
    return receive(w);
}

static unsigned used(const struct world *w)
{
    return throttle_used(w->api.attempts.table, clock_now());
}

/* The client leaves; what was under way for it ends when the loop, or a hashing thread, comes to it. */
static void leave(struct world *w, unsigned left_in_table)
{
    mono_ms patience = mono_add(clock_now(), 60000);
    close(w->client);
    w->client = -1;
    while (http_service_connections(&w->service) > 0 || http_service_busy(&w->service) > 0 ||
           passwords_queued(w->api.passwords) > 0 || fake_driver_pending() > 0 ||
           (used(w) != left_in_table && mono_before(clock_now(), patience)))
        loop_run_once(w->loop, false);
    for (int i = 0; i < 10; i++) /* and nothing comes behind */
        loop_run_once(w->loop, false);
    assert_int_equal(used(w), left_in_table);
}

static void await_lookup(struct world *w)
{
    while (fake_driver_pending() == 0)
        loop_run_once(w->loop, true);
}

static void await_hash(struct world *w)
{
    while (passwords_queued(w->api.passwords) == 0)
        loop_run_once(w->loop, true);
}

static const char here[] = "192.0.2.1", there[] = "192.0.2.2", office[] = "203.0.113.7";

/* ---- logins ----------------------------------------------------------------------------------- */

static void test_failures_stay(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(login(w, here, "a@test.com"), 401);
    assert_int_equal(used(w), 3); /* the pair, the account, the address */
    assert_int_equal(login(w, here, "a@test.com"), 429);
    assert_non_null(strstr(w->answer, "\r\nretry-after: 1\r\n"));
    assert_non_null(strstr(w->answer, "\r\n\r\n{\"detail\":\"Too Many Requests\"}"));
    assert_int_equal(login(w, there, "a@test.com"), 401);
    assert_int_equal(atomic_load(&w->board->slots[0].counters[COUNTER_hashes]), 6);
}

static void test_success_leaves_nothing(void **state)
{
    struct world *w = *state;
    assert_int_equal(sign_up(w, NULL, "a"), 201);
    for (int i = 0; i < 30; i++)
        assert_int_equal(login(w, here, "a@test.com"), 200);
    assert_int_equal(used(w), 0);
}

static void test_exempt(void **state)
{
    struct world *w = *state;
    char email[] = "a@test.com";
    for (; email[0] <= 'z'; email[0]++) {
        assert_int_equal(login(w, office, email), 401);
        assert_int_equal(login(w, NULL, email), 401); /* who has no address */
        assert_int_equal(login(w, here, email), email[0] <= 'h' ? 401 : 429);
    }
}

static void test_store_fails(void **state)
{
    struct world *w = *state;
    const struct fake_step steps[] = {{.replace = true, .result = STORE_UNAVAILABLE},
                                      {.replace = true, .result = STORE_BUSY},
                                      {.refuse = true}};
    fake_driver_script(steps, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(login(w, here, "a@test.com"), 503);
    assert_int_equal(used(w), 0);
}

static void test_client_leaves_during_the_look_up(void **state)
{
    struct world *w = *state;
    const struct fake_step slow[] = {{.turns = 5}};
    fake_driver_script(slow, 1);
    start_login(w, here, "a@test.com");
    await_lookup(w);
    assert_int_equal(used(w), 3);
    leave(w, 0);
}

static void test_client_leaves_before_it_is_judged(void **state)
{
    struct world *w = *state;
    assert_int_equal(tickets_take(w->tickets, 0), 0); /* all hashes wait */
    start_login(w, here, "a@test.com");
    await_hash(w);
    assert_int_equal(used(w), 3);
    leave(w, 0);
    tickets_give(w->tickets, 0);
    assert_int_equal(atomic_load(&w->board->slots[0].counters[COUNTER_logins_failed]), 0);
}

static void on_other(void *ctx, const struct password_reply *reply)
{
    --*(int *)ctx;
}

static void test_too_busy_to_hash(void **state)
{
    struct world *w = *state;
    int others = 4;
    assert_int_equal(tickets_take(w->tickets, 0), 0);
    for (uint64_t i = 0; i < 4; i++)
        assert_non_null(password_hash(w->api.passwords, SLICE("x"), i, on_other, &others));
    assert_int_equal(login(w, here, "a@test.com"), 503);
    assert_int_equal(used(w), 0);
    tickets_give(w->tickets, 0);
    while (others > 0)
        loop_run_once(w->loop, true);
}

/* ---- new accounts ----------------------------------------------------------------------------- */

static void test_accounts_stay(void **state)
{
    struct world *w = *state;
    assert_int_equal(sign_up(w, here, "a"), 201);
    assert_int_equal(sign_up(w, here, "a"), 409);
    assert_int_equal(sign_up(w, here, "b"), 201);
    assert_int_equal(used(w), 1);
    assert_int_equal(sign_up(w, here, "a"), 429);
    assert_non_null(strstr(w->answer, "\r\nretry-after: 1800\r\n"));
    assert_int_equal(sign_up(w, there, "c"), 201);
    for (char name[] = "k"; name[0] <= 'n'; name[0]++) {
        assert_int_equal(sign_up(w, office, name), 201);
        assert_int_equal(sign_up(w, NULL, name), 409);
    }
    assert_int_equal(atomic_load(&w->board->slots[0].counters[COUNTER_sign_ups_throttled]), 1);
}

/* The look for a conflict, then the insert: each fails once; then a conflict that came between. */
static void test_accounts_that_are_not_made(void **state)
{
    struct world *w = *state;
    const struct fake_step steps[] = {{.replace = true, .result = STORE_UNAVAILABLE},
                                      {.replace = true, .result = STORE_NOT_FOUND},
                                      {.replace = true, .result = STORE_BUSY},
                                      {.replace = true, .result = STORE_NOT_FOUND},
                                      {.replace = true, .result = STORE_EMAIL_TAKEN}};
    fake_driver_script(steps, 5);
    assert_int_equal(sign_up(w, here, "a"), 503);
    assert_int_equal(sign_up(w, here, "a"), 503);
    assert_int_equal(sign_up(w, here, "a"), 409);
    assert_int_equal(used(w), 0);
}

static void test_account_that_may_come_to_be(void **state)
{
    struct world *w = *state;
    const struct fake_step steps[] = {{0}, {.replace = true, .result = STORE_UNKNOWN}};
    fake_driver_script(steps, 2);
    assert_int_equal(sign_up(w, here, "a"), 503);
    assert_int_equal(used(w), 1);
}

static void test_client_leaves_during_the_look_for_a_conflict(void **state)
{
    struct world *w = *state;
    const struct fake_step slow[] = {{.turns = 5}};
    fake_driver_script(slow, 1);
    start_sign_up(w, here, "a");
    await_lookup(w);
    leave(w, 0);
}

/* It has not been told that the name is taken, and knows what that means. */
static void test_client_leaves_before_its_account(void **state)
{
    struct world *w = *state;
    assert_int_equal(tickets_take(w->tickets, 0), 0);
    start_sign_up(w, here, "a");
    await_hash(w);
    assert_int_equal(used(w), 1);
    leave(w, 1);
    tickets_give(w->tickets, 0);
}

/* Too late to tell: it may have been made. */
static void test_client_leaves_while_its_account_is_made(void **state)
{
    struct world *w = *state;
    const struct fake_step slow[] = {{.turns = 0}, {.turns = 5}};
    fake_driver_script(slow, 2);
    start_sign_up(w, here, "a");
    await_hash(w);
    await_lookup(w);
    leave(w, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_failures_stay),
        TEST(test_success_leaves_nothing),
        TEST(test_exempt),
        TEST(test_store_fails),
        TEST(test_client_leaves_during_the_look_up),
        TEST(test_client_leaves_before_it_is_judged),
        TEST(test_too_busy_to_hash),
        TEST(test_accounts_stay),
        TEST(test_accounts_that_are_not_made),
        TEST(test_account_that_may_come_to_be),
        TEST(test_client_leaves_during_the_look_for_a_conflict),
        TEST(test_client_leaves_before_its_account),
        TEST(test_client_leaves_while_its_account_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
