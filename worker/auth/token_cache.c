/* token_cache.c: see token_cache.h. */
#include "worker/auth/token_cache.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(struct token_cache_entry) <= 1024, "a full cache is 1 MiB");

static uint64_t hash_of(const struct token_cache *c, struct slice token)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t value;
    _Static_assert(sizeof hash == sizeof value, "SipHash-2-4 is 64 bits");
    crypto_shorthash(hash, (const unsigned char *)token.ptr, token.len, c->key);
    memcpy(&value, hash, sizeof value);
    return value;
}

/* memcmp() may show by its time how far two tokens agree, but only to who has hit on the same keyed
 * hash before. */
static bool is_of(const struct token_cache_entry *e, uint64_t hash, struct slice token)
{
    return e->used && e->hash == hash && e->token_len == token.len &&
           memcmp(e->text, token.ptr, token.len) == 0;
}

void token_cache_init(struct token_cache *c)
{
    _Static_assert(sizeof c->key == crypto_shorthash_KEYBYTES, "SipHash-2-4's key");
    randombytes_buf(c->key, sizeof c->key);
}

bool token_cache_find(struct token_cache *c, struct slice token, struct token_claims *claims_r)
{
    uint64_t hash = hash_of(c, token);
    struct token_cache_entry *set = c->entries[hash % TOKEN_CACHE_SETS];
    for (int i = 0; i < TOKEN_CACHE_WAYS; i++) {
        struct token_cache_entry *e = &set[i];
        if (!is_of(e, hash, token))
            continue;
        e->used = ++c->clock;
        const char *sub = e->text + e->token_len;
        *claims_r = (struct token_claims){
            .sub = {sub, e->sub_len},
            .exp_s = e->exp_s,
            .uid = e->uid,
            .auth_time_s = e->auth_time_s,
            .pwv = {e->has_pwv ? sub + e->sub_len : NULL, e->pwv_len},
            .key = e->key,
        };
        return true;
    }
    return false;
}

/* The token's own place if it is there, else the one longest unused. */
static struct token_cache_entry *place_for(struct token_cache_entry *set, uint64_t hash,
                                           struct slice token)
{
    struct token_cache_entry *oldest = &set[0];
    for (int i = 0; i < TOKEN_CACHE_WAYS; i++) {
        if (is_of(&set[i], hash, token))
            return &set[i];
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    return oldest;
}

void token_cache_put(struct token_cache *c, struct slice token, const struct token_claims *claims)
{
    if (token.len > TOKEN_CACHE_TEXT_MAX || claims->sub.len > TOKEN_CACHE_TEXT_MAX - token.len ||
        claims->pwv.len > TOKEN_CACHE_TEXT_MAX - token.len - claims->sub.len)
        return;
    uint64_t hash = hash_of(c, token);
    struct token_cache_entry *e = place_for(c->entries[hash % TOKEN_CACHE_SETS], hash, token);
    e->hash = hash;
    e->used = ++c->clock;
    e->exp_s = claims->exp_s;
    e->uid = claims->uid;
    e->auth_time_s = claims->auth_time_s;
    e->token_len = (uint16_t)token.len;
    e->sub_len = (uint16_t)claims->sub.len;
    e->pwv_len = (uint16_t)claims->pwv.len;
    e->has_pwv = claims->pwv.ptr;
    e->key = (uint8_t)claims->key;
    char *at = e->text;
    memcpy(at, token.ptr, token.len);
    at += token.len;
    memcpy(at, claims->sub.ptr, claims->sub.len);
    at += claims->sub.len;
    if (claims->pwv.len)
        memcpy(at, claims->pwv.ptr, claims->pwv.len);
}
