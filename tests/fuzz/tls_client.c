/* tls_client.c: see tls_client.h. */
#include "tls_client.h"

#include "shared/check.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>

enum { LIFE_S = 3600, ROUNDS_MAX = 64, PLAIN_MAX = 8 * 1024 * 1024 };

static struct buf certificate, key;

/* ---- a certificate --------------------------------------------------------------------------- */

static void keep(struct buf *out, BIO *pem)
{
    char *text;
    long len = BIO_get_mem_data(pem, &text);
    ASSERT(len > 0);
    buf_append(out, text, (size_t)len);
    BIO_free(pem);
}

static void make_pair(void)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *of_key = BIO_new(BIO_s_mem()), *of_certificate = BIO_new(BIO_s_mem());
    ASSERT(pair && x && of_key && of_certificate);
    ASSERT(X509_gmtime_adj(X509_getm_notBefore(x), 0) && X509_gmtime_adj(X509_getm_notAfter(x), LIFE_S));
    ASSERT(X509_set_pubkey(x, pair) && X509_sign(x, pair, EVP_sha256()));
    ASSERT(PEM_write_bio_X509(of_certificate, x));
    ASSERT(PEM_write_bio_PrivateKey(of_key, pair, NULL, NULL, 0, NULL, NULL));
    keep(&certificate, of_certificate);
    keep(&key, of_key);
    X509_free(x);
    EVP_PKEY_free(pair);
}

struct slice tls_client_certificate(void)
{
    if (certificate.len == 0)
        make_pair();
    return buf_slice(&certificate);
}

struct slice tls_client_key(void)
{
    tls_client_certificate();
    return buf_slice(&key);
}

/* ---- the client ------------------------------------------------------------------------------ */

static SSL_CTX *context(void)
{
    static SSL_CTX *made;
    if (!made) {
        made = SSL_CTX_new(TLS_client_method());
        ASSERT(made);
        SSL_CTX_set_verify(made, SSL_VERIFY_NONE, NULL);
    }
    return made;
}

void tls_client_init(struct tls_client *c, int fd, bool tls12, SSL_SESSION *session, void (*turn)(void))
{
    *c = (struct tls_client){.ssl = SSL_new(context()), .fd = fd, .piece = SIZE_MAX, .turn = turn};
    ASSERT(c->ssl);
    SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(c->ssl);
    if (tls12)
        ASSERT(SSL_set_max_proto_version(c->ssl, TLS1_2_VERSION));
    if (session)
        ASSERT(SSL_set_session(c->ssl, session));
}

void tls_client_fini(struct tls_client *c)
{
    SSL_free(c->ssl);
    buf_free(&c->plain);
    ERR_clear_error();
}

/* What OpenSSL says of a call; true: it wants more bytes, or has done it. */
static bool goes_on(struct tls_client *c, int result)
{
    int error = result > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);
    ERR_clear_error();
    c->failed |= error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
    return !c->failed;
}

static void send_piece(struct tls_client *c, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE)
            return; /* it has ended */
        ASSERT(n > 0 || errno == EAGAIN);
        bytes += n > 0 ? n : 0;
        len -= (size_t)(n > 0 ? n : 0);
        if (n < 0 || !c->lazy)
            c->turn();
        if (n < 0)
            tls_client_pull(c); /* both wait for the other to read */
    }
}

void tls_client_push(struct tls_client *c, size_t most)
{
    char bytes[1024];
    while (most > 0) {
        size_t room = sizeof bytes < most ? sizeof bytes : most;
        int n = BIO_read(SSL_get_wbio(c->ssl), bytes, (int)(room < c->piece ? room : c->piece));
        if (n <= 0)
            return;
        if (c->damaged > c->sent && c->damaged <= c->sent + (size_t)n)
            bytes[c->damaged - c->sent - 1] ^= 0x20;
        c->sent += (size_t)n;
        most -= (size_t)n;
        send_piece(c, bytes, (size_t)n);
    }
}

void tls_client_send_raw(struct tls_client *c, const char *bytes, size_t len)
{
    tls_client_push(c, SIZE_MAX);
    send_piece(c, bytes, len);
}

static void receive(struct tls_client *c)
{
    char bytes[16384];
    ssize_t n;
    while ((n = recv(c->fd, bytes, sizeof bytes, 0)) > 0)
        ASSERT(BIO_write(SSL_get_rbio(c->ssl), bytes, (int)n) == n);
    c->ended |= n == 0 || errno != EAGAIN;
}

void tls_client_pull(struct tls_client *c)
{
    receive(c);
    while (!c->failed && SSL_is_init_finished(c->ssl)) {
        char bytes[4096];
        size_t n = 0;
        int result = SSL_read_ex(c->ssl, bytes, sizeof bytes, &n);
        if (!goes_on(c, result) || result != 1)
            return;
        ASSERT(c->plain.len < PLAIN_MAX); /* more than all answers together */
        buf_append(&c->plain, bytes, n);
    }
}

bool tls_client_shake_hands(struct tls_client *c)
{
    for (int round = 0; round < ROUNDS_MAX && !c->failed && !c->ended; round++) {
        if (SSL_is_init_finished(c->ssl)) {
            tls_client_push(c, SIZE_MAX);
            return true;
        }
        goes_on(c, SSL_do_handshake(c->ssl));
        tls_client_push(c, SIZE_MAX);
        c->turn();
        receive(c);
    }
    return false;
}

void tls_client_turn_keys(struct tls_client *c, bool both)
{
    ASSERT(SSL_key_update(c->ssl, both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED));
    goes_on(c, SSL_do_handshake(c->ssl));
}

void tls_client_write(struct tls_client *c, const char *bytes, size_t len)
{
    if (len > 0 && !c->failed)
        goes_on(c, SSL_write(c->ssl, bytes, (int)len));
}
