/* utf8.c: see utf8.h. The table of well-formed sequences is Unicode 3.9, table 3-7. */
#include "shared/utf8.h"

#include "shared/check.h"

static bool is_surrogate(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

/* What a lead byte announces: how many continuation bytes, and the range of the first of them. */
struct lead {
    uint8_t more; /* 0: not a lead byte */
    uint8_t low, high;
};

static struct lead lead_of(unsigned char c, bool wide)
{
    if (c >= 0xC2 && c <= 0xDF)
        return (struct lead){1, 0x80, 0xBF};
    if (c == 0xE0)
        return (struct lead){2, 0xA0, 0xBF};
    if (c == 0xED)
        return (struct lead){2, 0x80, wide ? 0xBF : 0x9F};
    if (c >= 0xE1 && c <= 0xEF)
        return (struct lead){2, 0x80, 0xBF};
    if (c == 0xF0)
        return (struct lead){3, 0x90, 0xBF};
    if (c >= 0xF1 && c <= 0xF3)
        return (struct lead){3, 0x80, 0xBF};
    if (c == 0xF4)
        return (struct lead){3, 0x80, 0x8F};
    return (struct lead){0, 0, 0};
}

static uint32_t next(struct slice s, size_t *at, bool wide)
{
    ASSERT(*at < s.len);
    unsigned char c = (unsigned char)s.ptr[(*at)++];
    if (c < 0x80)
        return c;
    struct lead lead = lead_of(c, wide);
    if (!lead.more)
        return UTF8_INVALID;
    uint32_t value = c & (0x3Fu >> lead.more);
    for (unsigned i = 0; i < lead.more; i++) {
        if (*at == s.len)
            return UTF8_INVALID;
        unsigned char t = (unsigned char)s.ptr[*at];
        if (t < (i ? 0x80 : lead.low) || t > (i ? 0xBF : lead.high))
            return UTF8_INVALID;
        value = value << 6 | (t & 0x3F);
        (*at)++;
    }
    return value;
}

uint32_t utf8_next(struct slice s, size_t *at)
{
    return next(s, at, false);
}

uint32_t utf8_next_wide(struct slice s, size_t *at)
{
    return next(s, at, true);
}

size_t utf8_put(char *out, uint32_t c)
{
    ASSERT(c <= 0x10FFFF);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(marks[more] | c);
    return more + 1;
}

void utf8_append(struct buf *b, uint32_t c)
{
    char bytes[4];
    buf_append(b, bytes, utf8_put(bytes, c));
}

bool utf8_is_valid_wide(struct slice s, bool *surrogates_r)
{
    *surrogates_r = false;
    for (size_t at = 0; at < s.len;) {
        uint32_t c = next(s, &at, true);
        if (c == UTF8_INVALID)
            return false;
        if (is_surrogate(c))
            *surrogates_r = true;
    }
    return true;
}

bool utf8_is_valid(struct slice s)
{
    bool surrogates;
    return utf8_is_valid_wide(s, &surrogates) && !surrogates;
}

size_t utf8_count(struct slice s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return count;
}

struct slice utf8_replace(struct arena *a, struct slice s)
{
    if (utf8_is_valid(s))
        return s;
    struct buf out = buf_in_arena(a);
    for (size_t at = 0; at < s.len;) {
        uint32_t c = utf8_next(s, &at);
        utf8_append(&out, c == UTF8_INVALID ? UTF8_REPLACEMENT : c);
    }
    return out.failed ? (struct slice){NULL, 0} : buf_slice(&out);
}
