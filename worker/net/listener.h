/* listener.h: accepts from the shared listening sockets: accept4(2), at most 16 a wake, pausing when
 * descriptors run out and while the worker is full. Loop thread. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/sock.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct acceptor;

struct acceptor_options {
    const struct listener *listeners; /* borrowed; the master's sockets */
    size_t listeners_len;
    unsigned max_connections;         /* above 7/8 of it accepting pauses until below 3/4 */
    struct scoreboard_slot *slot;     /* accept_errors, connections */
    /* The new connection: non-blocking, close-on-exec, owned by the callee. */
    void (*accepted)(void *ctx, int fd, const struct sockaddr *peer, socklen_t peer_len);
    /* How many connections are open now. */
    unsigned (*connections)(void *ctx);
    void *ctx;
    /* What the one client hears that is accepted with the spare descriptor when they have run out,
     * before it is closed; {NULL, 0}: nothing. Static. */
    struct slice refusal;
};

/* Reserves a spare descriptor for the day they run out. NULL without memory. */
struct acceptor *acceptor_new(struct loop *l, const struct acceptor_options *options);
/* Starts and stops watching; both are harmless twice. The descriptors stay open (SUPERVISOR.md T4). */
void acceptor_start(struct acceptor *a);
void acceptor_stop(struct acceptor *a);
/* Accepts until every queue is empty (once, now), then stops watching. For a full stop. */
void acceptor_drain(struct acceptor *a);
/* Stops and frees; the listeners are the caller's. Accepts NULL. */
void acceptor_free(struct acceptor *a);
