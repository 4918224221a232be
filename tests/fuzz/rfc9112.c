/* rfc9112.c: see rfc9112.h. RFC 9112, 2, 3 and 9.3: the head, and the message. */
#include "rfc9112_internal.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- RFC 9112, 3: the request line ----------------------------------------------------------- */

/* RFC 3986: pchar, "/" and "?". */
static bool is_path_or_query(struct rfc_part t)
{
    for (size_t i = 0; i < t.len; i++) {
        int c = (unsigned char)t.ptr[i];
        if (c == '%' && t.len - i > 2 && rfc_hexdig((unsigned char)t.ptr[i + 1]) >= 0 &&
            rfc_hexdig((unsigned char)t.ptr[i + 2]) >= 0)
            continue;
        if (!rfc_is_alpha(c) && !rfc_is_digit(c) && !rfc_is_one_of(c, "-._~!$&'()*+,;=:@/?"))
            return false;
    }
    return true;
}

/* RFC 3986, 3.2.2 and 3.2.3: uri-host [ ":" port ], no user information. */
static bool is_authority(struct rfc_part host)
{
    size_t i = 0;
    if (host.len > 0 && host.ptr[0] == '[') {
        for (i = 1; i < host.len && host.ptr[i] != ']'; i++) {
            int c = (unsigned char)host.ptr[i];
            if (!rfc_is_alpha(c) && !rfc_is_digit(c) && !rfc_is_one_of(c, "-._~!$&'()*+,;=:"))
                return false;
        }
        if (i == host.len || i == 1)
            return false;
        i++;
    } else {
        for (; i < host.len && host.ptr[i] != ':'; i++) {
            int c = (unsigned char)host.ptr[i];
            if (c == '%' && host.len - i > 2 && rfc_hexdig((unsigned char)host.ptr[i + 1]) >= 0 &&
                rfc_hexdig((unsigned char)host.ptr[i + 2]) >= 0)
                continue;
            if (!rfc_is_alpha(c) && !rfc_is_digit(c) && !rfc_is_one_of(c, "-._~!$&'()*+,;="))
                return false;
        }
    }
    if (i < host.len && host.ptr[i++] != ':')
        return false;
    for (; i < host.len; i++)
        if (!rfc_is_digit((unsigned char)host.ptr[i]))
            return false;
    return true;
}

/* What the grammar lets pass, and what is no address or port all the same. */
static bool is_odd_authority(struct rfc_part host)
{
    size_t i = 0;
    uint64_t port = 0;
    if (host.len > 0 && host.ptr[0] == '[') {
        char text[INET6_ADDRSTRLEN] = "";
        unsigned char address[16];
        for (i = 1; i < host.len && host.ptr[i] != ']'; i++)
            if (i < sizeof text)
                text[i - 1] = host.ptr[i];
        if (i > sizeof text || inet_pton(AF_INET6, text, address) != 1)
            return true;
    }
    while (i < host.len && host.ptr[i] != ':')
        i++;
    for (i++; i < host.len && port <= 65535; i++)
        port = port * 10 + (unsigned)(host.ptr[i] - '0');
    return port > 65535;
}

static bool starts_with(struct rfc_part t, const char *text)
{
    size_t len = strlen(text);
    return t.len >= len && rfc_part_is((struct rfc_part){t.ptr, len}, text);
}

static bool is_connect(const struct rfc_message *m)
{
    return m->method.len == 7 && memcmp(m->method.ptr, "CONNECT", 7) == 0;
}

/* 3.2: which of the four forms it is, and whether that goes with the method. */
static bool is_request_target(struct rfc_message *m)
{
    struct rfc_part t = m->target, rest;
    if (is_connect(m)) {
        /* RFC 9110, 9.3.6: not without a port, nor with an empty one */
        m->doubtful = !is_authority(t) || is_odd_authority(t) || !memchr(t.ptr, ':', t.len) ||
                      t.ptr[0] == ':' || t.ptr[t.len - 1] == ':';
        return t.ptr[0] != '/';
    }
    if (t.ptr[0] == '/') {
        m->doubtful = !is_path_or_query(t);
        return true;
    }
    if (t.len == 1 && t.ptr[0] == '*')
        return m->method.len == 7 && memcmp(m->method.ptr, "OPTIONS", 7) == 0;
    size_t scheme = starts_with(t, "http://") ? 7 : starts_with(t, "https://") ? 8 : 0;
    if (scheme == 0)
        return false; /* of other schemes this is no server */
    rest = (struct rfc_part){t.ptr + scheme, t.len - scheme};
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    m->doubtful = !is_authority((struct rfc_part){rest.ptr, end}) ||
                  is_odd_authority((struct rfc_part){rest.ptr, end}) || rest.ptr[0] == ':' ||
                  !is_path_or_query((struct rfc_part){rest.ptr + end, rest.len - end});
    return end > 0;
}

/* 2.3: HTTP-version = "HTTP" "/" DIGIT "." DIGIT */
static size_t http_version(struct rfc_message *m, const struct input *in, size_t at)
{
    static const char form[] = "HTTP/d.d";
    for (size_t i = 0; i < 8; i++) {
        int c = rfc_byte_at(in, at + i);
        if (form[i] == 'd' ? !rfc_is_digit(c) : c != form[i])
            return rfc_wrong_at(m, in, at + i, "HTTP-version");
    }
    m->minor = rfc_byte_at(in, at + 7) - '0';
    m->other_version = rfc_byte_at(in, at + 5) != '1' || m->minor > 1;
    return at + 8;
}

