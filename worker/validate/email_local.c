/* email_local.c: the part before the @-sign. A dot-atom of RFC 5322, widened by RFC 6531 to all
 * that is not ASCII; a quoted one is looked at for its faults and then refused. */
#include "worker/validate/email_internal.h"
#include "worker/validate/unicode.h"

/* Mailboxes of RFC 2142, whose case does not matter. */
static const char *const caseless_names[] = {
    "info",       "marketing", "sales", "support",   "abuse", "noc",  "security", "postmaster",
    "hostmaster", "usenet",    "news",  "webmaster", "www",   "uucp", "ftp",
};

static bool is_bad(uint32_t c)
{
    return c < 0x80 && c != '.' && !email_is_atext(c);
}

static bool is_bad_in_quotes(uint32_t c)
{
    return c < 0x20 || c == 0x7F;
}

static bool has(struct slice s, struct slice part)
{
    return s.len && memmem(s.ptr, s.len, part.ptr, part.len);
}

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

static bool check_dots(struct email_check *e, struct slice local)
{
    if (slice_ends_with(local, SLICE(".")))
        return email_fail(
            e, SLICE("An email address cannot have a period immediately before the @-sign."));
    if (slice_starts_with(local, SLICE(".")))
        return email_fail(e, SLICE("An email address cannot start with a period."));
    if (has(local, SLICE("..")))
        return email_fail(e, SLICE("An email address cannot have two periods in a row."));
    return true;
}

static bool check_dot_atom(struct email_check *e, struct slice local)
{
    if (local.len == 0)
        return email_fail(e, SLICE("There must be something before the @-sign."));
    return email_no_bad_chars(
               e, local, is_bad,
               "The email address contains invalid characters before the @-sign: ", ".") &&
           check_dots(e, local) && email_no_unsafe_chars(e, local, false);
}

static bool is_dot_atom(struct slice local)
{
    struct slice dot = SLICE(".");
    for (size_t i = 0; i < local.len; i++)
        if (is_bad((unsigned char)local.ptr[i]))
            return false;
    return local.len && !slice_ends_with(local, dot) && !slice_starts_with(local, dot) &&
           !has(local, SLICE(".."));
}

/* Never true: at best the quoting is what is wrong. */
static bool refuse_quoted(struct email_check *e, struct slice plain)
{
    if (plain.len == 0 || is_dot_atom(plain)) {
        if (!check_dot_atom(e, plain))
            return false;
    } else if (!email_no_bad_chars(
                   e, plain, is_bad_in_quotes,
                   "The email address contains invalid characters in quotes before the @-sign: ",
                   ".") ||
               !email_no_unsafe_chars(e, plain, true)) {
        return false;
    }
    return email_fail(e, SLICE("Quoting the part before the @-sign is not allowed here."));
}

/* NFC can make an ASCII character of another one (U+037E is ';'), so it is checked once more. */
static bool normalise(struct email_check *e, struct slice local, struct slice *local_r)
{
    struct slice normal = unicode_nfc(e->arena, local);
    if (!normal.ptr)
        return email_no_memory(e);
    *local_r = normal;
    if (normal.ptr == local.ptr || check_dot_atom(e, normal))
        return true;
    return !e->no_memory &&
           email_failf(e, "After Unicode normalization: %.*s", SLICE_ARGS(e->reason));
}

static struct slice lower_caseless(struct slice local)
{
    for (size_t i = 0; i < sizeof caseless_names / sizeof *caseless_names; i++)
        if (slice_equals_nocase(local, slice_of(caseless_names[i])))
            return slice_of(caseless_names[i]);
    return local;
}

bool email_check_local(struct email_check *e, const struct email_parts *parts,
                       struct slice *local_r)
{
    if (parts->quoted)
        return refuse_quoted(e, parts->plain);
    if (!check_dot_atom(e, parts->local))
        return false;
    *local_r = lower_caseless(parts->local);
    return is_ascii(parts->local) || normalise(e, parts->local, local_r);
}
