/* json_memory.h: whether jansson was short of memory while it read. Its reader (2.14 and before) does not look at
 * whether a character could be kept: a longer string or number than any before it may come out with one
 * missing, and nothing said. So whoever lets it read asks. Any thread; each knows of its own. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

/* A document out of *text* (json_loadb(), no flags), the caller's; NULL when it is none, and always when memory
 * was short, which *was_short_r tells. */
struct json_t *json_memory_load(struct slice text, bool *was_short_r);

/* For another library that has it read: from now on. The first call of a process puts itself between jansson and
 * malloc(3). */
void json_memory_watch(void);
/* Whether an allocation of jansson's has failed since: what was read is not to be believed. */
bool json_memory_was_short(void);
