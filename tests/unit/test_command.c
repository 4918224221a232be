/* test_command.c: the language of the control socket. */
#include "master/command.h"

#include "shared/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct good {
    const char *line;
    struct control_call call;
} goods[] = {
    {"status", {.command = CONTROL_STATUS}},
    {"  status \t\r", {.command = CONTROL_STATUS}},
    {"events", {.command = CONTROL_EVENTS}},
    {"events --follow", {.command = CONTROL_EVENTS, .follow = true}},
    {"reload", {.command = CONTROL_RELOAD}},
    {"reload --dry-run --wait", {.command = CONTROL_RELOAD, .wait = true, .dry_run = true}},
    {"upgrade", {.command = CONTROL_UPGRADE}},
    {"upgrade --wait", {.command = CONTROL_UPGRADE, .wait = true}},
    {"upgrade --binary=/usr/bin/x --wait",
     {.command = CONTROL_UPGRADE, .wait = true, .path = "/usr/bin/x"}},
    {"upgrade --binary=/a%20b/%c3%a9%25", {.command = CONTROL_UPGRADE, .path = "/a b/\303\251%"}},
    {"scale 4", {.command = CONTROL_SCALE, .how = CONTROL_SET, .number = 4}},
    {"scale 256", {.command = CONTROL_SCALE, .how = CONTROL_SET, .number = 256}},
    {"scale +2", {.command = CONTROL_SCALE, .how = CONTROL_MORE, .number = 2}},
    {"scale -1", {.command = CONTROL_SCALE, .how = CONTROL_LESS, .number = 1}},
    {"scale reset", {.command = CONTROL_SCALE, .how = CONTROL_RESET}},
    {"recycle 0", {.command = CONTROL_RECYCLE, .how = CONTROL_SET, .number = 0}},
    {"recycle 513", {.command = CONTROL_RECYCLE, .how = CONTROL_SET, .number = 513}},
    {"recycle all", {.command = CONTROL_RECYCLE, .how = CONTROL_ALL}},
    {"dump 3", {.command = CONTROL_DUMP, .how = CONTROL_SET, .number = 3}},
    {"why 3", {.command = CONTROL_WHY, .how = CONTROL_SET, .number = 3}},
    {"log level debug", {.command = CONTROL_LOG, .number = LOG_LEVEL_DEBUG}},
    {"log\tlevel  error", {.command = CONTROL_LOG, .number = LOG_LEVEL_ERROR}},
    {"debug on", {.command = CONTROL_DEBUG, .number = 1}},
    {"debug off", {.command = CONTROL_DEBUG}},
    {"retry", {.command = CONTROL_RETRY}},
    {"throttle clear all", {.command = CONTROL_THROTTLE, .how = CONTROL_ALL}},
    {"throttle clear j%c3%b6rg@x.com",
     {.command = CONTROL_THROTTLE, .how = CONTROL_SET, .path = "j\303\266rg@x.com"}},
    {"throttle clear 2001:db8::1",
     {.command = CONTROL_THROTTLE, .how = CONTROL_SET, .path = "2001:db8::1"}},
    {"wait ready", {.command = CONTROL_WAIT}},
    {"stop", {.command = CONTROL_STOP}},
    {"stop --quick", {.command = CONTROL_STOP, .quick = true}},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        const struct control_call *want = &goods[i].call;
        struct control_call call;
        struct buf error = {0};
        if (!command_parse(slice_of(goods[i].line), &call, &error))
            fail_msg("%s: %.*s", goods[i].line, SLICE_ARGS(buf_slice(&error)));
        assert_int_equal(error.len, 0);
        assert_int_equal(call.id, 0);
        assert_int_equal(call.command, want->command);
        assert_int_equal(call.how, want->how);
        assert_int_equal(call.number, want->number);
        assert_int_equal(call.wait, want->wait);
        assert_int_equal(call.dry_run, want->dry_run);
        assert_int_equal(call.quick, want->quick);
        assert_int_equal(call.follow, want->follow);
        assert_string_equal(call.path, want->path);
    }
}

