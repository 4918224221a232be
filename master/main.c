/* main.c: the program: verbs and exit codes. The verbs are rows of verbs.def. */
#include "master/cli.h"
#include "master/ctl.h"
#include "master/doctor.h"
#include "master/master.h"
#include "master/secret.h"
#include "master/spawn.h"
#include "master/takeover.h"
#include "master/tls_pair.h"
#include "master/upgrade.h"
#include "shared/config.h"
#include "shared/debug.h"
#include "shared/dynamic.h"
#include "shared/entry.h"
#include "shared/identity.h"
#include "shared/log.h"
#include "shared/title.h"

#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern const struct verb verbs[];
extern const size_t verbs_len;

/* As main() got it. */
static struct {
    int argc;
    char **argv;
} command_line;

static void print(FILE *to, const struct buf *text)
{
    if (text->len > 0)
        fwrite(text->data, 1, text->len, to);
}

/* Prints and frees. EXIT_CODE_FAILED when nobody can read it (a full disk, a closed pipe). */
static int print_out(struct buf *text)
{
    print(stdout, text);
    bool ok = !text->failed && fflush(stdout) == 0 && !ferror(stdout);
    buf_free(text);
    return ok ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/* The configuration, or NULL and the code to leave with, after all errors were printed. *text_r:
 * the
 * bytes it was read from, the caller's to free either way. */
static struct config *load_with_text(const struct cli *cli, int *code_r, struct config_text *text_r)
{
    struct buf errors = {0}, warnings = {0};
    struct config *config = NULL;
    *code_r = EXIT_CODE_USAGE;
    *text_r = (struct config_text){0};
    if (config_flags_known(&cli->flags, &errors)) {
        *code_r = EXIT_CODE_CONFIG;
        config = config_load_text(&cli->flags, text_r, &errors, &warnings);
        if (!config && errno == ENOMEM)
            *code_r = EXIT_CODE_INTERNAL; /* which a service manager tries again */
    }
    print(stderr, &warnings);
    print(stderr, &errors);
    buf_free(&warnings);
    buf_free(&errors);
    return config;
}

static struct config *load(const struct cli *cli, int *code_r)
{
    struct config_text text;
    struct config *config = load_with_text(cli, code_r, &text);
    config_text_free(&text);
    return config;
}

/* What children inherit by the fork. */
static void start_log(const struct config *config)
{
    log_init((enum log_level)config->log_level, (enum log_format)config->log_format);
    debug_set(config->debug_enabled);
}

/* ---- verbs ----------------------------------------------------------------------------------- */

/* Said before anything is opened, as what is wrong in a file is. */
static int probe_libraries(const struct config *config)
{
    struct buf errors = {0};
    int code = (int)dynamic_probe_for(config, &errors);
    if (code != EXIT_CODE_OK)
        buf_append_char(&errors, '\n');
    print(stderr, &errors);
    buf_free(&errors);
    return code;
}

static int verb_run(const struct cli *cli)
{
    int code;
    struct config_text text;
    struct config *config = load_with_text(cli, &code, &text);
    if (config)
        code = probe_libraries(config);
    if (!config || code != EXIT_CODE_OK) {
        config_free(config);
        config_text_free(&text);
        return code;
    }
    start_log(config);
    struct master_options options = {.flags = &cli->flags,
                                     .config = config,
                                     .text = text,
                                     .settings = master_settings(config),
                                     .settings_of = master_settings,
                                     .watch_files = cli->reload,
                                     .argc = command_line.argc,
                                     .argv = command_line.argv};
    code = master_run(&options);
    config_free(config);
    return code;
}

static const char *key_origin(const struct config *c)
{
    return c->auth_secret_key        ? "configured"
           : c->auth_secret_key_file ? c->auth_secret_key_file
                                     : "made by colmeia";
}

static void describe(const struct config *c, struct buf *out)
{
    size_t previous = c->auth_previous_secret_keys.len + c->auth_previous_secret_key_files.len;
    struct buf why = {0};
    buf_printf(out, "configuration ok\n");
    for (size_t i = 0; i < c->server_bind.len; i++)
        buf_printf(out, "  listens on  %s\n", c->server_bind.items[i]);
    for (size_t i = 0; i < c->admin_bind.len; i++)
        buf_printf(out, "  admin on    %s\n", c->admin_bind.items[i]);
    if (c->server_workers == 0)
        config_auto_workers(&why);
    buf_printf(out, "  workers     %d%s%.*s%s\n", config_workers(c), why.len ? " (" : "",
               SLICE_ARGS(buf_slice(&why)), why.len ? ")" : "");
    const char *path = NULL;
    bool file = config_database(c, &path) == CONFIG_DATABASE_FILE;
    buf_printf(out, "  database    %s\n", file ? path : "in memory");
    buf_printf(out, "  token key   %s\n", key_origin(c));
    if (previous > 0)
        buf_printf(out, "              and %zu previous, whose tokens are honoured\n", previous);
    if (c->server_profile == CONFIG_PROFILE_HARDENED)
        buf_printf(out, "  profile     hardened\n");
    buf_free(&why);
}

/* What certificate and key say is worker/'s to know. Errors are printed. */
static int check_tls(const struct config *config, struct buf *errors)
{
    struct tls_pair *tls;
    int code = (int)tls_pair_load(config, &tls, errors);
    if (!tls)
        return code;
    start_log(config);
    struct spawn_order order = {.entry = {.role = ROLE_CHECK,
                                          .slot = -1,
                                          .config = config,
                                          .tls_certificate = tls_pair_certificate(tls),
                                          .tls_key = tls_pair_key(tls)}};
    code = spawn_and_wait(&order);
    tls_pair_free(tls);
    return code;
}

static int verb_check(const struct cli *cli)
{
    int code;
    struct config *config = load(cli, &code);
    if (!config)
        return code;
    struct secret *secret = NULL;
    struct identity identity;
    struct buf errors = {0}, warnings = {0}, out = {0};
    code = EXIT_CODE_CONFIG;
    if (identity_find(config, &identity, &errors))
        code = (int)secret_load(config, false, &secret, &errors, &warnings, &out);
    out.len = 0; /* the notes are about a start */
    if (code == EXIT_CODE_OK)
        code = (int)dynamic_probe_for(config, &errors);
    if (errors.len > 0)
        buf_append_char(&errors, '\n');
    int tls = check_tls(config, &errors);
    code = code == EXIT_CODE_OK ? tls : code;
    print(stderr, &warnings);
    print(stderr, &errors);
    if (code == EXIT_CODE_OK)
        describe(config, &out);
    secret_free(secret);
    config_free(config);
    buf_free(&errors);
    buf_free(&warnings);
    int printed = print_out(&out);
    return code != EXIT_CODE_OK ? code : printed;
}

static int verb_config(const struct cli *cli)
{
    int code;
    struct config *config = load(cli, &code);
    if (!config)
        return code;
    struct buf out = {0};
    config_print(config, cli->origin, &out);
    config_free(config);
    return print_out(&out);
}

/* Root's files beside the database would be closed to those who serve it. */
static int spawn_as_configured(const struct spawn_order *order)
{
    struct identity identity = {0};
    struct spawn_order configured = *order;
    configured.identity = &identity;
    struct buf error = {0};
    bool anybody = order->entry.role == ROLE_OPENAPI || order->entry.role == ROLE_CALIBRATE;
    bool known = anybody || identity_find(order->entry.config, &identity, &error);
    if (!known)
        fprintf(stderr, "colmeia: %.*s\n", SLICE_ARGS(buf_slice(&error)));
    buf_free(&error);
    return known ? spawn_and_wait(&configured) : EXIT_CODE_CONFIG;
}

static int verb_migrate(const struct cli *cli)
{
    int code;
    struct config *config = load(cli, &code);
    if (!config)
        return code;
    start_log(config);
    static char upgrade[] = "upgrade";
    char *standard[] = {upgrade, NULL};
    struct spawn_order order = {.entry = {.role = ROLE_MIGRATE,
                                          .slot = -1,
                                          .config = config,
                                          .argc = cli->argc ? cli->argc : 1,
                                          .argv = cli->argc ? cli->argv : standard}};
    code = spawn_as_configured(&order);
    config_free(config);
    return code;
}

/* What needs the store runs in a child that becomes this role (shared/entry.h). */
static int run_in_child(const struct cli *cli, enum role role)
{
    int code;
    struct config *config = load(cli, &code);
    if (!config)
        return code;
    start_log(config);
    struct spawn_order order = {
        .entry =
            {.role = role, .slot = -1, .config = config, .caller = getuid(), .argc = cli->argc, .argv = cli->argv},
        .terminal = true};
    code = spawn_as_configured(&order);
    config_free(config);
    return code;
}

static int verb_user(const struct cli *cli)
{
    return run_in_child(cli, ROLE_USER);
}

static int verb_backup(const struct cli *cli)
{
    return run_in_child(cli, ROLE_BACKUP);
}

static int verb_calibrate(const struct cli *cli)
{
    return run_in_child(cli, ROLE_CALIBRATE);
}

static int verb_openapi(const struct cli *cli)
{
    return run_in_child(cli, ROLE_OPENAPI);
}

static int verb_doctor(const struct cli *cli)
{
    struct buf errors = {0};
    bool good = config_flags_known(&cli->flags, &errors);
    print(stderr, &errors);
    buf_free(&errors);
    return good ? doctor_main(&cli->flags, cli->argc, cli->argv) : EXIT_CODE_USAGE;
}

static int verb_rehearse(const struct cli *cli)
{
    return takeover_rehearse(cli, verbs, verbs_len);
}

static int verb_adopt(const struct cli *cli)
{
    return takeover_adopt(cli, verbs, verbs_len);
}

static int verb_ctl(const struct cli *cli)
{
    return ctl_main(cli->argc, cli->argv, cli->flags.environ);
}

static int verb_version(const struct cli *cli)
{
    (void)cli;
    struct buf out = {0};
    buf_printf(&out, "colmeia " COLMEIA_VERSION "\n");
    return print_out(&out);
}

/* "ctl" says itself what it can do. */
static void explain(const struct verb *verb, struct buf *out)
{
    if (verb->run == verb_ctl)
        ctl_help(out);
    else
        cli_verb_help(verb, out);
}

static int usage_error(struct buf *error)
{
    fprintf(stderr, "colmeia: %.*s\nTry \"colmeia --help\".\n", SLICE_ARGS(buf_text(error)));
    buf_free(error);
    return EXIT_CODE_USAGE;
}

static int memory_error(struct buf *error)
{
    fprintf(stderr, "colmeia: %.*s\n", SLICE_ARGS(buf_text(error)));
    buf_free(error);
    return EXIT_CODE_INTERNAL;
}

static int verb_help(const struct cli *cli)
{
    struct buf out = {0}, error = {0};
    if (cli->argc == 0) {
        cli_help(verbs, verbs_len, &out);
        return print_out(&out);
    }
    const struct verb *verb = cli_find(verbs, verbs_len, cli->argv[0], &error);
    if (!verb)
        return usage_error(&error);
    explain(verb, &out);
    return print_out(&out);
}

const struct verb verbs[] = {
#define VERB(name, synopsis, summary, help, words_max, options, function)                          \
    {name, synopsis, summary, help, words_max, options, function},
#include "master/verbs.def"
#undef VERB
};
const size_t verbs_len = sizeof verbs / sizeof verbs[0];

/* "colmeia --help" is about the program, "colmeia run --help" about the verb. */
static int help_for(const struct cli *cli, bool named)
{
    struct buf out = {0};
    if (named)
        explain(cli->verb, &out);
    else
        cli_help(verbs, verbs_len, &out);
    return print_out(&out);
}

int main(int argc, char **argv)
{
    upgrade_net_up(argc, argv);
    upgrade_keep_environment(environ);
    static char *name;
    name = argc > 0 ? strdup(argv[0]) : NULL; /* the title will stand where it stood */
    title_init(argc, argv, environ);
    config_hide_environment(environ);
    if (name)
        argv[0] = name;
    command_line.argc = argc;
    command_line.argv = argv;
    struct cli cli;
    struct buf error = {0};
    int code;
    if (!cli_parse(verbs, verbs_len, argc, argv, environ, &cli, &error))
        code = cli.no_memory ? memory_error(&error) : usage_error(&error);
    else if (cli.help)
        code = help_for(&cli, argc > 1 && argv[1][0] != '-');
    else
        code = cli.verb->run(&cli);
    cli_free(&cli);
    return code;
}
