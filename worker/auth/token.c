/* token.c: see token.h. signer.c signs and says whether it has; then libjwt 1.10 to 2.x reads the rest. It is
 * not given the signature (nor a key, without which it looks for none), for it frees its copy of a token
 * unwiped: without the signature that opens nothing. alg, times and types are looked at by claims.c.
 * Duplicate names: the last wins, as in Python. Thread: the loop's. */
#include "worker/auth/token.h"

#include "shared/check.h"
#include "shared/json_memory.h"
#include "shared/jsonw.h"
#include "shared/keyring.h"
#include "shared/private.h"
#include "worker/auth/claims.h"
#include "worker/auth/password.h"
#include "worker/auth/signer.h"
#include "worker/auth/token_cache.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PWV_BYTES = 8,
    PWV_LEN = 2 * PWV_BYTES,
    STACK_USED = 8192, /* below us, by libjwt, which leaves the parts of a token there */
    CLAIMS_LEN = 160 /* all but the address: names and four numbers of ten digits */
};

struct token_key {
    struct slice secret; /* in *secrets* */
    struct signer signer;
    unsigned char pwv_key[crypto_generichash_KEYBYTES];
};

/* One mapping: keys and cached tokens stay out of core dumps and out of the heap. */
struct tokens {
    int64_t expire_s;
    int64_t session_max_s;
    unsigned keys_len; /* at least 1 */
    struct token_key keys[1 + KEYRING_KEYS_MAX]; /* the first signs */
    struct token_cache cache;
    size_t secrets_len;
    char secrets[]; /* the one that signs, and the keyring */
};

/* A key of its own, so that pwv (which clients see) tells nothing about signatures. */
static void derive_pwv_key(struct token_key *key)
{
    static const char purpose[] = "colmeia pwv";
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof key->pwv_key);
    crypto_generichash_update(&state, (const unsigned char *)purpose, sizeof purpose - 1);
    crypto_generichash_update(&state, (const unsigned char *)key->secret.ptr, key->secret.len);
    crypto_generichash_final(&state, key->pwv_key, sizeof key->pwv_key);
    sodium_memzero(&state, sizeof state);
}

static void add_key(struct tokens *t, struct slice secret)
{
    ASSERT(t->keys_len < sizeof t->keys / sizeof *t->keys);
    struct token_key *key = &t->keys[t->keys_len++];
    key->secret = secret;
    signer_init(&key->signer, secret);
    derive_pwv_key(key);
}

/* Of the key that signs, or signed, the token: each has its own digest. */
static void pwv_of(const struct token_key *key, struct slice stored_hash,
                   char pwv_r[static PWV_LEN + 1])
{
    unsigned char digest[crypto_generichash_BYTES_MIN];
    struct slice salt = password_salt(stored_hash);
    crypto_generichash(digest, sizeof digest, (const unsigned char *)salt.ptr, salt.len, key->pwv_key,
                       sizeof key->pwv_key);
    sodium_bin2hex(pwv_r, PWV_LEN + 1, digest, PWV_BYTES);
}

struct tokens *tokens_new_with(struct slice secret, struct slice previous, int64_t expire_minutes,
                               int64_t session_max_s)
{
    ASSERT(secret.len > 0 && secret.len <= INT32_MAX && keyring_is_sound(previous));
    if (sodium_init() < 0)
        return NULL;
    struct tokens *t = private_new(sizeof *t + secret.len + previous.len);
    if (!t)
        return NULL;
    t->expire_s = expire_minutes * 60;
    t->session_max_s = session_max_s;
    t->secrets_len = secret.len + previous.len;
    memcpy(t->secrets, secret.ptr, secret.len);
    if (previous.len > 0)
        memcpy(t->secrets + secret.len, previous.ptr, previous.len);
    add_key(t, (struct slice){t->secrets, secret.len});
    struct slice rest = {t->secrets + secret.len, previous.len}, key;
    while (keyring_next(&rest, &key))
        add_key(t, key);
    token_cache_init(&t->cache);
    return t;
}

struct tokens *tokens_new(struct slice secret, int64_t expire_minutes, int64_t session_max_s)
{
    return tokens_new_with(secret, (struct slice){NULL, 0}, expire_minutes, session_max_s);
}

void tokens_free(struct tokens *t)
{
    if (t)
        private_free(t, sizeof *t + t->secrets_len);
}

/* ---- signing ------------------------------------------------------------------------------- */

struct slice token_issue(struct tokens *t, struct arena *a, struct slice email, int64_t uid,
                         struct slice stored_hash, int64_t auth_time_s, int64_t now_s)
{
    if (auth_time_s == 0)
        auth_time_s = now_s;
    int64_t session_left_s = t->session_max_s - (now_s - auth_time_s);
    char pwv[PWV_LEN + 1];
    pwv_of(&t->keys[0], stored_hash, pwv);
    struct buf payload = buf_in_arena(a);
    buf_reserve(&payload, email.len + CLAIMS_LEN);
    struct jsonw w = jsonw_on(&payload);
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("sub"));
    jsonw_string(&w, email);
    jsonw_name(&w, SLICE("exp"));
    jsonw_i64(&w, now_s + (t->expire_s < session_left_s ? t->expire_s : session_left_s));
    jsonw_name(&w, SLICE("iat"));
    jsonw_i64(&w, now_s);
    jsonw_name(&w, SLICE("uid"));
    jsonw_i64(&w, uid);
    jsonw_name(&w, SLICE("auth_time"));
    jsonw_i64(&w, auth_time_s);
    jsonw_name(&w, SLICE("pwv"));
    jsonw_string(&w, (struct slice){pwv, PWV_LEN});
    jsonw_object_close(&w);
    return payload.failed ? (struct slice){NULL, 0} : signer_token(&t->keys[0].signer, a, buf_slice(&payload));
}

