/* config_env.c: names and values of the environment and of the .env file, which is read as the
 * Python original's reader (python-dotenv) does, without ${…} expansion. */
#include "shared/config_internal.h"
#include "shared/private.h"

#include "shared/fault.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 96 };

static const char prefix[] = "COLMEIA_";

/* ---- names ---------------------------------------------------------------------------------- */

/* COLMEIA_<SECTION>_<KEY>. */
static void full_name(const struct option *o, char name_r[static NAME_MAX_LEN])
{
    struct buf b = {.data = name_r, .cap = NAME_MAX_LEN};
    buf_printf(&b, "%s%s_%s", prefix, o->section, o->key);
    for (size_t i = 0; i < b.len; i++)
        name_r[i] = (char)toupper((unsigned char)name_r[i]);
}

/* Cuts *text* off the beginning of *rest, whatever its case; false: it does not begin so. */
static bool take(struct slice *rest, const char *text)
{
    struct slice want = slice_of(text);
    if (rest->len < want.len || !slice_equals_nocase((struct slice){rest->ptr, want.len}, want))
        return false;
    *rest = (struct slice){rest->ptr + want.len, rest->len - want.len};
    return true;
}

static bool has_prefix(struct slice name)
{
    return take(&name, prefix);
}

/* Without making it: each variable of the environment is compared with each option. */
static bool is_full_name(const struct option *o, struct slice name)
{
    return take(&name, prefix) && take(&name, o->section) && take(&name, "_") &&
           slice_equals_nocase(name, slice_of(o->key));
}

/* The option that a name sets; *further_r: it is the further name of it. NULL: none. */
static const struct option *find_name(struct slice name, bool *further_r)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        *further_r = o->environment[0] && slice_equals_nocase(name, slice_of(o->environment));
        if (*further_r || is_full_name(o, name))
            return o;
    }
    return NULL;
}

/* A name that begins as ours do is probably meant for us. */
static void warn_unknown(struct loader *l, const char *origin, struct slice name)
{
    struct suggestion s = {.word = name};
    char names[OPTIONS_LEN][NAME_MAX_LEN];
    struct buf text = {0};
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        full_name(&config_options[i], names[i]);
        suggestion_offer(&s, names[i]);
    }
    text_quote(&text, name);
    if (s.best)
        buf_printf(&text, "; did you mean \"%s\"?", s.best);
    loader_warning(l, origin, "unknown name %.*s", SLICE_ARGS(buf_slice(&text)));
    buf_free(&text);
}

/* Sets one value. An empty one leaves what is no text alone: compose files make them. */
static void assign(struct loader *l, const struct option *o, struct slice value,
                   const struct place *place)
{
    bool is_text = o->type == OPTION_STRING || o->type == OPTION_LIST;
    if (value.len > 0 || is_text)
        loader_assign(l, o, value, place);
}

/* ---- environment ---------------------------------------------------------------------------- */

/* For fault points: shared/fault.h. */
static bool is_ours(struct slice name)
{
#ifdef COLMEIA_FAULTS
    return slice_equals(name, SLICE("COLMEIA_FAULTS"));
#else
    return false;
#endif
}

static void apply_variable(struct loader *l, const char *variable, bool further)
{
    struct slice value = slice_of(variable);
    struct slice name = slice_split(&value, '=');
    bool is_further = false;
    if (!value.ptr)
        return;
    const struct option *o = find_name(name, &is_further);
    if (o && is_further == further) {
        const char *origin = loader_format(l, "environment %.*s", SLICE_ARGS(name));
        assign(l, o, value, &(struct place){CONFIG_ENVIRONMENT, origin, NULL});
    } else if (!o && !further && has_prefix(name) && !is_ours(name)) {
        warn_unknown(l, "environment", name);
    }
}

void environment_apply(struct loader *l, char *const *environ)
{
    /* the full names last, so that they win */
    for (int further = 1; further >= 0; further--)
        for (char *const *variable = environ; variable && *variable; variable++)
            apply_variable(l, *variable, further);
}

