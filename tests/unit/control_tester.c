/* control_tester.c: see control_tester.h. */
#include "control_tester.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_WHILE_S = 30 };

static void on_call(void *ctx, const struct control_call *call)
{
    struct tester *t = ctx;
    assert_true(t->calls_len < TESTER_CALLS_MAX);
    assert_int_not_equal(call->id, 0);
    t->calls[t->calls_len++] = *call;
    if (!t->hold)
        control_answer(t->control, call->id, buf_slice(&t->answer));
}

static void on_gone(void *ctx, unsigned id)
{
    struct tester *t = ctx;
    assert_true(t->gone_len < sizeof t->gone / sizeof t->gone[0]);
    t->gone[t->gone_len++] = id;
    control_answer(t->control, id, SLICE("{\"late\":1}")); /* too late, and harmless */
}

void tester_init(struct tester *t)
{
    *t = (struct tester){.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV)};
    assert_non_null(t->loop);
    snprintf(t->directory, sizeof t->directory, "/tmp/colmeia-control-XXXXXX");
    assert_non_null(mkdtemp(t->directory));
    snprintf(t->path, sizeof t->path, "%s/ctl.sock", t->directory);
    t->calls = calloc(TESTER_CALLS_MAX, sizeof t->calls[0]);
    assert_non_null(t->calls);
    buf_printf(&t->answer, "{\"ok\":true}");
}

void tester_open(struct tester *t, int64_t idle_ms)
{
    struct buf error = {0};
    t->control = control_open(&(struct control_options){.loop = t->loop,
                                                        .path = t->path,
                                                        .ctx = t,
                                                        .call = on_call,
                                                        .gone = on_gone,
                                                        .idle_ms = idle_ms},
                              &error);
    if (!t->control)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&error)));
    assert_int_equal(error.len, 0);
}

void tester_fini(struct tester *t)
{
    control_close(t->control);
    ev_loop_destroy(t->loop);
    unlink(t->path);
    assert_int_equal(rmdir(t->directory), 0);
    buf_free(&t->answer);
    free(t->calls);
}

int tester_connect(struct tester *t)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    memcpy(address.sun_path, t->path, strlen(t->path) + 1);
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        assert_int_equal(errno, EAGAIN); /* the queue is full */
        tester_turn(t);
    }
    return fd;
}

bool tester_send(struct tester *t, int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            tester_turn(t);
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

bool tester_send_text(struct tester *t, int fd, const char *text)
{
    return tester_send(t, fd, text, strlen(text));
}

static void on_long_while(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    *(bool *)timer->data = true;
}

void tester_turn(struct tester *t)
{
    bool late = false;
    ev_timer guard;
    ev_timer_init(&guard, on_long_while, LONG_WHILE_S, 0);
    guard.data = &late;
    ev_now_update(t->loop);
    ev_timer_start(t->loop, &guard);
    ev_run(t->loop, EVRUN_ONCE);
    ev_timer_stop(t->loop, &guard);
    if (late)
        fail_msg("nothing happened for %d s", LONG_WHILE_S);
}

void tester_settle(struct tester *t)
{
    do
        ev_run(t->loop, EVRUN_NOWAIT);
    while (ev_pending_count(t->loop) > 0);
    for (int i = 0; i < 8; i++)
        ev_run(t->loop, EVRUN_NOWAIT);
}

char *tester_line(struct tester *t, int fd)
{
    struct buf line = {0};
    for (;;) {
        char c[4096];
        ssize_t n = recv(fd, c, sizeof c, MSG_DONTWAIT | MSG_PEEK);
        if (n < 0 && errno == EAGAIN) {
            tester_turn(t);
            continue;
        }
        if (n <= 0) { /* the rest of a line that was never finished is no line */
            buf_free(&line);
            return NULL;
        }
        char *end = memchr(c, '\n', (size_t)n);
        size_t len = end ? (size_t)(end - c) : (size_t)n;
        assert_int_equal(recv(fd, c, len + (end != NULL), MSG_DONTWAIT),
                         (ssize_t)len + (end != NULL));
        buf_append(&line, c, len);
        if (end) {
            buf_append_char(&line, '\0');
            return line.data;
        }
    }
}

void tester_expect(struct tester *t, int fd, const char *line)
{
    char *got = tester_line(t, fd);
    if (line && got)
        assert_string_equal(got, line);
    else if (line || got)
        fail_msg("got %s instead of %s", got ? got : "the end", line ? line : "the end");
    free(got);
}
