/* config_text.c: texts and lists: the named rules of the check column, and how foreign text stands
 * in a message. */
#include "shared/check.h"
#include "shared/config_internal.h"
#include "shared/door.h"
#include "shared/sock.h"

#include <arpa/inet.h>
#include <errno.h>

void text_quote(struct buf *out, struct slice text)
{
    enum { SHOWN = 80 };
    buf_append_char(out, '"');
    for (size_t i = 0; i < text.len && i < SHOWN; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_char(out, (char)c);
    }
    if (text.len > SHOWN)
        buf_append_slice(out, SLICE("…"));
    buf_append_char(out, '"');
}

bool text_refuse(struct buf *why, struct slice text, const char *what)
{
    text_quote(why, text);
    buf_printf(why, " %s", what);
    return false;
}

bool text_no_memory(struct buf *why)
{
    buf_printf(why, "out of memory");
    errno = ENOMEM;
    return false;
}

static bool sqlite_parse(const char *rest, enum config_database *kind_r, const char **path_r,
                         struct buf *why)
{
    bool slash = rest[0] == '/';
    const char *path = rest + slash;
    *path_r = path;
    if ((rest[0] && !slash) || strncmp(path, "file:", 5) == 0)
        buf_printf(why,
                   "after sqlite: stand three slashes and a file, as in sqlite:///database.db, or "
                   "four for an absolute one");
    else if (strchr(path, '?'))
        buf_printf(why, "options after ? are not supported; write sqlite:///database.db");
    else if (path[0] && path[strlen(path) - 1] == '/')
        buf_printf(why, "it names a directory; write sqlite:///directory/database.db");
    else {
        bool memory = path[0] == 0 || strcmp(path, ":memory:") == 0;
        *kind_r = memory ? CONFIG_DATABASE_MEMORY : CONFIG_DATABASE_FILE;
        return true;
    }
    return false;
}

/* What stands before "://", if that can be a scheme (RFC 3986, section 3.1); else nothing: it may be
 * part of a password. */
static struct slice scheme_of(const char *url)
{
    const char *colon = strstr(url, "://");
    size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return (struct slice){url, colon && url + len == colon ? len : 0};
}

/* scheme, or scheme+driver as SQLAlchemy has it. */
static bool is_scheme(struct slice text, const char *scheme)
{
    struct slice rest = text;
    return slice_equals(slice_split(&rest, '+'), slice_of(scheme));
}

bool database_parse(const char *url, enum config_database *kind_r, const char **path_r,
                    struct buf *why)
{
    struct slice scheme = scheme_of(url);
    *path_r = NULL;
    if (scheme.len == 0 || scheme.len > 40) {
        buf_printf(why, "it is no database URL; write sqlite:///database.db");
        return false;
    }
    if (is_scheme(scheme, "sqlite"))
        return sqlite_parse(url + scheme.len + 3, kind_r, path_r, why);
    *kind_r = CONFIG_DATABASE_POSTGRESQL;
    if (is_scheme(scheme, "postgresql") || is_scheme(scheme, "postgres")) {
        buf_printf(why, "this build cannot use PostgreSQL yet; use sqlite:///database.db");
        return false;
    }
    text_quote(why, scheme);
    buf_printf(why, " databases are not supported; use sqlite:///database.db");
    return false;
}

static bool has_control_bytes(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

/* ADDRESS or ADDRESS/BITS, numeric. */
static bool is_network(struct slice text)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    struct slice bits = text;
    struct slice name = slice_split(&bits, '/');
    uint64_t n;
    if (name.len >= sizeof host)
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = 0;
    bool v4 = inet_pton(AF_INET, host, address) == 1;
    if (!v4 && inet_pton(AF_INET6, host, address) != 1)
        return false;
    return !bits.ptr || slice_to_u64(bits, v4 ? 32 : 128, &n);
}

/* A host's name, an IPv4 address, or an IPv6 one in brackets. */
static bool is_host(struct slice host)
{
    char v6[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        if (host.len - 2 >= sizeof v6)
            return false;
        memcpy(v6, host.ptr + 1, host.len - 2);
        v6[host.len - 2] = 0;
        return inet_pton(AF_INET6, v6, address) == 1;
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '-' && c != '_')
            return false;
    }
    return host.len > 0 && host.len <= 253;
}

/* http(s)://host[:port]. What stands before an @ may be a password, so that nothing is quoted then. */
static bool is_upstream(struct slice text, struct buf *why)
{
    static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};
    static const char wanted[] = "is no http(s)://host[:port]";
    struct slice rest = {NULL, 0};
    uint64_t port = 1;
    if (memchr(text.ptr, '@', text.len)) {
        buf_printf(why, "a user or password in it is not supported; write http(s)://host[:port]");
        return false;
    }
    for (size_t i = 0; i < 2; i++)
        if (slice_starts_with(text, schemes[i]))
            rest = (struct slice){text.ptr + schemes[i].len, text.len - schemes[i].len};
    if (!rest.ptr)
        return text_refuse(why, text, wanted);
    const char *end = rest.len && rest.ptr[0] == '[' ? memchr(rest.ptr, ']', rest.len) : NULL;
    struct slice host = {rest.ptr, end ? (size_t)(end + 1 - rest.ptr) : rest.len};
    const char *colon = end ? end + 1 : memchr(rest.ptr, ':', rest.len);
    if (colon && colon < rest.ptr + rest.len) {
        struct slice digits = {colon + 1, (size_t)(rest.ptr + rest.len - colon - 1)};
        host.len = (size_t)(colon - rest.ptr);
        if (*colon != ':' || !slice_to_u64(digits, 65535, &port) || port == 0)
            return text_refuse(why, text, wanted);
    }
    return is_host(host) || text_refuse(why, text, wanted);
}

