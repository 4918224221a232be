/* curl_watch.h: what libcurl's multi handles want to be watched, on the loop: the sockets of all of
 * them in an epoll set of their own, which is one descriptor for the loop, and the timer of each.
 *
 * A turn of the loop looks at a few only, when everybody else has had theirs: CURL_WATCH_SOCKETS that
 * are ready, and CURL_WATCH_TIMERS handles whose time has come; the next ones follow in the next
 * turn, behind the requests that have arrived meanwhile. However many answers come at once, nobody
 * waits for more than a few of them.
 *
 * A socket stays in the set while libcurl does not ask for it: between two calls over a connection
 * that is kept nothing need be told. Inner header of worker/upstream. Loop thread. */
#pragma once

#include "worker/loop/loop.h"
#include "worker/upstream/library.h"

enum { CURL_WATCH_SOCKETS = 2, CURL_WATCH_TIMERS = 2 };

struct curl_watches;

/* A multi handle; embedded by its owner. */
struct curl_watched {
    struct curl_watches *home;
    CURLM *multi; /* borrowed; NULL: it is not watched */
    void (*collect)(struct curl_watched *w); /* libcurl was told something: transfers may be over */
    struct ev_timer timer;
    struct curl_watched *next_due;
    bool due; /* in home's list: libcurl wants to be told of the time */
};

struct curl_socket;

struct curl_watches {
    struct loop *loop;          /* borrowed */
    const struct library *curl; /* borrowed */
    int set;                    /* epoll; -1: none */
    struct ev_io ready;
    struct loop_flush flush;
    struct curl_watched *due_first, *due_last; /* oldest first */
    struct curl_socket *by_fd;
    size_t by_fd_len;
};

/* False, with errno, without a descriptor for the set. */
bool curl_watches_init(struct curl_watches *w, struct loop *l, const struct library *curl);
/* No handle may be watched any more. Harmless for one of zeros that was not initialised. */
void curl_watches_fini(struct curl_watches *w);

/* Sets the socket and timer functions of the multi handle, which collect() is for. */
void curl_watch(struct curl_watches *w, struct curl_watched *m, CURLM *multi,
                void (*collect)(struct curl_watched *m));
/* Before the handle is cleaned up. Harmless when it is not watched. */
void curl_unwatch(struct curl_watched *m);

/* For CURLOPT_OPENSOCKETFUNCTION and …CLOSESOCKETFUNCTION of each transfer, with the watches as their
 * data: whose sockets stay in the set must say when their number may be another's. (Those of a
 * look-up come and go without a word, and leave it each time.) */
curl_socket_t curl_watches_open(void *watches, curlsocktype purpose, struct curl_sockaddr *address);
int curl_watches_close(void *watches, curl_socket_t fd);
