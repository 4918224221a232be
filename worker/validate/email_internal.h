/* email_internal.h: what the parts of the e-mail check share: email.c (order of things, lengths),
 * email_split.c (name, local part, domain), email_local.c, email_domain.c, email_literal.c (in brackets),
 * email_text.c (reasons).
 * All take and give valid UTF-8. */
#pragma once

#include "worker/validate/email.h"

#include <stdbool.h>
#include <stdint.h>

struct email_check {
    struct arena *arena;
    struct slice reason; /* why the address is invalid … */
    bool no_memory;      /* … or memory ran out */
};

/* These set why and return false, so that a check can end with "return email_fail(…)". */
bool email_fail(struct email_check *e, struct slice reason);
bool email_no_memory(struct email_check *e);
bool email_failf(struct email_check *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The reason is before, the distinct characters of text that *bad* is true of, sorted by how they
 * are shown, and after. True when there is none. */
bool email_no_bad_chars(struct email_check *e, struct slice text, bool (*bad)(uint32_t c),
                        const char *before, const char *after);
/* No controls, format characters, separators, or a combining mark at the start. */
bool email_no_unsafe_chars(struct email_check *e, struct slice text, bool allow_space);

/* Letters, digits and the rest of RFC 5322's atext. */
bool email_is_atext(uint32_t c);

struct email_parts {
    bool bracketed;     /* a display name, maybe empty, and angle brackets were there */
    struct slice local; /* as sent */
    struct slice plain; /* local without its quotes and escapes */
    bool quoted;
    struct slice domain;
};

/* Reduces 'Name <address>' to the address, when it has that form. */
struct slice email_strip_name(struct slice text);
bool email_split(struct email_check *e, struct slice text, struct email_parts *parts_r);

/* The local part, checked and normalised. */
bool email_check_local(struct email_check *e, const struct email_parts *parts,
                       struct slice *local_r);

/* The domain, checked: as it is stored (international) and as DNS has it. */
bool email_check_domain(struct email_check *e, struct slice domain, struct slice *domain_r,
                        struct slice *ascii_r);
/* "[…]" without its brackets. Never true: addresses in brackets are refused, but wrong ones with a
 * reason of their own. */
bool email_refuse_literal(struct email_check *e, struct slice literal);
