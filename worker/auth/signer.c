/* signer.c: see signer.h. libjwt would build a tree, print it and hash the key for each token, which
 * took a third of a refresh; its reader of foreign tokens is what token.c keeps it for; it gets no signatures, for it frees what it had unwiped. */
#include "worker/auth/signer.h"

#include <openssl/evp.h>

static void start_hash(SHA256_CTX *hash, const unsigned char *key, unsigned char pad)
{
    unsigned char block[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(hash);
    SHA256_Update(hash, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

void signer_init(struct signer *s, struct slice key)
{
    unsigned char block[SHA256_CBLOCK] = {0};
    if (key.len > sizeof block)
        SHA256((const unsigned char *)key.ptr, key.len, block);
    else
        memcpy(block, key.ptr, key.len);
    start_hash(&s->inner, block, 0x36);
    start_hash(&s->outer, block, 0x5c);
    explicit_bzero(block, sizeof block);
}

static void hmac(const struct signer *s, struct slice text, unsigned char mac_r[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX hash = s->inner;
    SHA256_Update(&hash, text.ptr, text.len);
    SHA256_Final(mac_r, &hash);
    hash = s->outer;
    SHA256_Update(&hash, mac_r, SHA256_DIGEST_LENGTH);
    SHA256_Final(mac_r, &hash);
    OPENSSL_cleanse(&hash, sizeof hash);
}

/* With padding and the NUL that is written behind. */
#define BASE64_ROOM(len) (((len) + 2) / 3 * 4 + 1)

/* Base64url without padding (RFC 7515, section 2); returns its length. */
static size_t put_base64url(char *out, const void *bytes, size_t len)
{
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    size_t out_len = (len * 4 + 2) / 3;
    for (size_t i = 0; i < out_len; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return out_len;
}

static void append_base64url(struct buf *b, const void *bytes, size_t len)
{
    char *out = buf_reserve(b, BASE64_ROOM(len));
    if (out)
        b->len += put_base64url(out, bytes, len);
}

struct slice signer_token(const struct signer *s, struct arena *a, struct slice payload)
{
    struct buf token = buf_in_arena(a);
    /* at once what it will need: an arena keeps what a buffer outgrows */
    buf_reserve(&token, TOKEN_HEADER.len + (payload.len + SHA256_DIGEST_LENGTH) * 4 / 3 + 12);
    buf_append_slice(&token, TOKEN_HEADER);
    append_base64url(&token, payload.ptr, payload.len);
    unsigned char mac[SHA256_DIGEST_LENGTH];
    hmac(s, buf_slice(&token), mac);
    buf_append_char(&token, '.');
    append_base64url(&token, mac, sizeof mac);
    return token.failed ? (struct slice){NULL, 0} : buf_slice(&token);
}

bool signer_has_signed(const struct signer *s, struct slice text, struct slice signature)
{
    unsigned char mac[SHA256_DIGEST_LENGTH];
    char wanted[BASE64_ROOM(sizeof mac)];
    hmac(s, text, mac);
    size_t len = put_base64url(wanted, mac, sizeof mac);
    bool same = signature.len == len && CRYPTO_memcmp(signature.ptr, wanted, len) == 0;
    OPENSSL_cleanse(mac, sizeof mac);
    OPENSSL_cleanse(wanted, sizeof wanted);
    return same;
}
