/* loop.h: what the C bounds share: forked workers, each with SO_REUSEPORT and one level-triggered epoll.
 * Nothing here is a server: hardly anything is checked, a client that surprises is dropped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { REQUEST_MAX = 8192 };

struct client {
    int fd;
    bool busy;            /* its answer comes later: nothing more is read from it until client_answered() */
    bool gone;            /* it left while busy */
    size_t len;           /* bytes in in[], which is always terminated */
    char in[REQUEST_MAX];
};

struct app {
    void (*start)(void);                                     /* in each worker, after the fork; or NULL */
    void (*request)(struct client *c, const char *head, const char *body); /* body: NUL-terminated */
    void (*batch_end)(void);                                 /* after each wake; or NULL */
    void (*woken)(void);                                     /* after loop_wake(); or NULL */
};

/* Serves 127.0.0.1:*port* with that many workers; returns only on failure, with an exit code. */
int loop_serve(const struct app *app, int port, int workers);

/* Makes this worker's loop call woken(). From any thread. */
void loop_wake(void);

/* Sends an answer; whoever does not take it at once is dropped. */
void client_send(struct client *c, const char *data, size_t len);

/* The answer of a busy client was sent: go on with what it has sent meanwhile; frees it if it left. */
void client_answered(struct client *c);
