/* tls_context.c: a worker's certificate and key, and what is agreed with clients: see tls.h.
 * RFC 9325 (recommendations for TLS), RFC 7301 (ALPN). */
#include "tls_build.h"
#include "worker/net/tls.h"

#if COLMEIA_TLS

#include "shared/check.h"
#include "worker/net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

/* For 1.2; those of 1.3 are all of this kind. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK:!SRP"

/* Cheap ones: a client may choose, and a handshake is the loop's work. Of those that OpenSSL has besides,
 * ffdhe8192 takes two hundred times as long. */
static char groups[] = "X25519:P-256:P-384";

static const char *last_error(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "out of memory";
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Instead of a question on the terminal. */
static int note_encrypted(char *password, int room, int writing, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(const struct tls_options *o, struct buf *errors)
{
    bool asked = false;
    BIO *text = BIO_new_mem_buf(o->key.ptr, (int)o->key.len);
    EVP_PKEY *key = text ? PEM_read_bio_PrivateKey(text, NULL, note_encrypted, &asked) : NULL;
    if (!key && asked)
        buf_printf(errors,
                   "[tls] key %s: it is encrypted, and nobody is there to be asked for its password; "
                   "decrypt it with: openssl pkey -in FILE -out NEW\n",
                   o->key_name);
    else if (!key)
        buf_printf(errors, "[tls] key %s: it holds no private key in PEM (%s)\n", o->key_name,
                   last_error());
    BIO_free(text);
    return key;
}

/* What follows the first certificate is sent along with it. */
static bool read_chain(struct tls_context *c, BIO *text, struct buf *errors)
{
    X509 *next;
    while ((next = PEM_read_bio_X509(text, NULL, NULL, NULL))) {
        if (c->library->CTX_ctrl(c->ssl, SSL_CTRL_CHAIN_CERT, 0, next) != 1) {
            X509_free(next);
            buf_printf(errors, "[tls] certificate %s: its chain cannot be used: %s\n",
                       c->options.certificate_name, last_error());
            return false;
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) /* the end */
        return true;
    buf_printf(errors, "[tls] certificate %s: its chain is damaged: %s\n",
               c->options.certificate_name, last_error());
    return false;
}

static bool read_certificates(struct tls_context *c, struct buf *errors)
{
    const struct tls_options *o = &c->options;
    BIO *text = BIO_new_mem_buf(o->certificate.ptr, (int)o->certificate.len);
    c->certificate = text ? PEM_read_bio_X509_AUX(text, NULL, NULL, NULL) : NULL;
    bool good = c->certificate;
    if (!good)
        buf_printf(errors, "[tls] certificate %s: it holds no certificate in PEM (%s)\n",
                   o->certificate_name, last_error());
    if (good && c->library->CTX_use_certificate(c->ssl, c->certificate) != 1) {
        good = false;
        buf_printf(errors, "[tls] certificate %s: it cannot be used: %s\n", o->certificate_name,
                   last_error());
    }
    good = good && read_chain(c, text, errors);
    BIO_free(text);
    return good;
}

static bool use_pair(struct tls_context *c, struct buf *errors)
{
    ERR_clear_error();
    bool good = read_certificates(c, errors);
    EVP_PKEY *key = read_key(&c->options, errors);
    good = good && key;
    if (good && X509_check_private_key(c->certificate, key) != 1) {
        good = false;
        buf_printf(errors, "[tls] key %s: it is not the key of the certificate %s\n",
                   c->options.key_name, c->options.certificate_name);
    }
    if (good && c->library->CTX_use_PrivateKey(c->ssl, key) != 1) {
        good = false;
        buf_printf(errors, "[tls] key %s: it cannot be used: %s\n", c->options.key_name,
                   last_error());
    }
    EVP_PKEY_free(key);
    return good;
}

bool tls_context_is_valid(const struct tls_context *c, struct buf *why)
{
    bool late = X509_cmp_current_time(X509_get0_notAfter(c->certificate)) < 0;
    bool early = X509_cmp_current_time(X509_get0_notBefore(c->certificate)) > 0;
    if (late || early)
        buf_printf(why, "[tls] certificate %s: it %s; clients will not accept it",
                   c->options.certificate_name, late ? "has expired" : "is not valid yet");
    return !late && !early;
}

/* ---- what is agreed -------------------------------------------------------------------------- */

/* http/1.1 or, if the client knows only others, the alert that says so (RFC 7301, 3.2). Who does not
 * ask gets HTTP/1.1 all the same. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *ctx)
{
    static const char ours[] = "http/1.1";
    for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
        if (offered[at] != sizeof ours - 1 || offered_len - at - 1 < offered[at] ||
            memcmp(offered + at + 1, ours, sizeof ours - 1) != 0)
            continue;
        *out = offered + at + 1;
        *out_len = offered[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool set_up(struct tls_context *c)
{
    static const unsigned char name[] = "colmeia";
    const struct tls_library *ssl = c->library;
    ssl->CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    ssl->CTX_ctrl(c->ssl, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
    ssl->CTX_ctrl(c->ssl, SSL_CTRL_SET_READ_AHEAD, 1, NULL); /* a record at once, not head and body */
    ssl->CTX_ctrl(c->ssl, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    ssl->CTX_set_alpn_select_cb(c->ssl, choose_protocol, NULL);
    return ssl->CTX_ctrl(c->ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) == 1 &&
           ssl->CTX_set_cipher_list(c->ssl, CIPHERS) == 1 &&
           ssl->CTX_ctrl(c->ssl, SSL_CTRL_SET_GROUPS_LIST, 0, groups) == 1 &&
           ssl->CTX_set_session_id_context(c->ssl, name, sizeof name - 1) == 1 &&
           ssl->context_set_data(c->ssl, 0, c) == 1;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool open_all(struct tls_context *c, struct buf *errors)
{
    c->ssl = c->library->CTX_new(c->library->server_method());
    c->bio = tls_bio_new();
    c->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!tls_buffers_new(c) || !c->ssl || !c->bio || !c->cipher || !set_up(c)) {
        buf_printf(errors, "[tls]: OpenSSL cannot start: %s\n", last_error());
        return false;
    }
    tls_tickets_begin(c);
    return use_pair(c, errors);
}

struct tls_context *tls_context_new(const struct tls_options *options, struct buf *errors)
{
    struct tls_context *c = calloc(1, sizeof *c);
    struct buf why = {0};
    const struct tls_library *library = c ? tls_library_load(&why) : NULL;
    if (!library) {
        buf_printf(errors, "[tls]: %.*s\n",
                   SLICE_ARGS(why.len ? buf_slice(&why) : SLICE("out of memory")));
        buf_free(&why);
        free(c);
        return NULL;
    }
    c->options = *options;
    c->library = library;
    if (open_all(c, errors)) {
        c->options.certificate = c->options.key = (struct slice){NULL, 0};
        return c;
    }
    tls_context_free(c);
    return NULL;
}

void tls_context_free(struct tls_context *c)
{
    if (!c)
        return;
    if (c->ssl)
        c->library->CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    X509_free(c->certificate);
    EVP_CIPHER_free(c->cipher);
    free(c->plain);
    free(c->record);
    buf_free(&c->out);
    free(c);
}

#endif
