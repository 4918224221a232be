/* email_domain.c: the part after the @-sign: characters, UTS-46, dots and hyphens, IDNA, lengths,
 * top level, reserved names, in this order. */
#include "shared/utf8.h"
#include "worker/validate/email_internal.h"
#include "worker/validate/idna.h"
#include "worker/validate/unicode.h"

#include <uninorm.h>
#include <unictype.h>

enum { DOMAIN_MAX = 253, LABEL_MAX = 63 };

static const char bad_chars[] = "The part after the @-sign contains invalid characters: ";

/* Names under which no mail is delivered: RFC 6761, 6762, 7686 and the infrastructure domain. */
static const char *const reserved_names[] = {"arpa",      "invalid", "local",
                                             "localhost", "onion",   "test"};

static bool is_bad(uint32_t c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return c < 0x80 && !letter && !(c >= '0' && c <= '9') && c != '-' && c != '.';
}

/* A full stop is part of what the character stands for ("⒈"), which would move label borders. */
static bool decomposes_to_stop(uint32_t c)
{
    ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
    int tag, len = uc_decomposition(c, &tag, parts);
    for (int i = 0; i < len; i++)
        if (parts[i] == '.')
            return true;
    return false;
}

/* Not to be had by UTS-46, as far as email-validator knows it. */
static bool is_bad_for_uts46(uint32_t c)
{
    if (c >= 0x80 && c <= 0x9F)
        return true;
    bool punctuation = c >= 0x2010 && c <= 0x2060 && !(c >= 0x2024 && c <= 0x2026) &&
                       !(c >= 0x2028 && c <= 0x202E);
    if (punctuation || c == 0xAD || c == 0x2064 || c == 0xFF0E || (c >= 0x200B && c <= 0x200D) ||
        (c >= 0x1BCA0 && c <= 0x1BCA3))
        return false;
    char category = unicode_category(c);
    return category == 'C' || category == 'Z' || decomposes_to_stop(c);
}

static bool has(struct slice s, const char *part)
{
    return s.len && memmem(s.ptr, s.len, part, strlen(part));
}

static bool check_dots(struct email_check *e, struct slice domain)
{
    if (slice_ends_with(domain, SLICE(".")))
        return email_fail(e, SLICE("An email address cannot end with a period."));
    if (slice_starts_with(domain, SLICE(".")))
        return email_fail(
            e, SLICE("An email address cannot have a period immediately after the @-sign."));
    if (has(domain, ".."))
        return email_fail(e, SLICE("An email address cannot have two periods in a row."));
    if (slice_ends_with(domain, SLICE("-")))
        return email_fail(e, SLICE("An email address cannot end with a hyphen."));
    if (slice_starts_with(domain, SLICE("-")))
        return email_fail(
            e, SLICE("An email address cannot have a hyphen immediately after the @-sign."));
    if (has(domain, ".-") || has(domain, "-."))
        return email_fail(
            e, SLICE("An email address cannot have a period and a hyphen next to each other."));
    return true;
}

/* Two characters, not "xn", and two hyphens. */
static bool is_reserved_label(struct slice label)
{
    size_t at = 0;
    for (int i = 0; i < 2 && at < label.len; i++)
        utf8_next(label, &at);
    struct slice rest = {label.ptr + at, label.len - at};
    return slice_starts_with(rest, SLICE("--")) &&
           !slice_equals((struct slice){label.ptr, at}, SLICE("xn"));
}

static bool check_labels(struct email_check *e, struct slice domain)
{
    while (domain.ptr)
        if (is_reserved_label(slice_split(&domain, '.')))
            return email_fail(
                e, SLICE("An email address cannot have two letters followed by two dashes "
                         "immediately after the @-sign or after a period, except Punycode."));
    return true;
}

/* All labels of a domain one after the other; *complaint* is what the domain is when one is
 * refused. */
static bool convert(struct email_check *e, struct slice domain,
                    enum idna_result (*convert_one)(struct arena *a, struct slice label,
                                                    struct slice *made_r, struct slice *why_r),
                    const char *complaint, struct slice *made_r)
{
    struct buf made = buf_in_arena(e->arena);
    for (bool first = true; domain.ptr; first = false) {
        struct slice text = {NULL, 0}, why = {NULL, 0};
        switch (convert_one(e->arena, slice_split(&domain, '.'), &text, &why)) {
        case IDNA_OK:
            break;
        case IDNA_INVALID:
            return email_failf(e, "The part after the @-sign is %s (%.*s).", complaint,
                               SLICE_ARGS(why));
        case IDNA_NO_MEMORY:
            return email_no_memory(e);
        }
        if (!first)
            buf_append_char(&made, '.');
        buf_append_slice(&made, text);
    }
    *made_r = buf_slice(&made);
    return !made.failed || email_no_memory(e);
}

