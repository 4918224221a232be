/* unicode.c: see unicode.h. Character data is libunistring's. */
#include "worker/validate/unicode.h"

#include "shared/utf8.h"

#include <stdlib.h>
#include <unictype.h>
#include <uniname.h>
#include <uninorm.h>

bool unicode_is_white(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 0x1C && c <= 0x1F) || unicode_is_white(c);
}

/* Where the last character of s begins. */
static size_t last_start(struct slice s)
{
    size_t at = s.len - 1;
    while (at > 0 && ((unsigned char)s.ptr[at] & 0xC0) == 0x80)
        at--;
    return at;
}

struct slice unicode_trim(struct slice s, bool (*is)(uint32_t c))
{
    while (s.len) {
        size_t at = 0;
        if (!is(utf8_next(s, &at)))
            break;
        s = (struct slice){s.ptr + at, s.len - at};
    }
    while (s.len) {
        size_t at = last_start(s), start = at;
        if (!is(utf8_next(s, &at)))
            break;
        s.len = start;
    }
    return s;
}

char unicode_category(uint32_t c)
{
    return uc_general_category_name(uc_general_category(c))[0];
}

bool unicode_is_word(uint32_t c)
{
    char category = unicode_category(c);
    return c == '_' || category == 'L' || category == 'N';
}

static bool is_seen(uint32_t c)
{
    char category = unicode_category(c);
    return category == 'L' || category == 'N' || category == 'P' || category == 'S';
}

void unicode_append_display(struct buf *b, uint32_t c)
{
    char name[UNINAME_MAX];
    if (is_seen(c)) {
        char quote = c == '\'' || c == '\\' ? '"' : '\'';
        buf_append_char(b, quote);
        utf8_append(b, c);
        buf_append_char(b, quote);
    } else if (unicode_character_name(c, name)) {
        buf_append_slice(b, slice_of(name));
    } else {
        buf_printf(b, c < 0xFFFF ? "U+%04X" : "U+%08X", (unsigned)c);
    }
}

static void append_repr_char(struct buf *b, uint32_t c, char quote)
{
    if (c == '\t' || c == '\n' || c == '\r')
        buf_printf(b, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : 'r');
    else if (c == (uint32_t)quote || c == '\\')
        buf_printf(b, "\\%c", (int)c);
    else if (c == ' ' || is_seen(c) || unicode_category(c) == 'M')
        utf8_append(b, c);
    else
        buf_printf(b, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

void unicode_append_repr(struct buf *b, struct slice s)
{
    bool single = s.len && memchr(s.ptr, '\'', s.len), twin = s.len && memchr(s.ptr, '"', s.len);
    char quote = single && !twin ? '"' : '\'';
    buf_append_char(b, quote);
    for (size_t at = 0; at < s.len;)
        append_repr_char(b, utf8_next(s, &at), quote);
    buf_append_char(b, quote);
}

struct slice unicode_nfc(struct arena *a, struct slice s)
{
    const struct slice none = {NULL, 0};
    bool ascii = true;
    for (size_t i = 0; ascii && i < s.len; i++)
        ascii = (unsigned char)s.ptr[i] < 0x80;
    if (ascii)
        return s;
    size_t len = 0;
    uint8_t *normal = u8_normalize(UNINORM_NFC, (const uint8_t *)s.ptr, s.len, NULL, &len);
    if (!normal)
        return none;
    struct slice made = {(const char *)normal, len};
    struct slice result = slice_equals(made, s) ? s : slice_dup(a, made);
    free(normal);
    return result;
}
