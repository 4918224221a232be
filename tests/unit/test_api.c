/* test_api.c: dispatch and handlers over the scripted fake store: the order of judgement, what each
 * store result becomes on the wire, and clients that leave. Requests go through a socket pair and
 * every layer above the store. */
#include "worker/api/api.h"

#include "shared/jsonw.h"
#include "shared/tickets.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/log_catcher.h"
#include "worker/api/exchange.h"
#include "worker/http/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "0123456789abcdef0123456789abcdef"

struct world {
    struct loop *loop;
    struct config config;
    struct scoreboard *board;
    struct http_service service;
    struct site *site;
    struct api api;
    int client;
    char token[1024]; /* of alice, account 1 */
    char answer[8192];
};

/* ---- a worker in small ---- */

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->loop = loop_new();
    w->board = scoreboard_new(1);
    assert_non_null(w->loop);
    assert_non_null(w->board);
    w->config = (struct config){
        .limits_header_timeout = 10000,
        .limits_body_timeout = 10000,
        .limits_write_timeout = 10000,
        .limits_keepalive_timeout = 10000,
        .limits_max_target = 8192,
        .limits_max_head = 16384,
        .limits_max_headers = 100,
        .limits_max_body = 65536,
        .limits_max_connections = 100,
    };
    struct buf error = {0};
    fake_driver_script(NULL, 0);
    struct store_options store = {.slot = &w->board->slots[0]};
    struct password_options passwords = {
        .memory_bytes = 8192, .iterations = 1, .threads = 1, .slot = &w->board->slots[0]};
    w->api = (struct api){
        .config = &w->config,
        .store = store_open_with(w->loop, &store_driver_fake, &store, &error),
        .tokens = tokens_new(SLICE(KEY), 30, 30 * 86400),
        .passwords = passwords_new(w->loop, &passwords),
        .scoreboard = w->board,
        .site = w->site = site_new(&w->config),
    };
    assert_non_null(w->site);
    w->service = (struct http_service){
        .loop = w->loop,
        .config = &w->config,
        .slot = &w->board->slots[0],
        .handle = api_handle,
        .context = &w->api,
    };
    assert_non_null(w->api.store);
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
    assert_int_equal(http_service_busy(&w->service), 0);
    http_service_fini(&w->service);
    tokens_free(w->api.tokens);
    site_free(w->site);
    scoreboard_free(w->board);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void send_request(struct world *w, const char *method, const char *target, const char *token,
                         const char *content_type, const char *body)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    if (w->client >= 0)
        close(w->client);
    w->client = pair[0];
    struct sockaddr peer = {.sa_family = AF_UNIX};
    session_accept(&w->service, pair[1], &peer, sizeof peer.sa_family);
    struct buf out = {0};
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n", method, target);
    if (token)
        buf_printf(&out, "Authorization: Bearer %s\r\n", token);
    if (content_type)
        buf_printf(&out, "Content-Type: %s\r\n", content_type);
    buf_printf(&out, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    assert_int_equal(write(w->client, out.data, out.len), out.len);
    buf_free(&out);
}

static void receive(struct world *w)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(w->client, w->answer + len, sizeof w->answer - 1 - len);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else
            loop_run_once(w->loop, true);
    }
    w->answer[len] = 0;
}

static const char *ask(struct world *w, const char *method, const char *target, const char *token,
                       const char *body)
{
    send_request(w, method, target, token, "application/json", body);
    receive(w);
    return w->answer;
}

static const char *login(struct world *w, const char *email, const char *password)
{
    char form[256];
    snprintf(form, sizeof form, "username=%s&password=%s", email, password);
    send_request(w, "POST", "/auth/token", NULL, "application/x-www-form-urlencoded", form);
    receive(w);
    return w->answer;
}

