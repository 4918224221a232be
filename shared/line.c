/* line.c: see line.h. */
#include "shared/line.h"

#include "shared/check.h"
#include "shared/clock.h"
#include "shared/jsonw.h"

#include <time.h>

void line_put(struct line *l, const char *bytes, size_t len)
{
    ASSERT(len <= sizeof l->text - l->len);
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

void line_put_string(struct line *l, const char *s)
{
    line_put(l, s, strlen(s));
}

void line_put_u64(struct line *l, uint64_t value)
{
    char digits[20];
    line_put(l, digits, str_u64(digits, value));
}

/* Length of the UTF-8 sequence at p (RFC 3629, section 4), 0 when it is none. C1 controls count as
 * none: terminals obey them. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } rows[] = {
        {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (p[0] < rows[i].first_min || p[0] > rows[i].first_max)
            continue;
        if (left < rows[i].len || p[1] < rows[i].second_min || p[1] > rows[i].second_max)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].len;
    }
    return 0;
}

static bool is_plain(unsigned char c, enum style style)
{
    return c >= 0x20 && c < 0x7f && (style == STYLE_BARE || (c != '"' && c != '\\'));
}

/* Writes what stands for the byte c at out (8 bytes of room); returns the length. */
static size_t escape(unsigned char c, enum style style, char *out)
{
    static const char hex[] = "0123456789abcdef";
    if (style == STYLE_JSON && c < 0x7f) {
        struct buf b = {.data = out, .cap = 8};
        jsonw_escape(&b, (struct slice){(const char *)&c, 1});
        return b.len;
    }
    const char *letter = c ? strchr("\nn\rr\tt\"\"\\\\", c) : NULL;
    if (letter) {
        out[0] = '\\';
        out[1] = letter[1];
        return 2;
    }
    size_t n = 0;
    if (style == STYLE_JSON)
        out[n++] = '\\'; /* the text that a reader of the JSON gets is \xNN */
    out[n++] = '\\';
    out[n++] = 'x';
    out[n++] = hex[c >> 4];
    out[n++] = hex[c & 15];
    return n;
}

/* Length of the next piece of s (a run of plain bytes, or one character), and how it is written. */
static size_t next_piece(struct slice s, enum style style, char *scratch, struct slice *written_r)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = 0;
    while (n < s.len && is_plain(p[n], style))
        n++;
    if (n == 0 && p[0] >= 0x80)
        n = utf8_len(p, s.len);
    if (n > 0) {
        *written_r = (struct slice){s.ptr, n};
        return n;
    }
    *written_r = (struct slice){scratch, escape(p[0], style, scratch)};
    return 1;
}

void line_put_foreign(struct line *l, struct slice s, enum style style, size_t limit)
{
    static const char ellipsis[] = "…";
    enum { ELLIPSIS_LEN = sizeof ellipsis - 1 };
    size_t start = l->len, cut_at = l->len; /* cut_at: where the ellipsis would still fit */
    ASSERT(limit >= ELLIPSIS_LEN && limit <= sizeof l->text - l->len);
    while (s.len) {
        char scratch[8];
        struct slice written;
        size_t taken = next_piece(s, style, scratch, &written);
        size_t left = limit - (l->len - start);
        if (l->len - start <= limit - ELLIPSIS_LEN)
            cut_at = l->len;
        if (written.len > left) {
            if (written.ptr == s.ptr && is_plain((unsigned char)*s.ptr, style)) {
                line_put(l, written.ptr, left); /* a run may be cut anywhere */
                if (left >= ELLIPSIS_LEN)
                    cut_at = l->len - ELLIPSIS_LEN;
            }
            l->len = cut_at;
            line_put(l, ellipsis, ELLIPSIS_LEN);
            return;
        }
        line_put(l, written.ptr, written.len);
        s.ptr += taken;
        s.len -= taken;
    }
}

/* The part up to the second is kept per thread. */
void line_put_time(struct line *l)
{
    static _Thread_local struct {
        int64_t second;
        char text[sizeof "2026-11-20T20:13:37"];
    } kept;
    int64_t now_ms = clock_wall_ms();
    int64_t second = now_ms / 1000;
    unsigned ms = (unsigned)(now_ms % 1000);
    if (second != kept.second || !kept.text[0]) {
        time_t t = (time_t)second;
        struct tm tm;
        if (!gmtime_r(&t, &tm) ||
            strftime(kept.text, sizeof kept.text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            memcpy(kept.text, "0000-00-00T00:00:00", sizeof kept.text);
        kept.second = second;
    }
    line_put_string(l, kept.text);
    line_put(l,
        (char[]){'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                 'Z'},
        5);
}
