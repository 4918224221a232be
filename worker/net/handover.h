/* handover.h: connections that a leaving worker gives to the others (SCM_RIGHTS, unix(7)) through
 * the one queue that the master made: a SOCK_SEQPACKET pair that outlives every worker, so that
 * what is in it is never lost with one of them. Giving is one call without waiting; taking is an
 * inbox that the worker watches like another listener. What comes out of the queue is distrusted:
 * lengths, magic and version, and that a connected stream socket came along. Loop thread. */
#pragma once

#include "shared/clock.h"
#include "shared/scoreboard.h"
#include "shared/sock.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HANDOVER_BATCH = 16,            /* parcels taken in one wake */
    HANDOVER_BYTES_MAX = 64 * 1024, /* bytes read from a connection that may travel with it */
    HANDOVER_FRESH_BYTES_MAX = 2,   /* the same of a fresh one */
    HANDOVER_RETRY_MS = 100         /* pause while there is no descriptor to spare, or no memory */
};

/* A connection between two requests, with what its next owner must know of it. Points in time hold
 * in every process of the machine. */
struct parcel {
    int fd;
    struct sock_address peer;
    mono_ms opened;        /* when it was accepted */
    mono_ms waiting_since; /* when its present wait for the client began */
    uint32_t requests;     /* begun on it so far */
    bool fresh;            /* nothing was ever read from it, but an empty line */
    bool proxy;            /* a header of the PROXY protocol is to come, or among the bytes */
    const char *bytes;     /* read from it and not used; not more than HANDOVER_BYTES_MAX */
    size_t bytes_len;
};

/* Whether the descriptor is such a queue's end. */
bool handover_is_queue(int fd);

enum handover_result {
    HANDOVER_GIVEN,  /* the queue owns a copy of the descriptor: forget this one (conn_detach()) */
    HANDOVER_FULL,   /* try again when the queue is writable */
    HANDOVER_REFUSED /* it will not go this way; errno says why */
};
/* The parcel stays the caller's. */
enum handover_result handover_give(int queue_fd, const struct parcel *p);

struct inbox;

struct inbox_options {
    int queue_fd;                 /* borrowed; non-blocking */
    int give_fd;                  /* the queue's other end, for what goes back; borrowed */
    struct scoreboard_slot *slot; /* accept_errors: parcels that were lost or not understood */
    /* The accept gate, asked before each parcel of a wake. May call inbox_stop(). */
    bool (*may_take)(void *ctx);
    /* A connection has come: non-blocking, close-on-exec, owned by the callee; p is not. False: it
     * has no memory for it; the connection goes back to the end of the queue, for whoever has some.
     */
    bool (*taken)(void *ctx, const struct parcel *p);
    void *ctx;
};

/* Reserves a spare descriptor, so that there is room for the one that comes. NULL without memory.
 */
struct inbox *inbox_new(struct loop *l, const struct inbox_options *options);
/* Starts and stops watching; both are harmless twice. All accept NULL. */
void inbox_start(struct inbox *b);
void inbox_stop(struct inbox *b);
/* Takes all that is there now, whatever the gate says. */
void inbox_empty(struct inbox *b);
void inbox_free(struct inbox *b);
