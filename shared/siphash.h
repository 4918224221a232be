/* siphash.h: SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash of short texts, so
 * that nobody who does not know the key can choose texts that meet. Pure; any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 128 bits, the two halves read as little-endian numbers. */
struct siphash_key {
    uint64_t low, high;
};

/* A text may come in parts: their bytes count as one text. */
struct siphash {
    uint64_t v[4];
    uint64_t tail; /* bytes that do not fill a word yet, the first one lowest */
    size_t len;    /* of all so far */
};

void siphash_begin(struct siphash *s, const struct siphash_key *key);
void siphash_add(struct siphash *s, const void *bytes, size_t len);
/* The hash; *s* is used up. */
uint64_t siphash_end(struct siphash *s);