/* ---- verifying ------------------------------------------------------------------------------ */

/* Text that libjwt made of what it had parsed, as JSON again; frees it. NULL without memory. */
static json_t *take_json(char *text)
{
    bool was_short;
    json_t *value = text ? json_memory_load(slice_of(text), &was_short) : NULL;
    free(text);
    return value;
}

/* Checks the header of a token whose signature is good. */
static enum token_result check_header(jwt_t *jwt, struct slice token)
{
    if (slice_starts_with(token, TOKEN_HEADER))
        return TOKEN_VALID;
    json_t *header = take_json(jwt_get_headers_json(jwt, NULL));
    if (!header)
        return TOKEN_NO_MEMORY;
    bool fits = claims_header_fits(header);
    json_decref(header);
    return fits ? TOKEN_VALID : TOKEN_INVALID;
}

static enum token_result copy_claims(struct arena *a, const struct token_claims *from,
                                     struct token_claims *claims_r)
{
    struct token_claims c = *from;
    c.sub = slice_dup(a, from->sub);
    if (from->pwv.ptr)
        c.pwv = slice_dup(a, from->pwv);
    if (!c.sub.ptr || (from->pwv.ptr && !c.pwv.ptr))
        return TOKEN_NO_MEMORY;
    *claims_r = c;
    return TOKEN_VALID;
}

/* The claims of a token whose signature is good, by this key. */
static enum token_result read_payload(struct tokens *t, struct arena *a, jwt_t *jwt, unsigned key,
                                      struct slice token, int64_t now_s,
                                      struct token_claims *claims_r)
{
    enum token_result result = check_header(jwt, token);
    if (result != TOKEN_VALID)
        return result;
    json_t *payload = take_json(jwt_get_grants_json(jwt, NULL));
    if (!payload)
        return TOKEN_NO_MEMORY;
    struct token_claims claims;
    result = claims_read(payload, now_s, &claims);
    if (result == TOKEN_VALID) {
        claims.key = key;
        token_cache_put(&t->cache, token, &claims);
        result = copy_claims(a, &claims, claims_r);
    }
    json_decref(payload);
    return result;
}

/* What is signed, and the signature; false: it has fewer than three parts. Python allows any padding behind
 * the signature. That of header and payload is under the signature and stays. */
static bool split(struct slice token, struct slice *text_r, struct slice *signature_r)
{
    struct slice payload = token, header = slice_split(&payload, '.');
    struct slice signature = payload;
    slice_split(&signature, '.');
    if (!payload.ptr || !signature.ptr)
        return false;
    *text_r = (struct slice){header.ptr, (size_t)(signature.ptr - 1 - header.ptr)};
    while (signature.len > 0 && signature.ptr[signature.len - 1] == '=')
        signature.len--;
    *signature_r = signature;
    return true;
}

/* 0: *key_r has signed it; else an errno. */
static int decode(const struct tokens *t, struct slice token, jwt_t **jwt_r, unsigned *key_r)
{
    char copy[TOKEN_MAX + 1];
    struct slice text, signature;
    unsigned i = 0;
    if (!split(token, &text, &signature))
        return EINVAL;
    while (i < t->keys_len && !signer_has_signed(&t->keys[i].signer, text, signature))
        i++;
    if (i == t->keys_len)
        return EINVAL;
    *key_r = i;
    memcpy(copy, text.ptr, text.len);
    memcpy(copy + text.len, ".", 2);
    json_memory_watch();
    int error = jwt_decode(jwt_r, copy, NULL, 0);
    if (json_memory_was_short())
        error = ENOMEM;
    sodium_memzero(copy, text.len);
    sodium_stackzero(STACK_USED);
    return error;
}

enum token_result token_verify(struct tokens *t, struct arena *a, struct slice token, int64_t now_s,
                               struct token_claims *claims_r)
{
    if (token.len == 0 || token.len > TOKEN_MAX || memchr(token.ptr, 0, token.len))
        return TOKEN_INVALID;
    struct token_claims cached;
    if (token_cache_find(&t->cache, token, &cached))
        return cached.exp_s <= now_s ? TOKEN_EXPIRED : copy_claims(a, &cached, claims_r);
    jwt_t *jwt = NULL;
    unsigned key = 0;
    int error = decode(t, token, &jwt, &key);
    enum token_result result = TOKEN_INVALID;
    if (error == ENOMEM)
        result = TOKEN_NO_MEMORY;
    else if (!error)
        result = read_payload(t, a, jwt, key, token, now_s, claims_r);
    jwt_free(jwt);
    return result;
}

/* ---- does it still hold --------------------------------------------------------------------- */

bool token_fits(struct tokens *t, const struct token_claims *claims, int64_t uid,
                struct slice stored_hash)
{
    if (claims->uid && claims->uid != uid)
        return false;
    if (!claims->pwv.ptr)
        return true;
    char pwv[PWV_LEN + 1];
    ASSERT(claims->key < t->keys_len);
    pwv_of(&t->keys[claims->key], stored_hash, pwv);
    return claims->pwv.len == PWV_LEN && sodium_memcmp(claims->pwv.ptr, pwv, PWV_LEN) == 0;
}

bool token_session_over(const struct tokens *t, const struct token_claims *claims, int64_t now_s)
{
    return claims->auth_time_s && now_s - claims->auth_time_s >= t->session_max_s;
}
