/* tool.c: see tool.h. */
#include "worker/tools/tool.h"

#include "shared/check.h"
#include "shared/jsonw.h"
#include "shared/utf8.h"
#include "worker/store/migrate.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void tool_say(const char *verb, const char *format, ...)
{
    struct buf line = {0};
    va_list ap;
    va_start(ap, format);
    buf_printf(&line, "colmeia %s: ", verb);
    buf_vprintf(&line, format, ap);
    va_end(ap);
    buf_append_char(&line, '\n');
    fwrite(line.data ? line.data : "", 1, line.len, stderr);
    buf_free(&line);
}

void tool_obey_keys(void)
{
    const int keys[] = {SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        ASSERT(signal(keys[i], SIG_DFL) != SIG_ERR);
}

/* ---- words ----------------------------------------------------------------------------------- */

static const struct tool_option *find_option(const char *word, const struct tool_option *options,
                                             size_t options_len)
{
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < options_len; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, word, len) == 0)
            return &options[i];
    return NULL;
}

static bool usage(const char *verb, const char *word, const char *problem)
{
    tool_say(verb, "%s %s; try \"colmeia %.*s --help\"", word, problem, (int)strcspn(verb, " "),
             verb);
    return false;
}

/* One option at argv[*at]; *at advances over its value. */
static bool take_option(const char *verb, int argc, char **argv, const struct tool_option *options,
                        size_t options_len, int *at)
{
    const char *word = argv[*at];
    const struct tool_option *o = find_option(word, options, options_len);
    const char *equals = strchr(word, '=');
    if (!o)
        return usage(verb, word, "is no option of it");
    if (o->on_r) {
        *o->on_r = true;
        return !equals || usage(verb, word, "takes no value");
    }
    *o->value_r = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
    return (*o->value_r && (*o->value_r)[0]) || usage(verb, word, "needs a value");
}

bool tool_words(const char *verb, int argc, char **argv, const struct tool_option *options,
                size_t options_len, struct tool_words *words_r)
{
    bool only_words = false;
    *words_r = (struct tool_words){.len = 0};
    for (int i = 0; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(verb, argc, argv, options, options_len, &i))
                return false;
        } else if (words_r->len == TOOL_WORDS_MAX) {
            return usage(verb, argv[i], "is too much");
        } else {
            words_r->at[words_r->len++] = argv[i];
        }
    }
    return true;
}

/* ---- the database ---------------------------------------------------------------------------- */

static enum exit_code check_file(const char *verb, const char *path)
{
    struct stat st;
    if (stat(path, &st) && errno == ENOENT) {
        tool_say(verb, "database %s: it does not exist; \"colmeia migrate\" makes it", path);
        return EXIT_CODE_FAILED;
    }
    struct buf line = {0};
    enum exit_code code = EXIT_CODE_OK;
    switch (migrate_check(path, &line)) {
    case MIGRATE_OK:
        break;
    case MIGRATE_UNUSABLE:
        tool_say(verb, "%.*s", SLICE_ARGS(slice_trim(buf_slice(&line), "\n")));
        code = EXIT_CODE_DATABASE;
        break;
    }
    buf_free(&line);
    return code;
}

enum exit_code tool_database(const char *verb, const struct config *config, const char **path_r)
{
    switch (config_database(config, path_r)) {
    case CONFIG_DATABASE_FILE:
        return check_file(verb, *path_r);
    case CONFIG_DATABASE_MEMORY:
        tool_say(verb,
                 "the database is :memory:, which only its server sees; set [database] url to "
                 "a file");
        return EXIT_CODE_CONFIG;
    case CONFIG_DATABASE_POSTGRESQL:
        tool_say(verb, "this build cannot use PostgreSQL yet; set [database] url to a SQLite file");
        return EXIT_CODE_CONFIG;
    }
    UNREACHABLE();
}

/* ---- text ------------------------------------------------------------------------------------ */

/* C0 and C1 controls command a terminal; bidirectional controls and line separators make a line
 * look like another (Unicode TR36, 2.10). */
static bool is_dangerous(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static size_t show_hidden(struct buf *out, struct slice bytes, uint32_t c)
{
    size_t before = out->len;
    if (c != UTF8_INVALID && c > 0xff)
        buf_printf(out, "\\u{%x}", (unsigned)c);
    else
        for (size_t i = 0; i < bytes.len; i++)
            buf_printf(out, "\\x%02x", (unsigned char)bytes.ptr[i]);
    return out->len - before;
}

size_t tool_show(struct buf *out, struct slice text)
{
    size_t columns = 0;
    for (size_t at = 0; at < text.len;) {
        size_t from = at;
        uint32_t c = utf8_next(text, &at);
        struct slice bytes = {text.ptr + from, at - from};
        if (c == UTF8_INVALID || is_dangerous(c)) {
            columns += show_hidden(out, bytes, c);
        } else {
            buf_append_slice(out, bytes);
            columns++;
        }
    }
    return columns;
}

void tool_show_json(struct buf *out, struct slice text)
{
    buf_append_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        size_t from = at;
        uint32_t c = utf8_next(text, &at);
        if (c == UTF8_INVALID)
            utf8_append(out, UTF8_REPLACEMENT);
        else if (c >= 0x7f && is_dangerous(c))
            buf_printf(out, "\\u%04x", (unsigned)c); /* none is beyond the first plane */
        else
            jsonw_escape(out, (struct slice){text.ptr + from, at - from});
    }
    buf_append_char(out, '"');
}

bool tool_print(const char *verb, struct buf *out)
{
    bool ok = !out->failed;
    if (!ok)
        tool_say(verb, "out of memory");
    else if (fwrite(out->data ? out->data : "", 1, out->len, stdout) != out->len ||
             fflush(stdout) != 0) {
        if (errno != EPIPE) /* "| head" has seen enough */
            tool_say(verb, "cannot write to standard output: %s", strerror(errno));
        ok = false;
    }
    out->len = 0;
    return ok;
}
