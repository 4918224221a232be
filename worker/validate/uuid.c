/* uuid.c: see uuid.h. The texts are those of the uuid crate that pydantic 2.13 uses. */
#include "worker/validate/uuid.h"

enum { DIGITS = 32, GROUPS = 5 };

static const size_t group_starts[GROUPS] = {0, 9, 14, 19, 24};
static const unsigned group_lens[GROUPS] = {8, 4, 4, 4, 12};

/* The digit in lower case, 0 for anything else. */
static char hex_digit(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))
        return c;
    return c >= 'A' && c <= 'F' ? (char)(c + ('a' - 'A')) : 0;
}

static bool is_group_break(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

/* *text* has UUID_TEXT_LEN bytes with breaks, or DIGITS without. */
static bool take_digits(struct slice text, char canonical_r[static UUID_TEXT_LEN])
{
    bool grouped = text.len == UUID_TEXT_LEN;
    size_t at = 0;
    for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
        if (is_group_break(i)) {
            canonical_r[i] = '-';
            if (grouped && text.ptr[at++] != '-')
                return false;
            continue;
        }
        canonical_r[i] = hex_digit(text.ptr[at++]);
        if (!canonical_r[i])
            return false;
    }
    return true;
}

/* What stands between braces or behind the prefix; *offset_r: how many bytes before it. */
static struct slice unwrap(struct slice text, size_t *offset_r)
{
    static const struct slice urn = {"urn:uuid:", 9};
    *offset_r = 0;
    if (text.len >= 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}') {
        *offset_r = 1;
        return (struct slice){text.ptr + 1, text.len - 2};
    }
    if (!slice_starts_with(text, urn))
        return text;
    *offset_r = urn.len;
    return (struct slice){text.ptr + urn.len, text.len - urn.len};
}

static size_t char_len(struct slice text, size_t at)
{
    size_t len = 1;
    while (at + len < text.len && ((unsigned char)text.ptr[at + len] & 0xc0) == 0x80)
        len++;
    return len;
}

/* The first group whose end is not where it must be. Lengths are counted from where groups begin in a
 * good one; the last one's to the end of all that was given, braces included. */
static void explain_groups(struct slice text, const size_t breaks[GROUPS - 1], struct buf *error)
{
    size_t group = 0, end = text.len;
    while (group < GROUPS - 1 && breaks[group] == group_starts[group + 1] - 1)
        group++;
    if (group < GROUPS - 1)
        end = breaks[group];
    buf_printf(error, "invalid group length in group %zu: expected %u, found %zu", group,
               group_lens[group], end - group_starts[group]);
}

static void explain(struct slice text, struct buf *error)
{
    size_t offset, breaks[GROUPS - 1] = {0}, hyphens = 0;
    struct slice inner = unwrap(text, &offset);
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] == '-') {
            if (hyphens < GROUPS - 1)
                breaks[hyphens] = i;
            hyphens++;
        } else if (!hex_digit(inner.ptr[i])) {
            buf_printf(error, "invalid character: found `");
            buf_append(error, inner.ptr + i, char_len(inner, i));
            buf_printf(error, "` at %zu", i + offset + 1);
            return;
        }
    }
    if (hyphens == 0 && offset == 0)
        buf_printf(error, "invalid length: expected length 32 for simple format, found %zu",
                   text.len);
    else if (hyphens != GROUPS - 1)
        buf_printf(error, "invalid group count: expected 5, found %zu", hyphens + 1);
    else
        explain_groups(text, breaks, error);
}

bool uuid_parse(struct slice text, char canonical_r[static UUID_TEXT_LEN], struct buf *error)
{
    size_t offset;
    struct slice inner = unwrap(text, &offset);
    bool fits = inner.len == UUID_TEXT_LEN || (offset == 0 && inner.len == DIGITS);
    if (fits && take_digits(inner, canonical_r))
        return true;
    explain(text, error);
    return false;
}
