/* fuzz_proxy.c: worker/http/proxy.c: whom to believe, and what they say. The first line is
 * trusted_proxies, the second the peer, each other one an X-Forwarded-For or, with a '!' before it,
 * an X-Forwarded-Proto. */
#include "worker/http/proxy.h"

#include "shared/check.h"
#include "shared/log.h"

#include <stdint.h>
#include <stdlib.h>

enum { NETWORKS_MAX = 8, FIELDS_MAX = 8 };

/* Bit by bit. */
static bool is_within(const struct peer *p, const struct peer *network, uint64_t bits)
{
    if (p->family != network->family)
        return false;
    for (uint64_t i = 0; i < bits; i++)
        if (((p->address[i / 8] ^ network->address[i / 8]) >> (7 - i % 8)) & 1)
            return false;
    return true;
}

/* trusted_proxies as its rows say, read once more. */
static bool is_listed(const struct config_list *list, const struct peer *p)
{
    if (p->family == AF_UNIX)
        return true;
    for (size_t i = 0; i < list->len; i++) {
        struct slice bits = slice_trim(slice_of(list->items[i]), " \t"), address;
        struct peer network;
        if (slice_equals(bits, SLICE("*")))
            return true;
        address = slice_split(&bits, '/');
        if (!peer_parse(address, &network))
            continue;
        uint64_t most = network.family == AF_INET ? 32 : 128, n = most;
        if ((!bits.ptr || slice_to_u64(bits, most, &n)) && is_within(p, &network, n))
            return true;
    }
    return false;
}

static bool is_same(const struct peer *a, const struct peer *b)
{
    return a->family == b->family &&
           memcmp(a->address, b->address, a->family == AF_INET ? 4 : 16) == 0;
}

/* An address has one name, and that name means it. */
static void check_name(const struct peer *p)
{
    char name[PROXY_NAME_MAX];
    struct sock_address address;
    struct peer again;
    size_t len = peer_name(p, name);
    ASSERT(len < sizeof name && name[len] == 0 && strlen(name) == len);
    ASSERT(peer_parse((struct slice){name, len}, &again) && is_same(p, &again));
    peer_address(p, &address);
    again = peer_of(&address.u.any, address.len);
    ASSERT(is_same(p, &again) && again.port == p->port);
}

/* The elements from the right, as far as they are trusted: the last one looked at is the client. */
static bool slow_client(const struct config_list *list, const struct header *fields, size_t len,
                        struct peer *client)
{
    bool any = false;
    for (size_t i = len; i-- > 0;) {
        if (!slice_equals(fields[i].name, SLICE("X-Forwarded-For")))
            continue;
        size_t end = fields[i].value.len;
        for (size_t at = end + 1; at-- > 0;) {
            if (at > 0 && fields[i].value.ptr[at - 1] != ',')
                continue;
            struct peer hop;
            if (!peer_parse((struct slice){fields[i].value.ptr + at, end - at}, &hop))
                return false;
            *client = hop;
            any = true;
            if (!is_listed(list, &hop))
                return true;
            end = at - 1;
        }
    }
    return any;
}

static void check_forwarded(const struct proxies *p, const struct config_list *list,
                            const struct header *fields, size_t len)
{
    struct peer nobody = {.family = AF_INET, .port = 7, .address = {1, 2, 3, 4}}, found = nobody;
    struct peer expected = nobody;
    proxies_forwarded_for(p, fields, len, &found);
    if (slow_client(list, fields, len, &expected))
        ASSERT(is_same(&found, &expected));
    else
        ASSERT(is_same(&found, &nobody) && found.port == nobody.port);
    bool https = false;
    for (size_t i = 0; i < len; i++)
        if (slice_equals(fields[i].name, SLICE("X-Forwarded-Proto")))
            https = slice_equals(fields[i].value, SLICE("https"));
    ASSERT(proxies_forwarded_https(fields, len) == https);
}

static size_t read_fields(struct slice rest, struct header fields[FIELDS_MAX])
{
    size_t n = 0;
    while (rest.ptr && n < FIELDS_MAX) {
        struct slice value = slice_split(&rest, '\n');
        bool proto = value.len > 0 && value.ptr[0] == '!';
        fields[n].name = proto ? SLICE("X-Forwarded-Proto") : SLICE("X-Forwarded-For");
        fields[n++].value = (struct slice){value.ptr + proto, value.len - proto};
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *items[NETWORKS_MAX];
    struct header fields[FIELDS_MAX];
    struct config_list list = {items, 0};
    struct slice rest = {(const char *)data, size};
    struct peer peer;
    log_set_level(LOG_LEVEL_ERROR);
    struct slice trusted = slice_split(&rest, '\n');
    struct slice address = rest.ptr ? slice_split(&rest, '\n') : SLICE("");
    while (trusted.ptr && list.len < NETWORKS_MAX) {
        items[list.len] = slice_strdup(slice_split(&trusted, ','));
        ASSERT(items[list.len]);
        list.len++;
    }
    struct proxies *p = proxies_new(&list);
    ASSERT(p);
    if (peer_parse(address, &peer)) {
        check_name(&peer);
        ASSERT(proxies_trust(p, &peer) == is_listed(&list, &peer));
    }
    check_forwarded(p, &list, fields, read_fields(rest, fields));
    proxies_free(p);
    for (size_t i = 0; i < list.len; i++)
        free((char *)(uintptr_t)items[i]);
    return 0;
}