static int status(const char *answer)
{
    assert_memory_equal(answer, "HTTP/1.1 ", 9);
    return atoi(answer + 9);
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static const char alice[] =
    "{\"username\":\"alice\",\"email\":\"alice@example.com\",\"password\":\"secret\"}";

static void log_in(struct world *w)
{
    assert_int_equal(status(login(w, "alice@example.com", "secret")), 200);
    const char *token = strstr(w->answer, "access_token\":\"");
    assert_non_null(token);
    token += strlen("access_token\":\"");
    snprintf(w->token, sizeof w->token, "%.*s", (int)strcspn(token, "\""), token);
}

static void sign_up_and_log_in(struct world *w)
{
    assert_string_equal(body_of(ask(w, "POST", "/users/", NULL, alice)),
                        "{\"id\":1,\"username\":\"alice\",\"email\":\"alice@example.com\"}");
    log_in(w);
}

/* ---- the order of judgement ---- */

static void test_order_of_judgement(void **state)
{
    struct world *w = *state;
    sign_up_and_log_in(w);
    static const struct {
        const char *method, *target;
        bool token;
        const char *body;
        int status;
        const char *answer; /* its body */
    } rows[] = {
        /* the route before everything */
        {"PUT", "/nope", false, "{", 404, "{\"detail\":\"Not Found\"}"},
        {"POST", "/users/1", false, "{", 405, "{\"detail\":\"Method Not Allowed\"}"},
        /* JSON syntax before credentials */
        {"PUT", "/users/1", false, "{", 422,
         "{\"detail\":[{\"type\":\"json_invalid\",\"loc\":[\"body\",1],\"msg\":\"JSON decode "
         "error\","
         "\"input\":{},\"ctx\":{\"error\":\"Expecting property name enclosed in double "
         "quotes\"}}]}"},
        {"PUT", "/users/1", false, "\"\xff\"", 400,
         "{\"detail\":\"There was an error parsing the body\"}"},
        /* credentials before fields */
        {"PUT", "/users/x", false, "{}", 401, "{\"detail\":\"Not authenticated\"}"},
        {"DELETE", "/users/x", false, "", 401, "{\"detail\":\"Not authenticated\"}"},
        /* path before body, both in one answer */
        {"PUT", "/users/x", true, "[]", 422,
         "{\"detail\":[{\"type\":\"int_parsing\",\"loc\":[\"path\",\"user_id\"],\"msg\":\"Input "
         "should "
         "be a valid integer, unable to parse string as an integer\",\"input\":\"x\"},"
         "{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a valid "
         "dictionary or object to extract fields from\",\"input\":[]}]}"},
        /* fields before permission */
        {"PUT", "/users/2", true, "null", 422,
         "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\","
         "\"input\":null}]}"},
        /* permission before conflict; an unknown id is no different */
        {"PUT", "/users/2", true, alice, 403, "{\"detail\":\"Not enough permissions\"}"},
        {"DELETE", "/users/99999999999999999999", true, "", 403,
         "{\"detail\":\"Not enough permissions\"}"},
        {"GET", "/users/99999999999999999999", false, "", 404, "{\"detail\":\"User not found\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(w, rows[i].method, rows[i].target, rows[i].token ? w->token : NULL, rows[i].body);
        assert_string_equal(body_of(w->answer), rows[i].answer);
        assert_int_equal(status(w->answer), rows[i].status);
    }
}

static void test_challenge_and_allow(void **state)
{
    struct world *w = *state;
    assert_non_null(
        strstr(ask(w, "DELETE", "/users/1", NULL, ""), "\r\nwww-authenticate: Bearer\r\n"));
    assert_non_null(strstr(ask(w, "DELETE", "/users/1", "x.y.z", ""),
                           "{\"detail\":\"Could not validate credentials\"}"));
    assert_non_null(strstr(ask(w, "PATCH", "/users/1", NULL, ""), "\r\nallow: PUT\r\n"));
    assert_non_null(strstr(ask(w, "DELETE", "/users/", NULL, ""), "\r\nallow: POST\r\n"));
    assert_non_null(strstr(ask(w, "GET", "/users?limit=1", NULL, ""),
                           "\r\nlocation: http://test/users/?limit=1\r\n"));
    assert_null(strstr(login(w, "nobody@example.com", "x"), "www-authenticate"));
    assert_int_equal(status(w->answer), 401);
}

/* ---- what store results become ---- */

static const char bob[] =
    "{\"username\":\"bob\",\"email\":\"bob@example.com\",\"password\":\"p\"}";

enum { STEPS_MAX = 6 };

#define CHANGED {.replace = true, .result = STORE_CHANGED}

static void test_store_results(void **state)
{
    struct world *w = *state;
    sign_up_and_log_in(w);
    static const struct {
        const char *method, *target, *body;
        struct fake_step steps[STEPS_MAX]; /* one for each call the request makes */
        int status;
        const char *has;
    } rows[] = {
        {"POST",
         "/users/",
         bob,
         {{.replace = true, .result = STORE_USERNAME_TAKEN}},
         409,
         "{\"detail\":\"Username already exists\"}"},
        {"POST",
         "/users/",
         bob,
         {{.replace = true, .result = STORE_EMAIL_TAKEN}},
         409,
         "{\"detail\":\"Email already exists\"}"},
        {"POST",
         "/users/",
         bob,
         {{.replace = true, .result = STORE_BUSY}},
         503,
         "retry-after: 1\r\n"},
        /* taken between the look and the insert */
        {"POST",
         "/users/",
         bob,
         {{0}, {.replace = true, .result = STORE_USERNAME_TAKEN}},
         409,
         "{\"detail\":\"Username already exists\"}"},
        {"POST",
         "/users/",
         bob,
         {{0}, {.replace = true, .result = STORE_UNAVAILABLE}},
         503,
         "retry-after: 5\r\n"},
        {"POST", "/users/", bob, {{0}, {.refuse = true}}, 503, "retry-after: "},
        {"GET",
         "/users/",
         "",
         {{.replace = true, .result = STORE_UNAVAILABLE}},
         503,
         "{\"detail\":\"Service Unavailable\"}"},
        {"GET",
         "/users/1",
         "",
         {{.replace = true, .result = STORE_NO_MEMORY}},
         503,
         "retry-after: "},
        {"GET",
         "/users/1",
         "",
         {{.replace = true, .result = STORE_NOT_FOUND}},
         404,
         "User not found"},
        /* the token's account: gone, or not to be had */
        {"DELETE",
         "/users/1",
         "",
         {{.replace = true, .result = STORE_NOT_FOUND}},
         401,
         "Could not validate credentials"},
        {"DELETE",
         "/users/1",
         "",
         {{.replace = true, .result = STORE_BUSY}},
         503,
         "retry-after: 1\r\n"},
        /* changed between the token check and the write */
        {"PUT",
         "/users/1",
         bob,
         {{0}, CHANGED, {.replace = true, .result = STORE_NOT_FOUND}},
         401,
         "Could not validate credentials"},
        {"PUT",
         "/users/1",
         bob,
         {{0}, CHANGED, {.replace = true, .result = STORE_BUSY}},
         503,
         "retry-after: 1\r\n"},
        /* … and changed again and again, though the account is the same one */
        {"PUT",
         "/users/1",
         bob,
         {{0}, CHANGED, {0}, CHANGED, {0}, CHANGED},
         401,
         "Could not validate credentials"},
        {"PUT",
         "/users/1",
         bob,
         {{0}, {.replace = true, .result = STORE_EMAIL_TAKEN}},
         409,
         "{\"detail\":\"Username or Email already exists\"}"},
        {"DELETE",
         "/users/1",
         "",
         {{0}, CHANGED, {0}, CHANGED, {0}, CHANGED},
         401,
         "Could not validate credentials"},
        {"DELETE",
         "/users/1",
         "",
         {{0}, {.replace = true, .result = STORE_UNKNOWN}},
         503,
         "retry-after: 1\r\n"},
        {"DELETE",
         "/users/1",
         "",
         {{0}, {.replace = true, .result = STORE_UNAVAILABLE}},
         503,
         "retry-after: 5\r\n"},
        {"POST", "/auth/refresh_token", "{", {{.turns = 3}}, 200, "\"token_type\":\"bearer\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake_driver_script(rows[i].steps, STEPS_MAX);
        ask(w, rows[i].method, rows[i].target, w->token, rows[i].body);
        fake_driver_script(NULL, 0);
        assert_int_equal(status(w->answer), rows[i].status);
        assert_non_null(strstr(w->answer, rows[i].has));
        assert_int_equal(fake_driver_pending(), 0);
    }
    /* none of it has changed anything */
    assert_string_equal(
        body_of(ask(w, "GET", "/users/", NULL, "")),
        "{\"users\":[{\"id\":1,\"username\":\"alice\",\"email\":\"alice@example.com\"}]}");
}

/* ---- sessions end with what they were given for ---- */

static void test_tokens_end(void **state)
{
    struct world *w = *state;
    sign_up_and_log_in(w);
    assert_int_equal(status(ask(w, "POST", "/auth/refresh_token", w->token, "")), 200);
    assert_int_equal(status(ask(w, "PUT", "/users/1", w->token, alice)),
                     200); /* the same password */
    assert_int_equal(status(ask(w, "POST", "/auth/refresh_token", w->token, "")), 401);
    assert_int_equal(status(login(w, "alice@example.com", "wrong")), 401);
    assert_int_equal(status(login(w, "alice@example.com", "secret")), 200);
}

/* ---- clients that leave ---- */

static void leave_and_settle(struct world *w)
{
    close(w->client);
    w->client = -1;
    while (http_service_connections(&w->service) > 0 || http_service_busy(&w->service) > 0 ||
           fake_driver_pending() > 0)
        loop_run_once(w->loop, true);
}

static void test_client_leaves_during_a_store_call(void **state)
{
    struct world *w = *state;
    const struct fake_step slow[] = {{.turns = 5}};
    fake_driver_script(slow, 1);
    send_request(w, "GET", "/users/", NULL, NULL, "");
    while (fake_driver_pending() == 0)
        loop_run_once(w->loop, true);
    leave_and_settle(w);
    fake_driver_script(NULL, 0);
    assert_string_equal(body_of(ask(w, "GET", "/users/", NULL, "")), "{\"users\":[]}");
}

/* … while the conflict is looked for: no hash is made, and nothing is stored. */
static void test_client_leaves_before_its_hash(void **state)
{
    struct world *w = *state;
    const struct fake_step slow[] = {{.turns = 5}};
    fake_driver_script(slow, 1);
    send_request(w, "POST", "/users/", NULL, "application/json", alice);
    while (fake_driver_pending() == 0)
        loop_run_once(w->loop, true);
    leave_and_settle(w);
    fake_driver_script(NULL, 0);
    assert_string_equal(body_of(ask(w, "GET", "/users/", NULL, "")), "{\"users\":[]}");
    assert_int_equal(atomic_load(&w->board->slots[0].counters[COUNTER_hashes]), 0);
}

/* Asks, and leaves when the last step of the script has been taken; then that one is answered. What the
 * audit log has of it: static. */
static const char *leave_in_last_step(struct world *w, const char *method, const char *target,
                                      const char *token, const char *type, const char *body,
                                      const struct fake_step *steps, size_t steps_len)
{
    fake_driver_script(steps, steps_len);
    catcher_begin();
    send_request(w, method, target, token, type, body);
    while (fake_driver_left() > 0)
        loop_run_once(w->loop, true);
    close(w->client);
    w->client = -1;
    while (http_service_connections(&w->service) > 0)
        loop_run_once(w->loop, false);
    fake_driver_hurry();
    while (store_queued(w->api.store) > 0 || passwords_queued(w->api.passwords) > 0)
        loop_run_once(w->loop, true);
    fake_driver_script(NULL, 0);
    return catcher_end();
}

static size_t lines_in(const char *text)
{
    size_t n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

#define SLOW .turns = UINT_MAX

/* Whatever it waits for, first or second try: one line. */
static void test_who_leaves_a_change_is_recorded(void **state)
{
    struct world *w = *state;
    sign_up_and_log_in(w);
    static const struct {
        struct fake_step steps[STEPS_MAX];
        size_t len;
        const char *outcome; /* NULL: who asks is not known yet */
    } rows[] = {
        {{{SLOW}}, 1, NULL},
        {{{0}, {SLOW}}, 2, "abandoned"},
        {{{0}, {SLOW, .begin = true, .replace = true, .result = STORE_CHANGED}}, 2, "abandoned"},
        {{{0}, CHANGED, {SLOW}}, 3, "abandoned"},
        {{{0}, CHANGED, {SLOW, .begin = true}}, 3, "abandoned"},
        {{{0}, CHANGED, {0}, {SLOW}}, 4, "abandoned"},
        {{{0}, {SLOW, .begin = true, .replace = true, .result = STORE_EMAIL_TAKEN}}, 2, "failed"},
        {{{0}, {SLOW, .begin = true}}, 2, "ok"},
    };
    static const struct {
        const char *method, *event;
    } verbs[] = {{"PUT", "account changed"}, {"DELETE", "account deleted"}};
    struct buf error = {0};
    assert_true(audit_start("on", (uid_t)-1, (gid_t)-1, &error));
    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const char *said = leave_in_last_step(w, verbs[v].method, "/users/1", w->token,
                                                  "application/json", alice, rows[i].steps,
                                                  rows[i].len);
            char words[96];
            snprintf(words, sizeof words, "event=\"%s\" outcome=%s who=\"alice@example.com\"",
                     verbs[v].event, rows[i].outcome ? rows[i].outcome : "");
            if (lines_in(said) != (rows[i].outcome != NULL) ||
                (rows[i].outcome && !strstr(said, words)))
                fail_msg("%s, row %zu: \"%s\"", verbs[v].method, i, said);
            if (v == 0 && i == sizeof rows / sizeof *rows - 1) /* it has a new password */
                log_in(w);
        }
    audit_stop();
}

static const char login_form[] = "username=alice%40example.com&password=secret";

/* 503s and calls that are called off: nothing was done, and one line says so. */
static void test_what_is_not_done_is_recorded(void **state)
{
    struct world *w = *state;
    sign_up_and_log_in(w);
    static const struct {
        const char *method, *target, *body;
        struct fake_step steps[STEPS_MAX];
        size_t len;
        const char *words;
    } rows[] = {
#define BUSY {.replace = true, .result = STORE_BUSY}
#define LOGIN "POST", "/auth/token", login_form
#define SIGN_UP "POST", "/users/", bob
        {LOGIN, {BUSY}, 1, "event=\"login\" outcome=unavailable who=\"alice@example.com\""},
        {LOGIN, {{SLOW}}, 1, "event=\"login\" outcome=abandoned who=\"alice@example.com\""},
        {SIGN_UP, {BUSY}, 1, "event=\"account created\" outcome=unavailable account=\"bob@"},
        {SIGN_UP, {{0}, BUSY}, 2, "event=\"account created\" outcome=unavailable account=\"bob@"},
        {SIGN_UP, {{SLOW}}, 1, "event=\"account created\" outcome=abandoned account=\"bob@"},
        {SIGN_UP, {{0}, {SLOW}}, 2, "event=\"account created\" outcome=abandoned account=\"bob@"},
        {"PUT", "/users/1", alice, {{0}, BUSY}, 2,
         "event=\"account changed\" outcome=unavailable who=\"alice@"},
        {"DELETE", "/users/1", "", {{0}, BUSY}, 2,
         "event=\"account deleted\" outcome=unavailable who=\"alice@"},
        {"DELETE", "/users/1", "", {{0}, CHANGED, BUSY}, 3,
         "event=\"account deleted\" outcome=unavailable who="},
    };
    struct buf error = {0};
    assert_true(audit_start("on", (uid_t)-1, (gid_t)-1, &error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *said;
        bool is_login = rows[i].body == login_form;
        const char *type = is_login ? "application/x-www-form-urlencoded" : "application/json";
        if (rows[i].steps[rows[i].len - 1].turns > 0) {
            said = leave_in_last_step(w, rows[i].method, rows[i].target, w->token, type, rows[i].body,
                                      rows[i].steps, rows[i].len);
        } else {
            fake_driver_script(rows[i].steps, rows[i].len);
            catcher_begin();
            send_request(w, rows[i].method, rows[i].target, w->token, type, rows[i].body);
            receive(w);
            said = catcher_end();
            assert_int_equal(status(w->answer), 503);
        }
        if (lines_in(said) != 1 || !strstr(said, rows[i].words))
            fail_msg("row %zu: \"%s\"", i, said);
    }
    audit_stop();
}

static void on_hashed(void *ctx, const struct password_reply *reply)
{
    bool *done = ctx;
    *done = reply->result == PASSWORD_OK;
}

/* The hash waits for a ticket: it is called off, and only the next one counts. */
static void test_client_leaves_during_its_hash(void **state)
{
    struct world *w = *state;
    struct tickets *tickets = tickets_new(1);
    assert_non_null(tickets);
    passwords_free(w->api.passwords);
    w->api.passwords =
        passwords_new(w->loop, &(struct password_options){.memory_bytes = 8192,
                                                          .iterations = 1,
                                                          .threads = 1,
                                                          .tickets = tickets,
                                                          .slot = &w->board->slots[0]});
    assert_int_equal(tickets_take(tickets, 0), 0);
    send_request(w, "POST", "/users/", NULL, "application/json", alice);
    while (fake_driver_pending() == 0)
        loop_run_once(w->loop, true);
    while (fake_driver_pending() > 0)
        loop_run_once(w->loop, true);
    for (int i = 0; i < 5; i++) /* the answer's way back, and the hash's to its thread */
        loop_run_once(w->loop, false);
    leave_and_settle(w);
    tickets_give(tickets, 0);
    bool next = false; /* of the same account: behind the other */
    uint64_t key = password_fair_key(SLICE("alice@example.com"));
    assert_non_null(password_hash(w->api.passwords, SLICE("secret"), key, on_hashed, &next));
    while (!next)
        loop_run_once(w->loop, true);
    assert_int_equal(atomic_load(&w->board->slots[0].counters[COUNTER_hashes]), 1);
    passwords_free(w->api.passwords);
    w->api.passwords = NULL;
    tickets_free(tickets);
}

static void test_healthcheck(void **state)
{
    struct world *w = *state;
    assert_string_equal(body_of(ask(w, "GET", "/healthcheck", NULL, "")), "{\"status\":\"ok\"}");
    assert_int_equal(status(w->answer), 200);
    atomic_store(&w->board->stopping, 1);
    assert_string_equal(body_of(ask(w, "GET", "/healthcheck", NULL, "")),
                        "{\"status\":\"stopping\"}");
    assert_int_equal(status(w->answer), 503);
}

/* ---- a route that exists nowhere else ---- */

static void echo_number(struct exchange *x)
{
    struct buf out = buf_in_arena(x->r->arena);
    struct jsonw w = jsonw_on(&out);
    jsonw_i64(&w, x->path.number);
    exchange_json(x, 200, &out);
}

static void test_a_route_of_the_tests_own_is_served_and_described(void **state)
{
    static const struct field id = {
        .name = "bee_id", .kind = FIELD_INT, .required = true, .min = INT64_MIN, .max = INT64_MAX};
    static const struct endpoint echo = {
        .path = &id, .handler = echo_number, .status = 200, .answer = &schema_message};
    static const struct endpoint describe = {.handler = api_openapi};
    static const struct route table[] = {
        {HTTP_GET, "/bees/{bee_id}", "echo_bee", &echo, false},
        {HTTP_GET, "/openapi.json", "openapi", &describe, true},
    };
    struct world *w = *state;
    assert_null(strstr(ask(w, "GET", "/openapi.json", NULL, ""), "bee"));
    assert_int_equal(status(ask(w, "GET", "/bees/41", NULL, "")), 404);
    site_free(w->site);
    w->api.site = w->site = site_of(&w->config, table, 2);
    assert_non_null(w->site);
    assert_string_equal(body_of(ask(w, "GET", "/bees/41", NULL, "")), "41");
    assert_int_equal(status(ask(w, "GET", "/bees/x", NULL, "")), 422);
    const char *document = body_of(ask(w, "GET", "/openapi.json", NULL, ""));
    assert_non_null(strstr(document, "\"/bees/{bee_id}\":{\"get\":{\"summary\":\"Echo Bee\""));
    assert_null(strstr(document, "/users/"));
    assert_string_equal(body_of(ask(w, "HEAD", "/openapi.json", NULL, "")), "");
    assert_int_equal(status(w->answer), 200);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_order_of_judgement),
        TEST(test_challenge_and_allow),
        TEST(test_store_results),
        TEST(test_tokens_end),
        TEST(test_client_leaves_during_a_store_call),
        TEST(test_client_leaves_before_its_hash),
        TEST(test_client_leaves_during_its_hash),
        TEST(test_who_leaves_a_change_is_recorded),
        TEST(test_what_is_not_done_is_recorded),
        TEST(test_healthcheck),
        TEST(test_a_route_of_the_tests_own_is_served_and_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
