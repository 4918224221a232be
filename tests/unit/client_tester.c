/* client_tester.c: see client_tester.h. */
#include "client_tester.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int client_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    assert_non_null(w);
    alarm(30); /* what never ends is red, too */
    w->loop = loop_new();
    w->peer = -1;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(w->listener, 2 * MANY), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(w->base, sizeof w->base, "http://127.0.0.1:%d", ntohs(address.sin_port));
    *state = w;
    return 0;
}

void open_client(struct world *w, const char *base, int64_t rest_ms)
{
    struct buf error = {0};
    w->client = client_new(w->loop,
                           &(struct client_options){.base = base,
                                                    .headers = (const char *const[]){"X-One: 1"},
                                                    .headers_len = 1,
                                                    .max_connections = MANY,
                                                    .rest_ms = rest_ms},
                           &error);
    if (!w->client)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&error)));
}

int client_teardown(void **state)
{
    struct world *w = *state;
    client_free(w->client);
    loop_run_once(w->loop, false);
    close(w->listener);
    if (w->peer >= 0)
        close(w->peer);
    loop_free(w->loop);
    free(w);
    return 0;
}

void on_done(struct task *t)
{
    ((struct one *)t)->done++;
}

void begin(struct world *w, struct one *o, const char *path)
{
    struct caller *caller = client_caller(w->client);
    memset(o, 0, sizeof *o);
    task_init(&o->call.task, w->loop, on_done);
    o->call.path = path;
    o->call.timeout_ms = 3600000;
    caller->start(caller, &o->call);
    assert_int_equal(o->done, 0);
}

void await_done(struct world *w, struct one *o)
{
    while (!o->done)
        loop_run_once(w->loop, true);
    assert_int_equal(o->done, 1);
}

void hear(struct world *w)
{
    size_t len = 0;
    while (w->peer < 0) {
        w->peer = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (w->peer < 0)
            loop_run_once(w->loop, false);
    }
    do {
        ssize_t n = read(w->peer, w->heard + len, sizeof w->heard - 1 - len);
        if (n > 0)
            len += (size_t)n;
        else
            loop_run_once(w->loop, false);
        w->heard[len] = 0;
    } while (!strstr(w->heard, "\r\n\r\n"));
}

void say(struct world *w, const char *text)
{
    assert_int_equal(write(w->peer, text, strlen(text)), strlen(text));
}

bool await_close(struct world *w)
{
    char byte;
    for (;;) {
        ssize_t n = read(w->peer, &byte, 1);
        if (n >= 0 || errno != EAGAIN)
            return n <= 0;
        loop_run_once(w->loop, true);
    }
}
