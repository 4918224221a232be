/* strength.c: see strength.h. Copies of the password are on the stack, and wiped. */
#include "worker/validate/strength.h"

#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/common.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>

enum {
    CHAR_MAX_BYTES = 4,
    FOLDED_MAX_BYTES = 3 * CHAR_MAX_BYTES * STRENGTH_MAX_CHARS, /* one character folds to three at most */
};

/* A text without regard to case (Unicode 3.13, "full case folding"). */
struct folded {
    size_t len; /* 0: it was empty, or longer than any password becomes */
    uint8_t bytes[FOLDED_MAX_BYTES];
};

static void fold(struct slice text, struct folded *folded_r)
{
    size_t len = sizeof folded_r->bytes;
    folded_r->len = 0;
    if (text.len == 0 || text.len > CHAR_MAX_BYTES * STRENGTH_MAX_CHARS)
        return;
    uint8_t *made = u8_casefold((const uint8_t *)text.ptr, text.len, NULL, NULL, folded_r->bytes, &len);
    if (made == folded_r->bytes)
        folded_r->len = len;
    else if (made)
        free(made); /* it cannot be: there is room for the longest */
}

static struct slice bytes_of(const struct folded *f)
{
    return (struct slice){(const char *)f->bytes, f->len};
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

static bool is_common(struct slice folded)
{
    struct slice stem = folded;
    while (stem.len > 0 && !is_letter(stem.ptr[stem.len - 1]))
        stem.len--;
    return common_has(&common_list, folded) || common_has(&common_list, stem);
}

/* The whole is its first *period* bytes over and over, at least twice. */
static bool has_period(struct slice s, size_t period)
{
    return memcmp(s.ptr, s.ptr + period, s.len - period) == 0;
}

static bool is_repeated(struct slice s, size_t min_chars)
{
    for (size_t period = 1; 2 * period <= s.len; period++)
        if (has_period(s, period))
            return utf8_count((struct slice){s.ptr, period}) < min_chars;
    return false;
}

/* From each character to the next it is one step, always the same way; behind 9 comes 0. */
static bool is_run(struct slice s)
{
    bool up = true, down = true;
    for (size_t i = 1; i < s.len; i++) {
        char a = s.ptr[i - 1], b = s.ptr[i];
        up &= b == a + 1 || (a == '9' && b == '0');
        down &= b == a - 1 || (a == '0' && b == '9');
    }
    return up || down;
}

static bool is_same(struct slice folded, struct slice other)
{
    struct folded f;
    fold(other, &f);
    return f.len > 0 && slice_equals(folded, bytes_of(&f));
}

static enum strength judge(struct slice folded, size_t min_chars, struct slice username,
                           struct slice email)
{
    struct slice rest = email;
    if (is_common(folded))
        return STRENGTH_COMMON;
    if (is_repeated(folded, min_chars) || is_run(folded))
        return STRENGTH_REPEATED;
    if (is_same(folded, username))
        return STRENGTH_NAME;
    if (is_same(folded, email) || is_same(folded, slice_split(&rest, '@')))
        return STRENGTH_EMAIL;
    return STRENGTH_GOOD;
}

enum strength strength_of(struct slice password, size_t min_chars, struct slice username,
                          struct slice email)
{
    size_t chars = utf8_count(password);
    if (chars < min_chars || chars == 0)
        return STRENGTH_TOO_SHORT;
    if (chars > STRENGTH_MAX_CHARS)
        return STRENGTH_TOO_LONG;
    struct folded f;
    fold(password, &f);
    enum strength strength = judge(bytes_of(&f), min_chars, username, email);
    explicit_bzero(&f, sizeof f);
    return strength;
}

const char *strength_words(enum strength strength)
{
    switch (strength) {
    case STRENGTH_COMMON:
        return "the password is one of those that people use most";
    case STRENGTH_REPEATED:
        return "the password repeats a few characters, or counts them up";
    case STRENGTH_NAME:
        return "the password is the username";
    case STRENGTH_EMAIL:
        return "the password is the email address";
    case STRENGTH_GOOD:
    case STRENGTH_TOO_SHORT:
    case STRENGTH_TOO_LONG:
        break;
    }
    UNREACHABLE();
}
