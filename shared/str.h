/* str.h: slices (borrowed bytes with a length) and growable buffers. Slices need no NUL and may
 * hold any byte. Any thread, one at a time per buffer. */
#pragma once

#include "shared/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* len bytes at ptr, borrowed. {NULL, 0} means "absent"; an empty one has ptr != NULL. */
struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){("" literal), sizeof(literal) - 1})
/* For printf: "%.*s", SLICE_ARGS(s). */
#define SLICE_ARGS(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *nul_terminated)
{
    return (struct slice){nul_terminated, nul_terminated ? strlen(nul_terminated) : 0};
}

static inline bool slice_equals(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case-insensitive, as HTTP field names are (RFC 9110, 5.1). */
bool slice_equals_nocase(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);
/* Without leading and trailing bytes out of *set* (NUL-terminated). */
struct slice slice_trim(struct slice s, const char *set);
/* Cuts *rest at the first *separator*: returns what stands before it and leaves what follows in
 * *rest ({NULL, 0} when there was no separator). Call while rest->ptr. */
struct slice slice_split(struct slice *rest, char separator);
/* Decimal digits only, no sign. False when empty, malformed or above max. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value_r);
/* A NUL-terminated heap copy, the caller's to free; NULL without memory. */
char *slice_strdup(struct slice s);
/* A copy in the arena (NUL behind it); {NULL, 0} without memory. */
struct slice slice_dup(struct arena *a, struct slice s);

/* A growable run of bytes: on the heap, or in an arena (then never freed singly). Failure to grow
 * is sticky: later appends do nothing, so callers append freely and look at *failed* once. */
struct buf {
    char *data;          /* owned (heap) or the arena's; NULL while nothing was appended */
    size_t len;          /* <= cap */
    size_t cap;
    struct arena *arena; /* borrowed; NULL for the heap */
    bool failed;
};

/* An empty buffer on the heap is {0}; this makes one in an arena. */
static inline struct buf buf_in_arena(struct arena *a)
{
    return (struct buf){.arena = a};
}

/* Frees a heap buffer; leaves {0} (an arena's buffer stays in its arena). */
void buf_free(struct buf *b);
/* Room for *extra* more bytes: pointer to the first, or NULL (and failed) without memory. Add what
 * was written to b->len. */
static inline char *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drops the first len bytes, moving the rest down. */
void buf_consume(struct buf *b, size_t len);

/* The seldom part of buf_reserve(). */
char *buf_grow(struct buf *b, size_t extra);

static inline char *buf_reserve(struct buf *b, size_t extra)
{
    return !b->failed && extra <= b->cap - b->len && b->data ? b->data + b->len
                                                             : buf_grow(b, extra);
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.ptr, s.len);
}

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data ? b->data : "", b->len};
}

/* For people to read: if there was no memory for any of it, that. */
static inline struct slice buf_text(const struct buf *b)
{
    return b->failed && b->len == 0 ? SLICE("out of memory") : buf_slice(b);
}

/* Empty again, whatever became of it before: for one that lives on. */
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Writes value in decimal at *out* (at least 20 bytes, no NUL); returns the length. */
size_t str_u64(char *out, uint64_t value);
/* The same for signed ones (at least 21 bytes). */
size_t str_i64(char *out, int64_t value);
