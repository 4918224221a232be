/* control_tester.h: what the tests of the control socket share: a real loop, a real socket in a
 * directory of its own, a driver that records what it is asked, and clients of plain sockets. */
#pragma once

#include "master/control.h"

#include <ev.h>

enum { TESTER_CALLS_MAX = 16384, TESTER_PATH_MAX = 96 };

struct tester {
    struct ev_loop *loop;
    struct control *control;
    char directory[TESTER_PATH_MAX - 16];
    char path[TESTER_PATH_MAX];
    bool hold; /* calls are recorded and not answered */
    struct buf answer;
    struct control_call *calls; /* the last one is calls[calls_len - 1] */
    size_t calls_len;
    unsigned gone[32];
    size_t gone_len;
};

/* Makes directory and loop. */
void tester_init(struct tester *t);
/* Opens the control socket; *idle_ms* 0: as in real life. */
void tester_open(struct tester *t, int64_t idle_ms);
void tester_fini(struct tester *t);

/* A client, connected, non-blocking. */
int tester_connect(struct tester *t);
/* Sends all of it, turning the loop as long as there is no room. False when the server has closed.
 */
bool tester_send(struct tester *t, int fd, const void *bytes, size_t len);
bool tester_send_text(struct tester *t, int fd, const char *text);
/* Turns the loop once, waiting for something to happen. Fails the test after a long while. */
void tester_turn(struct tester *t);
/* Turns until nothing is left to do. */
void tester_settle(struct tester *t);
/* The next line, NUL-terminated without its end, to be freed; NULL: the server closed. */
char *tester_line(struct tester *t, int fd);
/* Fails unless the next line is this one; NULL: unless the server closed. */
void tester_expect(struct tester *t, int fd, const char *line);