/* An origin as browsers write it (RFC 6454, section 6.2), for it is compared byte by byte: lower case,
 * no path, no port that goes without saying. */
static bool is_origin(struct slice text, struct buf *why)
{
    static const struct slice usual[] = {{":80", 3}, {":443", 4}};
    if (slice_equals(text, SLICE("*")))
        return text_refuse(why, text, "is not supported: name each origin, as https://app.example.com");
    if (slice_equals(text, SLICE("null")))
        return text_refuse(why, text, "is not supported: any sandboxed page of anyone is \"null\"");
    struct buf unused = {0};
    bool is_plain = is_upstream(text, &unused);
    buf_free(&unused);
    for (size_t i = 0; i < text.len; i++)
        is_plain &= text.ptr[i] < 'A' || text.ptr[i] > 'Z';
    if (!is_plain)
        return text_refuse(why, text, "is no origin as browsers write it: lower case, no path, no slash at "
                                      "the end, as https://app.example.com or http://localhost:3000");
    if (slice_ends_with(text, usual[slice_starts_with(text, SLICE("https://"))]))
        return text_refuse(why, text, "names the port that goes without saying: browsers leave it out");
    return true;
}

/* Whether a message may show the text: it is no secret, and no URL, in which a password may stand. */
static bool may_be_shown(const struct option *o)
{
    return !(o->flags & SECRET) && strcmp(o->check, "database") != 0 && strcmp(o->check, "upstream") != 0;
}

/* Named rules of the check column, for a string or one item of a list. */
bool text_obeys(const struct option *o, const char *string, struct buf *why)
{
    struct slice text = slice_of(string);
    enum config_database kind;
    const char *path;
    struct sock_address address;
    unsigned words;
    if (o->check[0] && has_control_bytes(text)) {
        if (may_be_shown(o))
            return text_refuse(why, text, "holds control characters");
        buf_printf(why, "it holds control characters");
        return false;
    }
    if (strcmp(o->check, "address") == 0)
        return sock_parse(text, &address, why);
    if (strcmp(o->check, "door") == 0)
        return door_parse(text, &address, &words, why);
    if (strcmp(o->check, "network") == 0)
        return is_network(text) || text_refuse(why, text,
                                               "is no numeric address or network, as 10.0.0.1, "
                                               "10.0.0.0/8 or fd00::/8");
    if (strcmp(o->check, "database") == 0)
        return database_parse(string, &kind, &path, why);
    if (strcmp(o->check, "algorithm") == 0)
        return slice_equals(text, SLICE("HS256")) ||
               text_refuse(why, text, "is not supported: tokens are signed with HS256 only");
    if (strcmp(o->check, "upstream") == 0)
        return is_upstream(text, why);
    if (strcmp(o->check, "origin") == 0)
        return is_origin(text, why);
    if (strcmp(o->check, "audit") == 0)
        return slice_equals(text, SLICE("on")) || slice_equals(text, SLICE("off")) ||
               (text.len > 0 && memchr(text.ptr, '/', text.len)) ||
               text_refuse(why, text, "is none of on, off and a path with a / in it");
    if (strcmp(o->check, "file") == 0 && text.len == 0) {
        buf_printf(why, "it is empty; name a file, or leave it out");
        return false;
    }
    ASSERT(strcmp(o->check, "") == 0 || strcmp(o->check, "file") == 0 ||
           strcmp(o->check, "header") == 0);
    return true;
}

static bool is_address(const struct option *o)
{
    return strcmp(o->check, "address") == 0 || strcmp(o->check, "door") == 0;
}

/* Two listeners on one address cannot be, whatever stands behind it; on port 0 they can. */
static bool is_repeated(const struct option *o, const char *const *items, size_t i)
{
    struct slice item = door_address(slice_of(items[i]));
    if (!is_address(o) || slice_ends_with(item, SLICE(":0")))
        return false;
    for (size_t k = 0; k < i; k++)
        if (slice_equals(door_address(slice_of(items[k])), item))
            return true;
    return false;
}

bool text_list(const struct option *o, struct slice text, struct arena *arena,
               struct config_list *list_r, struct buf *why)
{
    size_t max = 1, len = 0;
    for (size_t i = 0; i < text.len; i++)
        max += text.ptr[i] == ',';
    const char **items = arena_alloc(arena, max * sizeof *items);
    if (!items)
        return text_no_memory(why);
    struct slice rest = text.len ? text : (struct slice){NULL, 0};
    while (rest.ptr) {
        struct slice item = slice_trim(slice_split(&rest, ','), " \t");
        items[len] = slice_dup(arena, item).ptr;
        if (!items[len])
            return text_no_memory(why);
        *list_r = (struct config_list){items, len + 1}; /* a secret is wiped even if it is refused */
        if (item.len == 0) {
            if (may_be_shown(o))
                return text_refuse(why, text, "has an empty item");
            buf_printf(why, "it has an empty item");
            return false;
        }
        if (!text_obeys(o, items[len], why))
            return false;
        if (is_repeated(o, items, len))
            return text_refuse(why, item, "is listed twice");
        len++;
    }
    if (len == 0 && is_address(o) && o->fallback) {
        buf_printf(why, "it is empty; at least one address is needed");
        return false;
    }
    *list_r = (struct config_list){items, len};
    return true;
}
