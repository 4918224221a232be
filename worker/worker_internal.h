/* worker_internal.h: the worker's struct, and what worker.c (building, becoming ready) and leave.c
 * (the master's word, draining, moving) call of each other. Inner header of worker/. */
#pragma once

#include "shared/entry.h"
#include "worker/api/api.h"
#include "worker/http/session.h"
#include "worker/memory.h"
#include "worker/net/handover.h"
#include "worker/net/listener.h"
#include "worker/pulse.h"
#include "worker/selfprobe.h"

#include <stdbool.h>
#include <stdint.h>

#define LEAVINGS(X)                                                                                \
    X(NOT, "serving")                                                                              \
    X(MOVING, "moving")     /* others go on: connections are handed over */                        \
    X(DRAINING, "draining") /* a full stop: everything is finished here */

enum leaving {
#define X(name, text) LEAVING_##name,
    LEAVINGS(X)
#undef X
};

struct worker {
    const struct entry *entry;
    struct scoreboard_slot *slot;
    struct loop *loop;
    struct store *store;
    struct tokens *tokens;
    struct passwords *passwords;
    struct site *site;
    struct client *upstream; /* NULL: none is configured */
    struct fanouts *orders;  /* the same */
    struct api api;
    struct http_service service;
    bool service_made;
    uint8_t route_places[SCOREBOARD_ROUTES_MAX]; /* on the scoreboard, by route */
    bool asks_store; /* a read of our own is under way */
    struct acceptor *acceptor; /* NULL: not ready yet, or tearing down */
    bool held;                 /* takes nobody until the master says so */
    struct inbox *inbox;       /* of the handover queue; NULL: none */
    struct selfprobe *probe;

    struct pulse pulse;
    struct memory memory;
    struct ev_io channel; /* the master's word */
    struct ev_signal terminate;
    struct ev_timer cut_timer; /* end of the leaving worker's time */
    enum leaving leaving;      /* only grows */
    uint64_t ending;           /* MOVING: listeners to be emptied, as MESSAGE_MOVE says */
    bool orphan;               /* the master is gone */
    bool left;                 /* the loop has been stopped for good */
    unsigned cut;              /* connections cut in mid-request */
    uint64_t audit_dropped; /* as counted so far */
    int exit_code;
};

/* In worker.c: stops the loop; the first exit code other than 0 counts. */
void worker_leave(struct worker *w, int exit_code);
/* Newcomers may come, from now on. */
void worker_accept(struct worker *w);
void worker_title(const struct worker *w, const char *state);

/* In leave.c: watching the channel and SIGTERM. */
void leave_watch(struct worker *w);
void leave_unwatch(struct worker *w);
/* For http_service.drained. */
void leave_on_drained(struct http_service *s);
/* For inbox_options.may_take. */
bool leave_may_take(void *ctx);
