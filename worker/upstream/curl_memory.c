/* curl_memory.c: see curl_memory.h. Free lists of powers of two, carved from slabs; what is larger has
 * pages of its own. Free memory is zero, but for the link in its first bytes. */
#include "worker/upstream/curl_memory.h"

#include "shared/check.h"
#include "shared/private.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

enum {
    SMALLEST = 32,
    CLASSES = 11, /* the largest: 32 KiB */
    SLAB_LEN = 256 * 1024
};

struct chunk {
    alignas(max_align_t) size_t cap; /* bytes behind this */
};

struct free_chunk {
    struct chunk chunk;
    struct free_chunk *next;
};

static struct {
    pthread_mutex_t lock;
    struct free_chunk *free[CLASSES];
    char *slab; /* what is left of the newest */
    size_t slab_left;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* CLASSES: too large for any. */
static unsigned class_of(size_t len)
{
    unsigned class = 0;
    while (class < CLASSES && ((size_t)SMALLEST << class) < len)
        class ++;
    return class;
}

/* Under the lock. NULL without memory. */
static struct chunk *carve(size_t cap)
{
    size_t need = sizeof(struct chunk) + cap;
    if (pool.slab_left < need) { /* the rest of the old one, less than a chunk, is lost */
        char *slab = private_new(SLAB_LEN);
        if (!slab)
            return NULL;
        pool.slab = slab;
        pool.slab_left = SLAB_LEN;
    }
    struct chunk *c = (struct chunk *)(void *)pool.slab;
    pool.slab += need;
    pool.slab_left -= need;
    return c;
}

static struct chunk *take(unsigned class)
{
    ASSERT(pthread_mutex_lock(&pool.lock) == 0);
    struct free_chunk *f = pool.free[class];
    struct chunk *c = f ? &f->chunk : carve((size_t)SMALLEST << class);
    if (f) {
        pool.free[class] = f->next;
        f->next = NULL;
    }
    ASSERT(pthread_mutex_unlock(&pool.lock) == 0);
    if (c)
        c->cap = (size_t)SMALLEST << class;
    return c;
}

static void give_back(struct chunk *c, unsigned class)
{
    struct free_chunk *f = (struct free_chunk *)c;
    ASSERT(pthread_mutex_lock(&pool.lock) == 0);
    f->next = pool.free[class];
    pool.free[class] = f;
    ASSERT(pthread_mutex_unlock(&pool.lock) == 0);
}

static struct chunk *take_pages(size_t len)
{
    if (len > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    struct chunk *c = private_new(sizeof *c + len);
    if (c)
        c->cap = len;
    return c;
}

static struct chunk *chunk_of(void *memory)
{
    return (struct chunk *)memory - 1;
}

/* Zeroed, as it happens. */
void *curl_memory_malloc(size_t len)
{
    unsigned class = class_of(len);
    struct chunk *c = class < CLASSES ? take(class) : take_pages(len);
    return c ? c + 1 : NULL;
}

void curl_memory_free(void *memory)
{
    if (!memory)
        return;
    struct chunk *c = chunk_of(memory);
    unsigned class = class_of(c->cap);
    if (class == CLASSES) {
        private_free(c, sizeof *c + c->cap);
        return;
    }
    explicit_bzero(memory, c->cap);
    give_back(c, class);
}

void *curl_memory_realloc(void *memory, size_t len)
{
    if (memory && len <= chunk_of(memory)->cap)
        return memory;
    void *larger = curl_memory_malloc(len);
    if (larger && memory) {
        memcpy(larger, memory, chunk_of(memory)->cap);
        curl_memory_free(memory);
    }
    return larger;
}

void *curl_memory_calloc(size_t count, size_t len)
{
    size_t all;
    if (__builtin_mul_overflow(count, len, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return curl_memory_malloc(all);
}

char *curl_memory_strdup(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = curl_memory_malloc(len);
    return copy ? memcpy(copy, text, len) : NULL;
}