static bool is_secret(const char *variable)
{
    bool further;
    struct slice rest = slice_of(variable), name = slice_split(&rest, '=');
    const struct option *o = find_name(name, &further);
    return o && (o->flags & SECRET);
}

/* Kept to the end, as an environment is. Without memory it stays where it was. */
bool config_hide_variable(char **variable)
{
    size_t len = strlen(*variable) + 1;
    char *hidden = is_secret(*variable) ? private_new(len) : NULL;
    if (!hidden)
        return false;
    memcpy(hidden, *variable, len);
    explicit_bzero(*variable, len);
    *variable = hidden;
    return true;
}

void config_hide_environment(char **environment)
{
    for (char **variable = environment; *variable; variable++)
        config_hide_variable(variable);
}

void config_forget_environment(char **environment)
{
    for (char **variable = environment; *variable; variable++)
        if (is_secret(*variable))
            explicit_bzero(*variable, strlen(*variable));
}

/* ---- .env ----------------------------------------------------------------------------------- */

struct entry {
    struct entry *next;
    const struct option *option;
    bool further;
    struct slice value;
    struct place place;
};

struct dotenv {
    struct loader *loader;
    const char *path;
    const char *p, *end;
    unsigned line; /* of p */
    char *scratch; /* unquoted value, as long as the file; wiped */
    struct entry *first, **last;
};

static bool at_end(const struct dotenv *d)
{
    return d->p == d->end;
}

static bool at_line_end(const struct dotenv *d)
{
    return at_end(d) || *d->p == '\n';
}

static void skip_blanks(struct dotenv *d)
{
    while (!at_end(d) && (*d->p == ' ' || *d->p == '\t' || *d->p == '\r'))
        d->p++;
}

/* To the first byte of the next line. */
static void skip_line(struct dotenv *d)
{
    while (!at_line_end(d))
        d->p++;
    if (!at_end(d)) {
        d->p++;
        d->line++;
    }
}

static void error_at(struct dotenv *d, unsigned line, const char *what)
{
    loader_error(d->loader, loader_format(d->loader, "%s:%u", d->path, line), "%s", what);
}

/* "export" is a word of its own, unless it is the name: export=1. */
static void skip_export(struct dotenv *d)
{
    const char *start = d->p;
    size_t left = (size_t)(d->end - d->p);
    if (left < 7 || memcmp(d->p, "export", 6) != 0 || (d->p[6] != ' ' && d->p[6] != '\t'))
        return;
    d->p += 6;
    skip_blanks(d);
    if (at_line_end(d) || *d->p == '=')
        d->p = start;
}

static struct slice take_name(struct dotenv *d)
{
    const char *start = d->p;
    while (!at_end(d) && !strchr(" \t\r\n=#'\"", *d->p))
        d->p++;
    return (struct slice){start, (size_t)(d->p - start)};
}

/* What \c stands for within quotes, 0: nothing, then the backslash stays (as python-dotenv has it).
 */
static char unescaped(char c, char quote)
{
    static const char pairs[] = "a\ab\bf\fn\nr\rt\tv\v\"\"";
    if (c == '\\' || c == '\'')
        return c;
    if (quote == '\'' || c == 0)
        return 0;
    for (const char *pair = pairs; *pair; pair += 2)
        if (pair[0] == c)
            return pair[1];
    return 0;
}

/* The text up to the closing quote, over lines. False when there is none. */
static bool take_quoted(struct dotenv *d, struct slice *value_r)
{
    char quote = *d->p++;
    size_t len = 0;
    for (; !at_end(d) && *d->p != quote; d->p++) {
        char c = *d->p;
        char meant = c == '\\' && d->p + 1 < d->end ? unescaped(d->p[1], quote) : 0;
        if (meant)
            d->p++;
        if (c == '\n')
            d->line++;
        d->scratch[len++] = meant ? meant : c;
    }
    if (at_end(d))
        return false;
    d->p++;
    *value_r = (struct slice){d->scratch, len};
    return true;
}

