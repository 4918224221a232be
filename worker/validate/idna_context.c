/* idna_context.c: which characters stand where the rules of RFC 5892, appendix A, allow them.
 * libidn2 judges a label by the same rules, and does not say which character it means. */
#include "shared/utf8.h"
#include "worker/validate/idna_internal.h"

#include <unictype.h>

enum { NONE = UTF8_INVALID, VIRAMA = 9 };

static bool in(uint32_t c, uint32_t low, uint32_t high)
{
    return c >= low && c <= high;
}

/* The character before *at (which goes back to it), or NONE. */
static uint32_t previous(struct slice label, size_t *at)
{
    if (*at == 0)
        return NONE;
    do {
        (*at)--;
    } while (*at > 0 && ((unsigned char)label.ptr[*at] & 0xC0) == 0x80);
    size_t end = *at;
    return utf8_next(label, &end);
}

/* The character at *at (which goes on behind it), or NONE. */
static uint32_t following(struct slice label, size_t *at)
{
    return *at < label.len ? utf8_next(label, at) : NONE;
}

static bool is_script(uint32_t c, const char *name)
{
    return c != NONE && uc_is_script(c, uc_script_byname(name));
}

static bool has_japanese(struct slice label)
{
    for (size_t at = 0; at < label.len;) {
        uint32_t c = utf8_next(label, &at);
        if (c != 0x30FB &&
            (is_script(c, "Hiragana") || is_script(c, "Katakana") || is_script(c, "Han")))
            return true;
    }
    return false;
}

static bool has_between(struct slice label, uint32_t low, uint32_t high)
{
    for (size_t at = 0; at < label.len;)
        if (in(utf8_next(label, &at), low, high))
            return true;
    return false;
}

/* Of one neighbour's side of a non-joiner: transparent characters are looked through. */
static bool joins(struct slice label, size_t at, bool back)
{
    for (;;) {
        uint32_t c = back ? previous(label, &at) : following(label, &at);
        if (c == NONE)
            return false;
        int type = uc_joining_type(c);
        if (type != UC_JOINING_TYPE_T)
            return type == UC_JOINING_TYPE_D ||
                   type == (back ? UC_JOINING_TYPE_L : UC_JOINING_TYPE_R);
    }
}

static enum idna_context wrong_unless(bool fits)
{
    return fits ? IDNA_CONTEXT_FITS : IDNA_CONTEXT_WRONG;
}

static enum idna_context joiner_at(struct slice label, size_t at, size_t end, bool may_join)
{
    size_t back = at;
    uint32_t before = previous(label, &back);
    bool fits = (before != NONE && uc_combining_class(before) == VIRAMA) ||
                (may_join && joins(label, at, true) && joins(label, end, false));
    return fits ? IDNA_CONTEXT_FITS : IDNA_CONTEXT_WRONG_JOINER;
}

enum idna_context idna_context_at(struct slice label, size_t at)
{
    size_t end = at, back = at;
    uint32_t c = utf8_next(label, &end);
    size_t next = end;
    if (c == 0x200C || c == 0x200D)
        return joiner_at(label, at, end, c == 0x200C);
    if (c == 0x00B7)
        return wrong_unless(previous(label, &back) == 'l' && following(label, &next) == 'l');
    if (c == 0x0375)
        return wrong_unless(is_script(following(label, &next), "Greek"));
    if (c == 0x05F3 || c == 0x05F4)
        return wrong_unless(is_script(previous(label, &back), "Hebrew"));
    if (c == 0x30FB)
        return wrong_unless(has_japanese(label));
    if (in(c, 0x660, 0x669))
        return wrong_unless(!has_between(label, 0x6F0, 0x6F9));
    if (in(c, 0x6F0, 0x6F9))
        return wrong_unless(!has_between(label, 0x660, 0x669));
    return IDNA_CONTEXT_FREE;
}
