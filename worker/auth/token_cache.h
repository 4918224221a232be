/* token_cache.h: tokens that were verified before, so that most requests cost a SipHash and a
 * compare instead of an HMAC and JSON. A fixed number of entries, 4-way set-associative, least
 * recently used out first. Holds whole tokens: embed it in memory that is kept out of core dumps.
 * For token.c.
 *
 * Thread: the loop's. */
#pragma once

#include "worker/auth/token.h"

enum {
    TOKEN_CACHE_SETS = 256,
    TOKEN_CACHE_WAYS = 4,
    TOKEN_CACHE_TEXT_MAX = 960, /* token, sub and pwv together; what is longer is not kept */
    TOKEN_CACHE_KEY_LEN = 16
};

struct token_cache_entry {
    uint64_t hash;
    uint64_t used; /* *clock* of the last use; 0: empty */
    int64_t exp_s;
    int64_t uid;
    int64_t auth_time_s;
    uint16_t token_len; /* lengths of what stands in *text*, in this order */
    uint16_t sub_len;
    uint16_t pwv_len; /* 0: absent */
    bool has_pwv;
    uint8_t key; /* which one signed it, as in struct token_claims */
    char text[TOKEN_CACHE_TEXT_MAX];
};

struct token_cache {
    unsigned char key[TOKEN_CACHE_KEY_LEN]; /* random: nobody can aim at a set */
    uint64_t clock;
    struct token_cache_entry entries[TOKEN_CACHE_SETS][TOKEN_CACHE_WAYS];
};

/* *c* is zeroed memory. */
void token_cache_init(struct token_cache *c);
/* True: the claims this token was put with; slices borrowed until the next put. Expiry is the
 * caller's. */
bool token_cache_find(struct token_cache *c, struct slice token, struct token_claims *claims_r);
void token_cache_put(struct token_cache *c, struct slice token, const struct token_claims *claims);