/* The rest of the line, without a comment that begins after a blank. */
static struct slice take_plain(struct dotenv *d)
{
    const char *start = d->p, *stop = NULL;
    for (; !at_line_end(d); d->p++)
        if (!stop && *d->p == '#' && (d->p[-1] == ' ' || d->p[-1] == '\t'))
            stop = d->p;
    if (!stop)
        stop = d->p;
    return slice_trim((struct slice){start, (size_t)(stop - start)}, " \t\r");
}

static bool take_value(struct dotenv *d, struct slice *value_r)
{
    unsigned line = d->line;
    if (at_end(d) || (*d->p != '"' && *d->p != '\'')) {
        *value_r = take_plain(d);
        return true;
    }
    const char *start = d->p;
    if (!take_quoted(d, value_r)) {
        error_at(d, line, "the closing quote is missing");
        d->p = start; /* the lines after it are judged on their own */
        d->line = line;
        return false;
    }
    skip_blanks(d);
    if (at_line_end(d) || *d->p == '#')
        return true;
    error_at(d, d->line, "text after the closing quote");
    return false;
}

static void keep(struct dotenv *d, const char *origin, struct slice name, struct slice value)
{
    struct loader *l = d->loader;
    bool further;
    const struct option *o = find_name(name, &further);
    if (!o) {
        if (has_prefix(name))
            warn_unknown(l, origin, name);
        return;
    }
    struct entry *e = arena_zalloc(&l->priv->arena, sizeof *e);
    struct slice copy = loader_keep_secret(l, value); /* any may hold one: a URL's password */
    if (!e || !copy.ptr) {
        l->no_memory = true;
        return;
    }
    const char *subject = loader_format(l, "%.*s", SLICE_ARGS(name));
    *e = (struct entry){NULL, o, further, copy, {CONFIG_ENV_FILE, origin, subject}};
    *d->last = e;
    d->last = &e->next;
}

/* NAME=value, at d->p; leaves d->p somewhere in the statement's last line. */
static void one_statement(struct dotenv *d)
{
    unsigned line = d->line;
    struct slice value;
    skip_export(d);
    struct slice name = take_name(d);
    skip_blanks(d);
    if (name.len == 0 || (!at_line_end(d) && *d->p != '=' && *d->p != '#')) {
        error_at(d, line, "neither NAME=value nor # comment");
        return;
    }
    const char *origin = loader_format(d->loader, "%s:%u", d->path, line);
    if (at_line_end(d) || *d->p == '#') { /* a name alone says nothing */
        bool further;
        if (find_name(name, &further))
            loader_error(d->loader, origin, "%.*s: the value is missing", SLICE_ARGS(name));
        return;
    }
    d->p++;
    skip_blanks(d);
    if (take_value(d, &value))
        keep(d, origin, name, value);
}

/* A .env with NUL bytes is no text: its first is reported, and nothing else. */
static bool has_nul(struct dotenv *d)
{
    const char *nul = memchr(d->p, 0, (size_t)(d->end - d->p));
    unsigned line = 1;
    if (!nul)
        return false;
    for (const char *p = d->p; p < nul; p++)
        line += *p == '\n';
    error_at(d, line, "a NUL byte: this is no text");
    return true;
}

void dotenv_apply(struct loader *l, const char *path, struct slice text)
{
    struct slice scratch = loader_keep_secret(l, text);
    struct dotenv d = {.loader = l,
                       .path = path,
                       .p = text.ptr,
                       .end = text.ptr + text.len,
                       .line = 1,
                       .scratch = (char *)(uintptr_t)scratch.ptr};
    d.last = &d.first;
    if (!scratch.ptr || has_nul(&d))
        return;
    if (slice_starts_with(text, SLICE("\xef\xbb\xbf")))
        d.p += 3;
    while (!at_end(&d)) {
        skip_blanks(&d);
        if (!at_line_end(&d) && *d.p != '#')
            one_statement(&d);
        skip_line(&d);
    }
    for (int further = 1; further >= 0; further--) /* the full names last, so that they win */
        for (const struct entry *e = d.first; e; e = e->next)
            if (e->further == further)
                assign(l, e->option, e->value, &e->place);
}
