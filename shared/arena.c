/* arena.c: bump allocation in blocks that double up to 64 KiB. */
#include "shared/arena.h"

#include "shared/check.h"
#include "shared/poison.h"
#include "shared/private.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 2048, BLOCK_MAX = 64 * 1024 };

/* No object is larger (malloc(3)), and lengths up to here can be rounded up. */
static const size_t LEN_MAX = PTRDIFF_MAX / 2;

struct arena_block {
    struct arena_block *older;
    size_t len;
    alignas(max_align_t) char data[];
};

static size_t align_up(size_t n)
{
    return (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

/* Starts a block of at least len bytes. */
static int add_block(struct arena *a, size_t len)
{
    size_t size = a->blocks ? a->blocks->len * 2 : BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (a->secret)
        size = BLOCK_MAX - sizeof(struct arena_block);
    if (size < len + POISON_GAP)
        size = len + POISON_GAP;
    struct arena_block *b = a->secret ? private_new(sizeof *b + size) : malloc(sizeof *b + size);
    if (!b)
        return -1;
    b->older = a->blocks;
    b->len = size;
    a->blocks = b;
    memory_poison(b->data, size);
    a->next = b->data + POISON_GAP;
    a->end = b->data + size;
    return 0;
}

void arena_init(struct arena *a, void *first_block, size_t first_len, size_t max_bytes)
{
    ASSERT(first_block || first_len == 0);
    char *p = first_block;
    size_t pad = first_block ? (size_t)(-(uintptr_t)p & (alignof(max_align_t) - 1)) : 0;
    if (pad > first_len)
        pad = first_len;
    *a = (struct arena){
        .first = p ? p + pad : NULL, .first_len = first_len - pad, .max_bytes = max_bytes};
    memory_poison(a->first, a->first_len);
    a->next = a->first_len > POISON_GAP ? a->first + POISON_GAP : a->first;
    a->end = p ? p + first_len : NULL;
}

void arena_init_secret(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes, .secret = true};
}

static void wipe(char *block, size_t len)
{
    if (len == 0)
        return;
    memory_unpoison(block, len);
    explicit_bzero(block, len);
}

/* Of the newest block only what is used: the rest of it was never written to. */
void arena_wipe(struct arena *a)
{
    for (struct arena_block *b = a->blocks; b; b = b->older)
        wipe(b->data, b == a->blocks ? (size_t)(a->next - b->data) : b->len);
    wipe(a->first, a->blocks ? a->first_len : (size_t)(a->next - a->first));
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->older;
        memory_unpoison(b->data, b->len);
        if (a->secret)
            private_free(b, sizeof *b + b->len);
        else
            free(b);
    }
    memory_unpoison(a->first, a->first_len);
    *a = (struct arena){0};
}

void *arena_alloc(struct arena *a, size_t len)
{
    if (len > LEN_MAX || len > a->max_bytes || a->used_bytes > a->max_bytes - len)
        return NULL;
    size_t need = align_up(len ? len : 1) + POISON_GAP;
    if ((size_t)(a->end - a->next) < need && add_block(a, need))
        return NULL;
    void *p = a->next;
    memory_unpoison(p, len);
    a->next += need;
    a->used_bytes += len;
    return p;
}

void *arena_zalloc(struct arena *a, size_t len)
{
    void *p = arena_alloc(a, len);
    if (p)
        memset(p, 0, len);
    return p;
}

char *arena_dup(struct arena *a, const void *bytes, size_t len)
{
    char *p = len < LEN_MAX ? arena_alloc(a, len + 1) : NULL;
    if (!p)
        return NULL;
    if (len)
        memcpy(p, bytes, len);
    p[len] = 0;
    return p;
}
