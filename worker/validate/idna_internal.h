/* idna_internal.h: what the parts of idna.h share. label is valid UTF-8. */
#pragma once

#include "worker/validate/idna.h"

/* Characters that only some places allow (RFC 5892, appendix A). */
enum idna_context {
    IDNA_CONTEXT_FREE, /* no such character */
    IDNA_CONTEXT_FITS,
    IDNA_CONTEXT_WRONG,
    IDNA_CONTEXT_WRONG_JOINER
};

/* Of the character that begins at label.ptr + at. */
enum idna_context idna_context_at(struct slice label, size_t at);
/* Appends which of the rules of RFC 5893 section 2 the label breaks; false when none. label is not
 * empty. */
bool idna_append_bidi_reason(struct buf *b, struct slice label);
