/* jsonw.c: see jsonw.h. */
#include "shared/jsonw.h"

static void before_value(struct jsonw *w)
{
    if (w->comma)
        buf_append_char(w->out, ',');
    w->comma = true;
}

static void open_with(struct jsonw *w, char c)
{
    before_value(w);
    buf_append_char(w->out, c);
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

/* What a byte becomes: 0 itself, 'u' \u00xx, else the letter after the backslash. */
static char escape_letter(unsigned char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

void jsonw_escape(struct buf *out, struct slice bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t clean = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        char letter = escape_letter(c);
        if (!letter)
            continue;
        buf_append(out, bytes.ptr + clean, i - clean);
        clean = i + 1;
        if (letter == 'u')
            buf_append(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        else
            buf_append(out, (char[]){'\\', letter}, 2);
    }
    buf_append(out, bytes.ptr + clean, bytes.len - clean);
}

static void quoted(struct jsonw *w, struct slice s)
{
    buf_append_char(w->out, '"');
    jsonw_escape(w->out, s);
    buf_append_char(w->out, '"');
}

void jsonw_name(struct jsonw *w, struct slice name)
{
    before_value(w);
    quoted(w, name);
    buf_append_char(w->out, ':');
    w->comma = false;
}

void jsonw_string(struct jsonw *w, struct slice value)
{
    before_value(w);
    quoted(w, value);
}

void jsonw_i64(struct jsonw *w, int64_t value)
{
    char digits[24];
    before_value(w);
    buf_append(w->out, digits, str_i64(digits, value));
}

void jsonw_u64(struct jsonw *w, uint64_t value)
{
    char digits[24];
    before_value(w);
    buf_append(w->out, digits, str_u64(digits, value));
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
    before_value(w);
    buf_append_slice(w->out, json);
}
