/* str.c: see str.h. */
#include "shared/str.h"

#include "shared/check.h"

#include <stdio.h>
#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool slice_equals_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equals((struct slice){s.ptr, prefix.len}, prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           slice_equals((struct slice){s.ptr + (s.len - suffix.len), suffix.len}, suffix);
}

static bool in_set(char c, const char *set)
{
    return c && strchr(set, c);
}

struct slice slice_trim(struct slice s, const char *set)
{
    while (s.len && in_set(s.ptr[0], set)) {
        s.ptr++;
        s.len--;
    }
    while (s.len && in_set(s.ptr[s.len - 1], set))
        s.len--;
    return s;
}

struct slice slice_split(struct slice *rest, char separator)
{
    struct slice all = *rest;
    const char *at = all.len ? memchr(all.ptr, separator, all.len) : NULL;
    if (!at) {
        *rest = (struct slice){NULL, 0};
        return all;
    }
    size_t before = (size_t)(at - all.ptr);
    *rest = (struct slice){at + 1, all.len - before - 1};
    return (struct slice){all.ptr, before};
}

bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value_r)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *value_r = value;
    return true;
}

char *slice_strdup(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return copy;
}

struct slice slice_dup(struct arena *a, struct slice s)
{
    char *copy = arena_dup(a, s.ptr, s.len);
    return copy ? (struct slice){copy, s.len} : (struct slice){NULL, 0};
}

void buf_free(struct buf *b)
{
    if (!b->arena)
        free(b->data);
    *b = (struct buf){.arena = b->arena};
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need) {
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    char *data;
    if (b->arena) {
        data = arena_alloc(b->arena, cap);
        if (data && b->len)
            memcpy(data, b->data, b->len);
    } else {
        data = realloc(b->data, cap);
    }
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

char *buf_grow(struct buf *b, size_t extra)
{
    if (b->failed)
        return NULL;
    if (extra > b->cap - b->len && (extra > SIZE_MAX - b->len || !grow(b, b->len + extra))) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    char *at = buf_reserve(b, len);
    if (!at)
        return;
    memcpy(at, bytes, len);
    b->len += len;
}

void buf_append_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    ASSERT(n >= 0);
    char *at = buf_reserve(b, (size_t)n + 1);
    if (at) {
        vsnprintf(at, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_vprintf(b, format, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t len)
{
    ASSERT(len <= b->len);
    b->len -= len;
    if (b->len && len)
        memmove(b->data, b->data + len, b->len);
}

size_t str_u64(char *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

size_t str_i64(char *out, int64_t value)
{
    if (value >= 0)
        return str_u64(out, (uint64_t)value);
    out[0] = '-';
    return 1 + str_u64(out + 1, 0 - (uint64_t)value);
}
