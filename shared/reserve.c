/* reserve.c: see reserve.h. Blocks of the reserve are cut off one after the other and never reused
 * singly; when the last of them was given back it begins anew. Arrays that grow go back to the heap
 * as soon as it has room. */
#include "shared/reserve.h"

#include "shared/log.h"

#include <malloc.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RESERVE_BYTES = 2 << 20 };

/* Before each block. */
struct head {
    alignas(max_align_t) size_t len;
};

static alignas(max_align_t) char reserve[RESERVE_BYTES]; /* untouched, it is no memory yet */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the three below */
static size_t used;
static unsigned blocks; /* not given back */
static bool told;

static bool is_ours(const void *p)
{
    return (uintptr_t)p - (uintptr_t)reserve < sizeof reserve;
}

static size_t len_of(void *p)
{
    if (!p)
        return 0;
    return is_ours(p) ? ((struct head *)p - 1)->len : malloc_usable_size(p);
}

static void *cut_off(size_t len)
{
    size_t room = (len + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct head *head = NULL;
    pthread_mutex_lock(&lock);
    if (room >= len && room <= sizeof reserve - sizeof *head &&
        used <= sizeof reserve - sizeof *head - room) {
        head = (struct head *)(void *)(reserve + used);
        head->len = len;
        used += sizeof *head + room;
        blocks++;
    }
    bool first = !told;
    told = true;
    pthread_mutex_unlock(&lock);
    if (first)
        log_error("out of memory: the event loop lives on its reserve");
    return head ? head + 1 : NULL;
}

static void give_back(void *p)
{
    if (!is_ours(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    if (--blocks == 0)
        used = 0;
    pthread_mutex_unlock(&lock);
}

void *reserve_realloc(void *p, long size)
{
    if (size <= 0) {
        give_back(p);
        return NULL;
    }
    size_t len = (size_t)size, before = len_of(p);
    void *moved = is_ours(p) ? malloc(len) : realloc(p, len);
    if (moved && !is_ours(p))
        return moved;
    if (!moved)
        moved = cut_off(len);
    if (!moved)
        return NULL;
    if (before)
        memcpy(moved, p, before < len ? before : len);
    give_back(p);
    return moved;
}
