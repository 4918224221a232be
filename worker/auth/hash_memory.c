/* hash_memory.c: see hash_memory.h. Whatever the loader, a sanitizer or a test put before the C library
 * is asked for the real mappings: RTLD_NEXT, dlsym(3). */
#include "worker/auth/hash_memory.h"

#include "shared/check.h"
#include "shared/private.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum { SMALL_MAX = 256 * 1024, LARGE_MIN = 4 * 1024 * 1024 };

#ifndef MADV_POPULATE_WRITE /* since Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* The thread's own. */
static _Thread_local struct {
    bool is_open;
    bool is_lent;
    void *small; /* SMALL_MAX bytes, zero but while lent; may be NULL */
} mine;

typedef void *map_fn(void *, size_t, int, int, int, off_t);
typedef int unmap_fn(void *, size_t);

/* In each of two threads that ask at once the answer is the same. */
static void *next_of(_Atomic(void *) *known, const char *name)
{
    void *next = atomic_load_explicit(known, memory_order_relaxed);
    if (!next) {
        next = dlsym(RTLD_NEXT, name);
        ASSERT(next);
        atomic_store_explicit(known, next, memory_order_relaxed);
    }
    return next;
}

static void *next_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    static _Atomic(void *) known;
    return ((map_fn *)next_of(&known, "mmap"))(at, len, prot, flags, fd, offset);
}

static int next_munmap(void *at, size_t len)
{
    static _Atomic(void *) known;
    return ((unmap_fn *)next_of(&known, "munmap"))(at, len);
}

/* In vain where the kernel has no huge pages or does not fill them on request: then pages come one by
 * one, when they are first touched. */
static void *map_large(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    void *memory = next_mmap(at, len, prot, flags & ~MAP_POPULATE, fd, offset);
    if (memory == MAP_FAILED)
        return memory;
    int saved_errno = errno;
    madvise(memory, len, MADV_DONTDUMP);
    madvise(memory, len, MADV_HUGEPAGE);
    madvise(memory, len, MADV_POPULATE_WRITE);
    errno = saved_errno;
    return memory;
}

/* Weak: a program may have its own, which a test uses. */
__attribute__((weak)) void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    bool is_hash = mine.is_open && (flags & (MAP_POPULATE | MAP_ANONYMOUS)) == (MAP_POPULATE | MAP_ANONYMOUS);
    if (is_hash && len <= SMALL_MAX && mine.small && !mine.is_lent) {
        mine.is_lent = true;
        return mine.small;
    }
    if (is_hash && len >= LARGE_MIN)
        return map_large(at, len, prot, flags, fd, offset);
    return next_mmap(at, len, prot, flags, fd, offset);
}

__attribute__((weak)) int munmap(void *at, size_t len)
{
    if (!mine.is_lent || at != mine.small)
        return next_munmap(at, len);
    explicit_bzero(at, len);
    mine.is_lent = false;
    return 0;
}

void hash_memory_open(void)
{
    ASSERT(!mine.is_open);
    mine.small = private_new(SMALL_MAX);
    mine.is_open = true;
}

void hash_memory_close(void)
{
    ASSERT(!mine.is_lent);
    private_free(mine.small, SMALL_MAX);
    mine.small = NULL;
    mine.is_open = false;
}
