/* ctl_words.c: the command line of "colmeia ctl" taken apart, and its help: see ctl.h. */
#include "master/ctl.h"

#include "shared/config_internal.h" /* suggestion_offer, text_quote */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 10 * 1000,
    TIMEOUT_LONG_MS = 90 * 1000, /* what waits for workers */
    TIMEOUT_MAX_S = 24 * 3600,
    COUNT_MAX = 1000000
};

/* ---- words ----------------------------------------------------------------------------------- */

struct words {
    int argc; /* what is left */
    char **argv;
    struct ctl *ctl;
    struct buf *error;
};

static const char *const own_words[] = {"--help", "--json", "--timeout", "--control", "--binary",
                                        "--count"};
static const char *const switches[] = {
#define X(name, bit, word, field) word,
    COMMAND_SWITCHES(X)
#undef X
};
enum {
    OWN_WORDS = sizeof own_words / sizeof own_words[0],
    SWITCHES = sizeof switches / sizeof switches[0]
};

/* "--name=value" or "--name value"; true when it is this option. */
static bool takes(struct words *w, const char *name, const char **value_r)
{
    size_t len = strlen(name);
    if (strncmp(w->argv[0], name, len) != 0 || (w->argv[0][len] && w->argv[0][len] != '='))
        return false;
    if (w->argv[0][len] == '=') {
        *value_r = w->argv[0] + len + 1;
    } else if (w->argc > 1) {
        w->argc--;
        w->argv++;
        *value_r = w->argv[0];
    } else {
        *value_r = "";
    }
    if ((*value_r)[0] == '\0')
        buf_printf(w->error, "%s needs a value", name);
    return true;
}

static bool takes_timeout(struct words *w)
{
    const char *value;
    uint64_t s;
    if (!takes(w, "--timeout", &value))
        return false;
    if (slice_to_u64(slice_of(value), TIMEOUT_MAX_S, &s) && s > 0)
        w->ctl->timeout_ms = (int64_t)s * 1000;
    else if (w->error->len == 0)
        buf_printf(w->error, "--timeout is a number of seconds from 1 to %d", TIMEOUT_MAX_S);
    return true;
}

static bool takes_count(struct words *w)
{
    const char *value;
    uint64_t n;
    if (!takes(w, "--count", &value))
        return false;
    if (slice_to_u64(slice_of(value), COUNT_MAX, &n) && n > 0)
        w->ctl->count = (unsigned)n;
    else if (w->error->len == 0)
        buf_printf(w->error, "--count is a number from 1 to %d", COUNT_MAX);
    return true;
}

static bool is_switch(const char *word)
{
    for (size_t i = 0; i < SWITCHES; i++)
        if (strcmp(word, switches[i]) == 0)
            return true;
    return false;
}

static void refuse_option(struct words *w, struct slice name)
{
    struct suggestion s = {.word = name};
    for (size_t i = 0; i < OWN_WORDS; i++)
        suggestion_offer(&s, own_words[i]);
    for (size_t i = 0; i < SWITCHES; i++)
        suggestion_offer(&s, switches[i]);
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (config_options[i].flag[0])
            suggestion_offer(&s, config_options[i].flag);
    buf_printf(w->error, "unknown option ");
    text_quote(w->error, name);
    if (s.best)
        buf_printf(w->error, "; did you mean %s?", s.best);
}

static bool has_value(struct slice name)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (slice_equals(name, slice_of(config_options[i].flag)))
            return config_options[i].type != OPTION_BOOL;
    return true;
}

/* An option of the configuration, which tells where the socket is. */
static void take_config_option(struct words *w)
{
    struct config_flags *flags = &w->ctl->flags;
    struct slice rest = slice_of(w->argv[0]);
    struct slice name = slice_split(&rest, '=');
    struct buf one = {0}, ignored = {0};
    buf_printf(&one, "%.*s=1", SLICE_ARGS(name));
    char *word = one.failed ? w->argv[0] : one.data;
    bool known = config_flags_known(&(struct config_flags){.argc = 1, .argv = &word}, &ignored);
    buf_free(&one);
    buf_free(&ignored);
    if (!known) {
        refuse_option(w, name);
        return;
    }
    flags->argv[flags->argc++] = w->argv[0];
    if (rest.ptr || w->argc < 2 || !has_value(name))
        return;
    w->argc--;
    w->argv++;
    flags->argv[flags->argc++] = w->argv[0];
}

