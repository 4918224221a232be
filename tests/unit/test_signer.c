/* test_signer.c: worker/auth/signer.c beside another library's HMAC and base64. */
#include "worker/auth/signer.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 400 };

/* What the token of these must be. */
static struct slice expected(struct arena *a, struct slice key, struct slice payload)
{
    char text[sodium_base64_ENCODED_LEN(MOST, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    struct buf out = buf_in_arena(a);
    buf_append_slice(&out, TOKEN_HEADER);
    sodium_bin2base64(text, sizeof text, (const unsigned char *)payload.ptr, payload.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_append_slice(&out, slice_of(text));
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.ptr, key.len);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)out.data, out.len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_bin2base64(text, sizeof text, mac, sizeof mac, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_append_char(&out, '.');
    buf_append_slice(&out, slice_of(text));
    assert_false(out.failed);
    return buf_slice(&out);
}

static void keys_and_payloads_of_every_length(void **state)
{
    (void)state;
    char key[200], payload[MOST];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (char)(i * 7 + 1);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(i * 89); /* every sixth bit pattern, + and / among them */
    for (size_t key_len = 1; key_len <= sizeof key; key_len++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1 << 20);
        struct slice k = {key, key_len}, p = {payload, key_len * 2};
        struct signer s;
        signer_init(&s, k);
        for (int again = 0; again < 2; again++) {
            struct slice token = signer_token(&s, &a, p);
            struct slice good = expected(&a, k, p);
            assert_int_equal(token.len, good.len);
            assert_memory_equal(token.ptr, good.ptr, good.len);
        }
        arena_fini(&a);
    }
}

/* Whole, and of just this text and key: a bit, a character more or less, or padding is enough. */
static void signatures(void **state)
{
    (void)state;
    struct arena a;
    struct signer s, other;
    arena_init(&a, NULL, 0, 1 << 16);
    signer_init(&s, SLICE("key"));
    signer_init(&other, SLICE("kez"));
    struct slice token = signer_token(&s, &a, SLICE("{}"));
    struct slice signature = {token.ptr + token.len - 43, 43}, text = {token.ptr, token.len - 44};
    assert_true(signer_has_signed(&s, text, signature));
    assert_false(signer_has_signed(&other, text, signature));
    assert_false(signer_has_signed(&s, (struct slice){text.ptr, text.len - 1}, signature));
    assert_false(signer_has_signed(&s, text, (struct slice){signature.ptr, 42}));
    assert_false(signer_has_signed(&s, text, (struct slice){signature.ptr - 1, 44}));
    assert_false(signer_has_signed(&s, text, SLICE("")));
    for (size_t i = 0; i < signature.len; i++) {
        char wrong[44];
        memcpy(wrong, signature.ptr, signature.len);
        wrong[i] ^= 1;
        assert_false(signer_has_signed(&s, text, (struct slice){wrong, signature.len}));
    }
    arena_fini(&a);
}

static void without_memory(void **state)
{
    (void)state;
    struct signer s;
    signer_init(&s, SLICE("key"));
    for (size_t max = 0; max < TOKEN_HEADER.len + 48; max += 8) {
        struct arena a;
        arena_init(&a, NULL, 0, max);
        assert_null(signer_token(&s, &a, SLICE("{}")).ptr);
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_payloads_of_every_length),
        cmocka_unit_test(signatures),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
