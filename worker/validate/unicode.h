/* unicode.h: the few questions about characters that validation asks, answered as Python's str
 * does. Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

/* str.isspace of one character. */
bool unicode_is_space(uint32_t c);
/* The property White_Space: the same but for U+001C..U+001F (what pydantic's integers trim). */
bool unicode_is_white(uint32_t c);
/* str.strip() and the like: without the characters that *is* at both ends. s is valid UTF-8. */
struct slice unicode_trim(struct slice s, bool (*is)(uint32_t c));
/* str.isalnum of one character, or '_': what \w matches. */
bool unicode_is_word(uint32_t c);
/* The first letter of the general category: 'L', 'N', 'P', 'S', 'M', 'Z' or 'C'. */
char unicode_category(uint32_t c);
/* Appends how a message shows a character: 'c' in quotes when it is one to be seen, else its
 * Unicode name, else U+0009. */
void unicode_append_display(struct buf *b, uint32_t c);
/* Appends repr(s): quoted, with escapes for what is not to be seen. s is valid UTF-8. */
void unicode_append_repr(struct buf *b, struct slice s);
/* s in Normalization Form C: s itself when it is already, else a copy in the arena. {NULL, 0}
 * without memory. s is valid UTF-8. */
struct slice unicode_nfc(struct arena *a, struct slice s);
