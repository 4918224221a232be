/* email_literal.c: addresses in brackets. They are always refused; what is wrong with one beyond
 * that is said in the words of Python's ipaddress. */
#include "shared/utf8.h"
#include "worker/validate/email_internal.h"
#include "worker/validate/unicode.h"

enum { HEXTETS = 8, PARTS_MIN = 3, PARTS_MAX = HEXTETS + 1, IPV6_TEXT_MAX = 45, QUOTED_MAX = 100 };

static bool is_bad_in_literal(uint32_t c)
{
    return c < 0x21 || c > 0xFA;
}

static bool has(struct slice s, char c)
{
    return s.len && memchr(s.ptr, c, s.len);
}

static bool consists_of(struct slice s, const char *set)
{
    for (size_t i = 0; i < s.len; i++)
        if (!s.ptr[i] || !strchr(set, s.ptr[i]))
            return false;
    return true;
}

/* These append a complaint and return true. */
static bool complain(struct buf *b, const char *what)
{
    buf_append_slice(b, slice_of(what));
    return true;
}

static bool complain_in(struct buf *b, const char *what, struct slice text)
{
    buf_printf(b, "%s in ", what);
    unicode_append_repr(b, text);
    return true;
}

static bool complain_of(struct buf *b, const char *what, struct slice text)
{
    buf_append_slice(b, slice_of(what));
    unicode_append_repr(b, text);
    return true;
}

/* ---- IPv4 ------------------------------------------------------------------------------------- */

/* True: something is wrong with one number of the address, and was appended. */
static bool complain_of_octet(struct buf *b, struct slice octet)
{
    if (octet.len == 0)
        return complain(b, "Empty octet not permitted");
    if (!consists_of(octet, "0123456789"))
        return complain_of(b, "Only decimal digits permitted in ", octet);
    if (octet.len > 3)
        return complain_of(b, "At most 3 characters permitted in ", octet);
    if (octet.len > 1 && octet.ptr[0] == '0')
        return complain_of(b, "Leading zeros are not permitted in ", octet);
    if (octet.len == 3 && memcmp(octet.ptr, "255", 3) > 0) {
        buf_printf(b, "Octet %.*s (> 255) not permitted", SLICE_ARGS(octet));
        return true;
    }
    return false;
}

static bool complain_of_ipv4(struct buf *b, struct slice address)
{
    struct slice rest = address;
    size_t periods = 0;
    for (size_t i = 0; i < address.len; i++)
        periods += address.ptr[i] == '.';
    if (periods != 3)
        return complain_in(b, "Expected 4 octets", address);
    while (rest.ptr)
        if (complain_of_octet(b, slice_split(&rest, '.')))
            return complain_in(b, "", address);
    return false;
}

/* ---- IPv6 ------------------------------------------------------------------------------------- */

/* What stands between the colons; an IPv4 address at the end counts as two. */
struct hextets {
    struct slice parts[PARTS_MAX + 1];
    size_t len;
    size_t skip; /* where "::" is; 0: nowhere */
};

static bool complain_of_hextet(struct buf *b, struct slice part)
{
    if (!consists_of(part, "0123456789abcdefABCDEF"))
        return complain_of(b, "Only hex digits permitted in ", part);
    return part.len > 4 && complain_of(b, "At most 4 characters permitted in ", part);
}

/* Splits *address*. */
static bool complain_of_parts(struct buf *b, struct slice address, struct hextets *h)
{
    struct slice rest = address, last = {NULL, 0};
    size_t count = 0;
    for (; rest.ptr && count < PARTS_MAX; count++)
        h->parts[count] = last = slice_split(&rest, ':');
    if (rest.ptr) /* Python splits no further, so that a long text costs it no time */
        h->parts[count++] = last = rest;
    if (count < PARTS_MIN)
        return complain_in(b, "At least 3 parts expected", address);
    if (has(last, '.')) {
        if (complain_of_ipv4(b, last))
            return complain_in(b, "", address);
        h->parts[count - 1] = SLICE("0");
        if (count <= PARTS_MAX)
            h->parts[count] = SLICE("0");
        count++;
    }
    h->len = count;
    return count > PARTS_MAX && complain_in(b, "At most 8 colons permitted", address);
}

static bool complain_of_skip(struct buf *b, struct slice address, struct hextets *h)
{
    for (size_t i = 1; i + 1 < h->len; i++) {
        if (h->parts[i].len)
            continue;
        if (h->skip)
            return complain_in(b, "At most one '::' permitted", address);
        h->skip = i;
    }
    return !h->skip && h->len != HEXTETS &&
           complain_in(b, "Exactly 8 parts expected without '::'", address);
}

