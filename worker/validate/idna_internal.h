/* idna_internal.h: what the parts of idna.h share. */
#pragma once

#include "worker/validate/idna.h"

/* repr() of a label, as Python's messages quote it. */
void idna_append_repr(struct buf *b, struct slice label);
/* Appends which of the rules of RFC 5893 section 2 the label breaks; false when none. label is not
 * empty. */
bool idna_append_bidi_reason(struct buf *b, struct slice label);