static const struct bad {
    struct slice line;
    const char *error;
} bads[] = {
    {SLICE(""), "the line is empty; write a command, as status"},
    {SLICE(" \r"), "the line is empty; write a command, as status"},
    {SLICE("statsu"), "unknown command \"statsu\"; did you mean \"status\"?"},
    {SLICE("Status"), "unknown command \"Status\"; did you mean \"status\"?"},
    {SLICE("relaod --wait"), "unknown command \"relaod\"; did you mean \"reload\"?"},
    {SLICE("frobnicate"), "unknown command \"frobnicate\""},
    {SLICE("status now"), "\"now\" is too much for \"status\""},
    {SLICE("scale 1 2"), "\"2\" is too much for \"scale\""},
    {SLICE("status --wait"), "status: unknown option \"--wait\""},
    {SLICE("reload --wiat"), "reload: unknown option \"--wiat\"; did you mean \"--wait\"?"},
    {SLICE("reload --"), "reload: unknown option \"--\""},
    {SLICE("upgrade --binary"), "upgrade: unknown option \"--binary\""},
    {SLICE("upgrade --binary="),
     "\"--binary=\" names no file; write: --binary=/an/absolute/path"},
    {SLICE("upgrade --binary=x"),
     "\"--binary=x\" names no file; write: --binary=/an/absolute/path"},
    {SLICE("upgrade --binary=/x%2"),
     "\"--binary=/x%2\" names no file; write: --binary=/an/absolute/path"},
    {SLICE("upgrade --binary=/x%00y"),
     "\"--binary=/x%00y\" names no file; write: --binary=/an/absolute/path"},
    {SLICE("upgrade --binary=/x%zzy"),
     "\"--binary=/x%zzy\" names no file; write: --binary=/an/absolute/path"},
    {SLICE("upgrade /x"), "\"/x\" is too much for \"upgrade\""},
    {SLICE("reload --binary=/x"), "reload: unknown option \"--binary=/x\""},
    {SLICE("scale"), "write: scale N|+N|-N|reset"},
    {SLICE("scale 0"), "scale: \"0\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("scale 257"), "scale: \"257\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("scale +"), "scale: \"\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("scale +-1"), "scale: \"-1\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("scale 1e3"), "scale: \"1e3\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("scale 99999999999999999999999"),
     "scale: \"99999999999999999999999\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
    {SLICE("recycle -1"), "recycle: \"-1\" is no number from 0 to 513; write: recycle N|all"},
    {SLICE("recycle 514"), "recycle: \"514\" is no number from 0 to 513; write: recycle N|all"},
    {SLICE("dump all"), "dump: \"all\" is no number from 0 to 513; write: dump N"},
    {SLICE("why"), "write: why N"},
    {SLICE("log debug"), "write: log level debug|info|warning|error"},
    {SLICE("log levle debug"), "write: log level debug|info|warning|error"},
    {SLICE("log level warnign"), "unknown level \"warnign\"; did you mean \"warning\"?"},
    {SLICE("debug"), "write: debug on|off"},
    {SLICE("debug yes"), "write: debug on|off"},
    {SLICE("debug on off"), "\"off\" is too much for \"debug\""},
    {SLICE("throttle"), "write: throttle clear ACCOUNT|ADDRESS|all"},
    {SLICE("throttle clear"), "write: throttle clear ACCOUNT|ADDRESS|all"},
    {SLICE("throttle lift all"), "write: throttle clear ACCOUNT|ADDRESS|all"},
    {SLICE("throttle clear a%00b"), "write: throttle clear ACCOUNT|ADDRESS|all"},
    {SLICE("throttle clear a b"), "\"b\" is too much for \"throttle\""},
    {SLICE("wait"), "write: wait ready"},
    {SLICE("wait readiness"), "write: wait ready"},
    {SLICE("status\0"), "a command is plain ASCII text"},
    {SLICE("sta\0tus"), "a command is plain ASCII text"},
    {SLICE("\xff\xfe"), "a command is plain ASCII text"},
    {SLICE("st\xc3\xa4tus"), "a command is plain ASCII text"},
    {SLICE("status\x1b[2J"), "a command is plain ASCII text"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        struct control_call call;
        struct buf error = {0};
        assert_false(command_parse(bads[i].line, &call, &error));
        buf_append_char(&error, '\0');
        assert_string_equal(error.data, bads[i].error);
        buf_free(&error);
    }
}

/* What is written is read, whatever bytes the path has; one that is too long is refused. */
static void test_paths(void **state)
{
    (void)state;
    char path[CONTROL_PATH_MAX + 1] = "/";
    for (int i = 1; i < 256; i++)
        path[i] = (char)i;
    for (int i = 256; i < CONTROL_PATH_MAX; i++)
        path[i] = 'x';
    for (size_t len = CONTROL_PATH_MAX - 1; len <= CONTROL_PATH_MAX; len++) {
        struct control_call call;
        struct buf line = {0}, error = {0};
        path[len] = '\0';
        buf_printf(&line, "upgrade --binary=");
        command_write_path(&line, path);
        assert_int_equal(command_parse(buf_slice(&line), &call, &error), len < CONTROL_PATH_MAX);
        if (len < CONTROL_PATH_MAX)
            assert_string_equal(call.path, path);
        path[len] = 'x';
        buf_free(&line);
        buf_free(&error);
    }
}

/* Every row is understood as its usage says, at least in its shortest form, and has a help. */
static void test_table(void **state)
{
    (void)state;
    for (enum control_command c = 0; c < CONTROL_COMMANDS; c++) {
        const struct command *command = command_of(c);
        struct control_call call;
        struct buf line = {0}, error = {0};
        buf_printf(&line, "%s --no-such-option", command->name);
        assert_false(command_parse(buf_slice(&line), &call, &error));
        assert_int_equal(call.command, c);
        assert_true(command->help[0] && command->name[0]);
        buf_free(&line);
        buf_free(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
