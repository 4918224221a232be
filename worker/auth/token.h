/* token.h: access tokens (JWT, RFC 7519; HS256 pinned, RFC 8725 section 3.1). token.c is the only
 * file that knows libjwt. Verified tokens are cached per worker.
 *
 * Thread: the loop's, for all of it: nothing here waits, and the cache has no lock.
 *
 * now_s is a fresh clock_wall_s(), not a value kept from an earlier turn: a token made a moment ago
 * by another worker must not seem to come from the future. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

struct tokens;

/* Longer ones are invalid unseen. */
enum { TOKEN_MAX = 8192 };

/* What a token says. Slices are borrowed from wherever the function's comment says. */
struct token_claims {
    struct slice sub;    /* the e-mail address; not empty */
    int64_t exp_s;       /* expires at this wall second (exp <= now is expired); INT64_MAX: never */
    int64_t uid;         /* account id; 0: absent (a token of the Python app) */
    int64_t auth_time_s; /* when the password was given; 0: absent */
    struct slice pwv;    /* password version; {NULL,0}: absent */
    unsigned key;        /* which one signed it: 0 the present one, else one before; for token_fits() */
};

/* *secret* (at least 1 byte) is copied, kept out of core dumps and wiped by tokens_free().
 * expire_minutes may be negative: tokens are then born expired. NULL without memory. */
struct tokens *tokens_new(struct slice secret, int64_t expire_minutes, int64_t session_max_s);
/* The same with keys that signed before (shared/keyring.h, copied like *secret*): tokens that they
 * signed are valid, too. */
struct tokens *tokens_new_with(struct slice secret, struct slice previous, int64_t expire_minutes,
                               int64_t session_max_s);
/* Accepts NULL. */
void tokens_free(struct tokens *t);

/* A signed token in the arena for this account: claims sub, exp, iat, uid, auth_time, pwv.
 * exp = now + expire_minutes, never beyond auth_time + session_max; auth_time_s 0 means now.
 * {NULL,0} without memory. */
struct slice token_issue(struct tokens *t, struct arena *a, struct slice email, int64_t uid,
                         struct slice stored_hash, int64_t auth_time_s, int64_t now_s);

enum token_result { TOKEN_VALID, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_NO_MEMORY };
/* Signature, algorithm, types and times of every claim (all the original's 500s
 * are INVALID here). On TOKEN_VALID the claims' slices are in the arena; else claims_r is not set.
 */
enum token_result token_verify(struct tokens *t, struct arena *a, struct slice token, int64_t now_s,
                               struct token_claims *claims_r);

/* Does the token still fit the account it names? Compares uid and pwv, where the token has them. */
bool token_fits(struct tokens *t, const struct token_claims *claims, int64_t uid,
                struct slice stored_hash);

/* True when the password was given too long ago for another refresh: answer as for an expired
 * token. A token without auth_time (of the Python app) starts its session now: false. Pass
 * claims->auth_time_s on to token_issue(). */
bool token_session_over(const struct tokens *t, const struct token_claims *claims, int64_t now_s);
