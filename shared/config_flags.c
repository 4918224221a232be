/* config_flags.c: the command line. The flags of options.def, and those of uvicorn that make up an
 * address: --host, --port, --uds. */
#include "shared/config_internal.h"

#include <string.h>

enum { FLAG_HOST, FLAG_PORT, FLAG_UDS, EXTRAS };
static const char *const extras[EXTRAS] = {"--host", "--port", "--uds"};

/* Names that others take, for suggestions. */
static const char *const foreign[] = {"--config", "--env-file", "--help", "--version"};

struct flags {
    struct loader *loader; /* NULL in config_flags_known() */
    struct buf *errors;
    struct buf addresses;    /* "a, b" */
    struct buf origin;       /* "command line --bind --port" */
    struct slice host, port; /* {NULL, 0}: not given */
    int argc;
    char *const *argv;
};

/* ---- errors --------------------------------------------------------------------------------- */

static void see_help(struct flags *f)
{
    buf_append_slice(f->errors, SLICE("; try 'colmeia --help'\n"));
}

static void unknown_word(struct flags *f, struct slice word)
{
    bool is_flag = word.len > 1 && word.ptr[0] == '-';
    struct suggestion s = {.word = word};
    buf_printf(f->errors, "command line: %s ", is_flag ? "unknown option" : "unexpected word");
    text_quote(f->errors, word);
    for (size_t i = 0; i < OPTIONS_LEN && is_flag; i++)
        if (config_options[i].flag[0])
            suggestion_offer(&s, config_options[i].flag);
    for (size_t i = 0; i < EXTRAS && is_flag; i++)
        suggestion_offer(&s, extras[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign && is_flag; i++)
        suggestion_offer(&s, foreign[i]);
    if (s.best)
        buf_printf(f->errors, "; did you mean %s?", s.best);
    see_help(f);
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* Notes that an address came from this flag, once each. */
static void note_origin(struct flags *f, const char *flag)
{
    struct slice rest = buf_slice(&f->origin);
    while (rest.ptr)
        if (slice_equals(slice_split(&rest, ' '), slice_of(flag)))
            return;
    buf_printf(&f->origin, "%s%s", f->origin.len ? " " : "command line ", flag);
}

static void add_address(struct flags *f, const char *flag, struct slice prefix, struct slice text)
{
    note_origin(f, flag);
    if (f->addresses.len)
        buf_append_slice(&f->addresses, SLICE(", "));
    buf_append_slice(&f->addresses, prefix);
    buf_append_slice(&f->addresses, text);
}

static void take_extra(struct flags *f, int extra, struct slice value)
{
    uint64_t port;
    if (extra == FLAG_UDS && memchr(value.ptr, ',', value.len))
        buf_printf(f->errors, "command line --uds: a path with a comma cannot be used\n");
    else if (extra == FLAG_UDS)
        add_address(f, extras[extra], SLICE("unix:"), value);
    else if (extra == FLAG_PORT && !slice_to_u64(value, 65535, &port)) {
        buf_printf(f->errors, "command line --port: ");
        text_refuse(f->errors, value, "is not a port; it is a number from 0 to 65535\n");
    } else if (extra == FLAG_PORT)
        f->port = value;
    else
        f->host = value;
}

/* --host and --port, in whatever order they came, make one address. */
static void join_host_and_port(struct flags *f)
{
    struct slice port = f->port.ptr ? f->port : SLICE("8000");
    struct slice host = f->host.ptr ? f->host : SLICE("127.0.0.1");
    if (!f->host.ptr && !f->port.ptr)
        return;
    bool bare_v6 = host.ptr[0] != '[' && memchr(host.ptr, ':', host.len);
    if (f->host.ptr)
        note_origin(f, extras[FLAG_HOST]);
    add_address(f, f->port.ptr ? extras[FLAG_PORT] : extras[FLAG_HOST], SLICE(""), SLICE(""));
    buf_printf(&f->addresses, "%s%.*s%s:%.*s", bare_v6 ? "[" : "", SLICE_ARGS(host),
               bare_v6 ? "]" : "", SLICE_ARGS(port));
}

/* ---- one flag ------------------------------------------------------------------------------- */

static const struct option *find_flag(struct slice name)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (config_options[i].flag[0] && slice_equals(name, slice_of(config_options[i].flag)))
            return &config_options[i];
    return NULL;
}

static int find_extra(struct slice name)
{
    for (int i = 0; i < EXTRAS; i++)
        if (slice_equals(name, slice_of(extras[i])))
            return i;
    return -1;
}

static bool is_yes_or_no(const char *word)
{
    static const char *const words[] = {"yes", "no", "true", "false", "on", "off", "1", "0"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_equals_nocase(slice_of(word), slice_of(words[i])))
            return true;
    return false;
}

/* A switch means yes when nothing else is said: "--debug", "--debug=no", "--debug off". */
static void take_switch(struct flags *f, struct slice *value)
{
    if (value->ptr)
        return;
    *value = SLICE("yes");
    if (f->argc == 0 || !is_yes_or_no(f->argv[0]))
        return;
    *value = slice_of(f->argv[0]);
    f->argc--;
    f->argv++;
}

/* The value behind "=", or the next word unless that is a flag itself. */
static bool take_value(struct flags *f, struct slice name, struct slice *value)
{
    if (!value->ptr && f->argc > 0 && strncmp(f->argv[0], "--", 2) != 0) {
        *value = slice_of(f->argv[0]);
        f->argc--;
        f->argv++;
    }
    if (value->len > 0)
        return true;
    buf_printf(f->errors, "command line %.*s: the value is missing", SLICE_ARGS(name));
    see_help(f);
    return false;
}

static void take_flag(struct flags *f, struct slice word)
{
    struct slice value = word;
    struct slice name = slice_split(&value, '=');
    const struct option *o = find_flag(name);
    int extra = find_extra(name);
    if (!o && extra < 0) {
        unknown_word(f, name);
        return;
    }
    if (o && o->type == OPTION_BOOL)
        take_switch(f, &value);
    if (!take_value(f, name, &value) || !f->loader)
        return;
    if (extra >= 0) {
        take_extra(f, extra, value);
    } else if (option_id(o) == OPTION_ID_server_bind) {
        add_address(f, o->flag, SLICE(""), value);
    } else {
        const char *origin = loader_format(f->loader, "command line %s", o->flag);
        loader_assign(f->loader, o, value, &(struct place){CONFIG_FLAG, origin, NULL});
    }
}

static void take_all(struct flags *f)
{
    while (f->argc > 0) {
        struct slice word = slice_of(f->argv[0]);
        f->argc--;
        f->argv++;
        if (slice_starts_with(word, SLICE("--")))
            take_flag(f, word);
        else
            unknown_word(f, word);
    }
}

/* ---- public --------------------------------------------------------------------------------- */

void flags_apply(struct loader *l, int argc, char *const *argv)
{
    struct flags f = {.loader = l, .errors = l->errors, .argc = argc, .argv = argv};
    take_all(&f);
    join_host_and_port(&f);
    if (f.addresses.len) {
        const char *origin = loader_format(l, "%.*s", SLICE_ARGS(buf_slice(&f.origin)));
        loader_assign(l, &config_options[OPTION_ID_server_bind], buf_slice(&f.addresses),
                      &(struct place){CONFIG_FLAG, origin, NULL});
    }
    l->no_memory |= f.addresses.failed || f.origin.failed;
    buf_free(&f.addresses);
    buf_free(&f.origin);
}

bool config_is_flag(const char *word)
{
    struct slice rest = slice_of(word);
    struct slice name = slice_split(&rest, '=');
    return find_flag(name) || find_extra(name) >= 0;
}

bool config_flags_known(const struct config_flags *flags, struct buf *errors)
{
    size_t before = errors->len;
    struct flags f = {.errors = errors, .argc = flags->argc, .argv = flags->argv};
    take_all(&f);
    return errors->len == before && !errors->failed;
}
