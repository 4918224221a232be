/* tls_client.h: the other end of a TLS connection, for fuzz_tls.c: OpenSSL's own client, whose sealed bytes
 * go over a socket as the fuzzer cuts them, and are damaged on the way if it says so. */
#pragma once

#include "shared/str.h"

#include <openssl/ssl.h>

/* A pair for the server in PEM, made once. */
struct slice tls_client_certificate(void);
struct slice tls_client_key(void);

struct tls_client {
    SSL *ssl;             /* owned */
    int fd;               /* borrowed; non-blocking */
    size_t piece;         /* bytes of one send(2) */
    size_t damaged;       /* the sent byte with this number (from 1) is changed; 0: none */
    size_t sent;
    struct buf plain;     /* what was read */
    bool lazy;            /* the server does not get its turn behind each piece */
    bool failed;          /* nothing more can be done with it */
    bool ended;           /* the socket has */
    void (*turn)(void);   /* lets the server work */
};

/* *tls12*: nothing newer. *session*: to go on with; may be NULL. */
void tls_client_init(struct tls_client *c, int fd, bool tls12, SSL_SESSION *session, void (*turn)(void));
void tls_client_fini(struct tls_client *c);
/* As far as it comes; true: it is over. */
bool tls_client_shake_hands(struct tls_client *c);
/* TLS 1.3: seals with another key from here on; *both*: the server shall, too. */
void tls_client_turn_keys(struct tls_client *c, bool both);
/* Seals a record; it waits to be pushed. */
void tls_client_write(struct tls_client *c, const char *bytes, size_t len);
/* Sends at most so many of the sealed bytes that wait. */
void tls_client_push(struct tls_client *c, size_t most);
/* Bytes that are none of TLS's, behind what was pushed. */
void tls_client_send_raw(struct tls_client *c, const char *bytes, size_t len);
/* Reads what is there. */
void tls_client_pull(struct tls_client *c);
