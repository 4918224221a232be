/* private.h: memory for keys and passwords: pages of their own, which core dumps do not have
 * (MADV_DONTDUMP) and which are wiped before they go. Each call maps or unmaps, so that it is not
 * for a loop's daily work. Any thread. */
#pragma once

#include <stddef.h>

/* *len* zeroed bytes, on a page's boundary; the caller's. NULL with errno. */
void *private_new(size_t len);
/* Gives back the whole pages behind the first *kept* bytes: *kept* (at least 1) is its length from now
 * on. */
void private_trim(void *memory, size_t len, size_t kept);
/* Wipes and unmaps; *len* as it was asked for. Accepts NULL. */
void private_free(void *memory, size_t len);
