/* none.c: a build without assets. */
#include "worker/api/assets.h"

const struct asset assets[ASSETS];
