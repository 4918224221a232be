/* listener.h: accepts from the shared listening sockets: accept4(2), at most 16 a wake, pausing
 * when descriptors run out, while the worker is full, and for a moment when others have clearly
 * less to do (balance.h). Loop thread. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/sock.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct acceptor;

struct acceptor_options {
    const struct listener *listeners; /* borrowed; the master's sockets */
    size_t listeners_len;
    unsigned max_connections;         /* above 7/8 of it accepting pauses until below 3/4 */
    struct scoreboard_slot *slot;     /* own: accept_errors; load and lag are read */
    const struct scoreboard *scoreboard; /* that *slot* is in, for balance; NULL: none */
    /* The new connection: non-blocking, close-on-exec, owned by the callee. *door*: where it came in. */
    void (*accepted)(void *ctx, int fd, const struct listener *door, const struct sockaddr *peer,
                     socklen_t peer_len);
    /* How many connections are open now. */
    unsigned (*connections)(void *ctx);
    /* Accepting begins, pauses or goes on: for what is watched like a listener. NULL: not called. */
    void (*gate)(void *ctx, bool open);
    void *ctx;
    /* What the one client hears that is accepted with the spare descriptor when they have run out,
     * before it is closed; not behind a listener with "tls". {NULL, 0}: nothing. Static. */
    struct slice refusal;
};

/* Reserves a spare descriptor for the day they run out. NULL without memory. */
struct acceptor *acceptor_new(struct loop *l, const struct acceptor_options *options);
/* Starts and stops watching; both are harmless twice. The descriptors stay open. */
void acceptor_start(struct acceptor *a);
void acceptor_stop(struct acceptor *a);
/* Stops watching and accepts until every queue is empty (once, now). For a full stop. What waits at
 * an activated one stays there, for the next start. */
void acceptor_drain(struct acceptor *a);
/* The same for some of the listeners only: bit i is options.listeners[i]. */
void acceptor_drain_some(struct acceptor *a, uint64_t listeners);
/* Whether a connection may be taken now that comes another way. May close the gate. */
bool acceptor_may_take(struct acceptor *a);
/* Stops and frees; the listeners are the caller's. Accepts NULL. */
void acceptor_free(struct acceptor *a);
