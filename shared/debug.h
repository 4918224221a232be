/* debug.h: whether debug mode is on: one flag for the process, read where a report could be made.
 * The master sets it before it forks, so that every worker begins with what is in force; later the
 * workers are told (MESSAGE_DEBUG). Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

/* Private to the functions below. */
extern atomic_bool debug_flag;

/* One relaxed load: cheap enough for any path. */
static inline bool debug_is_on(void)
{
    return __builtin_expect(atomic_load_explicit(&debug_flag, memory_order_relaxed), 0);
}

/* At run time. What is made while it is off is not known to the ledger later. */
void debug_set(bool on);
