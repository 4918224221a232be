/* manual.c: writes a man page or the bash completion from its template: lines that hold nothing but
 * @name@ are replaced by what the tables say (options.def, verbs.def, commands.def and the codes).
 *
 *   colmeia_manual TEMPLATE OUTPUT
 *
 * Run by the build (pages.cmake); not installed. */
#include "shared/config_internal.h" /* enum option_type, RESTART */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb_row {
    const char *name, *synopsis, *summary, *help;
} verbs[] = {
#define VERB(name, synopsis, summary, help, words_max, options, function)                          \
    {name, synopsis, summary, help},
#include "master/verbs.def"
#undef VERB
};

static const struct command_row {
    const char *name, *usage, *help;
} commands[] = {
#define COMMAND(name, word, argument, switches, usage, help) {word, usage, help},
#include "master/commands.def"
#undef COMMAND
};

struct code_row {
    int number;
    const char *meaning;
};
static const struct code_row exit_codes[] = {
#define EXIT_CODE(name, number, word, meaning) {number, meaning},
#include "shared/exit_codes.def"
#undef EXIT_CODE
};
static const struct code_row ctl_codes[] = {
#define CTL_CODE(name, number, meaning) {number, meaning},
#include "master/ctl_codes.def"
#undef CTL_CODE
};

static const struct option_row {
    const char *section, *key;
    enum option_type type;
    const char *fallback, *check;
    unsigned flags;
    const char *flag, *environment, *help;
} options[] = {
#define OPTION(section, key, type, fallback, check, flags, flag, environment, help)                \
    {#section, #key, OPTION_##type, fallback, check, flags, flag, environment, help},
#include "shared/options.def"
#undef OPTION
};

enum { LINE_LEN_MAX = 72 };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- mdoc(7) --------------------------------------------------------------------------------- */

/* One character, with what roff would take for something else written so that it does not. Returns
 * the bytes it had. */
static size_t put_character(FILE *out, const char *at)
{
    const unsigned char *u = (const unsigned char *)at;
    if (u[0] == '\\' || u[0] == '-') {
        fputs(u[0] == '-' ? "\\-" : "\\e", out);
    } else if (u[0] < 0x80) {
        fputc(u[0], out);
    } else if ((u[0] & 0xe0) == 0xc0 && u[1]) {
        fprintf(out, "\\[u%04X]", (unsigned)((u[0] & 0x1f) << 6 | (u[1] & 0x3f)));
        return 2;
    } else if ((u[0] & 0xf0) == 0xe0 && u[1] && u[2]) {
        fprintf(out, "\\[u%04X]",
                (unsigned)((u[0] & 0xf) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f)));
        return 3;
    }
    return 1;
}

/* A text line: what could be a request or a macro at its beginning is none. */
static void put_line(FILE *out, const char *text, size_t len)
{
    if (len > 0 && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < len;)
        i += put_character(out, text + i);
    fputc('\n', out);
}

/* Where the line that begins at *text* ends: with a sentence, or at a space when it is long
 * enough. */
static size_t line_len(const char *text)
{
    size_t last = 0;
    for (size_t at = 0;; at++) {
        if (text[at] == '\0' || (at > 0 && text[at] == ' ' && strchr(".?!", text[at - 1])))
            return at <= LINE_LEN_MAX || last == 0 ? at : last;
        if (text[at] == ' ' && (at <= LINE_LEN_MAX || last == 0))
            last = at;
        else if (at > LINE_LEN_MAX && last > 0)
            return last;
    }
}

/* Each sentence begins a line, as in all such pages. */
static void put_text(FILE *out, const char *text)
{
    while (*text) {
        size_t len = line_len(text);
        put_line(out, text, len);
        text += len + (text[len] == ' ');
    }
}

/* Words of a macro's arguments: none is one of its macros, or a delimiter. */
static void put_argument(FILE *out, const char *text)
{
    fputs(" \"\\&", out);
    for (; *text; text++)
        if (*text == '"')
            fputs("\\(dq", out);
        else
            text += put_character(out, text) - 1;
    fputc('"', out);
}

struct paragraph {
    char text[2048];
    size_t len;
};

static void end_paragraph(FILE *out, struct paragraph *p)
{
    if (p->len == 0)
        return;
    fputs(".Pp\n", out);
    put_text(out, p->text);
    p->len = 0;
}

