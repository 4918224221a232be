/* proxy.c: see proxy.h. */
#include "worker/http/proxy.h"

#include "shared/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct network {
    uint8_t family;
    uint8_t bits;
    uint8_t address[16];
};

struct proxies {
    bool everybody;
    size_t len;
    struct network networks[];
};

/* ---- addresses ------------------------------------------------------------------------------- */

static void set_v6(struct peer *p, const uint8_t address[static 16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(address, mapped, sizeof mapped) == 0) {
        p->family = AF_INET;
        memcpy(p->address, address + 12, 4);
    } else {
        p->family = AF_INET6;
        memcpy(p->address, address, 16);
    }
}

struct peer peer_of(const struct sockaddr *address, size_t address_len)
{
    struct peer p = {.family = AF_UNIX};
    if (!address || address_len < sizeof address->sa_family)
        return p;
    if (address->sa_family == AF_INET && address_len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        p.family = AF_INET;
        p.port = ntohs(in.sin_port);
        memcpy(p.address, &in.sin_addr, 4);
    } else if (address->sa_family == AF_INET6 && address_len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        p.port = ntohs(in6.sin6_port);
        set_v6(&p, in6.sin6_addr.s6_addr);
    }
    return p;
}

void peer_address(const struct peer *p, struct sock_address *address_r)
{
    memset(address_r, 0, sizeof *address_r);
    address_r->u.any.sa_family = p->family;
    if (p->family == AF_INET) {
        address_r->len = sizeof address_r->u.in;
        address_r->u.in.sin_port = htons(p->port);
        memcpy(&address_r->u.in.sin_addr, p->address, 4);
    } else if (p->family == AF_INET6) {
        address_r->len = sizeof address_r->u.in6;
        address_r->u.in6.sin6_port = htons(p->port);
        memcpy(&address_r->u.in6.sin6_addr, p->address, 16);
    } else {
        address_r->len = sizeof address_r->u.any.sa_family;
    }
}

/* inet_ntop(3) goes through printf, which is too slow for once a request. */
static size_t v4_name(const struct peer *p, char *out)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        char digits[20];
        size_t len = str_u64(digits, p->address[i]);
        memcpy(out + n, digits, len);
        n += len;
        out[n++] = i < 3 ? '.' : ':';
    }
    return n;
}

static size_t v6_name(const struct peer *p, char *out)
{
    char text[INET6_ADDRSTRLEN];
    size_t len = inet_ntop(AF_INET6, p->address, text, sizeof text) ? strlen(text) : 0;
    out[0] = '[';
    memcpy(out + 1, text, len);
    memcpy(out + 1 + len, "]:", 2);
    return len + 3;
}

size_t peer_name(const struct peer *p, char name_r[static PROXY_NAME_MAX])
{
    if (p->family != AF_INET && p->family != AF_INET6) {
        memcpy(name_r, "unix", 5);
        return 4;
    }
    size_t n = p->family == AF_INET ? v4_name(p, name_r) : v6_name(p, name_r);
    char digits[20];
    size_t len = str_u64(digits, p->port);
    memcpy(name_r + n, digits, len);
    name_r[n + len] = 0;
    return n + len;
}

/* Cuts brackets and port off; false when there is something else behind the address. */
static bool take_address(struct slice *text)
{
    uint64_t ignored;
    struct slice port = *text;
    if (text->len > 0 && text->ptr[0] == '[') { /* "[::1]", "[::1]:80" */
        port.ptr++;
        port.len--;
        *text = slice_split(&port, ']');
        if (!port.ptr || port.len == 0)
            return port.ptr;
        if (port.ptr[0] != ':')
            return false;
        port.ptr++;
        port.len--;
        return slice_to_u64(port, UINT16_MAX, &ignored);
    }
    struct slice host = slice_split(&port, ':');
    if (!port.ptr || !memchr(host.ptr, '.', host.len))
        return true; /* no port: a colon belongs to the address */
    *text = host;    /* "10.0.0.1:80" */
    return slice_to_u64(port, UINT16_MAX, &ignored);
}

