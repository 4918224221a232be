/* test_control.c: the control socket's server, with good, bad, slow and silent clients. */
#include "control_tester.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD  "{\"ok\":true}"
#define FULL  "{\"ok\":false,\"error\":\"16 clients are here already; try again later\"}"
#define LATE  "{\"ok\":false,\"error\":\"no command came in time\"}"
#define LONG  "{\"ok\":false,\"error\":\"a command has at most 65536 bytes\"}"
#define LEAVE "{\"ok\":false,\"error\":\"the server is leaving\"}"

static int setup(void **state)
{
    static struct tester tester;
    tester_init(&tester);
    tester_open(&tester, 0);
    *state = &tester;
    return 0;
}

/* The same with deadlines short enough to be awaited. */
static int setup_hasty(void **state)
{
    static struct tester tester;
    tester_init(&tester);
    tester_open(&tester, 50);
    *state = &tester;
    return 0;
}

static int teardown(void **state)
{
    tester_fini(*state);
    return 0;
}

static void test_one_after_the_other(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    for (int i = 0; i < 3; i++) {
        tester_send_text(t, fd, "scale +1\n");
        tester_expect(t, fd, GOOD);
    }
    assert_int_equal(t->calls_len, 3);
    assert_int_equal(t->calls[2].command, CONTROL_SCALE);
    assert_int_equal(t->calls[2].how, CONTROL_MORE);
    assert_int_not_equal(t->calls[0].id, t->calls[1].id);
    close(fd);
    tester_settle(t);
    assert_int_equal(t->gone_len, 0);
}

static const struct {
    const char *line;
    const char *answer;
} garbage[] = {
    {"\n", "{\"ok\":false,\"error\":\"the line is empty; write a command, as status\"}"},
    {"statsu\n",
     "{\"ok\":false,\"error\":\"unknown command \\\"statsu\\\"; did you mean \\\"status\\\"?\"}"},
    {"\xff\xfe\x01\n", "{\"ok\":false,\"error\":\"a command is plain ASCII text\"}"},
    {"GET / HTTP/1.1\r\n", "{\"ok\":false,\"error\":\"unknown command \\\"GET\\\"\"}"},
    {"scale zero\n", "{\"ok\":false,\"error\":\"scale: \\\"zero\\\" is no number from 1 to 256; "
                     "write: scale N|+N|-N|reset\"}"},
};

static void test_garbage(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        tester_send_text(t, fd, garbage[i].line);
        tester_expect(t, fd, garbage[i].answer);
    }
    tester_send(t, fd, "status\0\n", 8);
    tester_expect(t, fd, "{\"ok\":false,\"error\":\"a command is plain ASCII text\"}");
    assert_int_equal(t->calls_len, 0);
    tester_send_text(t, fd, "status\n"); /* and it still serves */
    tester_expect(t, fd, GOOD);
    close(fd);
}

/* One at a time, in order, though they came together. */
static void test_pipelined(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    t->hold = true;
    tester_send_text(t, fd, "status\nwhy 7\nretry\nstat");
    tester_settle(t);
    assert_int_equal(t->calls_len, 1);
    control_answer(t->control, t->calls[0].id, SLICE("{\"n\":1}"));
    tester_expect(t, fd, "{\"n\":1}");
    tester_settle(t);
    assert_int_equal(t->calls_len, 2);
    assert_int_equal(t->calls[1].command, CONTROL_WHY);
    assert_int_equal(t->calls[1].number, 7);
    control_answer(t->control, t->calls[0].id, SLICE("{\"n\":0}")); /* answered already */
    control_answer(t->control, 0, SLICE("{\"n\":0}"));
    control_answer(t->control, t->calls[1].id, SLICE("{\"n\":2}"));
    tester_expect(t, fd, "{\"n\":2}");
    tester_settle(t);
    assert_int_equal(t->calls[2].command, CONTROL_RETRY);
    control_answer(t->control, t->calls[2].id, SLICE("{\"n\":3}"));
    tester_expect(t, fd, "{\"n\":3}");
    tester_send_text(t, fd, "us\n");
    tester_settle(t);
    assert_int_equal(t->calls_len, 4);
    assert_int_equal(t->calls[3].command, CONTROL_STATUS);
    close(fd);
    tester_settle(t);
    assert_int_equal(t->gone_len, 1);
    assert_int_equal(t->gone[0], t->calls[3].id);
}

