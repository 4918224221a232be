/* config_ini.c: the ini file. One pass over its lines; every line is judged on its own, so that one
 * error hides no other. The grammar stands in config.h. */
#include "shared/config_internal.h"

#include <string.h>

#define BLANKS " \t\r"

struct ini {
    struct loader *loader;
    const char *path;
    unsigned line;
    char *scratch;                     /* unquoted values, as long as the longest line; wiped */
    const char *section;               /* of options.def; NULL: none, or an unknown one */
    bool unknown_section;              /* its keys are not complained about one by one */
    unsigned first_lines[OPTIONS_LEN]; /* where a key was set, 0: not yet */
};

/* "path:line", kept by the configuration. */
static const char *here(struct ini *i)
{
    return loader_format(i->loader, "%s:%u", i->path, i->line);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void unknown_section(struct ini *i, struct slice name)
{
    struct suggestion s = {.word = name};
    struct buf text = {0};
    for (size_t k = 0; k < OPTIONS_LEN; k++)
        suggestion_offer(&s, config_options[k].section);
    text_quote(&text, name);
    if (s.best)
        buf_printf(&text, "; did you mean [%s]?", s.best);
    loader_error(i->loader, here(i), "unknown section %.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
    i->unknown_section = true;
}

static void section_line(struct ini *i, struct slice text)
{
    const char *close = memchr(text.ptr, ']', text.len);
    i->section = NULL;
    i->unknown_section = true; /* until it is known */
    if (!close) {
        loader_error(i->loader, here(i), "the ] of [section] is missing");
        return;
    }
    struct slice name = {text.ptr + 1, (size_t)(close - text.ptr) - 1};
    struct slice rest = {close + 1, text.len - name.len - 2};
    rest = slice_trim(rest, BLANKS);
    if (rest.len && rest.ptr[0] != '#' && rest.ptr[0] != ';') {
        loader_error(i->loader, here(i), "only a comment may follow [section]");
        return;
    }
    name = slice_trim(name, BLANKS);
    for (size_t k = 0; k < OPTIONS_LEN && !i->section; k++)
        if (slice_equals(name, slice_of(config_options[k].section)))
            i->section = config_options[k].section;
    i->unknown_section = false;
    if (!i->section)
        unknown_section(i, name);
}

static const struct option *find_key(const char *section, struct slice key)
{
    for (size_t k = 0; k < OPTIONS_LEN; k++)
        if (strcmp(config_options[k].section, section) == 0 &&
            slice_equals(key, slice_of(config_options[k].key)))
            return &config_options[k];
    return NULL;
}

/* A key of this section that is spelled nearly so, else the same key of another section. */
static void unknown_key(struct ini *i, struct slice key)
{
    struct suggestion s = {.word = key};
    const char *elsewhere = NULL;
    struct buf text = {0};
    for (size_t k = 0; k < OPTIONS_LEN; k++) {
        const struct option *o = &config_options[k];
        if (strcmp(o->section, i->section) == 0)
            suggestion_offer(&s, o->key);
        else if (slice_equals(key, slice_of(o->key)))
            elsewhere = o->section;
    }
    text_quote(&text, key);
    buf_printf(&text, " in [%s]", i->section);
    if (elsewhere)
        buf_printf(&text, "; it belongs in [%s]", elsewhere);
    else if (s.best)
        buf_printf(&text, "; did you mean \"%s\"?", s.best);
    loader_error(i->loader, here(i), "unknown key %.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
}

/* ---- values --------------------------------------------------------------------------------- */

static char unescaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case '"':
    case '\\':
        return c;
    default:
        return 0;
    }
}

/* "text" with escapes, then at most a comment. NULL, or what is wrong. */
static const char *quoted_value(struct ini *i, struct slice text, struct slice *value_r)
{
    size_t at = 1, len = 0;
    for (; at < text.len && text.ptr[at] != '"'; at++) {
        char c = text.ptr[at];
        if (c == '\\') {
            c = ++at < text.len ? unescaped(text.ptr[at]) : 0;
            if (!c)
                return "in double quotes \\ stands only before \\ \" n r t";
        }
        i->scratch[len++] = c;
    }
    if (at >= text.len)
        return "the closing quote is missing";
    struct slice rest = slice_trim((struct slice){text.ptr + at + 1, text.len - at - 1}, BLANKS);
    if (rest.len && rest.ptr[0] != '#' && rest.ptr[0] != ';')
        return "text after the closing quote; put all of the value between quotes";
    *value_r = (struct slice){i->scratch, len};
    return NULL;
}

/* Up to a comment, which begins after a blank. */
static struct slice plain_value(struct slice text)
{
    for (size_t k = 0; k < text.len; k++)
        if ((text.ptr[k] == '#' || text.ptr[k] == ';') &&
            (k == 0 || text.ptr[k - 1] == ' ' || text.ptr[k - 1] == '\t'))
            text.len = k;
    return slice_trim(text, BLANKS);
}

static void set(struct ini *i, const struct option *o, struct slice text)
{
    struct place place = {CONFIG_INI, here(i), o->key};
    bool is_quoted = text.len && text.ptr[0] == '"';
    struct slice value;
    const char *wrong = NULL;
    if (is_quoted)
        wrong = quoted_value(i, text, &value);
    else
        value = plain_value(text);
    if (wrong)
        loader_error(i->loader, place.origin, "%s: %s", o->key, wrong);
    else if (value.len == 0 && !is_quoted && o->type == OPTION_STRING && !o->fallback)
        loader_unset(i->loader, o, &place);
    else if (value.len == 0 && !is_quoted && o->type != OPTION_LIST)
        loader_error(i->loader, place.origin, "%s: the value is missing", o->key);
    else
        loader_assign(i->loader, o, value, &place);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void key_line(struct ini *i, struct slice text)
{
    struct slice rest = text;
    struct slice key = slice_trim(slice_split(&rest, '='), BLANKS);
    if (!rest.ptr || key.len == 0) {
        loader_error(i->loader, here(i), "neither [section], key = value nor # comment");
        return;
    }
    if (i->unknown_section)
        return;
    if (!i->section) {
        loader_error(i->loader, here(i), "a key before the first [section]");
        return;
    }
    const struct option *o = find_key(i->section, key);
    if (!o) {
        unknown_key(i, key);
        return;
    }
    unsigned *first = &i->first_lines[option_id(o)];
    if (*first) {
        loader_error(i->loader, here(i), "\"%s\" in [%s] is set twice, first in line %u", o->key,
                     o->section, *first);
        return;
    }
    *first = i->line;
    set(i, o, slice_trim(rest, BLANKS));
}

static void one_line(struct ini *i, struct slice text)
{
    if (memchr(text.ptr, 0, text.len)) {
        loader_error(i->loader, here(i), "a NUL byte: this is no text");
        return;
    }
    text = slice_trim(text, BLANKS);
    if (text.len == 0 || text.ptr[0] == '#' || text.ptr[0] == ';')
        return;
    if (text.ptr[0] == '[')
        section_line(i, text);
    else
        key_line(i, text);
}

void ini_apply(struct loader *l, const char *path, struct slice text)
{
    struct slice scratch = loader_keep_secret(l, text); /* room for any line, wiped at the end */
    struct ini i = {.loader = l, .path = path, .scratch = (char *)(uintptr_t)scratch.ptr};
    if (!scratch.ptr)
        return;
    if (slice_starts_with(text, SLICE("\xef\xbb\xbf"))) /* the byte order mark of some editors */
        text = (struct slice){text.ptr + 3, text.len - 3};
    while (text.ptr) {
        i.line++;
        one_line(&i, slice_split(&text, '\n'));
    }
}
