/* test_token.c: worker/auth/token.c, claims.c and token_cache.c. The tokens of token_cases.def were
 * made with PyJWT; that PyJWT reads ours is shown by the signature, computed here with another
 * library. */
#include "worker/auth/token.h"

#include "shared/keyring.h"

#include "worker/auth/token_cache.h"

#include <jansson.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW   INT64_C(1700000000)
#define KEY   SLICE("0123456789abcdef0123456789abcdef")
#define EMAIL SLICE("alice@example.com")
#define STORED                                                                                     \
    SLICE("$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"                                    \
          "YdvKnHDNdnx3UXOE4OXsgVckBvuq3gpvrMbEV3UYnbY")
#define STORED_REHASHED SLICE("$argon2id$v=19$m=65536,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xxx")
#define STORED_CHANGED                                                                             \
    SLICE("$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZh$"                                    \
          "YdvKnHDNdnx3UXOE4OXsgVckBvuq3gpvrMbEV3UYnbY")
#define PWV "87670009afbcc4ed" /* of STORED, computed in Python */
#define DAY INT64_C(86400)

/* Of the calls of malloc() in this program, jansson's through json_memory.c among them, one fails: when so many
 * have gone before it; negative: none. */
static int before_failure = -1;
void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_malloc(size_t len)
{
    return before_failure-- == 0 ? NULL : __real_malloc(len);
}

struct world {
    struct tokens *tokens;
    struct arena arena;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        return -1;
    w->tokens = tokens_new(KEY, 30, 30 * DAY);
    arena_init(&w->arena, NULL, 0, 16 << 20);
    *state = w;
    return w->tokens ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    tokens_free(w->tokens);
    tokens_free(NULL);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

/* ---- verifying ------------------------------------------------------------------------------ */

static const struct token_case {
    const char *name;
    enum token_result result;
    int64_t exp_s;
    const char *text;
} cases[] = {
#define TOKEN(name, result, exp_s, text) {name, result, exp_s, text},
#include "tests/unit/token_cases.def"
#undef TOKEN
};

static void check_case(struct world *w, const struct token_case *c, const char *pass)
{
    struct token_claims claims = {.uid = -7};
    enum token_result result = token_verify(w->tokens, &w->arena, slice_of(c->text), NOW, &claims);
    if (result != c->result)
        fail_msg("%s (%s): %d instead of %d", c->name, pass, result, c->result);
    if (result != TOKEN_VALID) {
        assert_int_equal(claims.uid, -7);
        return;
    }
    if (claims.exp_s != c->exp_s || !slice_equals(claims.sub, EMAIL))
        fail_msg("%s (%s): exp %lld, sub %.*s", c->name, pass, (long long)claims.exp_s,
                 SLICE_ARGS(claims.sub));
}

/* Twice: the second time from the cache, where there is something to keep. */
static void test_cases(void **state)
{
    size_t len = sizeof cases / sizeof *cases;
    assert_true(len > 90);
    for (size_t i = 0; i < len; i++)
        check_case(*state, &cases[i], "first");
    for (size_t i = 0; i < len; i++)
        check_case(*state, &cases[i], "again");
}

static const struct token_case *find_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    fail_msg("no case %s", name);
    return NULL;
}

static void test_claims_of_python_and_own(void **state)
{
    struct world *w = *state;
    for (int pass = 0; pass < 2; pass++) {
        struct token_claims c;
        struct slice python = slice_of(find_case("as the Python app makes it")->text);
        assert_int_equal(token_verify(w->tokens, &w->arena, python, NOW, &c), TOKEN_VALID);
        assert_int_equal(c.uid, 0);
        assert_int_equal(c.auth_time_s, 0);
        assert_null(c.pwv.ptr);
        struct slice own = slice_of(find_case("own claims")->text);
        assert_int_equal(token_verify(w->tokens, &w->arena, own, NOW, &c), TOKEN_VALID);
        assert_int_equal(c.uid, 7);
        assert_int_equal(c.auth_time_s, NOW - 9);
        assert_true(slice_equals(c.pwv, SLICE("0011223344556677")));
    }
}

/* One changed byte anywhere, or one byte less, is another token. */
static void test_every_byte_counts(void **state)
{
    struct world *w = *state;
    struct slice good = slice_of(find_case("as the Python app makes it")->text);
    struct token_claims c;
    assert_int_equal(token_verify(w->tokens, &w->arena, good, NOW, &c), TOKEN_VALID);
    char text[512];
    assert_true(good.len < sizeof text);
    for (size_t i = 0; i < good.len; i++) {
        memcpy(text, good.ptr, good.len);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        struct slice changed = {text, good.len};
        assert_int_equal(token_verify(w->tokens, &w->arena, changed, NOW, &c), TOKEN_INVALID);
        struct slice cut = {good.ptr, i};
        assert_int_equal(token_verify(w->tokens, &w->arena, cut, NOW, &c), TOKEN_INVALID);
    }
}