/* More than the buffer holds waits in the kernel; nothing is lost. */
static void test_flood(void **state)
{
    enum { LINES = 16000 };
    struct tester *t = *state;
    int fd = tester_connect(t);
    struct buf lines = {0};
    for (int i = 0; i < LINES; i++)
        buf_printf(&lines, "dump %d\n", i % 500);
    t->hold = true;
    tester_send_text(t, fd, "status\n");
    size_t sent = 0;
    ssize_t n;
    for (;;) { /* all that it takes while its first call is open */
        tester_settle(t);
        n = send(fd, lines.data + sent, lines.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(t->calls_len, 1);
    t->hold = false;
    control_answer(t->control, t->calls[0].id, SLICE(GOOD));
    for (int i = -1; i < LINES; i++) {
        n = send(fd, lines.data + sent, lines.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        tester_expect(t, fd, GOOD);
    }
    assert_int_equal(t->calls_len, LINES + 1);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(t->calls[i + 1].number, i % 500);
    buf_free(&lines);
    close(fd);
}

static void test_longest_line(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    char *line = malloc(CONTROL_LINE_MAX + 2);
    memset(line, ' ', CONTROL_LINE_MAX + 2);
    memcpy(line, "status", 6);
    line[CONTROL_LINE_MAX] = '\n';
    assert_true(tester_send(t, fd, line, CONTROL_LINE_MAX + 1));
    tester_expect(t, fd, GOOD);
    line[CONTROL_LINE_MAX] = ' ';
    line[CONTROL_LINE_MAX + 1] = '\n';
    assert_true(tester_send(t, fd, line, CONTROL_LINE_MAX + 2));
    tester_expect(t, fd, LONG);
    tester_expect(t, fd, NULL);
    assert_int_equal(t->calls_len, 1);
    free(line);
    close(fd);
}

/* It may send all of it, and then reads why, although nobody wanted it. */
static void test_megabyte_line(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    char *line = malloc(1 << 20);
    memset(line, 'x', 1 << 20);
    assert_true(tester_send(t, fd, line, 1 << 20));
    assert_true(tester_send_text(t, fd, "\nstatus\n"));
    tester_expect(t, fd, LONG);
    tester_expect(t, fd, NULL);
    assert_int_equal(t->calls_len, 0);
    free(line);
    close(fd);
}

static void test_silence(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    tester_expect(t, fd, LATE);
    tester_expect(t, fd, NULL);
    close(fd);
    fd = tester_connect(t); /* and after an answer */
    tester_send_text(t, fd, "status\n");
    tester_expect(t, fd, GOOD);
    tester_expect(t, fd, LATE);
    tester_expect(t, fd, NULL);
    close(fd);
}

/* Bytes that make no command win no time. */
static void test_dribble(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    while (send(fd, "s", 1, MSG_NOSIGNAL) == 1 && recv(fd, (char[1]){0}, 1, MSG_PEEK) < 0)
        tester_turn(t);
    tester_expect(t, fd, LATE);
    assert_int_equal(t->calls_len, 0);
    close(fd);
}

/* No deadline runs while the server owes the answer. */
static void test_long_call(void **state)
{
    struct tester *t = *state;
    int held = tester_connect(t), silent = tester_connect(t);
    t->hold = true;
    tester_send_text(t, held, "wait ready\n");
    tester_expect(t, silent, LATE);
    tester_expect(t, silent, NULL);
    control_answer(t->control, t->calls[0].id, SLICE(GOOD));
    tester_expect(t, held, GOOD);
    close(held);
    close(silent);
}

static void test_half_a_line(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    tester_send_text(t, fd, "stop");
    close(fd);
    tester_settle(t);
    fd = tester_connect(t);
    tester_send_text(t, fd, "stop");
    shutdown(fd, SHUT_WR);
    tester_expect(t, fd,
                  "{\"ok\":false,\"error\":\"the last line has no end; it was not obeyed\"}");
    tester_expect(t, fd, NULL);
    close(fd);
    assert_int_equal(t->calls_len, 0);
}

/* As of "echo status | socat - UNIX:…": it sends no more, but reads. */
static void test_half_closed(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    t->hold = true;
    tester_send_text(t, fd, "status\nretry\n");
    shutdown(fd, SHUT_WR);
    tester_settle(t);
    assert_int_equal(t->gone_len, 0);
    for (int i = 0; i < 2; i++) {
        control_answer(t->control, t->calls[i].id, SLICE(GOOD));
        tester_expect(t, fd, GOOD);
        tester_settle(t);
    }
    tester_expect(t, fd, NULL);
    assert_int_equal(t->calls_len, 2);
    close(fd);
}

static void test_gone(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), other = tester_connect(t), third = tester_connect(t);
    t->hold = true;
    tester_send_text(t, fd, "wait ready\n");
    tester_settle(t);
    tester_send_text(t, other, "status\n");
    tester_settle(t);
    close(fd);
    while (t->gone_len == 0)
        tester_turn(t);
    assert_int_equal(t->gone[0], t->calls[0].id);
    control_answer(t->control, t->calls[0].id, SLICE("{\"stray\":1}"));
    control_answer(t->control, t->calls[1].id, SLICE(GOOD));
    tester_expect(t, other, GOOD);
    tester_send_text(t, third, "wait ready\n");
    shutdown(third, SHUT_WR); /* nothing to read any more, but it waits … */
    tester_settle(t);
    assert_int_equal(t->gone_len, 1);
    close(third); /* … until it does not */
    while (t->gone_len == 1)
        tester_turn(t);
    assert_int_equal(t->gone[1], t->calls[2].id);
    close(other);
}

static void test_many_clients(void **state)
{
    enum { MANY = 20 };
    struct tester *t = *state;
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = tester_connect(t);
    for (int i = CONTROL_CLIENTS_MAX; i < MANY; i++) {
        tester_expect(t, fds[i], FULL);
        tester_expect(t, fds[i], NULL);
        close(fds[i]);
    }
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        tester_send_text(t, fds[i], "status\n");
        tester_expect(t, fds[i], GOOD);
    }
    close(fds[3]);
    tester_settle(t);
    fds[3] = tester_connect(t);
    tester_send_text(t, fds[3], "status\n");
    tester_expect(t, fds[3], GOOD);
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
}

/* An answer that no socket buffer holds. */
static void make_big_answer(struct tester *t)
{
    t->answer.len = 0;
    buf_printf(&t->answer, "{\"x\":\"");
    memset(buf_reserve(&t->answer, 8 << 20), 'x', 8 << 20);
    t->answer.len += 8 << 20;
    buf_printf(&t->answer, "\"}");
}

static void test_big_answer(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    make_big_answer(t);
    tester_send_text(t, fd, "status\n");
    char *line = tester_line(t, fd);
    assert_non_null(line);
    assert_int_equal(strlen(line), t->answer.len);
    free(line);
    close(fd);
}

static void test_no_reader(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    make_big_answer(t);
    tester_send_text(t, fd, "status\nstatus\n");
    /* it reads nothing until the server has given up: then sending fails */
    while (send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN)
        tester_turn(t);
    assert_int_equal(errno, EPIPE);
    tester_expect(t, fd, NULL); /* less than a line had come */
    assert_int_equal(t->calls_len, 1);
    close(fd);
}

static void send_event(struct tester *t, int number, size_t padding)
{
    struct buf json = {0};
    buf_printf(&json, "{\"n\":%d,\"x\":\"%*s\"}", number, (int)padding, "");
    control_event(t->control, buf_slice(&json));
    buf_free(&json);
}

static void test_ring(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    tester_send_text(t, fd, "events\n");
    tester_expect(t, fd, "{\"ok\":true,\"events\":[]}");
    send_event(t, 1, 0);
    send_event(t, 2, 0);
    tester_send_text(t, fd, "events\n");
    tester_expect(t, fd, "{\"ok\":true,\"events\":[{\"n\":1,\"x\":\"\"},{\"n\":2,\"x\":\"\"}]}");
    for (int i = 0; i < 300; i++)
        send_event(t, i, 0);
    tester_send_text(t, fd, "events\n");
    char *line = tester_line(t, fd);
    assert_non_null(strstr(line, "[{\"n\":44,"));
    assert_non_null(strstr(line, "{\"n\":299,\"x\":\"\"}]}"));
    free(line);
    for (int i = 300; i < 310; i++)
        send_event(t, i, 100 * 1024);
    send_event(t, 310, CONTROL_RING_BYTES_MAX); /* not kept, and drives nothing out */
    tester_send_text(t, fd, "events\n");
    line = tester_line(t, fd);
    assert_non_null(strstr(line, "[{\"n\":305,"));
    assert_non_null(strstr(line, "{\"n\":309,"));
    assert_null(strstr(line, "{\"n\":310,"));
    free(line);
    close(fd);
    assert_int_equal(t->calls_len, 0);
}

static void test_followers(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), deaf = tester_connect(t);
    send_event(t, 1, 0);
    tester_send_text(t, fd, "events --follow\n");
    tester_send_text(t, deaf, "events --follow\n");
    tester_expect(t, fd, "{\"ok\":true,\"events\":[{\"n\":1,\"x\":\"\"}]}");
    tester_settle(t);
    send_event(t, 2, 0);
    tester_expect(t, fd, "{\"n\":2,\"x\":\"\"}");
    for (int i = 0; i < 64; i++) { /* 4 MiB: the one that reads gets all, the other is closed */
        send_event(t, i, 64 * 1024);
        char *line = tester_line(t, fd);
        assert_int_equal(strncmp(line, "{\"n\":", 5), 0);
        assert_int_equal(atoi(line + 5), i);
        free(line);
    }
    assert_int_equal(send(deaf, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    close(deaf);
    close(fd);
    tester_settle(t);
    assert_int_equal(t->gone_len, 0);
}

/* A follower that waits without a word is no idle client. */
static void test_patient_follower(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), silent = tester_connect(t);
    tester_send_text(t, fd, "events --follow\n");
    tester_expect(t, fd, "{\"ok\":true,\"events\":[]}");
    tester_expect(t, silent, LATE);
    tester_expect(t, silent, NULL);
    send_event(t, 5, 0);
    tester_expect(t, fd, "{\"n\":5,\"x\":\"\"}");
    close(silent);
    close(fd);
}

/* Whatever the driver says goes out as one line of UTF-8. */
static void test_unclean(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t);
    t->answer.len = 0;
    buf_append_slice(&t->answer, SLICE("{\"a\":\"\xc3\xa9\xf0\x9f\x90\x9d|\xff|\xc3|\xc0\xaf|"
                                       "\xed\xa0\x80|\xf5\x80\x80\x80|\xe2\x82\",\n\"b\":1}"));
    tester_send_text(t, fd, "status\n");
    tester_expect(t, fd, "{\"a\":\"\xc3\xa9\xf0\x9f\x90\x9d|?|?|??|???|????|?\", \"b\":1}");
    control_event(t->control, SLICE("{\"a\":\"\xff\n\"}"));
    tester_send_text(t, fd, "events\n");
    tester_expect(t, fd, "{\"ok\":true,\"events\":[{\"a\":\"? \"}]}");
    close(fd);
}

