/* fuzz_proxy_header.c: worker/http/proxy_header.c. It is the same whichever way the bytes come, uses no
 * more than there are, and says MORE only of what can still become a header. */
#include "worker/http/proxy_header.h"

#include "shared/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum proxy_header read_copy(const uint8_t *data, size_t len, struct peer *peer_r,
                                   size_t *used_r)
{
    char *copy = malloc(len ? len : 1);
    ASSERT(copy);
    memcpy(copy, data, len);
    enum proxy_header result = proxy_header_read(copy, len, peer_r, used_r);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer peer, again;
    char name[PROXY_NAME_MAX];
    size_t used = 0, used_again = 0;
    enum proxy_header result = read_copy(data, size, &peer, &used);
    bool whole = result == PROXY_HEADER_PEER || result == PROXY_HEADER_LOCAL;
    ASSERT(proxy_header_text(result));
    ASSERT(result != PROXY_HEADER_MORE || size < PROXY_HEADER_MAX);
    if (!whole)
        return 0;
    ASSERT(used >= 16 && used <= size && used <= PROXY_HEADER_MAX);
    ASSERT(read_copy(data, used - 1, &again, &used_again) == PROXY_HEADER_MORE);
    ASSERT(read_copy(data, used, &again, &used_again) == result && used_again == used);
    if (result == PROXY_HEADER_PEER)
        ASSERT(peer_name(&peer, name) < sizeof name);
    return 0;
}
