/* private.c: see private.h. */
#include "shared/private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *private_new(size_t len)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, len, MADV_DONTDUMP); /* an old kernel's refusal costs no correctness */
    return memory;
}

static size_t in_pages(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + page - 1) / page * page;
}

void private_trim(void *memory, size_t len, size_t kept)
{
    size_t before = in_pages(len), after = in_pages(kept);
    if (after < before) /* if it fails, it stays: no harm but its size */
        munmap((char *)memory + after, before - after);
}

void private_free(void *memory, size_t len)
{
    if (!memory)
        return;
    explicit_bzero(memory, len);
    munmap(memory, len);
}