static size_t request_line(struct rfc_message *m, const struct input *in, size_t at)
{
    size_t begin = at;
    while (rfc_is_tchar(rfc_byte_at(in, at)))
        at++;
    m->method = (struct rfc_part){in->bytes + begin, at - begin};
    if (at == begin || rfc_byte_at(in, at) != ' ')
        return rfc_wrong_at(m, in, at, "method");
    begin = ++at;
    while (rfc_byte_at(in, at) > ' ' && rfc_byte_at(in, at) < 0x7f && rfc_byte_at(in, at) != '#')
        at++;
    m->target = (struct rfc_part){in->bytes + begin, at - begin};
    if (at == begin || rfc_byte_at(in, at) != ' ')
        return rfc_wrong_at(m, in, at, "request-target");
    at = http_version(m, in, at + 1);
    if (at == NONE)
        return NONE;
    at = rfc_crlf(m, in, at, "the end of the request line");
    if (at == NONE)
        return NONE;
    return is_request_target(m) ? at : rfc_bad(m, "request-target");
}

/* ---- RFC 9112, 5: fields --------------------------------------------------------------------- */

static size_t header_section(struct rfc_message *m, const struct input *in, size_t at)
{
    struct rfc_field field;
    while (rfc_byte_at(in, at) != '\r') {
        at = rfc_field_line(m, in, at, &field);
        if (at == NONE)
            return NONE;
        if (m->fields_len < RFC_FIELDS_MAX)
            m->fields[m->fields_len] = field;
        m->fields_len++;
    }
    return rfc_crlf(m, in, at, "the empty line");
}

/* 3.2: one Host on 1.1, at most one on 1.0, with a valid value (without an empty host, RFC 9110,
 * 4.2.1; but 1.0 may leave it empty altogether). */
static bool host(struct rfc_message *m)
{
    struct rfc_part value;
    size_t n = rfc_count(m, "Host", &value);
    if (n != 1)
        return n == 0 && m->minor == 0;
    m->doubtful |= is_odd_authority(value);
    return value.len == 0 ? m->minor == 0 : value.ptr[0] != ':' && is_authority(value);
}

/* 9.3: close, or what is older than 1.1, ends the connection (here nobody asks 1.0 to stay). */
static bool persistence(const struct rfc_message *m)
{
    for (size_t i = 0; i < m->fields_len && i < RFC_FIELDS_MAX; i++) {
        struct rfc_part option;
        size_t at = 0;
        if (rfc_part_is(m->fields[i].name, "Connection"))
            while (rfc_list_element(m->fields[i].value, &at, &option))
                if (rfc_part_is(option, "close"))
                    return false;
    }
    return m->minor == 1 && !is_connect(m);
}

/* RFC 9110, 10.1.1 */
static void expectation(struct rfc_message *m)
{
    for (size_t i = 0; m->minor == 1 && i < m->fields_len && i < RFC_FIELDS_MAX; i++) {
        struct rfc_part element;
        size_t at = 0;
        if (!rfc_part_is(m->fields[i].name, "Expect"))
            continue;
        while (rfc_list_element(m->fields[i].value, &at, &element)) {
            bool known = rfc_part_is(element, "100-continue");
            m->has_expectation |= known;
            m->expects_other |= !known && element.len > 0;
        }
    }
}

/* ---- RFC 9112, 2: the message ---------------------------------------------------------------- */

static size_t head(struct rfc_message *m, const struct input *in, size_t at)
{
    size_t begin = at;
    at = request_line(m, in, at);
    if (at == NONE || m->other_version)
        return at;
    at = header_section(m, in, at);
    if (at == NONE)
        return NONE;
    m->head_len = at - begin;
    if (!host(m))
        return rfc_bad(m, "Host");
    if (!rfc_message_body_length(m))
        return rfc_bad(m, "the length of the body");
    m->doubtful |= is_connect(m) && (m->chunked || m->length_told > 0);
    m->persists = persistence(m);
    expectation(m);
    return at;
}

void rfc9112_read(const char *bytes, size_t len, struct rfc_message *m)
{
    struct input in = {bytes, len};
    size_t at = 0;
    memset(m, 0, sizeof *m);
    while (rfc_byte_at(&in, at) == '\r' && rfc_byte_at(&in, at + 1) == '\n') {
        m->empty_lines++;
        at += 2;
    }
    if (at + 1 == len && bytes[at] == '\r') {
        m->verdict = RFC_SHORT;
        return;
    }
    at = head(m, &in, at);
    if (at != NONE && !m->other_version && !m->other_coding)
        at = rfc_message_body(m, &in, at);
    if (at != NONE)
        m->used = at;
}

void rfc9112_read_chunked(const char *bytes, size_t len, struct rfc_message *m)
{
    struct input in = {bytes, len};
    memset(m, 0, sizeof *m);
    size_t at = rfc_chunked_body(m, &in, 0);
    if (at != NONE)
        m->used = at;
}
