/* signer.h: signs JSON as a JWT in compact form, HS256 (RFC 7515, RFC 7518 section 3.2). The key is
 * hashed once, not at each signature. Any thread: a signer does not change. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* The only OpenSSL calls whose state we may place ourselves: keys stay out of its heap. */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

/* {"alg":"HS256","typ":"JWT"} and its dot, as PyJWT and libjwt write it. */
#define TOKEN_HEADER SLICE("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.")

/* As good as the key: keep it in private memory. */
struct signer {
    SHA256_CTX inner; /* HMAC's two hashes (RFC 2104), past the key */
    SHA256_CTX outer;
};

/* *key* is borrowed for the call. */
void signer_init(struct signer *s, struct slice key);
/* The signed token in the arena, TOKEN_HEADER first; {NULL,0} without memory. */
struct slice signer_token(const struct signer *s, struct arena *a, struct slice payload);
/* Whether *signature* (base64url without padding) is that of *text*. The comparison takes as long for a wrong
 * one. */
bool signer_has_signed(const struct signer *s, struct slice text, struct slice signature);
