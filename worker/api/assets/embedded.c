/* embedded.c: the assets that embedded.S compiled in, as assets.h declares them. */
#include "worker/api/assets.h"

#define ASSET(id, symbol, name, content_type) extern const char symbol[], symbol##_end[];
#include "worker/api/assets/assets.def"
#undef ASSET

const struct asset assets[ASSETS] = {
#define ASSET(id, symbol, name, content_type) {name, content_type, symbol, symbol##_end},
#include "worker/api/assets/assets.def"
#undef ASSET
};
