/* poison.h: tells AddressSanitizer which bytes of memory that we divide ourselves (arenas, pools)
 * are nobody's, as malloc(3) does of its own: whoever touches one ends the process. Nothing in
 * other builds. (sanitizer/asan_interface.h) Any thread. */
#pragma once

#include <stddef.h>

#ifdef __has_feature /* clang; gcc has the macro */
#if __has_feature(address_sanitizer)
#define POISON_WORKS 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POISON_WORKS 1
#endif

#ifdef POISON_WORKS
#include <sanitizer/asan_interface.h>
enum { POISON_GAP = 16 }; /* bytes left between two pieces, for those who write beyond one */
#else
enum { POISON_GAP = 0 };
#endif

/* len bytes that nobody may touch; behind some that are in use, or from a multiple of 8 on. */
static inline void memory_poison(const void *memory, size_t len)
{
#ifdef POISON_WORKS
    __asan_poison_memory_region(memory, len);
#else
    (void)memory;
    (void)len;
#endif
}

/* For use again, or before they go back to whom they came from. */
static inline void memory_unpoison(const void *memory, size_t len)
{
#ifdef POISON_WORKS
    __asan_unpoison_memory_region(memory, len);
#else
    (void)memory;
    (void)len;
#endif
}
