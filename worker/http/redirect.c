/* redirect.c: see redirect.h. The original quotes the whole URL: what may not stand in one is
 * percent-encoded. */
#include "worker/http/redirect.h"

#include "worker/http/proxy.h"
#include "worker/http/session_internal.h"
#include "worker/http/turn.h"

#include <string.h>
#include <sys/socket.h>

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_digits(struct slice s)
{
    uint64_t ignored;
    return slice_to_u64(s, UINT64_MAX, &ignored);
}

static bool consists_of(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && (s.ptr[i] == 0 || !strchr(more, s.ptr[i])))
            return false;
    }
    return s.len > 0;
}

/* "name", "name:port", "[v6]" or "[v6]:port": what cannot be mistaken for another part of a URL. */
static bool is_plain_host(struct slice host)
{
    if (host.len == 0)
        return false;
    struct slice rest = host;
    if (host.ptr[0] != '[') {
        struct slice name = slice_split(&rest, ':');
        return consists_of(name, ".-") && (!rest.ptr || is_digits(rest));
    }
    struct slice address = slice_split(&rest, ']');
    if (!rest.ptr || !consists_of((struct slice){address.ptr + 1, address.len - 1}, ".:"))
        return false;
    if (rest.len == 0)
        return true;
    return rest.ptr[0] == ':' && is_digits((struct slice){rest.ptr + 1, rest.len - 1});
}

/* "127.0.0.1:8000", without the port that the scheme implies; {NULL, 0} over a unix socket. */
static struct slice server_address(const struct request *r, char name[static PROXY_NAME_MAX])
{
    const struct turn *t = (const struct turn *)r;
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (!t->session || getsockname(t->session->conn.io.fd, (struct sockaddr *)&address, &len))
        return (struct slice){NULL, 0};
    struct peer server = peer_of((const struct sockaddr *)&address, len);
    if (server.family == AF_UNIX)
        return (struct slice){NULL, 0};
    struct slice text = {name, peer_name(&server, name)};
    if (server.port == (r->secure ? 443 : 80))
        text.len = (size_t)((const char *)memrchr(text.ptr, ':', text.len) - text.ptr);
    return text;
}

static void append_quoted(struct buf *out, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_alnum(c) || (c && strchr("_.-~:/%#?=@[]!$&'()*+,;", c))) {
            buf_append_char(out, c);
            continue;
        }
        buf_append_char(out, '%');
        buf_append_char(out, digits[(unsigned char)c >> 4]);
        buf_append_char(out, digits[(unsigned char)c & 15]);
    }
}

/* One trailing slash more or less; a last slash may have come as "%2F". */
static void append_path(struct buf *out, const struct request *r)
{
    struct slice raw = r->raw_path;
    if (!slice_ends_with(r->path, SLICE("/"))) {
        append_quoted(out, raw);
        buf_append_char(out, '/');
        return;
    }
    raw.len -= slice_ends_with(raw, SLICE("/")) ? 1 : 3;
    append_quoted(out, raw);
}

struct slice redirect_location(struct request *r)
{
    char name[PROXY_NAME_MAX];
    struct buf out = buf_in_arena(r->arena);
    struct slice host = r->host; /* RFC 9112, 3.2.2: the target's goes before the field's */
    if (!host.ptr || !is_plain_host(host))
        host = server_address(r, name);
    if (host.ptr) {
        buf_append_slice(&out, r->secure ? SLICE("https://") : SLICE("http://"));
        buf_append_slice(&out, host);
    }
    append_path(&out, r);
    if (r->query.len > 0) {
        buf_append_char(&out, '?');
        append_quoted(&out, r->query);
    }
    return out.failed ? (struct slice){NULL, 0} : buf_slice(&out);
}
