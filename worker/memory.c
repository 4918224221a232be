/* memory.c: see memory.h. */
#include "worker/memory.h"

#include <malloc.h>

enum {
    KEPT_BYTES = 4 << 20, /* of each of the allocator's arenas: the loop's, and one a thread at most */
    MMAP_BYTES = 1 << 20  /* larger blocks come and go one by one */
};

void memory_keep(void)
{
    /* both fixed: else the first large block that is freed would move them (mallopt(3)) */
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
}

void memory_look(struct memory *m, uint64_t requests)
{
    if (requests != m->requests) {
        *m = (struct memory){.requests = requests};
        return;
    }
    if (m->idle_looks < MEMORY_GIVEN_BACK && ++m->idle_looks == MEMORY_GIVEN_BACK)
        malloc_trim(0);
}
