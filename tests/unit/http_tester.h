/* http_tester.h: a loop, a service and clients over socketpair(2), for the tests of session and
 * response. Time: timeouts are shortened and their events awaited; nothing sleeps beyond a
 * deadline. */
#pragma once

#include "shared/config.h"
#include "worker/http/request.h"
#include "worker/http/session.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { TESTER_REQUESTS_MAX = 64 };

struct tester {
    struct loop *loop;
    struct config config;
    struct scoreboard_slot slot;
    struct http_service service;
    unsigned drained;                             /* calls */
    unsigned handled;                             /* requests given to handle */
    unsigned gone;                                /* on_gone calls */
    struct request *waiting[TESTER_REQUESTS_MAX]; /* of paths that begin with /wait, unanswered */
    unsigned waiting_len;
};

/* The defaults: generous limits; change t->config before tester_start(). */
void tester_init(struct tester *t);
void tester_start(struct tester *t);
/* Ends the service, and checks that no request is left behind. */
void tester_fini(struct tester *t);

/* A client: connected, non-blocking. Its peer is a unix socket (trusted). */
int tester_connect(struct tester *t);
/* The same with a peer of that address, "10.0.0.1". */
int tester_connect_from(struct tester *t, const char *address);
/* Sends all bytes; they must fit the socket. */
void tester_send(struct tester *t, int fd, const char *text);
void tester_send_bytes(struct tester *t, int fd, const char *bytes, size_t len);
/* Turns the loop until the client has received so many bytes, or the end of file: returns all of it
 * since the last call, NUL-terminated, in a static buffer. Dates are replaced by "D". */
const char *tester_receive(struct tester *t, int fd, size_t bytes);
/* … until *text* came, and everything that is there then. */
const char *tester_receive_until(struct tester *t, int fd, const char *text);
/* … until the end of file; fails the test when the connection stays open. */
const char *tester_receive_all(struct tester *t, int fd);
/* Nothing has come and the connection is open, after the loop had nothing more to do. */
void tester_expect_silence(struct tester *t, int fd);
/* Turns the loop until nothing more happens at once. */
void tester_turn(struct tester *t);
/* Turns the loop until *value is at least *least*. */
void tester_await(struct tester *t, const unsigned *value, unsigned least);
uint64_t tester_counter(const struct tester *t, enum counter c);
/* The byte at i of what GET /large answers: 23 letters in turn, so that none can stand for another
 * a buffer's length away. */
char tester_large_byte(size_t i);
/* Answers a request of t->waiting and takes it out. */
void tester_answer(struct tester *t, unsigned i, const char *json);

#define HOST_LINE "Host: x\r\n"
/* What a 200 of the tester's service looks like. */
#define OK_HEAD(length)                                                                            \
    "HTTP/1.1 200 OK\r\ndate: D\r\nserver: colmeia\r\ncontent-length: " length                     \
    "\r\ncontent-type: application/json\r\n"
