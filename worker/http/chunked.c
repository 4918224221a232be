/* chunked.c: see chunked.h. One byte, one step; only the bytes of chunks are taken in runs. */
#include "worker/http/chunked.h"

#include <string.h>

enum state {
    SIZE_BEGINS, /* a digit must come */
    SIZE,
    SIZE_BLANK, /* an extension must come (RFC 9112, 7.1.1: bad whitespace) */
    EXTENSION,
    SIZE_ENDS, /* LF must come */
    DATA,
    DATA_OVER, /* CR must come */
    DATA_ENDS, /* LF must come */
    LINE,      /* a trailer, or the end */
    NAME,
    VALUE,
    VALUE_ENDS, /* LF must come */
    LAST_ENDS,  /* LF must come */
    OVER,
    BAD
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 9110, 5.6.2 */
static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* RFC 9110, 5.5: what a value may hold, blanks included. */
static bool is_value_char(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= ' ' && u != 0x7f);
}

static enum state on_size(struct chunked *c, char byte)
{
    int digit = hex(byte);
    if (digit >= 0) {
        if (c->left > UINT64_MAX >> 4)
            return BAD;
        c->left = c->left << 4 | (unsigned)digit;
        return SIZE;
    }
    if (c->state == SIZE_BEGINS)
        return BAD;
    if (byte == ' ' || byte == '\t')
        return SIZE_BLANK;
    if (byte == ';')
        return EXTENSION;
    return byte == '\r' ? SIZE_ENDS : BAD;
}

/* The state behind one more byte. */
static enum state step(struct chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE_BEGINS:
    case SIZE:
        return on_size(c, byte);
    case SIZE_BLANK:
        return byte == ' ' || byte == '\t' ? SIZE_BLANK : byte == ';' ? EXTENSION : BAD;
    case EXTENSION:
        return byte == '\r' ? SIZE_ENDS : is_value_char(byte) ? EXTENSION : BAD;
    case SIZE_ENDS:
        return byte != '\n' ? BAD : c->left > 0 ? DATA : LINE;
    case DATA_OVER:
        return byte == '\r' ? DATA_ENDS : BAD;
    case DATA_ENDS:
        return byte == '\n' ? SIZE_BEGINS : BAD;
    case LINE:
        return byte == '\r' ? LAST_ENDS : is_token_char(byte) ? NAME : BAD;
    case NAME:
        return byte == ':' ? VALUE : is_token_char(byte) ? NAME : BAD;
    case VALUE:
        return byte == '\r' ? VALUE_ENDS : is_value_char(byte) ? VALUE : BAD;
    case VALUE_ENDS:
        return byte == '\n' ? LINE : BAD;
    case LAST_ENDS:
        return byte == '\n' ? OVER : BAD;
    case DATA:
    case OVER:
    case BAD:
        break;
    }
    return BAD;
}

static struct slice take_data(struct chunked *c, const char *bytes, size_t len)
{
    size_t n = len < c->left ? len : (size_t)c->left;
    c->left -= n;
    if (c->left == 0)
        c->state = DATA_OVER;
    return (struct slice){bytes, n};
}

enum http_input chunked_read(struct chunked *c, const char *bytes, size_t len, size_t *taken_r,
                             struct slice *data_r)
{
    size_t at = 0;
    *data_r = (struct slice){bytes, 0};
    while (at < len && c->state != DATA && c->state != OVER && c->state != BAD)
        c->state = (uint8_t)step(c, bytes[at++]);
    if (c->state == DATA) {
        *data_r = take_data(c, bytes + at, len - at);
        at += data_r->len;
    }
    *taken_r = at;
    if (c->state == BAD)
        return INPUT_MALFORMED;
    return c->state == OVER ? INPUT_COMPLETE : INPUT_MORE;
}

uint64_t chunked_expects(const struct chunked *c)
{
    return c->state == DATA ? c->left : 0;
}

bool chunked_is_trailing(const struct chunked *c)
{
    return c->state >= LINE && c->state <= OVER;
}
