/* fuzz_token.c: token_verify() on any bytes. The first byte chooses: the rest is a token as
 * received, or "header NUL payload" that is signed here first, so that the JSON behind a good
 * signature is reached. What is called valid must carry our signature, computed here by another
 * library. */
#include "worker/auth/token.h"

#include "shared/check.h"
#include "worker/auth/bearer.h"

#include <sodium.h>
#include <strings.h>

#define NOW INT64_C(1700000000)

static const char key[] = "0123456789abcdef0123456789abcdef";

/* Unpadded base64url of the HMAC over *signed_part*. */
static void signature(char text_r[static 44], struct slice signed_part)
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256(mac, (const unsigned char *)signed_part.ptr, signed_part.len,
                           (const unsigned char *)key);
    sodium_bin2base64(text_r, 44, mac, sizeof mac, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static void append_base64(struct buf *out, struct slice bytes)
{
    size_t len = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *at = buf_reserve(out, len);
    ASSERT(at);
    sodium_bin2base64(at, len, (const unsigned char *)bytes.ptr, bytes.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out->len += len - 1;
}

static struct slice sign(struct arena *a, struct slice header_and_payload)
{
    struct buf token = buf_in_arena(a);
    struct slice rest = header_and_payload;
    struct slice header = slice_split(&rest, 0);
    char mac[44];
    append_base64(&token, header.len ? header : SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    buf_append_char(&token, '.');
    append_base64(&token, rest.ptr ? rest : SLICE(""));
    signature(mac, buf_slice(&token));
    buf_append_char(&token, '.');
    buf_append_slice(&token, slice_of(mac));
    ASSERT(!token.failed);
    return buf_slice(&token);
}

static void check_valid(struct slice token, const struct token_claims *c)
{
    char mac[44];
    struct slice stripped = token;
    while (stripped.len && stripped.ptr[stripped.len - 1] == '=')
        stripped.len--;
    ASSERT(stripped.len > 44 && stripped.ptr[stripped.len - 44] == '.');
    signature(mac, (struct slice){stripped.ptr, stripped.len - 44});
    ASSERT(slice_ends_with(stripped, slice_of(mac)));
    ASSERT(c->sub.len > 0 && c->exp_s > NOW && c->uid >= 0 && c->auth_time_s >= 0);
}

/* What stands behind the scheme lies within the field, without blanks around it. */
static void try_bearer(struct slice field)
{
    struct slice token;
    if (!bearer_token(field, &token))
        return;
    ASSERT(field.len >= 6 && strncasecmp(field.ptr, "bearer", 6) == 0);
    ASSERT(field.len == 6 || field.ptr[6] == ' ');
    ASSERT(token.ptr && (token.len == 0 || (token.ptr >= field.ptr + 7 &&
                                            token.ptr + token.len <= field.ptr + field.len)));
    ASSERT(slice_equals(slice_trim(token, " \t"), token));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokens *tokens;
    if (!tokens)
        tokens = tokens_new(SLICE("0123456789abcdef0123456789abcdef"), 30, 86400);
    if (!tokens || size == 0)
        return 0;
    struct arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    struct slice token = {(const char *)data + 1, size - 1};
    try_bearer(token);
    if (data[0] & 1)
        token = sign(&a, token);
    enum token_result first = TOKEN_INVALID;
    for (int pass = 0; pass < 2; pass++) { /* the second is from the cache */
        struct token_claims c;
        enum token_result result = token_verify(tokens, &a, token, NOW, &c);
        ASSERT(result != TOKEN_NO_MEMORY);
        ASSERT(pass == 0 || result == first);
        first = result;
        if (result != TOKEN_VALID)
            continue;
        check_valid(token, &c);
        token_fits(tokens, &c, 1, SLICE("$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$x"));
        token_session_over(tokens, &c, NOW);
    }
    arena_fini(&a);
    return 0;
}