static void add_to_paragraph(struct paragraph *p, const char *line, size_t len)
{
    int n = snprintf(p->text + p->len, sizeof p->text - p->len, "%s%.*s", p->len ? " " : "",
                     (int)len, line);
    p->len += (size_t)n;
    if (p->len >= sizeof p->text) {
        fprintf(stderr, "too long a paragraph: %s\n", p->text);
        exit(1);
    }
}

/* Paragraphs, and tables, whose lines begin with a space, as they are. */
static void put_help(FILE *out, const char *text)
{
    struct paragraph p = {.len = 0};
    bool table = false;
    while (*text) {
        size_t len = strcspn(text, "\n");
        bool row = text[0] == ' ';
        if (row || len == 0)
            end_paragraph(out, &p);
        if (row != table)
            fputs(row ? ".Bd -literal\n" : ".Ed\n", out);
        table = row;
        if (row)
            put_line(out, text, len);
        else if (len > 0)
            add_to_paragraph(&p, text, len);
        text += len + (text[len] == '\n');
    }
    end_paragraph(out, &p);
    if (table)
        fputs(".Ed\n", out);
}

static void write_verbs(FILE *out)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < COUNT(verbs); i++) {
        if (!verbs[i].summary[0])
            continue;
        fputs(".It Cm", out);
        put_argument(out, verbs[i].name);
        if (verbs[i].synopsis[0]) {
            fputs(" No", out);
            put_argument(out, verbs[i].synopsis);
        }
        fputc('\n', out);
        put_text(out, verbs[i].summary);
        if (verbs[i].help[0])
            put_help(out, verbs[i].help);
    }
    fputs(".El\n", out);
}

static void write_commands(FILE *out)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < COUNT(commands); i++) {
        fputs(".It Cm", out);
        put_argument(out, commands[i].name);
        if (commands[i].usage[0]) {
            fputs(" No", out);
            put_argument(out, commands[i].usage);
        }
        fputc('\n', out);
        put_text(out, commands[i].help);
    }
    fputs(".El\n", out);
}

static void write_codes(FILE *out, const struct code_row *rows, size_t len)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < len; i++) {
        fprintf(out, ".It %d\n", rows[i].number);
        put_text(out, rows[i].meaning);
    }
    fputs(".El\n", out);
}

/* What its value is. */
static const char *word_of(const struct option_row *o)
{
    switch (o->type) {
    case OPTION_INT:
        return "number";
    case OPTION_DURATION:
        return "time";
    case OPTION_SIZE:
        return "size";
    case OPTION_BOOL:
        return "yes|no";
    case OPTION_STRING:
        return "text";
    case OPTION_LIST:
        return "list";
    case OPTION_ENUM:
        return o->check;
    case OPTION_WORKERS:
        return "number|auto";
    }
    return "";
}

static void write_range(FILE *out, const struct option_row *o)
{
    const char *dots = strstr(o->check, "..");
    if (dots)
        fprintf(out, "From %.*s to %s.\n", (int)(dots - o->check), o->check, dots + 2);
}

static void write_origin(FILE *out, const struct option_row *o)
{
    if (o->fallback) {
        fputs("Default:\n.Li", out);
        put_argument(out, o->fallback);
        fputs(" .\n", out);
    }
    if (o->flag[0]) {
        fputs("On the command line:\n.Fl", out);
        put_argument(out, o->flag + 1);
        fputs(" .\n", out);
    }
    if (o->environment[0]) {
        fputs("Also in the environment:\n.Ev", out);
        put_argument(out, o->environment);
        fputs(" .\n", out);
    }
    if (o->flags & RESTART)
        fputs("A change needs a restart.\n", out);
}

static void write_options(FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        if (strcmp(section, o->section) != 0) {
            fprintf(out, "%s.Ss Section %s\n.Bl -tag -width Ds\n", section[0] ? ".El\n" : "",
                    o->section);
            section = o->section;
        }
        fputs(".It Ic", out);
        put_argument(out, o->key);
        fputs(" No = Ar", out);
        put_argument(out, word_of(o));
        fputc('\n', out);
        put_text(out, o->help);
        if (o->fallback || o->flag[0] || o->environment[0] || o->flags & RESTART)
            fputs(".Pp\n", out);
        write_range(out, o);
        write_origin(out, o);
    }
    fputs(".El\n", out);
}

static void write_flags(FILE *out)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        if (!o->flag[0])
            continue;
        fputs(".It Fl", out);
        put_argument(out, o->flag + 1);
        if (o->type != OPTION_BOOL) {
            fputs(" Ar", out);
            put_argument(out, word_of(o));
        }
        fputc('\n', out);
        put_text(out, o->help);
    }
    fputs(".El\n", out);
}

