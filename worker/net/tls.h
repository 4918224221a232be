/* tls.h: TLS 1.2 and 1.3, the server's side, on bytes that others read and write: what came from the
 * socket goes in, plain bytes come out, and the other way round. Sealed bytes that the kernel does not
 * take at once wait in the connection's struct tls, those of a moment in its context's buffer: an idle
 * connection has no buffer here. No renegotiation, no compression, no early data, AEAD ciphers only;
 * sessions live in the tickets of shared/tls_keys.h. Loop thread. */
#pragma once

#include "shared/scoreboard.h"
#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct tls_keys;

/* A worker's: certificate, key, buffers. */
struct tls_context;

struct tls_options {
    struct slice certificate;     /* PEM, with the chain behind it */
    struct slice key;             /* PEM, not encrypted */
    const char *certificate_name; /* for messages */
    const char *key_name;
    const struct tls_keys *keys;  /* borrowed; NULL: no tickets (a check) */
    int64_t ticket_life_s;        /* what clients are told */
    struct scoreboard_slot *slot; /* tls_…; bytes_out; NULL for a check */
    struct slice not_tls;         /* what a client hears that speaks plain HTTP; static */
};

/* NULL with one or more lines in *errors*. */
struct tls_context *tls_context_new(const struct tls_options *options, struct buf *errors);
/* Its connections must be gone. Accepts NULL. */
void tls_context_free(struct tls_context *c);
/* False, with a line in *why*: now is not between the certificate's dates. */
bool tls_context_is_valid(const struct tls_context *c, struct buf *why);

/* Of a connection's messages after the handshake (key updates: RFC 8446, section 4.6.3, sets no limit)
 * so many go with each so many plain bytes. One is made and sent in no time, and costs us new keys. */
enum { TLS_MESSAGES_MAX = 32, TLS_MESSAGES_PER_BYTES = 1 << 20 };

/* A connection's. */
struct tls;

/* Begins; *fd* is borrowed. NULL without memory. */
struct tls *tls_new(struct tls_context *c, int fd);
/* Accepts NULL. */
void tls_free(struct tls *t);

enum tls_result {
    TLS_GOES_ON,
    TLS_ENDED, /* the other side has said that it will send nothing more */
    TLS_FAILED /* what it sent is wrong; an alert is ready to be sent */
};
/* Takes all of these bytes (at most CONN_READ_MAX), which came from the socket; *plain_r* is what they
 * meant, in the context's buffer: valid until the next call of any connection's. Then call tls_flush(). After the
 * end or a failure it takes and ignores. */
enum tls_result tls_take(struct tls *t, const char *raw, size_t raw_len, struct slice *plain_r);
/* Wipes what tls_take() gave. */
void tls_wipe_plain(struct tls_context *c, struct slice plain);
struct tls_context *tls_context_of(const struct tls *t);
/* The handshake is over. */
bool tls_is_ready(const struct tls *t);

/* Sends what there is to be sent. 1: all is sent; 0: the rest waits for room; -1: the socket is broken. */
int tls_flush(struct tls *t);
/* Nothing must wait: seals what comes behind the first *skip* bytes of the pieces, a record at most.
 * Returns how many of them, or -1: nothing can be sent any more. Then call tls_flush(). */
ssize_t tls_give(struct tls *t, const struct iovec *pieces, int count, size_t skip);
/* Bytes that were given, but wait to be sent still: the owner has to be told once they are. */
void tls_owe(struct tls *t, size_t bytes);
/* What was owed; no more now. */
size_t tls_owed(struct tls *t);
/* Says that we send nothing more (close_notify). Then call tls_flush(). */
void tls_end(struct tls *t);
