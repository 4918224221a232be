/* idna.c: see idna.h. idn2_register_u8() is the one entry of libidn2 that applies all of IDNA 2008
 * to a label, contextual rules included, as Python's idna does. */
#include "worker/validate/idna.h"

#include "shared/utf8.h"
#include "worker/validate/idna_internal.h"
#include "worker/validate/unicode.h"

#include <idn2.h>
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

enum { LABEL_MAX = 63 };

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* Appends what UTS-46 maps one character to: NFKC_Casefold, but for the deviations (which stay) and
 * what IDNA has on its own. */
static void append_mapped(struct buf *out, struct slice bytes, uint32_t c)
{
    if (c == 0x3002 || c == 0xFF61) { /* separate labels; no decomposition says so */
        buf_append_char(out, '.');
    } else if (c == 0xDF || c == 0x1E9E) {
        utf8_append(out, 0xDF);
    } else if (c == 0x3C2 || c == 0x200C || c == 0x200D) {
        utf8_append(out, c);
    } else if (!uc_is_property_default_ignorable_code_point(c)) {
        uint8_t small[64];
        size_t len = sizeof small;
        uint8_t *mapped =
            u8_casefold((const uint8_t *)bytes.ptr, bytes.len, NULL, UNINORM_NFKC, small, &len);
        if (mapped)
            buf_append(out, mapped, len);
        else
            out->failed = true;
        if (mapped != small)
            free(mapped);
    }
}

static void append_lower(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_append_char(out, s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i]);
}

struct slice idna_map(struct arena *a, struct slice domain)
{
    struct buf out = buf_in_arena(a);
    if (is_ascii(domain)) {
        append_lower(&out, domain);
    } else {
        for (size_t at = 0; at < domain.len;) {
            size_t start = at;
            uint32_t c = utf8_next(domain, &at);
            append_mapped(&out, (struct slice){domain.ptr + start, at - start}, c);
        }
    }
    return out.failed ? (struct slice){NULL, 0} : unicode_nfc(a, buf_slice(&out));
}

/* What libidn2 says to a label, whose A-label goes to ascii (64 bytes). */
static int encode(struct arena *a, struct slice label, char *ascii)
{
    char *text = arena_dup(a, label.ptr, label.len);
    if (!text)
        return IDN2_MALLOC;
    if (memchr(label.ptr, 0, label.len))
        return IDN2_DISALLOWED;
    uint8_t *made = NULL;
    int result = idn2_register_u8((const uint8_t *)text, NULL, &made, 0);
    if (result == IDN2_OK && strlen((char *)made) > LABEL_MAX)
        result = IDN2_TOO_BIG_LABEL;
    if (result == IDN2_OK)
        memcpy(ascii, made, strlen((char *)made) + 1);
    idn2_free(made);
    return result;
}

/* Whether no label may have c. A combining mark is asked about behind a letter. */
static bool is_allowed_nowhere(struct arena *a, uint32_t c)
{
    char bytes[5] = "a", ascii[LABEL_MAX + 1];
    size_t start = unicode_category(c) == 'M';
    struct slice one = {bytes, start + utf8_put(bytes + start, c)};
    int result = encode(a, one, ascii);
    return result == IDN2_DISALLOWED || result == IDN2_UNASSIGNED;
}

/* Appends which character is the first that may not stand where it stands. libidn2 looks for each
 * kind of fault in all of the label, Python at each character for all kinds. False when there is
 * none. */
static bool append_culprit(struct buf *b, struct arena *a, struct slice label)
{
    unsigned position = 0;
    for (size_t at = 0; at < label.len;) {
        size_t start = at;
        uint32_t c = utf8_next(label, &at);
        enum idna_context context = idna_context_at(label, start);
        position++;
        if (context == IDNA_CONTEXT_FREE && is_allowed_nowhere(a, c)) {
            buf_printf(b, "Codepoint U+%04X at position %u of ", (unsigned)c, position);
            unicode_append_repr(b, label);
            buf_append_slice(b, SLICE(" not allowed"));
            return true;
        }
        if (context == IDNA_CONTEXT_WRONG || context == IDNA_CONTEXT_WRONG_JOINER) {
            bool joiner = context == IDNA_CONTEXT_WRONG_JOINER;
            buf_printf(b, "%s U+%04X%s at position %u in ",
                       joiner ? "Unknown codepoint adjacent to joiner" : "Codepoint", (unsigned)c,
                       joiner ? "" : " not allowed", position);
            unicode_append_repr(b, label);
            return true;
        }
    }
    return false;
}

