/* jsonw.h: append-only JSON writer over a struct buf. Compact; escapes exactly as the Python
 * original writes them (only \" \\ \n \r \t \b \f and \u00xx below 0x20), UTF-8 as it is. What is
 * no UTF-8 becomes U+FFFD, so that what is written is JSON (RFC 8259, section 8.1) whatever is in
 * the text: each malformed sequence, and a lone surrogate in three bytes (shared/utf8.h). Commas
 * are put by the writer; names and values are the caller's order. Nesting is the caller's care.
 * Errors are the buffer's sticky *failed*. Any thread. */
#pragma once

#include "shared/str.h"

#include <stdint.h>

struct jsonw {
    struct buf *out; /* borrowed */
    bool comma;      /* a value stands before the next one at this level */
};

static inline struct jsonw jsonw_on(struct buf *out)
{
    return (struct jsonw){.out = out};
}

void jsonw_object_open(struct jsonw *w);
void jsonw_object_close(struct jsonw *w);
void jsonw_array_open(struct jsonw *w);
void jsonw_array_close(struct jsonw *w);
/* "name": — the next call writes its value. */
void jsonw_name(struct jsonw *w, struct slice name);
/* The same for a literal that needs no escape, in one copy: jsonw_key(w, "id"). */
#define jsonw_key(w, name) jsonw_written_name(w, SLICE("\"" name "\":"))
/* A name with its quotes and colon. */
void jsonw_written_name(struct jsonw *w, struct slice name);
void jsonw_string(struct jsonw *w, struct slice value);
void jsonw_i64(struct jsonw *w, int64_t value);
void jsonw_u64(struct jsonw *w, uint64_t value);
void jsonw_bool(struct jsonw *w, bool value);
void jsonw_null(struct jsonw *w);
/* Text that is JSON already. */
void jsonw_raw(struct jsonw *w, struct slice json);

/* Appends the escaped bytes of a string without its quotes; of a piece of one, if it was not cut
 * within a character. */
void jsonw_escape(struct buf *out, struct slice bytes);
