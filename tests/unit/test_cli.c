/* test_cli.c: the command line taken apart. */
#include "master/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static const struct verb verbs[] = {
    {"run", "", "Serves", "", 0, true, NULL},
    {"check", "", "Judges", "", 0, true, NULL},
    {"config", "[--origin]", "Prints", "", 0, true, NULL},
    {"migrate", "[upgrade]", "Migrates", "", 1, true, NULL},
    {"version", "", "Version", "", 0, false, NULL},
    {"user", "", "Users", "", CLI_WORDS_OWN, true, NULL},
};
enum { VERBS = sizeof verbs / sizeof verbs[0], WORDS_MAX = 8 };

struct line {
    const char *words[WORDS_MAX];
    const char *want; /* verb | words | options | config | env-file | flags; or the error */
};

static const struct line lines[] = {
    {{NULL}, "run|||-|-|"},
    {{"run"}, "run|||-|-|"},
    {{"--workers", "3"}, "run||--workers 3|-|-|"},
    {{"check", "--bind", ":1"}, "check||--bind :1|-|-|"},
    {{"config", "--origin"}, "config|||-|-|origin"},
    {{"--origin"}, "run||--origin|-|-|"},
    {{"--config", "a.ini", "--workers=2"}, "run||--workers=2|a.ini|-|"},
    {{"run", "--config=a.ini", "--env-file", "b"}, "run|||a.ini|b|"},
    {{"--configure", "x"}, "run||--configure x|-|-|"},
    {{"migrate", "upgrade", "--config", "c"}, "migrate|upgrade||c|-|"},
    {{"--help"}, "run|||-|-|help"},
    {{"check", "-h"}, "check|||-|-|help"},
    {{"--version"}, "version|||-|-|"},
    {{"-"}, "unknown verb \"-\""},
    {{"chekc"}, "unknown verb \"chekc\"; did you mean \"check\"?"},
    {{"versio"}, "unknown verb \"versio\"; did you mean \"version\"?"},
    {{"serve-everything"}, "unknown verb \"serve-everything\""},
    {{"check", "this"}, "\"this\" is too much for \"colmeia check\""},
    {{"migrate", "a", "b"}, "\"b\" is too much for \"colmeia migrate\""},
    {{"version", "--workers", "2"}, "\"colmeia version\" takes no option --workers"},
    {{"--config"}, "--config needs a file"},
    {{"--config="}, "--config needs a file"},
    {{"--env-file"}, "--env-file needs a file"},
    {{"user", "--json", "list"}, "user|--json list||-|-|"},
    {{"user", "add", "--workers", "3", "a", "--yes", "--bind=:1", "b"},
     "user|add a --yes b|--workers 3 --bind=:1|-|-|"},
    {{"user", "add", "--config", "c", "a", "--env-file=e"}, "user|add a||c|e|"},
    {{"user", "add", "--", "--config", "-h", "--workers"}, "user|add -- --config -h --workers||-|-|"},
    {{"user", "-h", "add"}, "user|add||-|-|help"},
    {{"user", "--workers", "--yes"}, "user|--yes|--workers|-|-|"},
    {{"user", "--config"}, "--config needs a file"},
};

static void add_words(struct buf *out, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        buf_printf(out, "%s%s", i ? " " : "", argv[i]);
    buf_append_char(out, '|');
}

static void describe(const struct cli *cli, struct buf *out)
{
    buf_printf(out, "%s|", cli->verb->name);
    add_words(out, cli->argc, cli->argv);
    add_words(out, cli->flags.argc, cli->flags.argv);
    buf_printf(out, "%s|%s|%s%s", cli->flags.config_path ? cli->flags.config_path : "-",
               cli->flags.env_path ? cli->flags.env_path : "-", cli->help ? "help" : "",
               cli->origin ? "origin" : "");
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char *argv[WORDS_MAX + 2] = {(char *)"colmeia"};
        char *no_environment[] = {NULL};
        int argc = 1;
        while (argc <= WORDS_MAX && lines[i].words[argc - 1]) {
            argv[argc] = (char *)lines[i].words[argc - 1];
            argc++;
        }
        struct cli cli;
        struct buf out = {0};
        if (cli_parse(verbs, VERBS, argc, argv, no_environment, &cli, &out))
            describe(&cli, &out);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, lines[i].want);
        assert_ptr_equal(cli.verb ? cli.flags.environ : no_environment, no_environment);
        cli_free(&cli);
        buf_free(&out);
    }
}

static void test_help(void **state)
{
    (void)state;
    struct buf out = {0};
    cli_help(verbs, VERBS, &out);
    buf_append_char(&out, '\0');
    for (size_t i = 0; i < VERBS; i++)
        assert_non_null(strstr(out.data, verbs[i].summary));
    assert_non_null(strstr(out.data, "--workers"));
    assert_non_null(strstr(out.data, "78"));
    buf_free(&out);
    cli_verb_help(&verbs[3], &out);
    buf_append_char(&out, '\0');
    assert_non_null(strstr(out.data, "Usage: colmeia migrate [upgrade] [OPTIONS]"));
    buf_free(&out);
    cli_verb_help(&verbs[4], &out);
    buf_append_char(&out, '\0');
    assert_null(strstr(out.data, "--workers"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
