/* email.c: see email.h. The order of the checks, and the length of the whole. */
#include "worker/validate/email.h"

#include "shared/check.h"
#include "shared/utf8.h"
#include "worker/validate/email_internal.h"
#include "worker/validate/unicode.h"

enum { ADDRESS_MAX = 254 }; /* octets; RFC 5321 4.5.3.1.3, RFC 3696 erratum 1690 */

static const char *plural(size_t n)
{
    return n > 1 ? "s" : "";
}

static struct slice join(struct email_check *e, struct slice local, struct slice domain)
{
    struct buf address = buf_in_arena(e->arena);
    buf_append_slice(&address, local);
    buf_append_char(&address, '@');
    buf_append_slice(&address, domain);
    if (address.failed)
        e->no_memory = true;
    return buf_slice(&address);
}

/* Of the address as sent: how many characters could be too many, *extra* bytes being so. */
static bool fail_as_sent(struct email_check *e, struct slice address, size_t extra)
{
    size_t widest = 1;
    for (size_t at = 0; at < address.len;) {
        size_t start = at;
        utf8_next(address, &at);
        widest = at - start > widest ? at - start : widest;
    }
    size_t fewest = extra / widest ? extra / widest : 1;
    if (fewest == extra)
        return email_failf(e, "The email address is too long (%zu character%s too many).", extra,
                           plural(extra));
    return email_failf(e, "The email address is too long (%zu-%zu character%s too many).", fewest,
                       extra, plural(extra));
}

static bool check_length(struct email_check *e, struct slice address, const char *when)
{
    if (address.len <= ADDRESS_MAX)
        return true;
    size_t extra = address.len - ADDRESS_MAX;
    if (!when)
        return fail_as_sent(e, address, extra);
    return email_failf(e, "The email address is too long %s (%zu byte%s too many).", when, extra,
                       plural(extra));
}

static bool check_lengths(struct email_check *e, const struct email_parts *parts,
                          struct slice normalised, struct slice in_ascii)
{
    struct slice sent = join(e, parts->local, parts->domain);
    return !e->no_memory && check_length(e, sent, NULL) &&
           check_length(e, normalised, "after normalization") &&
           check_length(e, in_ascii, "when the part after the @-sign is converted to IDNA ASCII");
}

static bool is_literal(struct slice domain)
{
    return slice_starts_with(domain, SLICE("[")) && slice_ends_with(domain, SLICE("]"));
}

static bool check_address(struct email_check *e, struct slice text, struct slice *normalised_r)
{
    struct email_parts parts;
    struct slice local, domain, ascii;
    if (!email_split(e, text, &parts) || !email_check_local(e, &parts, &local))
        return false;
    if (is_literal(parts.domain)) /* "[" alone would be both brackets, and is a bad character */
        return email_refuse_literal(e, (struct slice){parts.domain.ptr + 1, parts.domain.len - 2});
    if (!email_check_domain(e, parts.domain, &domain, &ascii))
        return false;
    *normalised_r = join(e, local, domain);
    struct slice in_ascii = join(e, local, ascii);
    if (e->no_memory || !check_lengths(e, &parts, *normalised_r, in_ascii))
        return false;
    return !parts.bracketed ||
           email_fail(e, SLICE("A display name and angle brackets around the email address are not "
                               "permitted here."));
}

static bool check_text(struct email_check *e, struct slice in, struct slice *normalised_r)
{
    if (utf8_count(in) > EMAIL_CODE_POINTS_MAX)
        return email_fail(e, SLICE("Length must not exceed 2048 characters"));
    if (in.len && (memchr(in.ptr, '\r', in.len) || memchr(in.ptr, '\n', in.len)))
        return email_fail(e, SLICE("Carriage return and line feed characters are not allowed"));
    return check_address(e, unicode_trim(email_strip_name(in), unicode_is_space), normalised_r);
}

enum email_result email_normalize(struct arena *a, struct slice in, struct slice *normalised_r,
                                  struct slice *reason_r)
{
    struct email_check e = {.arena = a};
    if (check_text(&e, in, normalised_r))
        return EMAIL_OK;
    if (e.no_memory)
        return EMAIL_NO_MEMORY;
    ASSERT(e.reason.ptr);
    *reason_r = e.reason;
    return EMAIL_INVALID;
}
