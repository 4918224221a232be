/* json_memory.h: whether jansson was short of memory while it read. Its reader (2.14 and before) does not look at
 * whether a character could be kept: a longer string or number than any before it may come out with one
 * missing, and nothing said. So whoever lets it read asks:
 *
 *     json_memory_watch();
 *     json = json_loadb(…);
 *     if (json_memory_was_short()) json is not to be believed
 *
 * Any thread; each knows of its own. */
#pragma once

#include <stdbool.h>

/* From now on. The first call of a process puts itself between jansson and malloc(3). */
void json_memory_watch(void);
/* Whether an allocation of jansson's has failed since. */
bool json_memory_was_short(void);
