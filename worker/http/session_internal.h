/* session_internal.h: the session's struct and what response and service call of it. Inner header
 * of worker/http. Loop thread.
 *
 *             first byte            head complete, body follows
 *   IDLE ─────────────────► HEAD ────────────────────────────► BODY
 *    ▲ ◄── head complete, no body ──┘ ◄───── body complete ──────┘
 *    │
 *    └─ any of them: the last request is known, or the input is wrong ─► CLOSING ── all is sent ─►
 * LINGERING
 *
 * A connection through a listener with words (shared/door.h) begins with PREFACE, which ends in IDLE.
 * Beside it stands the queue of requests that are complete: handled, or answered and being sent, in
 * their order. Of several, only safe ones are handled at the same time (RFC 9112, 9.3.2). */
#pragma once

#include "worker/http/guard.h"
#include "worker/http/proxy.h"
#include "worker/net/conn.h"

#include <stddef.h>
#include <stdint.h>

struct http_service_private;
struct request;
struct sockaddr;
struct turn;

#define SESSION_STATES(X)                                                                          \
    X(IDLE, "idle")           /* between requests, as far as reading goes */                       \
    X(HEAD, "head")           /* some bytes of a head are there */                                 \
    X(BODY, "body")           /* the head is complete, the body is not */                          \
    X(CLOSING, "closing")     /* no further request is taken */                                    \
    X(LINGERING, "lingering") /* everything is sent; conn reads the rest away */                   \
    X(PREFACE, "preface")     /* HTTP has not begun: see preface.h */

enum session_state {
#define X(name, text) SESSION_##name,
    SESSION_STATES(X)
#undef X
};
const char *session_state_name(enum session_state state);

/* Which deadline is set. */
enum session_timer {
    SESSION_TIMER_NONE,
    SESSION_TIMER_PREFACE,
    SESSION_TIMER_FRESH,
    SESSION_TIMER_IDLE,
    SESSION_TIMER_HEAD,
    SESSION_TIMER_BODY,
    SESSION_TIMER_HALF_CLOSED
};

/* Every idle connection costs one of these: see the assertion in session.c. */
struct session {
    struct conn conn;                  /* first */
    struct http_service_private *home; /* borrowed */
    struct session *prev, *next;       /* the home's list */
    struct turn *first, *last;         /* the queue; owned */
    struct turn *incoming;             /* BODY: whose body is being read; owned */
    struct guard guard;                /* IDLE, HEAD: how far the head was looked at */
    struct peer peer;
    uint32_t discarded; /* CLOSING: bytes read away */
    uint32_t requests;  /* begun */
    mono_ms opened;     /* accepted, by whichever worker */
    uint8_t queued;     /* length of the queue */
    uint8_t state;      /* enum session_state */
    uint8_t timer;      /* enum session_timer */
    uint8_t before;     /* PREFACE: what is still to come, bits of shared/door.h */
    bool trusted;       /* the peer may speak for others */
    bool corked;        /* inside a callback that sends at its end */
    bool busy;          /* counted as busy */
    bool broken;        /* no memory to go on with: close */
    bool stays;         /* cannot be handed over: the next answer is its last */
};

/* For conn_shared_init(). */
extern const struct conn_events session_events;

/* An answer is set: send what its turn allows. The session may be gone after it. */
void session_answered(struct session *s);
/* A connection's session, in the home's list, its deadline unset. Takes the descriptor; NULL
 * without memory (it stays the caller's then). */
struct session *session_open(struct http_service_private *home, int fd,
                             const struct sockaddr *peer, unsigned peer_len, const char *made_at);
/* The session ends here, but not its connection: another worker has it. Frees. */
void session_given_away(struct session *s);
/* A round without new bytes. The session may be gone after it. */
void session_advance(struct session *s);
/* Sets that deadline as if the wait had begun at *since*. */
void session_set_timer(struct session *s, enum session_timer timer, mono_ms since);
/* The deadline that is set comes in *ms* at the latest. */
void session_end_wait_within(struct session *s, int64_t ms);
/* When the wait began that the present deadline ends. */
mono_ms session_waiting_since(const struct session *s);
/* A request was begun and is not answered. */
bool session_is_begun(const struct session *s);
/* It is busy: what was begun is finished, and the last answer says so, if its head is not made yet.
 * May be gone after it. */
void session_finish(struct session *s);

/* In session_move.c: hands the session over if its worker is leaving and it is between requests.
 * May be gone after it. */
void session_try_move(struct session *s);

/* In session_drain.c: the service drains, and so does this one. May be gone after it. */
void session_drain(struct session *s);
/* Closes at once, telling the handlers; frees. True: it was in mid-request. */
bool session_cut(struct session *s);

/* In response.c: the original's answer to what is no HTTP. */
void response_malformed(struct request *r);
/* One line for [log] access. status 0: the client left. */
void response_log(const struct turn *t, int status, size_t body_len);
