/* trailer.c: see trailer.h. */
#include "worker/http/trailer.h"

#include <stdbool.h>
#include <string.h>

/* RFC 9110, 5.6.2 */
static bool is_tchar(char c)
{
    bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    return alnum || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* RFC 9110, 5.5: no control characters but the tab. */
static bool is_field_byte(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* False: that byte may not stand there. */
static bool step(struct trailer *t, char c)
{
    switch (t->state) {
    case TRAILER_LINE:
        t->state = c == '\r' ? TRAILER_LAST_LF : TRAILER_NAME;
        return c == '\r' || is_tchar(c);
    case TRAILER_NAME:
        if (c == ':')
            t->state = TRAILER_VALUE;
        return c == ':' || is_tchar(c);
    case TRAILER_VALUE:
        if (c == '\r')
            t->state = TRAILER_LF;
        return c == '\r' || is_field_byte(c);
    case TRAILER_LF:
        t->state = TRAILER_LINE;
        return c == '\n';
    case TRAILER_LAST_LF:
        return c == '\n';
    }
    return false;
}

enum http_input trailer_read(struct trailer *t, const char *bytes, size_t len, size_t *taken_r)
{
    for (size_t i = 0; i < len; i++) {
        bool last = t->state == TRAILER_LAST_LF;
        if (!step(t, bytes[i])) {
            *taken_r = len;
            return INPUT_MALFORMED;
        }
        if (last) {
            *taken_r = i + 1;
            return INPUT_COMPLETE;
        }
    }
    *taken_r = len;
    return INPUT_MORE;
}
