/* assets.h: the files that the pages of docs.h load: pinned in assets/package-lock.json, fetched
 * and compressed by the build, compiled in. A build that could not fetch them (or was told not to)
 * has none; see assets/assets.cmake. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

enum asset_id {
#define ASSET(id, symbol, name, content_type) ASSET_##id,
#include "worker/api/assets/assets.def"
#undef ASSET
    ASSETS
};

struct asset {
    const char *name; /* with its version, so that it can be kept for good; NULL: there is none */
    const char *content_type;
    const char *gzip, *gzip_end; /* one gzip member (RFC 1952), of less than 4 GiB */
};

extern const struct asset assets[ASSETS];

bool assets_are_built_in(void);
/* The asset's compressed bytes. Static. */
struct slice asset_gzip(const struct asset *asset);
/* Its bytes as they are: inflated into *plain* the first time, from then on what is there. {NULL,
 * 0} without memory. */
struct slice asset_plain(const struct asset *asset, struct buf *plain);