bool peer_parse(struct slice text, struct peer *peer_r)
{
    char copy[INET6_ADDRSTRLEN];
    struct slice address = slice_trim(text, " \t");
    if (!take_address(&address) || address.len == 0 || address.len >= sizeof copy)
        return false;
    memcpy(copy, address.ptr, address.len);
    copy[address.len] = 0;
    uint8_t bytes[16];
    *peer_r = (struct peer){.family = AF_INET};
    if (inet_pton(AF_INET, copy, peer_r->address) == 1)
        return true;
    if (inet_pton(AF_INET6, copy, bytes) != 1)
        return false;
    set_v6(peer_r, bytes);
    return true;
}

/* ---- trust ----------------------------------------------------------------------------------- */

static bool parse_network(struct slice text, struct network *network_r)
{
    struct slice bits = text;
    struct slice address = slice_split(&bits, '/');
    struct peer p;
    if (!peer_parse(address, &p))
        return false;
    uint64_t width = p.family == AF_INET ? 32 : 128;
    uint64_t value = width;
    if (bits.ptr && !slice_to_u64(bits, width, &value))
        return false;
    network_r->family = p.family;
    network_r->bits = (uint8_t)value;
    memcpy(network_r->address, p.address, sizeof p.address);
    return true;
}

struct proxies *proxies_new(const struct config_list *list)
{
    struct proxies *p = calloc(1, sizeof *p + list->len * sizeof *p->networks);
    if (!p)
        return NULL;
    for (size_t i = 0; i < list->len; i++) {
        struct slice text = slice_trim(slice_of(list->items[i]), " \t");
        if (slice_equals(text, SLICE("*")))
            p->everybody = true;
        else if (parse_network(text, &p->networks[p->len]))
            p->len++;
        else
            log_warning("trusted_proxies: \"%.*s\" is neither an address nor a network; left out",
                        SLICE_ARGS(text));
    }
    return p;
}

void proxies_free(struct proxies *p)
{
    free(p);
}

static bool contains(const struct network *n, const struct peer *peer)
{
    if (n->family != peer->family)
        return false;
    size_t whole = n->bits / 8;
    if (memcmp(n->address, peer->address, whole) != 0)
        return false;
    unsigned left = n->bits % 8;
    return left == 0 || (n->address[whole] ^ peer->address[whole]) >> (8 - left) == 0;
}

bool proxies_trust(const struct proxies *p, const struct peer *peer)
{
    if (peer->family == AF_UNIX || p->everybody)
        return true;
    for (size_t i = 0; i < p->len; i++) {
        if (contains(&p->networks[i], peer))
            return true;
    }
    return false;
}

/* ---- forwarded fields ------------------------------------------------------------------------ */

/* The last element of a comma-separated list, cut off *list; {NULL, 0} behind the first. */
static struct slice pop_last(struct slice *list)
{
    if (!list->ptr)
        return (struct slice){NULL, 0};
    const char *comma = memrchr(list->ptr, ',', list->len);
    struct slice last = *list;
    if (!comma) {
        *list = (struct slice){NULL, 0};
        return last;
    }
    size_t before = (size_t)(comma - list->ptr);
    last = (struct slice){comma + 1, list->len - before - 1};
    list->len = before;
    return last;
}

void proxies_forwarded_for(const struct proxies *p, const struct header *headers,
                           size_t headers_len, struct peer *peer)
{
    struct peer found = *peer;
    for (size_t i = headers_len; i-- > 0;) {
        if (!slice_equals_nocase(headers[i].name, SLICE("x-forwarded-for")))
            continue;
        struct slice list = headers[i].value;
        for (struct slice text = pop_last(&list); text.ptr; text = pop_last(&list)) {
            struct peer hop;
            if (!peer_parse(text, &hop))
                return; /* whoever wrote this hides something: what the socket says stands */
            found = hop;
            if (proxies_trust(p, &hop))
                continue;
            *peer = found;
            return;
        }
    }
    *peer = found;
}

bool proxies_forwarded_https(const struct header *headers, size_t headers_len)
{
    for (size_t i = headers_len; i-- > 0;) {
        if (slice_equals_nocase(headers[i].name, SLICE("x-forwarded-proto")))
            return slice_equals(headers[i].value, SLICE("https"));
    }
    return false;
}
