/* service.h: what the sessions of one worker share, behind struct http_service. Inner header of
 * worker/http. Loop thread. */
#pragma once

#include "worker/http/input.h"
#include "worker/http/proxy.h"
#include "worker/http/session.h"
#include "worker/net/conn.h"
#include "worker/net/handover.h"

struct turn;

enum {
    SERVICE_ID_LEN = 17, /* of a made request id: 8 random digits, "-", 8 counted ones */
    SERVICE_STAMP_MAX = 128,
    SERVICE_HSTS_MAX = 64
};

struct http_service_private {
    struct http_service *service; /* borrowed: it embeds the pointer to this */
    struct conn_shared conns;
    struct input_limits limits;
    struct proxies *proxies;
    int64_t now_us; /* clock_now_us() when the present callback began */

    struct session *sessions; /* list; owned */
    unsigned connections;
    unsigned busy;
    uint64_t flights; /* taken, a bit each, in the scoreboard's list */
    bool draining;
    bool moving;                  /* never with draining */
    bool move_refused;            /* … and logged */
    int move_fd;                  /* the handover queue; borrowed. -1: none */
    struct ev_io move_room;       /* active while the queue is full */
    struct ev_timer move_stalled; /* … and nothing goes into it */
    struct ev_timer quiet;        /* DRAINING: looks whether clients are silent */
    mono_ms heard;                /* … when the last request was seen to come, to any worker */
    mono_ms quiet_until;          /* … silence is not waited for any longer */
    uint64_t heard_requests;      /* … how many there were by then */
    mono_ms preface_told;    /* when a refused preface was logged last */
    struct session *visited; /* by a walk over the list; NULL once that one is gone */
    struct ev_timer drained; /* "a later turn of the loop" */

    struct turn *pool; /* for reuse */
    unsigned pool_len;
    unsigned turns; /* in use */

    size_t answer_bytes;      /* large.h: of answers that are made and have not left */
    struct turn *large_begun; /* the only one; NULL: none. Borrowed, as those in the line */
    struct turn *large_first, *large_last;
    struct ev_timer large_next; /* "a later turn of the loop" */

    char hsts[SERVICE_HSTS_MAX]; /* "strict-transport-security: …\r\n", or empty */
    int64_t stamp_s; /* the second of *stamp* */
    size_t stamp_len;
    char stamp[SERVICE_STAMP_MAX]; /* "date: …\r\nserver: …\r\n", and what else all answers have */
    const char *nosniff;           /* … "" or such a line; static */
    const char *vary;              /* … likewise */
    char id[SERVICE_ID_LEN];       /* the last one made */
};

/* Date and server header lines of this second, and those that every answer has by the configuration. */
struct slice service_stamp(struct http_service_private *sp);
/* A new request id: valid until the next call. Unique within the machine, near enough. */
struct slice service_next_id(struct http_service_private *sp);
/* The origins that are answered as [cors] says; empty: none. */
const struct config_list *service_origins(const struct http_service_private *sp);
/* A connection has come (+1) or gone (-1), became busy or idle. */
void service_count_connection(struct http_service_private *sp, int change);
void service_count_busy(struct http_service_private *sp, int change);
/* For the obituary: what is worked on now. */
void service_note_work(struct http_service_private *sp, struct turn *t);
/* … and what was answered last. status 0: the client had left. */
void service_note_answer(struct http_service_private *sp, struct turn *t, int status);

/* In session_drain.c: the watcher. */
void service_drain_init(struct http_service_private *sp);
void service_drain_stop(struct http_service_private *sp);

/* In session_move.c: the watchers; and no session is given away any more. */
void service_move_init(struct http_service_private *sp);
void service_move_stop(struct http_service_private *sp);
