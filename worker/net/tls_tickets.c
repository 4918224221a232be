/* tls_tickets.c: sessions in tickets (RFC 5077, RFC 8446, 4.6.1) under the keys that all workers share.
 * SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
#include "tls_build.h"
#include "worker/net/tls.h"

#if COLMEIA_TLS

#include "shared/tls_keys.h"
#include "worker/net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

enum { REFUSED = 0, GOOD = 1, RENEW = 2, FAILED = -1 }; /* as OpenSSL wants them */

static bool set_mac(EVP_MAC_CTX *mac, struct tls_key *key)
{
    static char sha256[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(const struct tls_context *c, struct tls_key *key, unsigned char *name,
                unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    tls_keys_newest(c->options.keys, key);
    memcpy(name, key->name, sizeof key->name);
    bool good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(c->cipher)) == 1 &&
                EVP_EncryptInit_ex2(cipher, c->cipher, key->cipher, iv, NULL) == 1 &&
                set_mac(mac, key);
    return good ? GOOD : FAILED;
}

/* One that is not the newest opens the ticket, and the client gets another. */
static int open_it(const struct tls_context *c, struct tls_key *key, const unsigned char *name,
                   const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    int age = tls_keys_find(c->options.keys, name, key);
    if (age < 0)
        return REFUSED;
    bool good = EVP_DecryptInit_ex2(cipher, c->cipher, key->cipher, iv, NULL) == 1 &&
                set_mac(mac, key);
    return !good ? FAILED : age > 0 ? RENEW : GOOD;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct buf ignored = {0};
    const struct tls_library *library = tls_library_load(&ignored);
    const struct tls_context *c = library->context_get_data(library->get_SSL_CTX(ssl), 0);
    struct tls_key key;
    int result = sealing ? seal(c, &key, name, iv, cipher, mac)
                         : open_it(c, &key, name, iv, cipher, mac);
    explicit_bzero(&key, sizeof key);
    return result;
}

void tls_tickets_begin(struct tls_context *c)
{
    const struct tls_library *ssl = c->library;
    if (!c->options.keys) {
        ssl->CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
        return;
    }
    ssl->CTX_set_timeout(c->ssl, (long)c->options.ticket_life_s);
    ssl->CTX_set_num_tickets(c->ssl, 1);
    ssl->CTX_set_tlsext_ticket_key_evp_cb(c->ssl, on_ticket);
}

#endif
