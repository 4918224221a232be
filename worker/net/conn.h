/* conn.h: one connection: bytes in, bytes out, back-pressure, deadlines, lingering close. It knows
 * nothing of what the bytes mean: its owner embeds it and is called through struct conn_events.
 *
 * An idle connection owns no buffer. Bytes are read into one buffer that all connections of a loop
 * share, and what the owner does not take at once is kept in a buffer of the connection's own until
 * it does. Output is the owner's: conn_write() takes what the kernel takes and, when that is not
 * all, calls room() once there is more room. With TLS (tls.h) all of this is about the plain bytes.
 * Thread: the loop's. */
#pragma once

#include "shared/clock.h"
#include "shared/scoreboard.h"
#include "worker/loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct conn;
struct tls;
struct tls_context;

/* Why closed() is called. */
enum conn_end {
    CONN_END_BROKEN,  /* reset, or any other error of the socket; the other side is gone */
    CONN_END_STUCK,   /* write_timeout_ms passed without progress */
    CONN_END_LINGERED /* a lingering close is over */
};

/* Calls upward. In all of them but data() the owner may free the connection (after conn_close()).
 */
struct conn_events {
    /* Bytes have come; kept ones are among them. Returns how many were taken (the rest is kept and
     * shown again with what comes next, or by conn_again()), or -1 when the connection was closed,
     * and possibly freed, meanwhile. */
    ssize_t (*data)(struct conn *c, const char *bytes, size_t len);
    /* After conn_secure(): the handshake is over, data() may follow. May not free the connection. */
    void (*secured)(struct conn *c);
    /* The other side will send nothing more (or what it sends is no TLS); it may still read. Called
     * once. */
    void (*eof)(struct conn *c);
    /* After an incomplete conn_write(), in a later turn of the loop: write the rest now, or call conn_want_data(). */
    void (*room)(struct conn *c);
    /* The deadline of conn_set_deadline() has passed; it is unset again. */
    void (*deadline)(struct conn *c);
    /* The connection has ended by itself: the descriptor is closed already. */
    void (*closed)(struct conn *c, enum conn_end why);
};

enum {
    CONN_READ_MAX = 64 * 1024,   /* bytes of one read */
    CONN_WRITE_MAX = 256 * 1024, /* bytes of one write: others have their turn in between */
    CONN_LINGER_MS = 2000,
    CONN_LINGER_BYTES = 64 * 1024
};

/* What the connections of one loop share. */
struct conn_shared {
    struct loop *loop;                /* borrowed */
    struct ev_loop *ev;               /* of loop */
    struct scoreboard_slot *slot;     /* bytes_in, bytes_out */
    const struct conn_events *events; /* static */
    int64_t write_timeout_ms;
    /* Called upward after data(), when each byte is either taken or kept: the owner may free or give
     * away the connection. Set after conn_shared_init(); NULL: not called. */
    void (*rest)(struct conn *c);
    char *read_buffer;       /* CONN_READ_MAX bytes; owned */
    bool read_buffer_in_use; /* its bytes are being looked at */
};

/* 0, or -1 without memory. */
int conn_shared_init(struct conn_shared *sh, struct loop *l, struct scoreboard_slot *slot,
                     const struct conn_events *events, int64_t write_timeout_ms);
void conn_shared_fini(struct conn_shared *sh);

struct conn {
    struct ev_io io;            /* fd is -1 once closed */
    struct ev_timer timer;      /* re-armed lazily: may fire early, never late */
    struct conn_shared *shared; /* borrowed */
    struct tls *tls;            /* owned; NULL: bytes are what they are */
    mono_ms deadline;           /* the owner's */
    mono_ms own_deadline;       /* of a blocked write, or of lingering */
    mono_ms armed_for;          /* when the active timer fires */
    char *kept;                 /* bytes not taken yet; NULL when there are none */
    uint32_t kept_len;          /* <= kept_cap */
    uint32_t kept_cap;
    uint32_t lingered_bytes;
    bool paused;  /* the owner does not want to read now */
    bool ended;   /* TLS: its end was read; eof() comes when the owner reads on */
    bool eof;     /* nothing more will be read */
    bool blocked; /* the last conn_write() was incomplete */
    bool lingering;
};

/* Takes the descriptor (non-blocking) and starts to read. No callback comes before it returns. */
void conn_open(struct conn *c, struct conn_shared *sh, int fd, const char *made_at);
#define conn_open(...) conn_open(__VA_ARGS__, MADE_HERE)
/* From here on the connection speaks TLS, as a server: with the next byte that comes, or, in data(), with
 * what that does not take. secured() tells when it may be written. False without memory. */
bool conn_secure(struct conn *c, struct tls_context *context);
static inline bool conn_is_secure(const struct conn *c)
{
    return c->tls;
}
/* Stops everything, closes the descriptor at once, gives buffers back. Harmless twice. The memory
 * is the owner's. */
void conn_close(struct conn *c);
/* Stops everything and returns the descriptor, open: another process goes on with it. Kept bytes
 * are dropped, so they must have gone there before. The memory is the owner's, as after
 * conn_close(). */
int conn_detach(struct conn *c);
/* Shows bytes to data() that were read from the descriptor before conn_open(). The connection may
 * be gone after it. */
void conn_feed(struct conn *c, const char *bytes, size_t len);
/* Says goodbye politely: ends sending, reads away what still comes until the
 * other side has closed, CONN_LINGER_MS or CONN_LINGER_BYTES, then closes; closed() tells. False:
 * there was nothing to wait for, the connection is closed already and closed() will not be called.
 */
bool conn_linger(struct conn *c);

/* Writes at once what the kernel takes of count (at most IOV_MAX) pieces, CONN_WRITE_MAX bytes at most:
 * returns the bytes taken, possibly 0 or not all (then room() follows), or -1 when the connection is
 * broken: close it. Cuts *pieces* to what it tries. */
ssize_t conn_write(struct conn *c, struct iovec *pieces, int count);
/* Output waits for the other side. */
static inline bool conn_is_blocked(const struct conn *c)
{
    return c->blocked;
}

/* Back-pressure: whether to read. Kept bytes stay kept. Cheap when nothing changes. */
void conn_want_data(struct conn *c, bool wanted);
/* Shows kept bytes to data() again, now. Not from within data(). The connection may be gone after.
 */
void conn_again(struct conn *c);
/* Reads now instead of when the loop next finds bytes. Not from within data(). The connection may
 * be gone after it. */
void conn_read_now(struct conn *c);

/* Calls deadline() at that time; unset: never. Replaces the former one. */
void conn_set_deadline(struct conn *c, mono_ms deadline);