static const char *plural(size_t n)
{
    return n > 1 ? "s" : "";
}

static bool check_lengths(struct email_check *e, struct slice ascii, bool as_sent)
{
    if (ascii.len > DOMAIN_MAX) {
        size_t extra = ascii.len - DOMAIN_MAX;
        return email_failf(
            e, "The email address is too long after the @-sign (%zu %s%s too many%s).", extra,
            as_sent ? "character" : "byte", plural(extra), as_sent ? "" : " after IDNA encoding");
    }
    while (ascii.ptr) {
        struct slice label = slice_split(&ascii, '.');
        size_t extra = label.len > LABEL_MAX ? label.len - LABEL_MAX : 0;
        if (extra)
            return email_failf(e,
                               "After the @-sign, periods cannot be separated by so many "
                               "characters (%zu character%s too many).",
                               extra, plural(extra));
    }
    return true;
}

static bool is_under(struct slice domain, struct slice name)
{
    if (!slice_ends_with(domain, name))
        return false;
    return domain.len == name.len || domain.ptr[domain.len - name.len - 1] == '.';
}

static bool check_deliverable(struct email_check *e, struct slice ascii)
{
    char last = ascii.ptr[ascii.len - 1];
    if (!has(ascii, "."))
        return email_fail(
            e, SLICE("The part after the @-sign is not valid. It should have a period."));
    if (last < 'a' || last > 'z')
        return email_fail(e, SLICE("The part after the @-sign is not valid. It is not within a "
                                   "valid top-level domain."));
    for (size_t i = 0; i < sizeof reserved_names / sizeof *reserved_names; i++)
        if (is_under(ascii, slice_of(reserved_names[i])))
            return email_fail(e, SLICE("The part after the @-sign is a special-use or reserved "
                                       "name that cannot be used with email."));
    return true;
}

/* What UTS-46 refuses of that which is_bad_for_uts46() lets pass: the idna module complains of the
 * first of them. */
static bool is_refused_by_uts46(uint32_t c)
{
    return (c >= 0x2FF0 && c <= 0x2FFB) || c == 0xFE12 || c == 0xFE19 || c == 0xFE30 ||
           c == 0xFFFC || c == 0xFFFD;
}

static bool check_uts46(struct email_check *e, struct slice domain)
{
    unsigned position = 0;
    for (size_t at = 0; at < domain.len;) {
        uint32_t c = utf8_next(domain, &at);
        position++;
        if (!is_refused_by_uts46(c))
            continue;
        struct buf why = buf_in_arena(e->arena);
        buf_printf(&why,
                   "The part after the @-sign contains invalid characters (Codepoint U+%04X not "
                   "allowed at position %u in ",
                   (unsigned)c, position);
        unicode_append_repr(&why, domain);
        buf_append_slice(&why, SLICE(")."));
        return why.failed ? email_no_memory(e) : email_fail(e, buf_slice(&why));
    }
    return true;
}

/* Before and after UTS-46; the mapped domain goes to *mapped_r. */
static bool map_domain(struct email_check *e, struct slice domain, struct slice *mapped_r)
{
    if (!email_no_bad_chars(e, domain, is_bad, bad_chars, ".") ||
        !email_no_unsafe_chars(e, domain, false) ||
        !email_no_bad_chars(e, domain, is_bad_for_uts46, bad_chars, ".") || !check_uts46(e, domain))
        return false;
    *mapped_r = idna_map(e->arena, domain);
    if (!mapped_r->ptr)
        return email_no_memory(e);
    return email_no_bad_chars(e, *mapped_r, is_bad,
                              "The part after the @-sign contains invalid characters after Unicode "
                              "normalization: ",
                              ".") &&
           check_dots(e, *mapped_r) && check_labels(e, *mapped_r);
}

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

bool email_check_domain(struct email_check *e, struct slice domain, struct slice *domain_r,
                        struct slice *ascii_r)
{
    struct slice mapped;
    if (domain.len == 0)
        return email_fail(e, SLICE("There must be something after the @-sign."));
    if (!map_domain(e, domain, &mapped))
        return false;
    if (mapped.len == 0) /* of nothing but what UTS-46 ignores */
        return email_fail(e, SLICE("The part after the @-sign is invalid (Empty domain)."));
    *ascii_r = mapped;
    if (!is_ascii(mapped) && !convert(e, mapped, idna_label_to_ascii, "invalid", ascii_r))
        return false;
    return check_lengths(e, *ascii_r, slice_equals(*ascii_r, domain)) &&
           check_deliverable(e, *ascii_r) &&
           convert(e, *ascii_r, idna_label_to_unicode, "not valid IDNA", domain_r) &&
           email_no_unsafe_chars(e, *domain_r, false); /* a joiner that punycode hid */
}
