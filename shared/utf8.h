/* utf8.h: code points in and out of byte runs. Besides strict UTF-8 (RFC 3629) there is the wider
 * form the JSON reader uses inside: a lone surrogate as the three bytes ED A0..BF xx, as Python's
 * "surrogatepass" has it. Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_REPLACEMENT = 0xFFFD, UTF8_INVALID = 0xFFFFFFFF };

/* The code point at *at (which must be < s.len); advances *at behind it. On a malformed sequence:
 * UTF8_INVALID, and *at advances over its longest prefix that could have begun a valid one (Unicode
 * 3.9, "maximal subpart"; at least one byte). Surrogates are malformed. */
uint32_t utf8_next(struct slice s, size_t *at);
/* The same, but a surrogate in three bytes is returned as it is. */
uint32_t utf8_next_wide(struct slice s, size_t *at);
/* Writes code point c (surrogates allowed, <= 0x10FFFF) at out, at most 4 bytes; returns how many.
 */
size_t utf8_put(char *out, uint32_t c);
void utf8_append(struct buf *b, uint32_t c);

bool utf8_is_valid(struct slice s);
/* Valid but for lone surrogates, whose presence goes to *surrogates_r. */
bool utf8_is_valid_wide(struct slice s, bool *surrogates_r);
/* How many code points; s is valid (wide or not). */
size_t utf8_count(struct slice s);
/* s itself when it is valid UTF-8, else a copy in the arena with U+FFFD for every malformed
 * sequence, as Python's errors="replace". {NULL, 0} without memory. */
struct slice utf8_replace(struct arena *a, struct slice s);
