/* assets.c: see assets.h. Nearly every client takes gzip, and plain copies would double the binary:
 * so a worker inflates what the first other client asks for, which takes a few milliseconds, and
 * keeps it. */
#include "worker/api/assets.h"

#include "shared/check.h"

#include <zlib.h>

enum { GZIP_TRAILER_LEN = 8, GZIP_WINDOW_BITS = 15 + 16 };

bool assets_are_built_in(void)
{
    return assets[0].name;
}

struct slice asset_gzip(const struct asset *asset)
{
    return (struct slice){asset->gzip, (size_t)(asset->gzip_end - asset->gzip)};
}

/* ISIZE, the last four bytes. */
static size_t plain_len(const struct asset *asset)
{
    ASSERT(asset->gzip_end - asset->gzip > GZIP_TRAILER_LEN);
    size_t len = 0;
    for (int i = 1; i <= 4; i++)
        len = len << 8 | (unsigned char)asset->gzip_end[-i];
    return len;
}

struct slice asset_plain(const struct asset *asset, struct buf *plain)
{
    if (plain->len > 0)
        return buf_slice(plain);
    size_t len = plain_len(asset);
    struct slice packed = asset_gzip(asset);
    plain->failed = false; /* memory may have come back */
    char *room = buf_reserve(plain, len);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.ptr,
                  .avail_in = (uInt)packed.len,
                  .next_out = (Bytef *)room,
                  .avail_out = (uInt)len};
    if (!room || inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
        return (struct slice){NULL, 0};
    int result = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (result == Z_MEM_ERROR)
        return (struct slice){NULL, 0};
    ASSERT(result == Z_STREAM_END && z.total_out == len); /* our own bytes */
    plain->len = len;
    return buf_slice(plain);
}
