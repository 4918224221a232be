/* none.c: a build without the list. */
#include "worker/validate/common.h"

const struct common_list common_list;
