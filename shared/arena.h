/* arena.h: memory that goes together. Everything decoded for a request, and its response, lives in
 * one arena; nothing in it is freed singly. AddressSanitizer sees who leaves a piece (poison.h).
 * One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    char *next;                 /* first free byte of the current block */
    char *end;                  /* one past its last byte */
    char *first;                /* the first block, from its first aligned byte; NULL: none */
    size_t first_len;
    struct arena_block *blocks; /* owned, newest first; the first (inline) block is not among them */
    size_t used_bytes;          /* handed out so far, over all blocks */
    size_t max_bytes;           /* a request for more than this in all returns NULL */
    bool secret;                /* blocks are private memory (private.h) */
};

/* Starts an arena on *first_block* (may be NULL with length 0), which stays the caller's and must
 * outlive the arena; it is not to be touched otherwise until arena_fini(). At most max_bytes in all are ever handed out. */
void arena_init(struct arena *a, void *first_block, size_t first_len, size_t max_bytes);
/* The same for what no core dump shall have: its blocks are pages of their own, and are wiped when they
 * go. For few and long-lived arenas. */
void arena_init_secret(struct arena *a, size_t max_bytes);
/* Wipes all that was ever handed out, the first block's too. arena_fini() comes next. */
void arena_wipe(struct arena *a);
/* Frees all blocks. The arena is as after arena_init without a first block: reusable only after
 * another arena_init. */
void arena_fini(struct arena *a);

/* len bytes aligned for any type, not zeroed; len 0 gives a valid pointer. NULL when memory or
 * max_bytes is exhausted: check it. */
void *arena_alloc(struct arena *a, size_t len) __attribute__((malloc, alloc_size(2)));
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t len) __attribute__((malloc, alloc_size(2)));
/* A copy of len bytes, with a NUL behind them. NULL as above. */
char *arena_dup(struct arena *a, const void *bytes, size_t len);
