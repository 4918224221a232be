/* json_decode.c: from the bytes of a body to UTF-8, by the rules of Python's json.detect_encoding:
 * a byte order mark, else the pattern of zero bytes that two ASCII characters leave at the start.
 */
#include "shared/utf8.h"
#include "worker/validate/json_internal.h"

#include <stdint.h>

enum encoding { ENC_UTF8, ENC_UTF16LE, ENC_UTF16BE, ENC_UTF32LE, ENC_UTF32BE };

static bool cut_mark(struct slice *s, struct slice mark)
{
    if (!slice_starts_with(*s, mark))
        return false;
    s->ptr += mark.len;
    s->len -= mark.len;
    return true;
}

/* Also cuts the byte order mark off. UTF-32's marks are looked for first: UTF-16LE's is a prefix.
 */
static enum encoding detect(struct slice *s)
{
    if (cut_mark(s, SLICE("\x00\x00\xFE\xFF")))
        return ENC_UTF32BE;
    if (cut_mark(s, SLICE("\xFF\xFE\x00\x00")))
        return ENC_UTF32LE;
    if (cut_mark(s, SLICE("\xFE\xFF")))
        return ENC_UTF16BE;
    if (cut_mark(s, SLICE("\xFF\xFE")))
        return ENC_UTF16LE;
    if (cut_mark(s, SLICE("\xEF\xBB\xBF")))
        return ENC_UTF8;
    const char *b = s->ptr;
    if (s->len >= 4) {
        if (!b[0])
            return b[1] ? ENC_UTF16BE : ENC_UTF32BE;
        if (!b[1])
            return b[2] || b[3] ? ENC_UTF16LE : ENC_UTF32LE;
    } else if (s->len == 2) {
        if (!b[0])
            return ENC_UTF16BE;
        if (!b[1])
            return ENC_UTF16LE;
    }
    return ENC_UTF8;
}

/* The unit of *size* bytes at p. */
static uint32_t unit_at(const char *p, size_t size, bool big)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (unsigned char)p[big ? i : size - 1 - i];
    return value;
}

static bool is_high(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDBFF;
}

static bool is_low(uint32_t c)
{
    return c >= 0xDC00 && c <= 0xDFFF;
}

/* UTF-16 (size 2) or UTF-32 (size 4). Lone surrogates pass, as with errors="surrogatepass". */
static enum json_result convert(struct arena *a, struct slice s, size_t size, bool big,
                                struct slice *utf8_r)
{
    if (s.len % size)
        return JSON_UNDECODABLE;
    char *out = arena_alloc(a, s.len / size * (size == 2 ? 3 : 4));
    if (!out)
        return JSON_NO_MEMORY;
    size_t len = 0;
    for (size_t i = 0; i < s.len; i += size) {
        uint32_t c = unit_at(s.ptr + i, size, big);
        if (c > 0x10FFFF)
            return JSON_UNDECODABLE;
        if (size == 2 && is_high(c) && s.len - i >= 4) {
            uint32_t low = unit_at(s.ptr + i + 2, 2, big);
            if (is_low(low)) {
                c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
                i += 2;
            }
        }
        len += utf8_put(out + len, c);
    }
    *utf8_r = (struct slice){out, len};
    return JSON_OK;
}

enum json_result json_decode(struct arena *a, struct slice text, struct slice *utf8_r)
{
    bool surrogates;
    switch (detect(&text)) {
    case ENC_UTF8:
        *utf8_r = text;
        return utf8_is_valid_wide(text, &surrogates) ? JSON_OK : JSON_UNDECODABLE;
    case ENC_UTF16LE:
        return convert(a, text, 2, false, utf8_r);
    case ENC_UTF16BE:
        return convert(a, text, 2, true, utf8_r);
    case ENC_UTF32LE:
        return convert(a, text, 4, false, utf8_r);
    case ENC_UTF32BE:
        return convert(a, text, 4, true, utf8_r);
    }
    return JSON_UNDECODABLE;
}
