/* test_response.c: worker/http/response.c and redirect.c: the exact bytes of answers. */
#include "http_tester.h"

#include "worker/http/redirect.h"
#include "worker/http/response.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define START(line) "HTTP/1.1 " line "\r\ndate: D\r\nserver: colmeia\r\n"

/* Each case answers GET (or HEAD) /wait in its own way. */
struct response_case {
    const char *name;
    void (*answer)(struct request *r);
    const char *method;
    const char *expected;
};

static void answer_json(struct request *r)
{
    response_json(r, 201, SLICE("{\"a\":1}"));
}

static void answer_detail(struct request *r)
{
    response_detail(r, 409, SLICE("a \"quoted\" caf\xc3\xa9\n"), NULL);
}

static void answer_unauthorized(struct request *r)
{
    response_detail(r, 401, SLICE("Not authenticated"),
                    &(struct response_headers){.www_authenticate = SLICE("Bearer")});
}

static void answer_method(struct request *r)
{
    response_status(r, 405, &(struct response_headers){.allow = SLICE("GET")});
}

static void answer_unavailable(struct request *r)
{
    response_status(r, 503, &(struct response_headers){.retry_after_s = 120});
}

static void answer_redirect(struct request *r)
{
    response_send(r, 307, (struct slice){NULL, 0}, SLICE(""),
                  &(struct response_headers){.location = SLICE("http://x/y/")});
}

static void answer_everything(struct request *r)
{
    response_send(r, 422, SLICE("text/x"), SLICE("b"),
                  &(struct response_headers){.www_authenticate = SLICE("W"),
                                             .allow = SLICE("A"),
                                             .location = SLICE("L"),
                                             .lines = SLICE("x: 1\r\ny: 2\r\n"),
                                             .retry_after_s = 7});
}

static void answer_status_without_detail(struct request *r)
{
    response_status(r, 401, NULL);
}

static const struct response_case cases[] = {
    {"json", answer_json, "GET",
     START("201 Created") "content-length: 7\r\ncontent-type: application/json\r\n\r\n{\"a\":1}"},
    {"json to HEAD", answer_json, "HEAD",
     START("201 Created") "content-length: 7\r\ncontent-type: application/json\r\n\r\n"},
    {"detail", answer_detail, "GET",
     START("409 Conflict") "content-length: 33\r\ncontent-type: application/json\r\n\r\n"
                           "{\"detail\":\"a \\\"quoted\\\" caf\xc3\xa9\\n\"}"},
    {"401", answer_unauthorized, "GET",
     START("401 Unauthorized") "www-authenticate: Bearer\r\ncontent-length: 30\r\n"
                               "content-type: application/json\r\n\r\n{\"detail\":\"Not "
                               "authenticated\"}"},
    {"405", answer_method, "GET",
     START("405 Method Not Allowed") "allow: GET\r\ncontent-length: 31\r\n"
                                     "content-type: application/json\r\n\r\n{\"detail\":\"Method "
                                     "Not Allowed\"}"},
    {"503", answer_unavailable, "GET",
     START("503 Service Unavailable") "retry-after: 120\r\ncontent-length: 32\r\n"
                                      "content-type: application/json\r\n\r\n"
                                      "{\"detail\":\"Service Unavailable\"}"},
    {"307", answer_redirect, "GET",
     START("307 Temporary Redirect") "content-length: 0\r\nlocation: http://x/y/\r\n\r\n"},
    {"500", response_internal_error, "GET",
     START("500 Internal Server Error") "content-length: 21\r\ncontent-type: text/plain; "
                                        "charset=utf-8\r\n"
                                        "\r\nInternal Server Error"},
    {"all fields, in order", answer_everything, "GET",
     START("422 Unprocessable Content") "www-authenticate: W\r\nallow: A\r\nretry-after: 7\r\n"
                                        "content-length: 1\r\ncontent-type: text/x\r\nlocation: "
                                        "L\r\nx: 1\r\ny: 2\r\n\r\nb"},
    {"status without a detail of its own", answer_status_without_detail, "GET",
     START("401 Unauthorized") "content-length: 25\r\ncontent-type: application/json\r\n\r\n"
                               "{\"detail\":\"Unauthorized\"}"},
};

static struct request *take_waiting(struct tester *t)
{
    tester_await(t, &t->waiting_len, 1);
    t->waiting_len = 0;
    return t->waiting[0];
}

