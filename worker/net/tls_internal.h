/* tls_internal.h: a worker's TLS context, for tls.c (connections) and tls_context.c (certificate, key,
 * tickets). Inner header of these. */
#pragma once

#include "worker/net/tls.h"
#include "worker/net/tls_library.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

struct tls_context {
    struct tls_options options;
    const struct tls_library *library; /* borrowed */
    SSL_CTX *ssl;                      /* owned, as are those below */
    BIO_METHOD *bio;                   /* tls.c's */
    X509 *certificate;
    EVP_CIPHER *cipher; /* of tickets; fetched once, which is slow */
    char *plain;        /* what a call unseals; its owner may write while it looks at it */
    char *record;       /* what a call is about to seal */
    struct buf out;     /* what a call has sealed; empty between calls */
};

/* In tls.c; NULL without memory. */
BIO_METHOD *tls_bio_new(void);
bool tls_buffers_new(struct tls_context *c);
/* In tls_tickets.c. */
void tls_tickets_begin(struct tls_context *c);