/* ---- bash ------------------------------------------------------------------------------------ */

/* The words of a usage that are typed as they stand: "[--wait] N|all …" has --wait and all. */
static void write_typed(FILE *out, const char *usage)
{
    while (*usage) {
        size_t len = strcspn(usage, " |[]");
        if (len > 0 && (strncmp(usage, "--", 2) == 0 || (*usage >= 'a' && *usage <= 'z')))
            fprintf(out, " %.*s", (int)len, usage);
        usage += len + (usage[len] != '\0');
    }
}

/* "    name) words=' a b c' ;;" */
static void write_case(FILE *out, const char *name, const char *usage)
{
    fprintf(out, "    %s) words='", name);
    write_typed(out, usage);
    fputs("' ;;\n", out);
}

static void write_bash_verbs(FILE *out)
{
    for (size_t i = 0; i < COUNT(verbs); i++)
        if (verbs[i].summary[0])
            write_case(out, verbs[i].name, verbs[i].synopsis);
}

static void write_bash_commands(FILE *out)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        write_case(out, commands[i].name, commands[i].usage);
}

static void write_names(FILE *out, bool of_verbs)
{
    fprintf(out, "_colmeia_%s='", of_verbs ? "verbs" : "commands");
    for (size_t i = 0; i < (of_verbs ? COUNT(verbs) : COUNT(commands)); i++)
        if (!of_verbs || verbs[i].summary[0])
            fprintf(out, " %s", of_verbs ? verbs[i].name : commands[i].name);
    fputs("'\n", out);
}

/* Which of them want a value, and the values of those that have but a few. */
static void write_bash_flags(FILE *out, bool switches)
{
    fprintf(out, "_colmeia_%s='", switches ? "switches" : "flags");
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].flag[0] && (options[i].type == OPTION_BOOL) == switches)
            fprintf(out, " %s", options[i].flag);
    fputs("'\n", out);
}

static const char *values_of(const struct option_row *o)
{
    if (o->type == OPTION_ENUM)
        return o->check;
    return o->type == OPTION_WORKERS ? "auto" : "";
}

static void write_bash_values(FILE *out)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].flag[0] && !(options[i].type == OPTION_BOOL))
            write_case(out, options[i].flag, values_of(&options[i]));
}

/* ---- templates ------------------------------------------------------------------------------- */

static bool write_table(FILE *out, const char *name)
{
    if (strcmp(name, "@verbs@\n") == 0)
        write_verbs(out);
    else if (strcmp(name, "@commands@\n") == 0)
        write_commands(out);
    else if (strcmp(name, "@options@\n") == 0)
        write_options(out);
    else if (strcmp(name, "@flags@\n") == 0)
        write_flags(out);
    else if (strcmp(name, "@exit-codes@\n") == 0)
        write_codes(out, exit_codes, COUNT(exit_codes));
    else if (strcmp(name, "@ctl-codes@\n") == 0)
        write_codes(out, ctl_codes, COUNT(ctl_codes));
    else if (strcmp(name, "@bash-names@\n") == 0) {
        write_names(out, true);
        write_names(out, false);
        write_bash_flags(out, false);
        write_bash_flags(out, true);
    } else if (strcmp(name, "@bash-verbs@\n") == 0)
        write_bash_verbs(out);
    else if (strcmp(name, "@bash-commands@\n") == 0)
        write_bash_commands(out);
    else if (strcmp(name, "@bash-values@\n") == 0)
        write_bash_values(out);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    char line[1024];
    FILE *in = argc == 3 ? fopen(argv[1], "r") : NULL, *out = in ? fopen(argv[2], "w") : NULL;
    if (!out) {
        perror(argc == 3 ? in ? argv[2] : argv[1] : "usage: colmeia_manual TEMPLATE OUTPUT");
        return 1;
    }
    while (fgets(line, sizeof line, in)) {
        bool table = line[0] == '@' && line[1] != '\n';
        if (table && !write_table(out, line)) {
            fprintf(stderr, "%s: no such table: %s", argv[1], line);
            return 1;
        }
        if (!table)
            fputs(line, out);
    }
    bool good = !ferror(in) && !ferror(out);
    fclose(in);
    if (fclose(out) != 0 || !good) {
        fprintf(stderr, "%s: cannot be written\n", argv[2]);
        return 1;
    }
    return 0;
}
