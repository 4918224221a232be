/* percent.c: see percent.h. The text is cut into runs of ASCII, decoded to bytes and read as UTF-8
 * each by itself, and single raw bytes above 0x7f: the order in which urllib.parse.unquote works.
 */
#include "worker/validate/percent.h"

#include "shared/utf8.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '%' || s.ptr[i] == '+' || !is_ascii(s.ptr[i]))
            return false;
    return true;
}

/* The bytes an ASCII run stands for, at *out* (run.len bytes); returns how many. */
static size_t decode_run(struct slice run, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < run.len; i++) {
        char c = run.ptr[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%' && run.len - i > 2) {
            int high = hex_digit(run.ptr[i + 1]), low = hex_digit(run.ptr[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            }
        }
        out[len++] = c;
    }
    return len;
}

struct slice percent_decode(struct arena *a, struct slice s)
{
    const struct slice none = {NULL, 0};
    if (is_plain(s))
        return s.ptr ? s : SLICE("");
    char *bytes = arena_alloc(a, s.len);
    if (!bytes)
        return none;
    struct buf out = buf_in_arena(a);
    for (size_t at = 0; at < s.len;) {
        size_t start = at;
        while (at < s.len && is_ascii(s.ptr[at]))
            at++;
        size_t len = decode_run((struct slice){s.ptr + start, at - start}, bytes);
        struct slice text = utf8_replace(a, (struct slice){bytes, len});
        if (!text.ptr)
            return none;
        buf_append_slice(&out, text);
        if (at < s.len)
            utf8_append(&out, (unsigned char)s.ptr[at++]);
    }
    return out.failed ? none : buf_slice(&out);
}

bool percent_next_pair(struct slice *rest, struct slice *name_r, struct slice *value_r)
{
    struct slice pair = {NULL, 0};
    while (rest->ptr && pair.len == 0)
        pair = slice_split(rest, '&');
    if (pair.len == 0)
        return false;
    *name_r = slice_split(&pair, '=');
    *value_r = pair.ptr ? pair : SLICE("");
    return true;
}