static void test_bytes(void **state)
{
    struct tester t;
    tester_init(&t);
    tester_start(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = tester_connect(&t);
        char request[128];
        snprintf(request, sizeof request, "%s /wait HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].method);
        tester_send(&t, fd, request);
        cases[i].answer(take_waiting(&t));
        const char *got = tester_receive(&t, fd, 1);
        if (strcmp(got, cases[i].expected) != 0)
            print_error("%s:\n%s\ninstead of\n%s\n", cases[i].name, got, cases[i].expected);
        assert_string_equal(got, cases[i].expected);
        close(fd);
    }
    assert_int_equal(tester_counter(&t, COUNTER_responses_2xx), 2);
    assert_int_equal(tester_counter(&t, COUNTER_responses_3xx), 1);
    assert_int_equal(tester_counter(&t, COUNTER_responses_4xx), 5);
    assert_int_equal(tester_counter(&t, COUNTER_responses_5xx), 2);
    tester_fini(&t);
}

static void test_reasons(void **state)
{
    assert_string_equal(response_reason(200), "OK");
    assert_string_equal(response_reason(422), "Unprocessable Content");
    assert_string_equal(response_reason(299), "");
}

/* Bodies around the size up to which they are copied, and far above. */
static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 2048, 5000, 100000};
    struct tester t;
    tester_init(&t);
    tester_start(&t);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fd = tester_connect(&t);
        tester_send(&t, fd, "GET /wait HTTP/1.0\r\n\r\n");
        struct request *r = take_waiting(&t);
        char *body = arena_alloc(r->arena, sizes[i]);
        for (size_t n = 0; n < sizes[i]; n++)
            body[n] = (char)('a' + n % 26);
        response_send(r, 200, SLICE("text/x"), (struct slice){body, sizes[i]}, NULL);
        const char *got = strstr(tester_receive_all(&t, fd), "\r\n\r\n");
        assert_non_null(got);
        assert_int_equal(strlen(got + 4), sizes[i]);
        for (size_t n = 0; n < sizes[i]; n++)
            assert_int_equal(got[4 + n], 'a' + n % 26);
        close(fd);
    }
    tester_fini(&t);
}

/* ---- redirect -------------------------------------------------------------------------------- */

struct redirect_case {
    const char *target;
    const char *fields;
    const char *location;
};

static void check_redirect(struct tester *t, int fd, const struct redirect_case *c)
{
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n%s\r\n", c->target, c->fields);
    tester_send(t, fd, request);
    struct request *r = take_waiting(t);
    struct slice location = redirect_location(r);
    if (!slice_equals(location, slice_of(c->location)))
        print_error("%s %s: %.*s\n", c->target, c->fields, SLICE_ARGS(location));
    assert_true(slice_equals(location, slice_of(c->location)));
    response_status(r, 404, NULL);
    tester_receive_all(t, fd);
    close(fd);
}

static void test_redirects(void **state)
{
    static const struct redirect_case redirects[] = {
        {"/wait", "Host: h:9013\r\n", "http://h:9013/wait/"},
        {"/wait/", "Host: h:9013\r\n", "http://h:9013/wait"},
        {"/wait?limit=2&offset=1", "Host: h\r\n", "http://h/wait/?limit=2&offset=1"},
        {"/wait?", "Host: h\r\n", "http://h/wait/"},
        {"/wait/a%20b/?x=%20", "Host: h\r\n", "http://h/wait/a%20b?x=%20"},
        {"/wait/1%2F", "Host: h\r\n", "http://h/wait/1"},
        {"/wait/\"<>", "Host: h\r\n", "http://h/wait/%22%3C%3E/"},
        {"/wait", "Host: [::1]:80\r\n", "http://[::1]:80/wait/"},
        {"/wait", "Host: [::1]\r\n", "http://[::1]/wait/"},
        {"/wait", "Host: h_x\r\n", "/wait/"}, /* no plain host; the server is a unix socket */
        {"/wait?q", "", "/wait/?q"},
        {"/wait", "Host: h\r\nX-Forwarded-Proto: https\r\n", "https://h/wait/"},
        {"http://other:8/wait", "Host: h\r\n", "http://other:8/wait/"},
    };
    struct tester t;
    tester_init(&t);
    tester_start(&t);
    for (size_t i = 0; i < sizeof redirects / sizeof *redirects; i++)
        check_redirect(&t, tester_connect(&t), &redirects[i]);
    tester_fini(&t);
}

/* Without a Host the server's own address stands in. */
static void test_redirect_without_host(void **state)
{
    struct tester t;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    tester_init(&t);
    tester_start(&t);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(accepted >= 0);
    session_accept(&t.service, accepted, (struct sockaddr *)&address, len);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    char expected[64];
    snprintf(expected, sizeof expected, "http://127.0.0.1:%d/wait/", ntohs(address.sin_port));
    check_redirect(&t, fd, &(struct redirect_case){"/wait", "", expected});
    close(listener);
    tester_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_redirect_without_host),
    };
    return cmocka_run_group_tests_name("response", tests, NULL, NULL);
}
