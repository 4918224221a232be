/* pyint.c: see pyint.h. The steps are pydantic-core's (str_as_int): plain digits first, then once
 * more after cleaning. Its oddities are kept: zeros in front may hold any underscores ("0__1"), and
 * a minus may follow them ("0-5"). */
#include "worker/validate/pyint.h"

#include "worker/validate/unicode.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_with(struct slice s, char c)
{
    return s.len && s.ptr[0] == c;
}

static struct slice skip(struct slice s, size_t n)
{
    return (struct slice){s.ptr + n, s.len - n};
}

/* The digits after a sign are too many to be looked at: only when nothing needs cleaning. */
static bool is_too_long(struct slice s)
{
    size_t digits = 0;
    if (starts_with(s, '-'))
        s = skip(s, 1);
    if (starts_with(s, '0'))
        return false;
    while (digits < s.len && is_digit(s.ptr[digits]))
        digits++;
    return digits > PYINT_DIGITS_MAX;
}

/* Without zeros in front; one stays when nothing else, or a '.', follows. False: malformed. */
static bool strip_zeros(struct slice *s)
{
    if (s->len == 0 || !is_digit(s->ptr[0]))
        return false;
    if (s->ptr[0] != '0')
        return true;
    for (size_t i = 1; i < s->len; i++) {
        char c = s->ptr[i];
        if (c == '0' || c == '_')
            continue;
        if (c != '.' && c != '-' && !is_digit(c))
            return false;
        *s = skip(*s, c == '.' ? i - 1 : i);
        return true;
    }
    *s = skip(*s, s->len - 1);
    return true;
}

static void cut_zero_fraction(struct slice *s)
{
    const char *dot = memchr(s->ptr, '.', s->len);
    if (!dot)
        return;
    size_t before = (size_t)(dot - s->ptr), zeros = 0;
    while (before + 1 + zeros < s->len && dot[1 + zeros] == '0')
        zeros++;
    if (zeros > 0 && before + 1 + zeros == s->len)
        s->len = before;
}

/* Underscores at an end, or two together, are left in place, where they are malformed. */
static bool may_drop_underscores(struct slice s)
{
    if (s.len == 0 || s.ptr[0] == '_' || s.ptr[s.len - 1] == '_')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (s.ptr[i] == '_' && s.ptr[i - 1] == '_')
            return false;
    return true;
}

static void push_digit(struct pyint *n, bool negative, int digit)
{
    int64_t next;
    if (n->overflow)
        return;
    if (__builtin_mul_overflow(n->value, 10, &next) ||
        __builtin_add_overflow(next, negative ? -digit : digit, &next)) {
        n->overflow = true;
        next = negative ? INT64_MIN : INT64_MAX;
    }
    n->value = next;
}

/* The cleaned text: "-"? digits, without zeros in front, underscores to be dropped. */
static enum pyint_result parse_cleaned(struct slice s, bool negative, struct pyint *value_r)
{
    struct pyint n = {0, false};
    bool drop = may_drop_underscores(s);
    size_t digits = 0;
    bool zero_first = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '_' && drop)
            continue;
        if (c == '-' && i == 0 && !negative) {
            negative = true;
            continue;
        }
        if (!is_digit(c) || zero_first || ++digits > PYINT_DIGITS_MAX)
            return PYINT_MALFORMED;
        zero_first = digits == 1 && c == '0';
        push_digit(&n, negative, c - '0');
    }
    if (digits == 0)
        return PYINT_MALFORMED;
    *value_r = n;
    return PYINT_OK;
}

enum pyint_result pyint_parse(struct slice text, struct pyint *value_r)
{
    if (is_too_long(text))
        return PYINT_TOO_LONG;
    struct slice s = unicode_trim(text, unicode_is_white);
    bool negative = false;
    if (starts_with(s, '+')) {
        s = skip(s, 1);
        if (starts_with(s, '-'))
            return PYINT_MALFORMED;
    }
    if (starts_with(s, '-')) {
        negative = true;
        s = skip(s, 1);
    }
    if (!strip_zeros(&s))
        return PYINT_MALFORMED;
    cut_zero_fraction(&s);
    return parse_cleaned(s, negative, value_r);
}