static void test_sizes_and_nul(void **state)
{
    struct world *w = *state;
    struct token_claims c;
    struct buf text = buf_in_arena(&w->arena);
    buf_append_slice(&text, slice_of(find_case("as the Python app makes it")->text));
    buf_append_char(&text, 0);
    assert_int_equal(token_verify(w->tokens, &w->arena, buf_slice(&text), NOW, &c), TOKEN_INVALID);
    text.len--;
    while (text.len < TOKEN_MAX)
        buf_append_char(&text, '='); /* allowed in any number, up to the limit */
    assert_int_equal(token_verify(w->tokens, &w->arena, buf_slice(&text), NOW, &c), TOKEN_VALID);
    buf_append_char(&text, '=');
    assert_int_equal(token_verify(w->tokens, &w->arena, buf_slice(&text), NOW, &c), TOKEN_INVALID);
    assert_int_equal(token_verify(w->tokens, &w->arena, (struct slice){NULL, 0}, NOW, &c),
                     TOKEN_INVALID);
}

static void test_expiry_is_checked_at_each_use(void **state)
{
    struct world *w = *state;
    static const struct {
        int64_t at;
        enum token_result result;
    } rows[] = {{NOW, TOKEN_VALID},
                {NOW + 1799, TOKEN_VALID},
                {NOW + 1800, TOKEN_EXPIRED},
                {NOW + 1801, TOKEN_EXPIRED},
                {NOW + 1, TOKEN_VALID}};
    struct slice token = slice_of(find_case("as the Python app makes it")->text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct token_claims c;
        assert_int_equal(token_verify(w->tokens, &w->arena, token, rows[i].at, &c), rows[i].result);
    }
}

static void test_verify_without_memory(void **state)
{
    struct world *w = *state;
    struct slice token = slice_of(find_case("own claims")->text);
    for (int pass = 0; pass < 2; pass++) {
        struct arena small;
        struct token_claims c;
        arena_init(&small, NULL, 0, 20); /* the address fits, pwv does not */
        assert_int_equal(token_verify(w->tokens, &small, token, NOW, &c), TOKEN_NO_MEMORY);
        arena_fini(&small);
    }
}

/* One pass without memory at that allocation, one with it. False: there are not so many. */
static bool verify_both(struct world *w, struct slice token, struct slice email, int64_t uid, int failing)
{
    struct tokens *t = tokens_new(KEY, 30, 30 * DAY);
    struct token_claims c = {.uid = -7};
    before_failure = failing;
    enum token_result result = token_verify(t, &w->arena, token, NOW, &c);
    bool has_failed = before_failure < 0;
    before_failure = -1;
    if (result == TOKEN_NO_MEMORY && has_failed)
        result = token_verify(t, &w->arena, token, NOW, &c);
    assert_int_equal(result, TOKEN_VALID);
    assert_true(slice_equals(c.sub, email));
    assert_int_equal(c.uid, uid);
    tokens_free(t);
    return has_failed;
}

/* Whichever allocation fails: nobody is told that a good token is bad, nobody is taken for somebody else, and
 * nothing of the kind is remembered. */
static void test_verify_short_of_memory(void **state)
{
    struct world *w = *state;
    struct slice email = SLICE("an.address.longer.than.what.jansson.begins.with@a.name.of.some.length.example.com");
    int64_t uid = INT64_C(1234567890123456789);
    struct slice token = token_issue(w->tokens, &w->arena, email, uid, STORED, 0, NOW);
    assert_non_null(token.ptr);
    int failing = 0;
    while (verify_both(w, token, email, uid, failing))
        failing++;
    assert_true(failing > 20);
}

/* ---- signing ------------------------------------------------------------------------------- */

