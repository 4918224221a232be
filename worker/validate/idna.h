/* idna.h: international domain names for email_domain.c: the mapping of UTS-46 and the labels of
 * IDNA 2008 (libidn2), with the sentences of Python's idna for what is refused where they can be
 * had. All text is valid UTF-8. Any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

enum idna_result { IDNA_OK, IDNA_INVALID, IDNA_NO_MEMORY };

/* UTS-46, non-transitional, without STD3 rules: lower case, compatibility forms and other full
 * stops resolved, NFC. {NULL, 0} without memory. */
struct slice idna_map(struct arena *a, struct slice domain);
/* One label to its ASCII form; an ASCII one stays, a punycode one being checked. */
enum idna_result idna_label_to_ascii(struct arena *a, struct slice label, struct slice *ascii_r,
                                     struct slice *why_r);
/* One ASCII label to its international form; one without the prefix xn-- stays. */
enum idna_result idna_label_to_unicode(struct arena *a, struct slice label, struct slice *text_r,
                                       struct slice *why_r);
