/* debug.c: see debug.h. */
#include "shared/debug.h"

atomic_bool debug_flag;

void debug_set(bool on)
{
    atomic_store_explicit(&debug_flag, on, memory_order_relaxed);
}
