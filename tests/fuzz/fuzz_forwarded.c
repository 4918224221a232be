/* fuzz_forwarded.c: whom X-Forwarded-For names, for any value. Lines are fields; however a list is
 * spread over fields of one name, it says the same (RFC 9110, 5.3), and what is no address leaves
 * the peer alone. */
#include "shared/check.h"
#include "worker/http/proxy.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 16 };

static struct peer ask(const struct proxies *p, const struct header *headers, size_t len)
{
    struct peer peer = {.family = 2, .port = 4711, .address = {192, 0, 2, 1}};
    proxies_forwarded_for(p, headers, len, &peer);
    return peer;
}

static bool is_same(const struct peer *a, const struct peer *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const trusted[] = {"10.0.0.0/8", "::1", "fd00::/8"};
    if (size > 1024)
        return 0;
    struct proxies *p = proxies_new(&(struct config_list){trusted, 3});
    char *copy = malloc(size + 1); /* exact size: reading beyond it is seen */
    ASSERT(p && copy);
    memcpy(copy, data, size);
    copy[size] = ',';
    struct header fields[FIELDS_MAX];
    size_t len = 0;
    struct slice rest = {copy, size};
    while (rest.ptr && len < FIELDS_MAX)
        fields[len++] =
            (struct header){SLICE("X-Forwarded-For"), slice_trim(slice_split(&rest, '\n'), " \t")};
    if (!rest.ptr) {
        struct peer apart = ask(p, fields, len);
        for (size_t i = 0; i < size; i++)
            copy[i] = copy[i] == '\n' ? ',' : copy[i];
        struct header whole = {SLICE("x-forwarded-for"), {copy, size}};
        struct peer together = ask(p, &whole, 1);
        ASSERT(is_same(&apart, &together));
        ASSERT(apart.port == 0 || apart.port == 4711);
        char name[PROXY_NAME_MAX];
        ASSERT(peer_name(&apart, name) == strlen(name));
    }
    free(copy);
    proxies_free(p);
    return 0;
}
