/* authority.c: see authority.h. RFC 3986, 3.2.2 and 3.2.3. */
#include "worker/http/authority.h"

#include <arpa/inet.h>
#include <string.h>

enum { PORT_MAX = 65535 };

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* reg-name: unreserved, sub-delims, percent-encodings. */
static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (c == '%') {
            if (s.len - i < 3 || !is_hex(s.ptr[i + 1]) || !is_hex(s.ptr[i + 2]))
                return false;
            i += 2;
        } else if (!alnum && c != '.' && (c == 0 || !strchr("-_~!$&'()*+,;=", c))) {
            return false;
        }
    }
    return s.len > 0;
}

/* What stands in brackets: an IPv6 address (there are no later ones yet). */
static bool is_literal(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char ignored[16];
    if (s.len >= sizeof text || memchr(s.ptr, 0, s.len))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    return inet_pton(AF_INET6, text, ignored) == 1;
}

/* Cuts the host off *rest, which is then {NULL, 0} or the port. */
static bool take_host(struct slice *rest)
{
    if (rest->len == 0 || rest->ptr[0] != '[')
        return is_name(slice_split(rest, ':'));
    struct slice literal = slice_split(rest, ']');
    if (!rest->ptr || !is_literal((struct slice){literal.ptr + 1, literal.len - 1}))
        return false;
    if (rest->len == 0) {
        *rest = (struct slice){NULL, 0};
        return true;
    }
    bool colon = rest->ptr[0] == ':';
    rest->ptr++;
    rest->len--;
    return colon;
}

static bool is_port(struct slice s)
{
    uint64_t ignored;
    return slice_to_u64(s, PORT_MAX, &ignored);
}

bool authority_is_valid(struct slice authority)
{
    struct slice port = authority;
    return take_host(&port) && (!port.ptr || port.len == 0 || is_port(port));
}

bool authority_has_port(struct slice authority)
{
    struct slice port = authority;
    return take_host(&port) && port.ptr && is_port(port);
}
