/* jsonw.c: see jsonw.h. */
#include "shared/jsonw.h"

#include "shared/utf8.h"

#include <string.h>

/* Room for a value of up to len bytes: where it begins, behind the comma if there must be one. NULL
 * without memory. What was written ends with end_value(). */
static char *begin_value(struct jsonw *w, size_t len)
{
    char *at = buf_reserve(w->out, len + 1);
    if (at && w->comma)
        *at++ = ',';
    w->comma = true;
    return at;
}

static char *put(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static void end_value(struct jsonw *w, const char *end)
{
    w->out->len = (size_t)(end - w->out->data);
}

static void open_with(struct jsonw *w, char c)
{
    char *at = begin_value(w, 1);
    if (at) {
        *at++ = c;
        end_value(w, at);
    }
    w->comma = false;
}

static void close_with(struct jsonw *w, char c)
{
    buf_append_char(w->out, c);
    w->comma = true;
}

void jsonw_object_open(struct jsonw *w)
{
    open_with(w, '{');
}

void jsonw_object_close(struct jsonw *w)
{
    close_with(w, '}');
}

void jsonw_array_open(struct jsonw *w)
{
    open_with(w, '[');
}

void jsonw_array_close(struct jsonw *w)
{
    close_with(w, ']');
}

/* What a byte becomes: 0 itself, 'u' \u00xx, 'c' itself in a character above ASCII, else the letter
 * after the backslash. */
static const char escape_letter[256] = {
#define U8  'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u'
#define C8  'c', 'c', 'c', 'c', 'c', 'c', 'c', 'c'
#define C64 C8, C8, C8, C8, C8, C8, C8, C8
    U8,  'b', 't', 'n',         'u',           'f',          'r', 'u',
    'u', U8,  U8,  ['"'] = '"', ['\\'] = '\\', [0x80] = C64, C64,
#undef C64
#undef C8
#undef U8
};

/* Whether eight bytes stand for themselves: ASCII, none below 0x20, no quote, no backslash. Each
 * test leaves a byte's highest bit where it holds, and nothing where none does; carries may add to
 * that, not take away from it. */
static bool eight_are_plain(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highest = ones * 0x80;
    uint64_t v;
    memcpy(&v, at, sizeof v);
    uint64_t quote = v ^ ones * '"', backslash = v ^ ones * '\\';
    uint64_t odd = v | (v - ones * 0x20) | (quote - ones) | (backslash - ones);
    return (odd & highest) == 0;
}

/* Where the ASCII that stands for itself ends, from len on. */
static size_t ascii_end(struct slice bytes, size_t len)
{
    while (len < bytes.len && !escape_letter[(unsigned char)bytes.ptr[len]])
        len++;
    return len;
}

/* How many of its first bytes stand for themselves: no escape, well-formed UTF-8. */
static size_t plain_len(struct slice bytes)
{
    size_t len = 0;
    while (bytes.len - len >= 8 && eight_are_plain(bytes.ptr + len))
        len += 8;
    len = ascii_end(bytes, len);
    while (len < bytes.len && (unsigned char)bytes.ptr[len] >= 0x80) {
        size_t end = len;
        if (utf8_next(bytes, &end) == UTF8_INVALID)
            break;
        len = ascii_end(bytes, end);
    }
    return len;
}

/* Appends what the text at *at becomes, which does not stand for itself. */
static void escape_one(struct buf *out, struct slice bytes, size_t *at)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t c = utf8_next_wide(bytes, at);
    if (c >= 0x80)
        utf8_append(out, UTF8_REPLACEMENT);
    else if (escape_letter[c] == 'u')
        buf_append(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    else
        buf_append(out, (char[]){'\\', escape_letter[c]}, 2);
}

void jsonw_escape(struct buf *out, struct slice bytes)
{
    for (;;) {
        size_t at = plain_len(bytes);
        buf_append(out, bytes.ptr, at);
        if (at == bytes.len)
            return;
        escape_one(out, bytes, &at);
        bytes.ptr += at;
        bytes.len -= at;
    }
}

/* Text that needs no escape, as most does not, is written in one go. */
static void quoted(struct jsonw *w, struct slice s)
{
    size_t plain = plain_len(s);
    char *at = begin_value(w, plain + 2);
    if (!at)
        return;
    *at++ = '"';
    at = put(at, (struct slice){s.ptr, plain});
    if (plain == s.len)
        *at++ = '"';
    end_value(w, at);
    if (plain == s.len)
        return;
    jsonw_escape(w->out, (struct slice){s.ptr + plain, s.len - plain});
    buf_append_char(w->out, '"');
}

void jsonw_name(struct jsonw *w, struct slice name)
{
    quoted(w, name);
    buf_append_char(w->out, ':');
    w->comma = false;
}

void jsonw_written_name(struct jsonw *w, struct slice name)
{
    jsonw_raw(w, name);
    w->comma = false;
}

void jsonw_string(struct jsonw *w, struct slice value)
{
    quoted(w, value);
}

void jsonw_i64(struct jsonw *w, int64_t value)
{
    char *at = begin_value(w, 20);
    if (at)
        end_value(w, at + str_i64(at, value));
}

void jsonw_u64(struct jsonw *w, uint64_t value)
{
    char *at = begin_value(w, 20);
    if (at)
        end_value(w, at + str_u64(at, value));
}

void jsonw_bool(struct jsonw *w, bool value)
{
    jsonw_raw(w, value ? SLICE("true") : SLICE("false"));
}

void jsonw_null(struct jsonw *w)
{
    jsonw_raw(w, SLICE("null"));
}

void jsonw_raw(struct jsonw *w, struct slice json)
{
    char *at = begin_value(w, json.len);
    if (at)
        end_value(w, put(at, json));
}
