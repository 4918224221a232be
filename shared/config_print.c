/* config_print.c: the configuration as an ini again, and the options of --help. */
#include "shared/config_internal.h"

#include <string.h>

/* ---- ini ------------------------------------------------------------------------------------ */

/* Whether a value would be read as something else without quotes. */
static bool needs_quotes(struct slice value)
{
    struct slice trimmed = slice_trim(value, " \t\r\n");
    if (value.len == 0 || trimmed.len != value.len || value.ptr[0] == '"')
        return true;
    for (size_t i = 0; i < value.len; i++)
        if (strchr("#;\n\r\t", value.ptr[i]))
            return true;
    return false;
}

static void print_quoted(struct slice value, struct buf *out)
{
    static const char pairs[] = "\nn\rr\tt\"\"\\\\";
    buf_append_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        const char *pair = pairs;
        while (*pair && pair[0] != value.ptr[i])
            pair += 2;
        if (*pair)
            buf_append_char(out, '\\');
        buf_append_char(out, *pair ? pair[1] : value.ptr[i]);
    }
    buf_append_char(out, '"');
}

static void print_option(const struct config *c, const struct option *o, struct buf *out)
{
    struct option_value value = option_load(c, o);
    bool is_unset = o->type == OPTION_STRING && !value.string;
    bool is_empty_list = o->type == OPTION_LIST && value.list.len == 0;
    if ((o->flags & SECRET) && !is_unset && !is_empty_list) {
        buf_printf(out, "# %s = ********", o->key);
        return;
    }
    buf_printf(out, "%s =", o->key);
    struct buf text = {0};
    option_format(o, &value, &text);
    if (!is_unset && !is_empty_list) {
        buf_append_char(out, ' ');
        if (needs_quotes(buf_slice(&text)))
            print_quoted(buf_slice(&text), out);
        else
            buf_append_slice(out, buf_slice(&text));
    }
    out->failed |= text.failed;
    buf_free(&text);
}

void config_print(const struct config *c, bool origin, struct buf *out)
{
    const char *section = "";
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        if (strcmp(section, o->section) != 0)
            buf_printf(out, "%s[%s]\n", section[0] ? "\n" : "", o->section);
        section = o->section;
        print_option(c, o, out);
        if (origin)
            buf_printf(out, "  # %s", c->private_data->origins[i]);
        buf_append_char(out, '\n');
    }
}

/* ---- help ----------------------------------------------------------------------------------- */

enum { HELP_COLUMN = 20, HELP_WIDTH = 79 };

static const char *placeholder(const struct option *o)
{
    switch (o->type) {
    case OPTION_INT:
        return "N";
    case OPTION_DURATION:
        return "TIME";
    case OPTION_SIZE:
        return "SIZE";
    case OPTION_BOOL:
        return ""; /* a switch; "=no" is possible */
    case OPTION_STRING:
        return strcmp(o->check, "database") == 0 ? "URL" : "TEXT";
    case OPTION_LIST:
        return strcmp(o->check, "network") == 0 ? "LIST" : "ADDRESS";
    case OPTION_ENUM:
        return o->check;
    case OPTION_WORKERS:
        return "N|auto";
    }
    return "";
}

static void indent(struct buf *out, size_t columns)
{
    for (size_t i = 0; i < columns; i++)
        buf_append_char(out, ' ');
}

/* "  --flag WORD   text", the text wrapped in its column. */
static void help_row(struct buf *out, const char *flag, const char *word, const char *text)
{
    size_t column = 3 + strlen(flag) + strlen(word) - !word[0];
    buf_printf(out, "  %s%s%s", flag, word[0] ? " " : "", word);
    if (column + 2 > HELP_COLUMN) {
        buf_append_char(out, '\n');
        column = 0;
    }
    indent(out, HELP_COLUMN - column);
    column = HELP_COLUMN;
    struct slice rest = slice_of(text);
    while (rest.ptr) {
        struct slice next = slice_split(&rest, ' ');
        if (column > HELP_COLUMN && column + 1 + next.len > HELP_WIDTH) {
            buf_append_char(out, '\n');
            indent(out, HELP_COLUMN);
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            buf_append_char(out, ' ');
            column++;
        }
        buf_append_slice(out, next);
        column += next.len;
    }
    buf_append_char(out, '\n');
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        const struct option *o = &config_options[i];
        struct buf text = {0};
        if (!o->flag[0])
            continue;
        buf_printf(&text, "%s", o->help);
        if (o->fallback)
            buf_printf(&text, " (default: %s)", o->fallback);
        buf_append_char(&text, 0);
        if (!text.failed)
            help_row(out, o->flag, placeholder(o), text.data);
        out->failed |= text.failed;
        buf_free(&text);
        if (i == OPTION_ID_server_bind) {
            help_row(out, "--host", "HOST",
                     "the same in two halves, HOST:PORT (default: 127.0.0.1)");
            help_row(out, "--port", "PORT", "(default: 8000)");
            help_row(out, "--uds", "PATH", "the same as --bind unix:PATH");
        }
    }
}
