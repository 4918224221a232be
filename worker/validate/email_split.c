/* email_split.c: what is name, what local part and what domain. First pydantic's own reduction of
 * 'Name <address>', then email-validator's splitting, which meets only what the first left alone.
 */
#include "shared/utf8.h"
#include "worker/validate/email_internal.h"
#include "worker/validate/unicode.h"

#include <unictype.h>

static struct slice after(struct slice s, size_t at)
{
    return (struct slice){s.ptr + at, s.len - at};
}

/* A word's character in a name without quotes. */
static bool is_name_char(uint32_t c)
{
    return unicode_is_word(c) || (c < 0x80 && (c == '.' || email_is_atext(c)));
}

/* Where the '<' behind a name without quotes (or none) is; s.len when the form is another. */
static size_t find_bracket_plain(struct slice s)
{
    for (size_t at = 0; at < s.len;) {
        size_t start = at;
        uint32_t c = utf8_next(s, &at);
        if (c == '<')
            return start;
        if (!is_name_char(c) && !unicode_is_space(c))
            break;
    }
    return s.len;
}

/* The same behind a quoted name: its closing quote is the last one that whitespace and '<' follow.
 * At least one character stands between the quotes. */
static size_t find_bracket_quoted(struct slice s)
{
    for (size_t quote = s.len; quote-- > 2;) {
        if (s.ptr[quote] != '"')
            continue;
        struct slice rest = after(s, quote + 1);
        size_t at = 0, start = 0;
        uint32_t c = ' ';
        while (at < rest.len && unicode_is_space(c)) {
            start = at;
            c = utf8_next(rest, &at);
        }
        if (c == '<')
            return quote + 1 + start;
    }
    return s.len;
}

struct slice email_strip_name(struct slice text)
{
    struct slice s = unicode_trim(text, unicode_is_space);
    if (s.len == 0 || s.ptr[s.len - 1] != '>')
        return text;
    size_t open = s.ptr[0] == '"' ? find_bracket_quoted(s) : find_bracket_plain(s);
    if (s.len - open < 3) /* '<', one character, '>' */
        return text;
    return (struct slice){s.ptr + open + 1, s.len - open - 2};
}

/* '<' and U+0338 behind it, other combining marks between them or not, are one character: no
 * bracket. (Of marks in class 1 only the first can combine.) */
static bool is_joined_bracket(struct slice s, size_t at)
{
    if (s.ptr[at] != '<')
        return false;
    for (at++; at < s.len;) {
        uint32_t c = utf8_next(s, &at);
        int class = uc_combining_class(c);
        if (class == 0)
            return false;
        if (class == 1)
            return c == 0x0338;
    }
    return false;
}

/* Where the first '@' (or '<', when looked for) outside quotes is; s.len when there is none. */
static size_t find_special(struct slice s, bool brackets)
{
    bool quoted = false, escaped = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (quoted) {
            if (c == '"' && !escaped)
                quoted = false;
            escaped = c == '\\' && !escaped;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '@' || (c == '<' && brackets && !is_joined_bracket(s, i))) {
            return i;
        }
    }
    return s.len;
}

static bool contains(struct slice s, struct slice part)
{
    return s.len && memmem(s.ptr, s.len, part.ptr, part.len);
}

static bool fail_without_at(struct email_check *e, struct slice text)
{
    if (contains(text, SLICE("\xEF\xBC\xA0"))) /* U+FF20 */
        return email_fail(e, SLICE("The email address has the \"full-width\" at-sign (@) character "
                                   "instead of a regular at-sign."));
    if (contains(text, SLICE("\xEF\xB9\xAB"))) /* U+FE6B */
        return email_fail(e, SLICE("The email address has the \"small commercial at\" character "
                                   "instead of a regular at-sign."));
    return email_fail(e, SLICE("An email address must have an @-sign."));
}

/* What stands behind a closing quote: each character, in order. */
static bool fail_after_quote(struct email_check *e, struct slice extra)
{
    struct buf text = buf_in_arena(e->arena);
    buf_append_slice(&text, SLICE("Extra character(s) found after close quote: "));
    for (size_t at = 0; at < extra.len;) {
        if (at)
            buf_append_slice(&text, SLICE(", "));
        unicode_append_display(&text, utf8_next(extra, &at));
    }
    return text.failed ? email_no_memory(e) : email_fail(e, buf_slice(&text));
}

/* s without the quotes around it and the backslashes in it, when it begins with a quote. */
static bool unquote(struct email_check *e, struct slice s, struct slice *plain_r, bool *quoted_r)
{
    *plain_r = s;
    *quoted_r = s.len && s.ptr[0] == '"';
    if (!*quoted_r)
        return true;
    struct buf plain = buf_in_arena(e->arena);
    bool escaped = false;
    for (size_t i = 1; i < s.len; i++) {
        if (!escaped && s.ptr[i] == '"') {
            if (i + 1 < s.len)
                return fail_after_quote(e, after(s, i + 1));
            break;
        }
        escaped = !escaped && s.ptr[i] == '\\';
        if (!escaped)
            buf_append_char(&plain, s.ptr[i]);
    }
    *plain_r = buf_slice(&plain);
    return !plain.failed || email_no_memory(e);
}

static bool is_bad_in_name(uint32_t c)
{
    return !email_is_atext(c) && c != ' ';
}

/* A display name: nothing of it is kept, but it can be wrong. */
static bool check_name(struct email_check *e, struct slice name)
{
    bool quoted;
    struct slice trimmed = unicode_trim(name, unicode_is_space);
    name.len = (size_t)(trimmed.ptr + trimmed.len - name.ptr); /* on the right only */
    if (!unquote(e, name, &name, &quoted))
        return false;
    if (!quoted &&
        !email_no_bad_chars(e, name, is_bad_in_name,
                            "The display name contains invalid characters when not quoted: ", "."))
        return false;
    return email_no_unsafe_chars(e, name, true);
}

/* '<address>' with what may follow it; the address goes to *addr_r. */
static bool cut_brackets(struct email_check *e, struct slice s, struct slice *addr_r)
{
    if (!memchr(s.ptr, '>', s.len))
        return email_fail(e, SLICE("An open angle bracket at the start of the email address has to "
                                   "be followed by a close angle bracket at the end."));
    while (s.ptr[s.len - 1] == ' ')
        s.len--;
    if (s.ptr[s.len - 1] != '>')
        return email_fail(e, SLICE("There can't be anything after the email address."));
    s = after(s, 1);
    while (s.len && s.ptr[s.len - 1] == '>')
        s.len--;
    *addr_r = s;
    return true;
}

bool email_split(struct email_check *e, struct slice text, struct email_parts *parts_r)
{
    size_t at = find_special(text, true);
    *parts_r = (struct email_parts){.bracketed = at < text.len && text.ptr[at] == '<'};
    if (parts_r->bracketed) {
        if (!check_name(e, (struct slice){text.ptr, at}) ||
            !cut_brackets(e, after(text, at), &text))
            return false;
        at = find_special(text, false);
    }
    if (at == text.len)
        return fail_without_at(e, text);
    parts_r->local = (struct slice){text.ptr, at};
    parts_r->domain = after(text, at + 1);
    return unquote(e, parts_r->local, &parts_r->plain, &parts_r->quoted);
}
