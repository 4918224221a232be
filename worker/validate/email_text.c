/* email_text.c: why an address is refused, and the characters shown in such sentences. */
#include "shared/utf8.h"
#include "worker/validate/email_internal.h"
#include "worker/validate/unicode.h"

#include <stdarg.h>
#include <stdlib.h>

bool email_fail(struct email_check *e, struct slice reason)
{
    e->reason = reason;
    return false;
}

bool email_no_memory(struct email_check *e)
{
    e->no_memory = true;
    return false;
}

bool email_failf(struct email_check *e, const char *format, ...)
{
    struct buf text = buf_in_arena(e->arena);
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&text, format, ap);
    va_end(ap);
    return text.failed ? email_no_memory(e) : email_fail(e, buf_slice(&text));
}

static int compare_chars(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static int compare_shown(const void *left, const void *right)
{
    const struct slice *a = left, *b = right;
    size_t shorter = a->len < b->len ? a->len : b->len;
    int by_bytes = memcmp(a->ptr, b->ptr, shorter);
    return by_bytes ? by_bytes : a->len < b->len ? -1 : a->len > b->len;
}

/* Sorts and makes unique; returns how many are left. */
static size_t sort_chars(uint32_t *chars, size_t len)
{
    size_t kept = 0;
    qsort(chars, len, sizeof *chars, compare_chars);
    for (size_t i = 0; i < len; i++)
        if (i == 0 || chars[i] != chars[i - 1])
            chars[kept++] = chars[i];
    return kept;
}

/* How each of the characters is shown. NULL without memory. */
static struct slice *show_chars(struct arena *a, const uint32_t *chars, size_t len)
{
    struct slice *shown = arena_alloc(a, len * sizeof *shown);
    struct buf all = buf_in_arena(a);
    if (!shown)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        size_t start = all.len;
        unicode_append_display(&all, chars[i]);
        shown[i].len = all.len - start;
    }
    if (all.failed)
        return NULL;
    const char *at = all.data;
    for (size_t i = 0; i < len; i++) {
        shown[i].ptr = at;
        at += shown[i].len;
    }
    return shown;
}

/* The sentence about some characters (at least one). by_display: in the order of what is shown,
 * else of the characters. */
static bool fail_with_chars(struct email_check *e, uint32_t *chars, size_t len, bool by_display,
                            const char *before, const char *after)
{
    len = sort_chars(chars, len);
    struct slice *shown = show_chars(e->arena, chars, len);
    if (!shown)
        return email_no_memory(e);
    if (by_display)
        qsort(shown, len, sizeof *shown, compare_shown);
    struct buf text = buf_in_arena(e->arena);
    buf_append_slice(&text, slice_of(before));
    for (size_t i = 0; i < len; i++) {
        if (i)
            buf_append_slice(&text, SLICE(", "));
        buf_append_slice(&text, shown[i]);
    }
    buf_append_slice(&text, slice_of(after));
    return text.failed ? email_no_memory(e) : email_fail(e, buf_slice(&text));
}

bool email_no_bad_chars(struct email_check *e, struct slice text, bool (*bad)(uint32_t c),
                        const char *before, const char *after)
{
    size_t len = 0;
    for (size_t at = 0; at < text.len;)
        len += bad(utf8_next(text, &at));
    if (len == 0)
        return true;
    uint32_t *chars = arena_alloc(e->arena, len * sizeof *chars);
    if (!chars)
        return email_no_memory(e);
    len = 0;
    for (size_t at = 0; at < text.len;) {
        uint32_t c = utf8_next(text, &at);
        if (bad(c))
            chars[len++] = c;
    }
    return fail_with_chars(e, chars, len, true, before, after);
}

/* U+0020 and the other characters of category Zs. */
static bool is_space_separator(uint32_t c)
{
    return unicode_category(c) == 'Z' && c != 0x2028 && c != 0x2029;
}

static bool is_unsafe(uint32_t c, bool first, bool allow_space)
{
    switch (unicode_category(c)) {
    case 'L':
    case 'N':
    case 'P':
    case 'S':
        return false;
    case 'M': /* would join with what stands before the address, or the @ */
        return first;
    case 'Z':
        return !(allow_space && is_space_separator(c));
    default:
        return true;
    }
}

bool email_no_unsafe_chars(struct email_check *e, struct slice text, bool allow_space)
{
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        bool first = at == 0;
        len += is_unsafe(utf8_next(text, &at), first, allow_space);
    }
    if (len == 0)
        return true;
    uint32_t *chars = arena_alloc(e->arena, len * sizeof *chars);
    if (!chars)
        return email_no_memory(e);
    len = 0;
    for (size_t at = 0; at < text.len;) {
        bool first = at == 0;
        uint32_t c = utf8_next(text, &at);
        if (is_unsafe(c, first, allow_space))
            chars[len++] = c;
    }
    return fail_with_chars(e, chars, len, false,
                           "The email address contains unsafe characters: ", ".");
}

bool email_is_atext(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && c < 0x80 && strchr("_!#$%&'*+-/=?^`{|}~", (int)c));
}
