/* client_internal.h: what client.c (calls, and how they end) and lane.c (the multi handles they run
 * in) know of each other. Inner header of worker/upstream. Loop thread. */
#pragma once

#include "worker/upstream/client.h"
#include "worker/upstream/curl_watch.h"

/* A call has a transfer (an easy handle of libcurl) while it is under way. One whose call was
 * cancelled is LEAVING: libcurl has it still, and a few are taken from it in each turn. */
struct transfer {
    struct lane *lane; /* whose it is for good; borrowed */
    CURL *easy;        /* owned */
    struct call *call; /* borrowed; NULL: idle, or leaving */
    struct transfer *next; /* in the client's list of busy or leaving ones, or its lane's of idle ones */
    struct transfer *previous;
    size_t head_bytes; /* received so far */
    bool too_long;
    bool no_memory;
    mono_ms began;
    struct curl_slist trace; /* one header in front of the client's */
    char trace_text[sizeof "traceparent: " + CALL_TRACEPARENT_LEN];
    char error[CURL_ERROR_SIZE];
};

/* A call that libcurl cannot take yet, since it is still being loaded. */
struct waiting {
    struct client *client; /* borrowed */
    struct call *call;     /* borrowed */
    struct waiting *next, *previous;
};

/* A multi handle. libcurl looks through all connections of one for each call that begins or ends, so
 * each has only so many, and a client has several of them. */
struct lane {
    struct curl_watched watched; /* first; its multi is owned */
    struct client *client;       /* borrowed */
    unsigned max;                /* connections */
    unsigned busy;               /* transfers that libcurl has */
    struct transfer *idle;       /* kept for the next calls; at most max */
    unsigned idle_len;
    struct ev_timer rest;
};

enum { LANE_CALLS = 16 };

struct client {
    struct caller caller; /* first */
    struct loop *loop;
    const struct library *curl; /* NULL: not loaded yet; all that is libcurl's is NULL, too */
    struct load *load;          /* of libcurl, on a thread; NULL: none is under way */
    struct waiting *waiting_first; /* for libcurl, oldest first */
    struct waiting *waiting_last;
    unsigned waiting_len;
    CURLSH *share; /* names and TLS sessions, which are the same for all lanes */
    struct curl_watches watches;
    struct lane *lanes; /* owned; the first ones are used first, so that few connections are many calls' */
    size_t lanes_len;
    size_t first_free; /* none before it has room */
    struct transfer *busy;
    struct transfer *leaving;
    unsigned busy_len;
    struct loop_flush flush; /* takes leave */
    size_t body_bytes; /* of all busy ones */
    struct curl_slist *headers; /* our own */
    char *base_text;
    unsigned max_connections;
    CURLU *base; /* parsed once: for each call it would take libcurl a quarter of its time */
    char *ca_file;
    int64_t rest_ms;
};

void transfer_link(struct transfer **list, struct transfer *t);
void transfer_unlink(struct transfer **list, struct transfer *t);

/* ---- in lane.c ------------------------------------------------------------------------------- */

/* Makes lanes for so many connections; they open when they are needed. False without memory. */
bool lanes_make(struct client *c, unsigned connections);
/* Nothing is under way any more. */
void lanes_free(struct client *c);
/* None has room. */
bool lanes_full(struct client *c);
/* An idle transfer of a lane that has room (of any lane, if none has: then it waits in libcurl for a
 * connection). NULL without memory. It is the caller's: lane_begin() or lane_keep() follows. */
struct transfer *lanes_take(struct client *c);
/* Hands the transfer to libcurl. False without memory: it is still the caller's. */
bool lane_begin(struct transfer *t);
/* Takes it from libcurl; it is idle then. */
void lane_end(struct transfer *t);
/* One that was not begun. */
void lane_keep(struct transfer *t);

/* ---- in waiting.c ---------------------------------------------------------------------------- */

/* The call waits from now on; cancelling it ends that. False without memory. */
bool waiting_add(struct client *c, struct call *call);
/* The oldest one; NULL: none waits. */
struct call *waiting_take(struct client *c);

/* ---- in load.c ------------------------------------------------------------------------------- */

/* Has libcurl loaded on a thread of its own, unless that is under way; client_on_loaded() follows in a
 * later turn. False without memory. */
bool load_start(struct client *c);
/* Waits for the thread; client_on_loaded() does not follow any more. Harmless without one. */
void load_forget(struct client *c);

/* ---- in client.c ----------------------------------------------------------------------------- */

/* Sets what all calls have in common. False without memory. */
bool client_set_up(struct client *c, struct transfer *t);
void client_collect(struct curl_watched *m);
/* *curl* NULL: it cannot be had, *why* says what is wrong. */
void client_on_loaded(struct client *c, const struct library *curl, struct slice why);
