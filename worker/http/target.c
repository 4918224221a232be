/* target.c: see target.h. RFC 9112, 3.2; RFC 3986, 2.1; Unicode 15, section 3.9, table 3-7 and
 * "U+FFFD substitution of maximal subparts". */
#include "worker/http/target.h"

#include <stdint.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in *out*, which has room for as many bytes. True when a byte above ASCII came out. */
static bool decode(struct slice raw, char *out, size_t *len_r)
{
    size_t len = 0;
    bool beyond_ascii = false;
    for (size_t i = 0; i < raw.len; i++) {
        int high = -1;
        int low = -1;
        if (raw.ptr[i] == '%' && raw.len - i > 2) {
            high = hex(raw.ptr[i + 1]);
            low = hex(raw.ptr[i + 2]);
        }
        if (high < 0 || low < 0) {
            out[len++] = raw.ptr[i];
            continue;
        }
        out[len++] = (char)(high << 4 | low);
        beyond_ascii |= high >= 8;
        i += 2;
    }
    *len_r = len;
    return beyond_ascii;
}

/* Length of the well-formed character at s; else *bad_r is set and it is the length of the maximal
 * ill-formed subpart. */
static size_t character(const unsigned char *s, size_t len, bool *bad_r)
{
    unsigned char lead = s[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    *bad_r = need == 0 || lead > 0xf4;
    if (need <= 1 || *bad_r)
        return 1;
    unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < need; i++) {
        if (i == len || s[i] < least || s[i] > most) {
            *bad_r = true;
            return i;
        }
        least = 0x80;
        most = 0xbf;
    }
    return need;
}

/* Copies text with U+FFFD for what is no UTF-8; *out* has room for three times as much. */
static size_t replace_invalid(const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        bool bad;
        size_t part = character((const unsigned char *)text + i, len - i, &bad);
        if (bad) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
        } else {
            memcpy(out + n, text + i, part);
            n += part;
        }
        i += part;
    }
    return n;
}

static bool decode_path(struct arena *a, struct slice raw, struct slice *path_r)
{
    *path_r = raw;
    if (raw.len == 0 || !memchr(raw.ptr, '%', raw.len))
        return true;
    char *decoded = arena_alloc(a, raw.len);
    if (!decoded)
        return false;
    size_t len;
    bool beyond_ascii = decode(raw, decoded, &len);
    *path_r = (struct slice){decoded, len};
    if (!beyond_ascii)
        return true;
    char *text = arena_alloc(a, 3 * len);
    if (!text)
        return false;
    *path_r = (struct slice){text, replace_invalid(decoded, len, text)};
    return true;
}

/* Cuts "scheme://authority" off; *authority_r is {NULL, 0} in other forms than absolute-form. */
static struct slice take_authority(struct slice target, struct slice *authority_r)
{
    *authority_r = (struct slice){NULL, 0};
    if (target.len == 0 || target.ptr[0] == '/')
        return target;
    const char *at = memmem(target.ptr, target.len, "://", 3);
    if (!at)
        return target; /* "*", or CONNECT's authority-form */
    at += 3;
    const char *end = target.ptr + target.len;
    const char *begin = at;
    while (at < end && *at != '/' && *at != '?')
        at++;
    *authority_r = (struct slice){begin, (size_t)(at - begin)};
    return (struct slice){at, (size_t)(end - at)};
}

void target_parts(struct slice target, struct target *target_r)
{
    struct slice rest = take_authority(target, &target_r->authority);
    target_r->raw_path = slice_split(&rest, '?');
    target_r->query = rest;
    if (target_r->raw_path.len == 0)
        target_r->raw_path = SLICE("/");
    target_r->path = (struct slice){NULL, 0};
}

bool target_split(struct arena *a, struct slice target, struct target *target_r)
{
    target_parts(target, target_r);
    return decode_path(a, target_r->raw_path, &target_r->path);
}
