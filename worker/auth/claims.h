/* claims.h: what header and payload of a token whose signature is good may say. Types as PyJWT with
 * Python's int() takes them; where the original fails with a 500, the token is invalid. For
 * token.c. Pure.
 *
 * Thread: any. */
#pragma once

#include "worker/auth/token.h"

#include <jansson.h>

/* alg is HS256, spelled so; nothing critical (RFC 7515 section 4.1.11), no detached payload (RFC
 * 7797), kid absent or a string. */
bool claims_header_fits(const json_t *header);

/* *payload* is any JSON value. Never TOKEN_NO_MEMORY. On TOKEN_VALID the slices are borrowed from
 * *payload*. */
enum token_result claims_read(const json_t *payload, int64_t now_s, struct token_claims *claims_r);