static bool is_about_characters(int result)
{
    return result == IDN2_DISALLOWED || result == IDN2_UNASSIGNED || result == IDN2_CONTEXTO ||
           result == IDN2_CONTEXTO_NO_RULE || result == IDN2_CONTEXTJ ||
           result == IDN2_CONTEXTJ_NO_RULE;
}

static enum idna_result explain(struct arena *a, struct slice label, int result,
                                struct slice *why_r)
{
    struct buf b = buf_in_arena(a);
    bool named = true;
    if (result == IDN2_MALLOC)
        return IDNA_NO_MEMORY;
    if (is_about_characters(result))
        named = append_culprit(&b, a, label);
    else if (result == IDN2_BIDI)
        named = idna_append_bidi_reason(&b, label);
    else if (result == IDN2_HYPHEN_STARTEND)
        buf_append_slice(&b, SLICE("Label must not start or end with a hyphen"));
    else if (result == IDN2_LEADING_COMBINING)
        buf_append_slice(&b, SLICE("Label begins with an illegal combining character"));
    else if (result == IDN2_NOT_NFC)
        buf_append_slice(&b, SLICE("Label must be in Normalization Form C"));
    else if (result == IDN2_2HYPHEN)
        buf_append_slice(&b, SLICE("Label has disallowed hyphens in 3rd and 4th position"));
    else if (result == IDN2_TOO_BIG_LABEL || result == IDN2_PUNYCODE_BIG_OUTPUT)
        buf_append_slice(&b, SLICE("Label too long"));
    else
        named = false;
    if (!named)
        buf_append_slice(&b, slice_of(idn2_strerror(result)));
    *why_r = buf_slice(&b);
    return b.failed ? IDNA_NO_MEMORY : IDNA_INVALID;
}

static enum idna_result refuse(struct slice why, struct slice *why_r)
{
    *why_r = why;
    return IDNA_INVALID;
}

enum idna_result idna_label_to_ascii(struct arena *a, struct slice label, struct slice *ascii_r,
                                     struct slice *why_r)
{
    if (is_ascii(label)) {
        struct slice text;
        enum idna_result result = idna_label_to_unicode(a, label, &text, why_r);
        if (result == IDNA_OK && label.len > LABEL_MAX)
            return refuse(SLICE("Label too long"), why_r);
        *ascii_r = label;
        return result;
    }
    char ascii[LABEL_MAX + 1];
    int result = encode(a, label, ascii);
    if (result != IDN2_OK)
        return explain(a, label, result, why_r);
    *ascii_r = slice_dup(a, slice_of(ascii));
    return ascii_r->ptr ? IDNA_OK : IDNA_NO_MEMORY;
}

/* The text of an A-label, unchecked. IDNA_INVALID when it is no punycode. */
static enum idna_result decode(struct arena *a, struct slice label, struct slice *text_r)
{
    char *copy = arena_dup(a, label.ptr, label.len), *made = NULL;
    if (!copy)
        return IDNA_NO_MEMORY;
    int result = idn2_to_unicode_8z8z(copy, &made, 0);
    if (result == IDN2_OK)
        *text_r = slice_dup(a, slice_of(made));
    idn2_free(made);
    if (result == IDN2_MALLOC || (result == IDN2_OK && !text_r->ptr))
        return IDNA_NO_MEMORY;
    return result == IDN2_OK && utf8_is_valid(*text_r) && !is_ascii(*text_r) ? IDNA_OK
                                                                             : IDNA_INVALID;
}

enum idna_result idna_label_to_unicode(struct arena *a, struct slice label, struct slice *text_r,
                                       struct slice *why_r)
{
    char ascii[LABEL_MAX + 1];
    *text_r = label;
    if (!slice_starts_with(label, SLICE("xn--")))
        return IDNA_OK;
    enum idna_result result = decode(a, label, text_r);
    if (result == IDNA_INVALID)
        return refuse(SLICE("Invalid A-label"), why_r);
    if (result != IDNA_OK)
        return result;
    int encoded = encode(a, *text_r, ascii);
    if (encoded != IDN2_OK)
        return explain(a, *text_r, encoded, why_r);
    if (!slice_equals(slice_of(ascii), label)) /* not the one way to write it */
        return refuse(SLICE("Invalid A-label"), why_r);
    return IDNA_OK;
}