static void test_close_answers(void **state)
{
    struct tester *t = *state;
    int held = tester_connect(t), idle = tester_connect(t), answered = tester_connect(t);
    t->hold = true;
    tester_send_text(t, held, "reload --wait\n");
    tester_send_text(t, answered, "stop\n");
    while (t->calls_len < 2)
        tester_turn(t);
    bool swapped = t->calls[0].command == CONTROL_STOP;
    control_answer(t->control, t->calls[!swapped].id, SLICE(GOOD));
    control_close(t->control); /* before the loop could write that */
    t->control = NULL;
    tester_expect(t, held, LEAVE);
    tester_expect(t, held, NULL);
    tester_expect(t, answered, GOOD);
    tester_expect(t, answered, NULL);
    tester_expect(t, idle, NULL);
    assert_int_equal(t->gone_len, 0);
    assert_int_equal(access(t->path, F_OK), -1);
    close(held);
    close(idle);
    close(answered);
}

/* A forked child drops its copies: nothing of the master's is disturbed, and nothing is held open
 * when the master closes. */
static void test_drop(void **state)
{
    struct tester *t = *state;
    int fd = tester_connect(t), wake[2], ready[2];
    char byte;
    assert_int_equal(pipe(wake) | pipe(ready), 0);
    t->hold = true;
    send_event(t, 1, 0);
    tester_send_text(t, fd, "wait ready\n");
    tester_settle(t);
    pid_t child = fork();
    if (child == 0) {
        control_drop(t->control);
        control_drop(NULL);
        ev_loop_destroy(t->loop);
        close(fd);
        close(wake[1]);
        bool told = write(ready[1], "", 1) == 1;
        bool over = read(wake[0], &byte, 1) == 0;
        _exit(told && over && t->gone_len == 0 ? 0 : 1);
    }
    close(wake[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    control_answer(t->control, t->calls[0].id, SLICE(GOOD));
    tester_expect(t, fd, GOOD);
    int another = tester_connect(t);
    tester_send_text(t, another, "events\n");
    tester_expect(t, another, "{\"ok\":true,\"events\":[{\"n\":1,\"x\":\"\"}]}");
    control_close(t->control); /* the child lives: were a copy open there, no end would come */
    t->control = NULL;
    tester_expect(t, fd, NULL);
    tester_expect(t, another, NULL);
    close(wake[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(fd);
    close(another);
    close(ready[0]);
    close(ready[1]);
}

static void test_null(void **state)
{
    (void)state;
    control_close(NULL);
    control_drop(NULL);
}

#define UNIT(test)  cmocka_unit_test_setup_teardown(test, setup, teardown)
#define HASTY(test) cmocka_unit_test_setup_teardown(test, setup_hasty, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_one_after_the_other),
        UNIT(test_garbage),
        UNIT(test_pipelined),
        UNIT(test_flood),
        UNIT(test_longest_line),
        UNIT(test_megabyte_line),
        HASTY(test_silence),
        HASTY(test_dribble),
        HASTY(test_long_call),
        UNIT(test_half_a_line),
        UNIT(test_half_closed),
        UNIT(test_gone),
        UNIT(test_many_clients),
        UNIT(test_big_answer),
        HASTY(test_no_reader),
        UNIT(test_ring),
        UNIT(test_followers),
        HASTY(test_patient_follower),
        UNIT(test_unclean),
        UNIT(test_close_answers),
        UNIT(test_drop),
        cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
