/* json_string.c: string literals. Where Python complains, and of what, follows its scanstring. */
#include "shared/utf8.h"
#include "worker/validate/json_internal.h"

#include <stdint.h>

/* Escapes of one letter: the letter, what it stands for. */
static const char short_escapes[][2] = {
    {'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
    {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'},
};

/* False when the letter means nothing. */
static bool short_escape(char letter, char *c_r)
{
    for (size_t i = 0; i < sizeof short_escapes / sizeof *short_escapes; i++)
        if (short_escapes[i][0] == letter) {
            *c_r = short_escapes[i][1];
            return true;
        }
    return false;
}

/* The four hex digits at p; false when there are none. Python also wants a character behind them.
 */
static bool hex4(const char *p, const char *end, uint32_t *value_r)
{
    if (end - p < 5)
        return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        value = value << 4 | digit;
    }
    *value_r = value;
    return true;
}

/* \uXXXX with r->at on the u: one code point, two escapes being taken together when they are a
 * pair. Leaves r->at behind what was taken. */
static enum json_result unicode_escape(struct json_reader *r, uint32_t *c_r)
{
    static const char bad[] = "Invalid \\uXXXX escape";
    uint32_t c, low;
    if (!hex4(r->at + 1, r->end, &c))
        return json_fail(r, bad, r->at);
    r->at += 5;
    *c_r = c;
    if (c < 0xD800 || c > 0xDBFF || r->end - r->at < 7 || r->at[0] != '\\' || r->at[1] != 'u')
        return JSON_OK;
    if (!hex4(r->at + 2, r->end, &low))
        return json_fail(r, bad, r->at + 1);
    if (low >= 0xDC00 && low <= 0xDFFF) {
        *c_r = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        r->at += 6;
    }
    return JSON_OK;
}

/* The run without escapes at r->at; leaves r->at on the quote or backslash that ends it. */
static enum json_result skip_run(struct json_reader *r, const char *open)
{
    for (; r->at < r->end; r->at++) {
        unsigned char c = (unsigned char)*r->at;
        if (c == '"' || c == '\\')
            return JSON_OK;
        if (c < 0x20)
            return json_fail(r, "Invalid control character at", r->at);
    }
    return json_fail(r, "Unterminated string starting at", open);
}

/* An escape with r->at on the backslash: its bytes go to *out (4 have room). */
static enum json_result read_escape(struct json_reader *r, const char *open, char *out, size_t *len)
{
    const char *backslash = r->at++;
    if (r->at == r->end)
        return json_fail(r, "Unterminated string starting at", open);
    if (*r->at == 'u') {
        uint32_t c;
        enum json_result result = unicode_escape(r, &c);
        *len = result == JSON_OK ? utf8_put(out, c) : 0;
        return result;
    }
    if (!short_escape(*r->at, out))
        return json_fail(r, "Invalid \\escape", backslash);
    *len = 1;
    r->at++;
    return JSON_OK;
}

enum json_result json_read_string(struct json_reader *r, struct slice *text_r, bool *surrogates_r)
{
    const char *open = r->at++;
    const char *run = r->at;
    enum json_result result = skip_run(r, open);
    if (result == JSON_OK && *r->at == '"') { /* the usual case needs no copy */
        *text_r = (struct slice){run, (size_t)(r->at++ - run)};
    } else {
        struct buf text = buf_in_arena(r->arena);
        while (result == JSON_OK) {
            char bytes[4];
            size_t len = 0;
            buf_append(&text, run, (size_t)(r->at - run));
            if (*r->at == '"')
                break;
            result = read_escape(r, open, bytes, &len);
            buf_append(&text, bytes, len);
            run = r->at;
            if (result == JSON_OK)
                result = skip_run(r, open);
        }
        if (result != JSON_OK)
            return result;
        r->at++;
        if (text.failed)
            return JSON_NO_MEMORY;
        *text_r = buf_slice(&text);
    }
    utf8_is_valid_wide(*text_r, surrogates_r);
    return JSON_OK;
}