/* A colon at an end, where it is not one of "::". */
static bool complain_of_ends(struct buf *b, struct slice address, const struct hextets *h)
{
    bool leading = !h->parts[0].len, trailing = !h->parts[h->len - 1].len;
    if (leading && h->skip != 1)
        return complain_in(b, "Leading ':' only permitted as part of '::'", address);
    if (trailing && h->skip + 2 != h->len)
        return complain_in(b, "Trailing ':' only permitted as part of '::'", address);
    size_t others = h->len - 1 - leading - trailing;
    return h->skip && others >= HEXTETS &&
           complain_in(b, "Expected at most 7 other parts with '::'", address);
}

/* How many bytes the first *count* characters take (there are so many). */
static size_t bytes_of(struct slice s, size_t count)
{
    size_t at = 0;
    while (count-- > 0)
        utf8_next(s, &at);
    return at;
}

static bool complain_of_length(struct buf *b, struct slice address)
{
    size_t len = utf8_count(address);
    if (len <= IPV6_TEXT_MAX)
        return false;
    if (len <= QUOTED_MAX)
        return complain_in(b, "At most 45 characters expected", address);
    struct buf shortened = buf_in_arena(b->arena);
    size_t end = bytes_of(address, len - IPV6_TEXT_MAX);
    buf_append(&shortened, address.ptr, bytes_of(address, IPV6_TEXT_MAX));
    buf_printf(&shortened, "(%zu chars elided)", len - 2 * IPV6_TEXT_MAX);
    buf_append(&shortened, address.ptr + end, address.len - end);
    b->failed |= shortened.failed;
    return complain_in(b, "At most 45 characters expected", buf_slice(&shortened));
}

static bool complain_of_ipv6(struct buf *b, struct slice text)
{
    struct slice zone = text;
    struct slice address = slice_split(&zone, '%');
    struct hextets h = {.len = 0};
    if (has(text, '/'))
        return complain_in(b, "Unexpected '/'", text);
    if (zone.ptr && (!zone.len || has(zone, '%'))) {
        complain_of(b, "Invalid IPv6 address: \"", text);
        return complain(b, "\"");
    }
    if (!address.len)
        return complain(b, "Address cannot be empty");
    if (complain_of_length(b, address) || complain_of_parts(b, address, &h) ||
        complain_of_skip(b, address, &h) || complain_of_ends(b, address, &h))
        return true;
    for (size_t i = 0; i < h.len; i++)
        if (complain_of_hextet(b, h.parts[i]))
            return complain_in(b, "", address);
    return false;
}

/* ---- both ------------------------------------------------------------------------------------- */

static bool check_ipv4(struct email_check *e, struct slice address)
{
    struct buf why = buf_in_arena(e->arena);
    if (!complain_of_ipv4(&why, address))
        return true;
    return why.failed ? email_no_memory(e)
                      : email_failf(e,
                                    "The address in brackets after the @-sign is not valid: It is "
                                    "not an IPv4 address (%.*s) or is missing an address literal tag.",
                                    SLICE_ARGS(buf_slice(&why)));
}

static bool check_ipv6(struct email_check *e, struct slice address)
{
    struct buf why = buf_in_arena(e->arena);
    if (!complain_of_ipv6(&why, address))
        return true;
    return why.failed ? email_no_memory(e)
                      : email_failf(e,
                                    "The IPv6 address in brackets after the @-sign is not valid "
                                    "(%.*s).",
                                    SLICE_ARGS(buf_slice(&why)));
}

static bool check_literal(struct email_check *e, struct slice literal)
{
    static const struct slice tag = {"IPv6:", 5};
    if (literal.len && consists_of(literal, "0123456789."))
        return check_ipv4(e, literal);
    if (slice_starts_with(literal, tag))
        return check_ipv6(e, (struct slice){literal.ptr + tag.len, literal.len - tag.len});
    if (!has(literal, ':'))
        return email_fail(e,
                          SLICE("The part after the @-sign in brackets is not an IPv4 address and "
                                "has no address literal tag."));
    return email_no_bad_chars(
               e, literal, is_bad_in_literal,
               "The part after the @-sign contains invalid characters in brackets: ", ".") &&
           email_fail(e,
                      SLICE("The part after the @-sign contains an invalid address literal tag in "
                            "brackets."));
}

bool email_refuse_literal(struct email_check *e, struct slice literal)
{
    return check_literal(e, literal) &&
           email_fail(e, SLICE("A bracketed IP address after the @-sign is not allowed here."));
}
