/* rfc9112_parts.c: see rfc9112_internal.h: characters, lists, lines. */
#include "rfc9112_internal.h"

#include <string.h>

int rfc_byte_at(const struct input *in, size_t at)
{
    return at < in->len ? (unsigned char)in->bytes[at] : -1;
}

/* ---- RFC 5234, RFC 9110: characters ---------------------------------------------------------- */

bool rfc_is_digit(int c)
{
    return c >= '0' && c <= '9';
}

bool rfc_is_alpha(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool rfc_is_one_of(int c, const char *set)
{
    for (; *set; set++)
        if (c == *set)
            return true;
    return false;
}

int rfc_hexdig(int c)
{
    if (rfc_is_digit(c))
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool rfc_is_tchar(int c)
{
    return rfc_is_digit(c) || rfc_is_alpha(c) || rfc_is_one_of(c, "!#$%&'*+-.^_`|~");
}

/* VCHAR, obs-text, and the blanks that may stand between them. */
bool rfc_is_field_byte(int c)
{
    return c == ' ' || c == '\t' || (c > ' ' && c < 0x7f) || c >= 0x80;
}

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

bool rfc_part_is(struct rfc_part part, const char *text)
{
    if (part.len != strlen(text))
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (lower((unsigned char)part.ptr[i]) != lower((unsigned char)text[i]))
            return false;
    return true;
}

static struct rfc_part without_ows(struct rfc_part p)
{
    while (p.len > 0 && (p.ptr[0] == ' ' || p.ptr[0] == '\t'))
        p.ptr++, p.len--;
    while (p.len > 0 && (p.ptr[p.len - 1] == ' ' || p.ptr[p.len - 1] == '\t'))
        p.len--;
    return p;
}

/* The element of a comma-separated list that begins at *at*, blanks cut off; *at* moves behind its comma.
 * False: there is none. */
bool rfc_list_element(struct rfc_part list, size_t *at, struct rfc_part *element_r)
{
    if (*at > list.len)
        return false;
    size_t end = *at;
    while (end < list.len && list.ptr[end] != ',')
        end++;
    *element_r = without_ows((struct rfc_part){list.ptr + *at, end - *at});
    *at = end + 1;
    return true;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

size_t rfc_bad(struct rfc_message *m, const char *why)
{
    m->verdict = RFC_BAD;
    m->why = why;
    return NONE;
}

/* The input ends before it is clear; or a wrong byte stands there. */
size_t rfc_wrong_at(struct rfc_message *m, const struct input *in, size_t at, const char *why)
{
    if (at < in->len)
        return rfc_bad(m, why);
    m->verdict = RFC_SHORT;
    m->why = why;
    return NONE;
}

size_t rfc_crlf(struct rfc_message *m, const struct input *in, size_t at, const char *why)
{
    if (rfc_byte_at(in, at) != '\r')
        return rfc_wrong_at(m, in, at, why);
    if (rfc_byte_at(in, at + 1) != '\n')
        return rfc_wrong_at(m, in, at + 1, why);
    return at + 2;
}

/* ---- RFC 9112, 5: fields --------------------------------------------------------------------- */

/* field-line CRLF */
size_t rfc_field_line(struct rfc_message *m, const struct input *in, size_t at,
                         struct rfc_field *field_r)
{
    size_t begin = at;
    while (rfc_is_tchar(rfc_byte_at(in, at)))
        at++;
    field_r->name = (struct rfc_part){in->bytes + begin, at - begin};
    if (at == begin || rfc_byte_at(in, at) != ':')
        return rfc_wrong_at(m, in, at, "field-name");
    begin = ++at;
    while (rfc_is_field_byte(rfc_byte_at(in, at)))
        at++;
    field_r->value = without_ows((struct rfc_part){in->bytes + begin, at - begin});
    return rfc_crlf(m, in, at, "field-value");
}

size_t rfc_count(const struct rfc_message *m, const char *name, struct rfc_part *last_r)
{
    size_t n = 0;
    for (size_t i = 0; i < m->fields_len && i < RFC_FIELDS_MAX; i++)
        if (rfc_part_is(m->fields[i].name, name)) {
            *last_r = m->fields[i].value;
            n++;
        }
    return n;
}
