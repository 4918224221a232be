/* common.h: the passwords that people use most, from published leaks. The list is part of the binary
 * (common/common.cmake), so that all workers share its pages. Pure. Any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* Lines, each with its end, sorted by their bytes, in lower case. Both NULL: this build has none. */
struct common_list {
    const char *begin;
    const char *end;
};
extern const struct common_list common_list;

/* The password, in lower case, is one of the list, exactly. */
bool common_has(const struct common_list *list, struct slice password);