static void take_command_word(struct words *w)
{
    struct buf *line = &w->ctl->line;
    if (slice_equals(buf_slice(line), SLICE("throttle clear"))) { /* whom: any text */
        buf_append_char(line, ' ');
        command_write_path(line, w->argv[0]);
        return;
    }
    buf_printf(line, "%s%s", line->len ? " " : "", w->argv[0]);
}

/* The server may stand in another directory. */
static bool takes_binary(struct words *w)
{
    char directory[CONTROL_PATH_MAX];
    struct buf path = {0};
    const char *value;
    if (!takes(w, "--binary", &value))
        return false;
    if (value[0] != '/' && getcwd(directory, sizeof directory))
        buf_printf(&path, "%s/", directory);
    buf_append(&path, value, strlen(value) + 1);
    buf_printf(&w->ctl->line, "%s--binary=", w->ctl->line.len ? " " : "");
    command_write_path(&w->ctl->line, path.failed ? "" : path.data);
    buf_free(&path);
    return true;
}

static void take_one(struct words *w)
{
    struct ctl *ctl = w->ctl;
    const char *word = w->argv[0];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        ctl->help = true;
    else if (strcmp(word, "--json") == 0)
        ctl->json = true;
    else if (takes_timeout(w) || takes_count(w) || takes_binary(w) ||
             takes(w, "--control", &ctl->control) ||
             takes(w, "--config", &ctl->flags.config_path) ||
             takes(w, "--env-file", &ctl->flags.env_path))
        ; /* taken */
    else if (strncmp(word, "--", 2) != 0 || is_switch(word))
        take_command_word(w);
    else
        take_config_option(w);
    w->argc--;
    w->argv++;
}

static bool waits(const struct control_call *call)
{
    return call->command == CONTROL_WAIT || call->wait;
}

bool ctl_parse(int argc, char **argv, char **environment, struct ctl *ctl_r, struct buf *error)
{
    *ctl_r = (struct ctl){.flags = {.environ = environment}};
    struct words w = {.argc = argc, .argv = argv, .ctl = ctl_r, .error = error};
    ctl_r->flags.argv = calloc((size_t)argc + 1, sizeof argv[0]);
    if (!ctl_r->flags.argv) {
        buf_printf(error, "out of memory");
        return false;
    }
    while (w.argc > 0 && error->len == 0)
        take_one(&w);
    if (error->len > 0 || ctl_r->help)
        return error->len == 0;
    if (ctl_r->line.failed) {
        buf_printf(error, "out of memory");
        return false;
    }
    if (ctl_r->line.len == 0) {
        buf_printf(error, "which command? as in: colmeia ctl status");
        return false;
    }
    if (!command_parse(buf_slice(&ctl_r->line), &ctl_r->call, error))
        return false;
    if (ctl_r->count && ctl_r->call.command != CONTROL_TOP) {
        buf_printf(error, "--count belongs to top");
        return false;
    }
    if (ctl_r->timeout_ms == 0)
        ctl_r->timeout_ms = waits(&ctl_r->call) ? TIMEOUT_LONG_MS : TIMEOUT_MS;
    return true;
}

void ctl_free(struct ctl *ctl)
{
    free(ctl->flags.argv);
    ctl->flags.argv = NULL;
    buf_free(&ctl->line);
}

void ctl_help(struct buf *out)
{
    buf_printf(out, "Usage: colmeia ctl [OPTIONS] COMMAND\n\n"
                    "Talks to the running server through its control socket.\n\nCommands:\n");
    for (enum control_command c = 0; c < CONTROL_COMMANDS; c++) {
        const struct command *command = command_of(c);
        buf_printf(out, "  %s%s%s\n        %s\n", command->name, command->usage[0] ? " " : "",
                   command->usage, command->help);
    }
    buf_printf(out,
               "\nOptions:\n"
               "  --control PATH    the socket (default: where the configuration says, so that\n"
               "                    --config, --env-file, --bind and the others help, too; if it\n"
               "                    names none, and there is none, then /run/colmeia/ctl.sock)\n"
               "  --json            the answer as it came: one line of JSON\n"
               "  --timeout S       seconds to wait for it (default: 10; 90 for wait ready and\n"
               "                    with --wait)\n"
               "\nExit codes:\n"
#define CTL_CODE(name, number, meaning) "  " #number "  " meaning "\n"
#include "master/ctl_codes.def"
#undef CTL_CODE
    );
}