static struct slice unbase64(struct world *w, struct slice text)
{
    unsigned char *bytes = arena_alloc(&w->arena, text.len + 1);
    size_t len;
    assert_int_equal(sodium_base642bin(bytes, text.len + 1, text.ptr, text.len, NULL, &len, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    return (struct slice){(char *)bytes, len};
}

static void test_issued_token(void **state)
{
    struct world *w = *state;
    struct slice token = token_issue(w->tokens, &w->arena, EMAIL, 7, STORED, NOW - 60, NOW);
    assert_non_null(token.ptr);
    struct slice rest = token;
    struct slice header = slice_split(&rest, '.');
    struct slice payload = slice_split(&rest, '.');
    assert_true(slice_equals(unbase64(w, header), SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}")));
    struct slice signature = unbase64(w, rest);
    unsigned char expected[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256(expected, (const unsigned char *)token.ptr, header.len + 1 + payload.len,
                           (const unsigned char *)KEY.ptr);
    assert_int_equal(signature.len, sizeof expected);
    assert_memory_equal(signature.ptr, expected, sizeof expected);
    struct slice text = unbase64(w, payload);
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    json_t *wanted = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "sub", EMAIL.ptr, "exp",
                               (json_int_t)(NOW + 1800), "iat", (json_int_t)NOW, "uid",
                               (json_int_t)7, "auth_time", (json_int_t)(NOW - 60), "pwv", PWV);
    assert_true(json_equal(json, wanted));
    json_decref(json);
    json_decref(wanted);
}

/* Our own tokens come back as they went out. */
static void test_round_trip(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *email;
        int64_t uid;
    } rows[] = {{"alice@example.com", 1},
                {"a@ex\xc3\xa4mple.com", INT64_MAX},
                {"\"quoted \\\" x\"@example.com", 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice email = slice_of(rows[i].email);
        struct slice token = token_issue(w->tokens, &w->arena, email, rows[i].uid, STORED, 0, NOW);
        assert_non_null(token.ptr);
        for (int pass = 0; pass < 2; pass++) {
            struct token_claims c;
            assert_int_equal(token_verify(w->tokens, &w->arena, token, NOW, &c), TOKEN_VALID);
            assert_true(slice_equals(c.sub, email));
            assert_int_equal(c.uid, rows[i].uid);
            assert_int_equal(c.exp_s, NOW + 1800);
            assert_int_equal(c.auth_time_s, NOW);
            assert_true(slice_equals(c.pwv, SLICE(PWV)));
            assert_true(token_fits(w->tokens, &c, rows[i].uid, STORED));
        }
    }
}

static void test_other_secret(void **state)
{
    struct world *w = *state;
    struct token_claims c;
    struct tokens *other = tokens_new(SLICE("x"), 30, 30 * DAY);
    struct slice token = token_issue(other, &w->arena, EMAIL, 7, STORED, 0, NOW);
    assert_int_equal(token_verify(w->tokens, &w->arena, token, NOW, &c), TOKEN_INVALID);
    assert_int_equal(token_verify(other, &w->arena, token, NOW, &c), TOKEN_VALID);
    assert_false(token_fits(w->tokens, &c, 7, STORED)); /* pwv depends on the secret */
    tokens_free(other);
}

/* "new" signs; "old" and "older" did before. */
static struct tokens *rotated(void)
{
    char ring[64];
    char *end = keyring_put(keyring_put(ring, SLICE("old")), SLICE("older"));
    return tokens_new_with(SLICE("new"), (struct slice){ring, (size_t)(end - ring)}, 30, 30 * DAY);
}

static void test_tokens_of_previous_keys(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *key;
        enum token_result result;
        unsigned signer;
    } rows[] = {
        {"new", TOKEN_VALID, 0},   {"old", TOKEN_VALID, 1},    {"older", TOKEN_VALID, 2},
        {"ol", TOKEN_INVALID, 0},  {"olde", TOKEN_INVALID, 0}, {"oldest", TOKEN_INVALID, 0},
        {"ne", TOKEN_INVALID, 0},
    };
    struct tokens *t = rotated();
    assert_non_null(t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tokens *signer = tokens_new(slice_of(rows[i].key), 30, 30 * DAY);
        struct slice token = token_issue(signer, &w->arena, EMAIL, 7, STORED, 0, NOW);
        for (int pass = 0; pass < 2; pass++) { /* the second time from the cache */
            struct token_claims c;
            assert_int_equal(token_verify(t, &w->arena, token, NOW, &c), rows[i].result);
            if (rows[i].result != TOKEN_VALID)
                continue;
            assert_int_equal(c.key, rows[i].signer);
            assert_true(token_fits(t, &c, 7, STORED));
            assert_false(token_fits(t, &c, 7, SLICE("$argon2id$v=19$m=64,t=1,p=1$b3RoZXI$aGFzaA")));
            c.key = (c.key + 1) % 3; /* each digest belongs to its key */
            assert_false(token_fits(t, &c, 7, STORED));
        }
        tokens_free(signer);
    }
    tokens_free(t);
}

static void test_only_the_present_key_signs(void **state)
{
    struct world *w = *state;
    struct token_claims c;
    struct tokens *t = rotated(), *new_only = tokens_new(SLICE("new"), 30, 30 * DAY);
    struct slice token = token_issue(t, &w->arena, EMAIL, 7, STORED, 0, NOW);
    assert_int_equal(token_verify(new_only, &w->arena, token, NOW, &c), TOKEN_VALID);
    assert_true(token_fits(new_only, &c, 7, STORED));
    tokens_free(new_only);
    tokens_free(t);
}

static void test_expiry_of_issued(void **state)
{
    struct world *w = *state;
    static const struct {
        int64_t expire_minutes;
        int64_t session_max_s;
        int64_t auth_time_s; /* 0: now */
        int64_t exp_s;
        bool over; /* before this refresh */
    } rows[] = {
        {30, 30 * DAY, 0, NOW + 1800, false},
        {30, 30 * DAY, NOW - 29 * DAY, NOW + 1800, false},
        {30, 30 * DAY, NOW - 30 * DAY + 1800, NOW + 1800, false},
        {30, 30 * DAY, NOW - 30 * DAY + 1799, NOW + 1799, false},
        {30, 30 * DAY, NOW - 30 * DAY + 1, NOW + 1, false},
        {30, 30 * DAY, NOW - 30 * DAY, NOW, true},
        {30, 30 * DAY, NOW - 31 * DAY, NOW - DAY, true},
        {30, 60, 0, NOW + 60, false},
        {-1, 30 * DAY, 0, NOW - 60, false},
        {0, 30 * DAY, 0, NOW, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tokens *t = tokens_new(KEY, rows[i].expire_minutes, rows[i].session_max_s);
        struct token_claims c = {.auth_time_s = rows[i].auth_time_s};
        assert_non_null(t);
        assert_int_equal(token_session_over(t, &c, NOW), rows[i].over);
        struct slice token = token_issue(t, &w->arena, EMAIL, 7, STORED, rows[i].auth_time_s, NOW);
        /* not before NOW, when it would come from the future */
        int64_t over_s = rows[i].exp_s > NOW ? rows[i].exp_s : NOW;
        assert_int_equal(token_verify(t, &w->arena, token, over_s, &c), TOKEN_EXPIRED);
        if (rows[i].exp_s > NOW)
            assert_int_equal(token_verify(t, &w->arena, token, over_s - 1, &c), TOKEN_VALID);
        tokens_free(t);
    }
}

/* The kernel's word for it: "dd" among the mapping's flags, proc(5). */
static void test_kept_out_of_core_dumps(void **state)
{
    struct world *w = *state;
    uintptr_t at = (uintptr_t)w->tokens;
    char line[512];
    bool is_ours = false;
    bool is_kept_out = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            is_ours = at >= from && at < to;
        else if (is_ours && strncmp(line, "VmFlags:", 8) == 0)
            is_kept_out = strstr(line, " dd");
    }
    fclose(smaps);
    assert_true(is_kept_out);
}

static void test_issue_without_memory(void **state)
{
    struct world *w = *state;
    for (size_t max = 0; max < 18 + 200; max += 20) {
        struct arena small;
        arena_init(&small, NULL, 0, max);
        assert_null(token_issue(w->tokens, &small, EMAIL, 7, STORED, 0, NOW).ptr);
        arena_fini(&small);
    }
}

/* ---- fitting the account -------------------------------------------------------------------- */

static void test_fits(void **state)
{
    struct world *w = *state;
    const struct slice none = {NULL, 0};
    const struct {
        int64_t uid;
        struct slice pwv;
        struct slice stored;
        bool fits; /* account 7 */
    } rows[] = {
        {7, SLICE(PWV), STORED, true},
        {7, SLICE(PWV), STORED_REHASHED, true},
        {7, SLICE(PWV), STORED_CHANGED, false},
        {7, SLICE(PWV), SLICE("garbled"), false},
        {7, SLICE(PWV), none, false},
        {8, SLICE(PWV), STORED, false},
        {0, SLICE(PWV), STORED, true},
        {0, SLICE(PWV), STORED_CHANGED, false},
        {7, none, STORED_CHANGED, true},
        {8, none, STORED, false},
        {6, none, STORED, false},
        {0, none, STORED, true}, /* of the Python app */
        {7, SLICE(""), STORED, false},
        {7, SLICE("0"), STORED, false},
        {7, SLICE(PWV "0"), STORED, false},
        {7, SLICE("0000000000000000"), STORED, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct token_claims c = {.sub = EMAIL, .uid = rows[i].uid, .pwv = rows[i].pwv};
        if (token_fits(w->tokens, &c, 7, rows[i].stored) != rows[i].fits)
            fail_msg("row %zu", i);
    }
}

static void test_session_over(void **state)
{
    struct world *w = *state;
    static const struct {
        int64_t auth_time_s;
        bool over;
    } rows[] = {{0, false},
                {NOW, false},
                {NOW - 30 * DAY + 1, false},
                {NOW - 30 * DAY, true},
                {1, true},
                {INT64_MAX, false},
                {NOW + 5, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct token_claims c = {.auth_time_s = rows[i].auth_time_s};
        assert_int_equal(token_session_over(w->tokens, &c, NOW), rows[i].over);
    }
}

/* ---- the cache ------------------------------------------------------------------------------ */

static struct token_cache cache;

static void put(int i, size_t sub_len)
{
    char token[64];
    char sub[TOKEN_CACHE_TEXT_MAX + 1];
    memset(sub, 's', sizeof sub);
    int len = snprintf(token, sizeof token, "token %d", i);
    struct token_claims c = {.sub = {sub, sub_len}, .exp_s = i, .uid = i + 1, .pwv = SLICE("p")};
    token_cache_put(&cache, (struct slice){token, (size_t)len}, &c);
}

static bool is_cached(int i)
{
    char token[64];
    int len = snprintf(token, sizeof token, "token %d", i);
    struct token_claims c;
    if (!token_cache_find(&cache, (struct slice){token, (size_t)len}, &c))
        return false;
    assert_int_equal(c.exp_s, i);
    assert_int_equal(c.uid, i + 1);
    assert_true(slice_equals(c.pwv, SLICE("p")));
    return true;
}

static void test_cache_keeps_the_recent(void **state)
{
    memset(&cache, 0, sizeof cache);
    token_cache_init(&cache);
    assert_false(is_cached(0));
    put(0, 5);
    for (int i = 1; i < 20000; i++) {
        put(i, 5);
        assert_true(is_cached(i));
        assert_true(is_cached(0)); /* in use all the time: never the oldest */
    }
    int kept = 0;
    for (int i = 0; i < 20000; i++)
        kept += is_cached(i);
    /* full by now: the chance that one of 256 sets got fewer than 4 of 20000 is nil */
    assert_int_equal(kept, TOKEN_CACHE_SETS * TOKEN_CACHE_WAYS);
}

static void test_cache_of_one_token_holds_one_place(void **state)
{
    memset(&cache, 0, sizeof cache);
    token_cache_init(&cache);
    for (int i = 0; i < 10; i++)
        put(1, 5);
    int used = 0;
    for (int s = 0; s < TOKEN_CACHE_SETS; s++)
        for (int k = 0; k < TOKEN_CACHE_WAYS; k++)
            used += cache.entries[s][k].used != 0;
    assert_int_equal(used, 1);
}

static void test_cache_bounds(void **state)
{
    static const struct {
        size_t sub_len;
        bool kept;
    } rows[] = {{TOKEN_CACHE_TEXT_MAX - 8, true},
                {TOKEN_CACHE_TEXT_MAX - 7, false},
                {TOKEN_CACHE_TEXT_MAX, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&cache, 0, sizeof cache);
        token_cache_init(&cache);
        put(1, rows[i].sub_len); /* 7 bytes of token, 1 of pwv */
        assert_int_equal(is_cached(1), rows[i].kept);
    }
}

/* A verified token longer than an entry still works, each time anew. */
static void test_long_address(void **state)
{
    struct world *w = *state;
    char email[1000];
    memset(email, 'a', sizeof email);
    struct slice sub = {email, sizeof email};
    struct slice token = token_issue(w->tokens, &w->arena, sub, 7, STORED, 0, NOW);
    for (int pass = 0; pass < 2; pass++) {
        struct token_claims c;
        assert_int_equal(token_verify(w->tokens, &w->arena, token, NOW, &c), TOKEN_VALID);
        assert_true(slice_equals(c.sub, sub));
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cases),
        CASE(test_claims_of_python_and_own),
        CASE(test_every_byte_counts),
        CASE(test_sizes_and_nul),
        CASE(test_expiry_is_checked_at_each_use),
        CASE(test_verify_without_memory),
        CASE(test_verify_short_of_memory),
        CASE(test_issued_token),
        CASE(test_round_trip),
        CASE(test_other_secret),
        CASE(test_tokens_of_previous_keys),
        CASE(test_only_the_present_key_signs),
        CASE(test_expiry_of_issued),
        CASE(test_kept_out_of_core_dumps),
        CASE(test_issue_without_memory),
        CASE(test_fits),
        CASE(test_session_over),
        CASE(test_cache_keeps_the_recent),
        CASE(test_cache_of_one_token_holds_one_place),
        CASE(test_cache_bounds),
        CASE(test_long_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
