/* private.c: see private.h. */
#include "shared/private.h"

#include <string.h>
#include <sys/mman.h>

void *private_new(size_t len)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, len, MADV_DONTDUMP); /* an old kernel's refusal costs no correctness */
    return memory;
}

void private_free(void *memory, size_t len)
{
    if (!memory)
        return;
    explicit_bzero(memory, len);
    munmap(memory, len);
}
