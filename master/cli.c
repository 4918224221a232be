/* cli.c: see cli.h. */
#include "master/cli.h"

#include <stdlib.h>
#include <string.h>

/* ---- the nearest verb ------------------------------------------------------------------------ */

enum { NAME_MAX_LEN = 32, NEAR = 2 };

static int min3(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance, row by row. */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_LEN + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

static const struct verb *nearest(const struct verb *verbs, size_t verbs_len, const char *name)
{
    const struct verb *best = NULL;
    int best_distance = NEAR + 1;
    for (size_t i = 0; i < verbs_len; i++) {
        int d = distance(name, verbs[i].name);
        if (d >= best_distance || verbs[i].summary[0] == '\0')
            continue;
        best = &verbs[i];
        best_distance = d;
    }
    return best;
}

const struct verb *cli_find(const struct verb *verbs, size_t verbs_len, const char *name,
                            struct buf *error)
{
    for (size_t i = 0; i < verbs_len; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    const struct verb *near = nearest(verbs, verbs_len, name);
    buf_printf(error, "unknown verb \"%s\"", name);
    if (near)
        buf_printf(error, "; did you mean \"%s\"?", near->name);
    return NULL;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

struct parse {
    int argc; /* what is left */
    char **argv;
    struct cli *cli;
    struct buf *error;
};

static bool is_word(const char *text)
{
    return text[0] != '-' || text[1] == '\0';
}

/* "--name value" or "--name=value": true when it is this option; *value_r NULL: the value is
 * missing. */
static bool takes_option(struct parse *p, const char *name, const char **value_r)
{
    size_t len = strlen(name);
    if (strncmp(p->argv[0], name, len) != 0 || (p->argv[0][len] != '\0' && p->argv[0][len] != '='))
        return false;
    if (p->argv[0][len] == '=') {
        *value_r = p->argv[0] + len + 1;
        return true;
    }
    *value_r = p->argc > 1 ? p->argv[1] : NULL;
    if (p->argc > 1) {
        p->argc--;
        p->argv++;
    }
    return true;
}

static bool take_path(struct parse *p, const char *name, const char **path_r)
{
    const char *value;
    if (!takes_option(p, name, &value))
        return false;
    if (!value || value[0] == '\0')
        buf_printf(p->error, "%s needs a file", name);
    *path_r = value;
    return true;
}

static void take_one(struct parse *p)
{
    struct cli *cli = p->cli;
    const char *text = p->argv[0];
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)
        cli->help = true;
    else if (strcmp(text, "--origin") == 0 && strcmp(cli->verb->name, "config") == 0)
        cli->origin = true;
    else if (strcmp(text, "--reload") == 0 && strcmp(cli->verb->name, "run") == 0)
        cli->reload = true;
    else if (!take_path(p, "--config", &cli->flags.config_path) &&
             !take_path(p, "--env-file", &cli->flags.env_path))
        cli->flags.argv[cli->flags.argc++] = p->argv[0];
    p->argc--;
    p->argv++;
}

static void take_words(struct parse *p)
{
    struct cli *cli = p->cli;
    cli->argv = p->argv;
    while (p->argc > 0 && is_word(p->argv[0])) {
        cli->argc++;
        p->argc--;
        p->argv++;
    }
    if (cli->argc > cli->verb->words_max)
        buf_printf(p->error, "\"%s\" is too much for \"colmeia %s\"",
                   cli->argv[cli->verb->words_max], cli->verb->name);
}

/* An option of the configuration with its value, which is the next word unless "=" brought it. */
static void take_flag(struct parse *p)
{
    bool has_value = strchr(p->argv[0], '=') || p->argc == 1 || strncmp(p->argv[1], "--", 2) == 0;
    for (int i = has_value ? 1 : 2; i > 0; i--) {
        p->cli->flags.argv[p->cli->flags.argc++] = p->argv[0];
        p->argc--;
        p->argv++;
    }
}

/* A verb with options of its own. */
static void take_mixed(struct parse *p)
{
    bool only_words = false;
    while (p->argc > 0 && p->error->len == 0) {
        only_words |= strcmp(p->argv[0], "--") == 0;
        if (!only_words && config_is_flag(p->argv[0])) {
            take_flag(p);
            continue;
        }
        if (!only_words && (strcmp(p->argv[0], "--help") == 0 || strcmp(p->argv[0], "-h") == 0))
            p->cli->help = true;
        else if (only_words || (!take_path(p, "--config", &p->cli->flags.config_path) &&
                                !take_path(p, "--env-file", &p->cli->flags.env_path)))
            p->cli->owned_words[p->cli->argc++] = p->argv[0];
        p->argc--;
        p->argv++;
    }
}

static const struct verb *take_verb(struct parse *p, const struct verb *verbs, size_t verbs_len)
{
    if (p->argc == 0)
        return &verbs[0];
    const char *name = p->argv[0];
    if (strcmp(name, "--version") == 0)
        name = "version"; /* as people type it */
    else if (!is_word(name))
        return &verbs[0];
    p->argc--;
    p->argv++;
    return cli_find(verbs, verbs_len, name, p->error);
}

bool cli_parse(const struct verb *verbs, size_t verbs_len, int argc, char **argv, char **environ,
               struct cli *cli_r, struct buf *error)
{
    struct parse p = {
        .argc = argc > 0 ? argc - 1 : 0, .argv = argv + 1, .cli = cli_r, .error = error};
    *cli_r = (struct cli){.flags = {.environ = environ}};
    cli_r->verb = take_verb(&p, verbs, verbs_len);
    if (!cli_r->verb)
        return false;
    cli_r->flags.argv = calloc((size_t)p.argc + 1, sizeof argv[0]);
    cli_r->owned_words = calloc((size_t)p.argc + 1, sizeof argv[0]);
    if (!cli_r->flags.argv || !cli_r->owned_words) {
        cli_r->no_memory = true;
        buf_printf(error, "out of memory");
        return false;
    }
    if (cli_r->verb->words_max == CLI_WORDS_RAW) {
        cli_r->argc = p.argc;
        cli_r->argv = p.argv;
        return true;
    }
    if (cli_r->verb->words_max == CLI_WORDS_OWN) {
        cli_r->argv = cli_r->owned_words;
        take_mixed(&p);
        return error->len == 0;
    }
    take_words(&p);
    while (p.argc > 0 && error->len == 0)
        take_one(&p);
    if (cli_r->flags.argc > 0 && !cli_r->verb->options && !cli_r->help && error->len == 0)
        buf_printf(error, "\"colmeia %s\" takes no option %s", cli_r->verb->name,
                   cli_r->flags.argv[0]);
    return error->len == 0;
}

void cli_free(struct cli *cli)
{
    free(cli->flags.argv);
    cli->flags.argv = NULL;
    free(cli->owned_words);
    cli->owned_words = NULL;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void option_help(struct buf *out)
{
    buf_printf(out,
               "\nOptions:\n"
               "  --config FILE     ini file (default: /etc/colmeia/colmeia.ini, if it exists)\n"
               "  --env-file FILE   file of NAME=value lines (default: .env, if it exists)\n");
    config_help(out);
}

void cli_help(const struct verb *verbs, size_t verbs_len, struct buf *out)
{
    buf_printf(out, "Usage: colmeia [VERB] [OPTIONS]\n\n"
                    "A users API over HTTP: a master and its workers, on SQLite.\n\nVerbs:\n");
    for (size_t i = 0; i < verbs_len; i++)
        if (verbs[i].summary[0])
            buf_printf(out, "  %-10s %s%s\n", verbs[i].name, verbs[i].summary,
                       i == 0 ? " (without a verb)" : "");
    buf_printf(out, "\n\"colmeia VERB --help\" says more.\n");
    option_help(out);
    buf_printf(out,
               "\nExit codes:\n");
#define EXIT_CODE(name, number, word, meaning)                                                     \
    buf_printf(out, "  %2d  %s\n", number, meaning);
#include "shared/exit_codes.def"
#undef EXIT_CODE
    buf_printf(out,
               "\nFiles:\n"
               "  /etc/colmeia/colmeia.ini   configuration\n"
               "  .env                       settings as environment lines\n"
               "  database.db                the data, unless --database-url says otherwise\n"
               "  secret.key                 beside it: the key of tokens, made at first start\n");
}

void cli_verb_help(const struct verb *verb, struct buf *out)
{
    buf_printf(out, "Usage: colmeia %s%s%s%s\n", verb->name, verb->synopsis[0] ? " " : "",
               verb->synopsis, verb->options ? " [OPTIONS]" : "");
    if (verb->summary[0])
        buf_printf(out, "\n%s.\n", verb->summary);
    if (verb->help[0])
        buf_printf(out, "\n%s\n", verb->help);
    if (verb->options)
        option_help(out);
}
