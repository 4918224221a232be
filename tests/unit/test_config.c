/* test_config.c: shared/config*.c: sources, precedence, errors word for word, origins, masks. */
#include "tests/unit/config_tester.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- ini ------------------------------------------------------------------------------------ */

static void test_ini_values(void **state)
{
    static const struct config_case cases[] = {
        {"nothing at all",
         .lines = {"workers = auto  # default", "bind = 127.0.0.1:8000  # default",
                   "secret_key =  # default", "graceful_timeout = 30s  # default"}},
        {"plain", "[server]\nworkers = 3\n", .lines = {"workers = 3  # c.ini:2"}},
        {"no blanks", "[server]\nworkers=3", .lines = {"workers = 3  # c.ini:2"}},
        {"blanks", "  [ server ]  \n\t workers \t=\t 3 \t\n", .lines = {"workers = 3  # c.ini:2"}},
        {"CRLF", "[server]\r\nworkers = 3\r\n", .lines = {"workers = 3  # c.ini:2"}},
        {"byte order mark", "\xef\xbb\xbf[server]\nworkers = 3",
         .lines = {"workers = 3  # c.ini:2"}},
        {"comments", "# a\n; b\n[server] # c\nworkers = 3 ; d\nbacklog = 7 # e = f\n",
         .lines = {"workers = 3  # c.ini:4", "backlog = 7  # c.ini:5"}},
        {"no comment within a word", "[database]\nurl = sqlite:///a#b;c\n",
         .lines = {"url = \"sqlite:///a#b;c\"  # c.ini:2"}},
        {"quotes", "[orders]\ntenant_id = \"a # \\\"b\\\\ \\t\" ; c\n",
         .errors = "c.ini:2: tenant_id: \"a # \"b\\ \\x09\" holds control characters\n"},
        {"quotes kept", "[auth]\nsecret_key_file = \" a\\\"b\\\\c\" # d",
         .lines = {"secret_key_file = \" a\\\"b\\\\c\"  # c.ini:2"}},
        {"quotes within", "[auth]\nsecret_key_file = a\"b\"",
         .lines = {"secret_key_file = a\"b\"  # c.ini:2"}},
        {"lists", "[server]\ntrusted_proxies = 10.0.0.0/8,::1 ,  fd00::/8\nbind = :80, unix:/run/x",
         .lines = {"trusted_proxies = 10.0.0.0/8, ::1, fd00::/8  # c.ini:2",
                   "bind = :80, unix:/run/x  # c.ini:3"}},
        {"no admin listener", "[admin]\nbind =", .lines = {"bind =  # c.ini:2"}},
        {"an admin listener", "[admin]\nbind = :9000, unix:/run/a",
         .lines = {"bind = :9000, unix:/run/a  # c.ini:2"}},
        {"an empty list", "[server]\ntrusted_proxies =", .lines = {"trusted_proxies =  # c.ini:2"}},
        {"unset", "[auth]\nsecret_key =\nsecret_key_file = # none\n",
         .lines = {"secret_key =  # c.ini:2", "secret_key_file =  # c.ini:3"}},
        {"sections in pieces",
         "[log]\nlevel = debug\n[server]\nworkers = 2\n[log]\nformat = json\n",
         .lines = {"level = debug  # c.ini:2", "format = json  # c.ini:6"}},
    };
    CONFIG_RUN(cases);
}

static void test_ini_errors(void **state)
{
    static const struct config_case cases[] = {
        {"unknown key", "[server]\nworkrs = 3",
         .errors = "c.ini:2: unknown key \"workrs\" in [server]; did you mean \"workers\"?\n"},
        {"unknown key, nothing near", "[server]\nfrobnicate = 3",
         .errors = "c.ini:2: unknown key \"frobnicate\" in [server]\n"},
        {"letter case", "[server]\nWorkers = 3",
         .errors = "c.ini:2: unknown key \"Workers\" in [server]; did you mean \"workers\"?\n"},
        {"a key of another section", "[limits]\nworkers = 3",
         .errors = "c.ini:2: unknown key \"workers\" in [limits]; it belongs in [server]\n"},
        {"a key of a feature to come", "[mail]\nkey = x",
         .errors = "c.ini:1: unknown section \"mail\"\n"},
        {"unknown section, once", "[sevrer]\nworkers = 3\nbacklog = 0\n[mail]\nkey = x\n",
         .errors = "c.ini:1: unknown section \"sevrer\"; did you mean [server]?\n"
                   "c.ini:4: unknown section \"mail\"\n"},
        {"no section", "workers = 3", .errors = "c.ini:1: a key before the first [section]\n"},
        {"open section", "[server\nworkers = 3",
         .errors = "c.ini:1: the ] of [section] is missing\n"},
        {"text behind a section", "[server] x\nworkers = 0",
         .errors = "c.ini:1: only a comment may follow [section]\n"},
        {"no key, no value", "[server]\nworkers\n= 3\n: x\nbacklog = 1",
         .errors = "c.ini:2: neither [section], key = value nor # comment\n"
                   "c.ini:3: neither [section], key = value nor # comment\n"
                   "c.ini:4: neither [section], key = value nor # comment\n"},
        {"twice", "[server]\nworkers = 3\n[log]\n[server]\nworkers = 3",
         .errors = "c.ini:5: \"workers\" in [server] is set twice, first in line 2\n"},
        {"twice, the first wrong", "[server]\nworkers = x\nworkers = 3",
         .errors = "c.ini:2: workers: \"x\" is neither a whole number nor auto\n"
                   "c.ini:3: \"workers\" in [server] is set twice, first in line 2\n"},
        {"no value", "[server]\nworkers =\nbacklog = # 3",
         .errors =
             "c.ini:2: workers: the value is missing\nc.ini:3: backlog: the value is missing\n"},
        {"open quote", "[database]\nurl = \"sqlite:///a\n",
         .errors = "c.ini:2: url: the closing quote is missing\n"},
        {"a quote's end escaped", "[database]\nurl = \"sqlite:///a\\",
         .errors = "c.ini:2: url: in double quotes \\ stands only before \\ \" n r t\n"},
        {"unknown escape", "[database]\nurl = \"sqlite:///\\x41\"",
         .errors = "c.ini:2: url: in double quotes \\ stands only before \\ \" n r t\n"},
        {"text behind a quote", "[server]\nbind = \":80\", \":81\"",
         .errors =
             "c.ini:2: bind: text after the closing quote; put all of the value between quotes\n"},
        {"empty bind", "[server]\nbind =",
         .errors = "c.ini:2: bind: it is empty; at least one address is needed\n"},
        {"empty key file", "[auth]\nsecret_key_file = \"\"",
         .errors = "c.ini:2: secret_key_file: it is empty; name a file, or leave it out\n"},
        {"both keys", "[auth]\nsecret_key = k\nsecret_key_file = f",
         .errors = "c.ini:3: secret_key_file: secret_key is set too (c.ini:2); keep one of them\n"},
    };
    CONFIG_RUN(cases);
}

static void test_ini_nul(void **state)
{
    static const char text[] = "[server]\nwork\0ers = 3\nbacklog = 0";
    config_write_bytes("c.ini", text, sizeof text - 1);
    config_write_or_remove(".env", NULL);
    assert_null(config_load_held("c.ini", NULL, NULL));
    assert_string_equal(config_text_of(&config_held.errors),
                        "c.ini:2: a NUL byte: this is no text\n"
                        "c.ini:3: backlog: \"0\" is out of range: 1 to 65535\n");
}

/* ---- .env and environment ------------------------------------------------------------------- */

static void test_dotenv(void **state)
{
    static const struct config_case cases[] = {
        {"the Python app's", NULL,
         "DATABASE_URL=\"sqlite+aiosqlite:///database.db\"\nSECRET_KEY='your-very-secret'\n"
         "ALGORITHM=\"HS256\"\nACCESS_TOKEN_EXPIRE_MINUTES=30\n",
         .lines = {"url = sqlite+aiosqlite:///database.db  # .env:1",
                   "# secret_key = ********  # .env:2", "algorithm = HS256  # .env:3",
                   "access_token_expire_minutes = 30  # .env:4"}},
        {"names of others", NULL, "POSTGRES_USER=x\nOTHER='a\nb'\nALONE\nWEB_CONCURRENCY=2\n",
         .lines = {"workers = 2  # .env:5"}},
        {"letter case", NULL, "web_Concurrency=2\nCOLMEIA_log_LEVEL=debug",
         .lines = {"workers = 2  # .env:1", "level = debug  # .env:2"}},
        {"export and blanks", NULL, "  export \tWEB_CONCURRENCY = 2 \r\nexport=1\n\n# x\n \n",
         .lines = {"workers = 2  # .env:1"}},
        {"comments", NULL, "WEB_CONCURRENCY=2 # x\nDATABASE_URL=sqlite:///a#b # c\n",
         .lines = {"workers = 2  # .env:1", "url = \"sqlite:///a#b\"  # .env:2"}},
        {"a comment behind quotes", NULL, "WEB_CONCURRENCY=\"2\"# x\nCOLMEIA_LOG_LEVEL='debug' # y",
         .lines = {"workers = 2  # .env:1", "level = debug  # .env:2"}},
        {"single quotes", NULL, "COLMEIA_AUTH_SECRET_KEY_FILE='a\\n\\'\\\\'",
         .lines = {"secret_key_file = a\\n'\\  # .env:1"}},
        {"double quotes", NULL, "COLMEIA_AUTH_SECRET_KEY_FILE=\"a#\\\"\\\\\\q\"",
         .lines = {"secret_key_file = \"a#\\\"\\\\\\\\q\"  # .env:1"}},
        {"over lines", NULL, "SECRET_KEY=\"a\nb\"\nWEB_CONCURRENCY=2",
         .lines = {"# secret_key = ********  # .env:1", "workers = 2  # .env:3"}},
        {"a path over lines", NULL, "COLMEIA_AUTH_SECRET_KEY_FILE=\"a\nb\"",
         .errors = ".env:1: COLMEIA_AUTH_SECRET_KEY_FILE: \"a\\x0ab\" holds control characters\n"},
        {"the last of equal names", NULL, "WEB_CONCURRENCY=2\nWEB_CONCURRENCY=3",
         .lines = {"workers = 3  # .env:2"}},
        {"the full name wins", NULL, "COLMEIA_SERVER_WORKERS=2\nWEB_CONCURRENCY=3",
         .lines = {"workers = 2  # .env:1"}},
        {"empty numbers are unset", NULL, "WEB_CONCURRENCY=\nCOLMEIA_LOG_LEVEL= # x\n",
         .lines = {"workers = auto  # default", "level = info  # default"}},
        {"unknown names like ours", NULL, "COLMEIA_SERVER_WORKRS=2\nCOLMEIA_X=1",
         .warnings = ".env:1: unknown name \"COLMEIA_SERVER_WORKRS\"; did you mean "
                     "\"COLMEIA_SERVER_WORKERS\"?\n"
                     ".env:2: unknown name \"COLMEIA_X\"\n"},
        {"errors", NULL,
         "x y\nWEB_CONCURRENCY=0\nALGORITHM\n=3\nDATABASE_URL='sqlite\nCOLMEIA_LOG_LEVEL=\"a\"b\n"
         "ACCESS_TOKEN_EXPIRE_MINUTES=soon",
         .errors = ".env:1: neither NAME=value nor # comment\n"
                   ".env:3: ALGORITHM: the value is missing\n"
                   ".env:4: neither NAME=value nor # comment\n"
                   ".env:5: the closing quote is missing\n"
                   ".env:6: text after the closing quote\n"
                   ".env:2: WEB_CONCURRENCY: \"0\" is out of range: 1 to 256, or auto\n"
                   ".env:7: ACCESS_TOKEN_EXPIRE_MINUTES: \"soon\" is not a whole number\n"},
    };
    CONFIG_RUN(cases);
}

static void test_dotenv_nul(void **state)
{
    static const char text[] = "A=1\nB=\0\nWEB_CONCURRENCY=0";
    config_write_bytes(".env", text, sizeof text - 1);
    assert_null(config_load_held(NULL, NULL, NULL));
    assert_string_equal(config_text_of(&config_held.errors),
                        ".env:2: a NUL byte: this is no text\n");
}

/* What escapes and quotes mean, where every byte may stand: in a key. */
static void test_escapes(void **state)
{
    static const struct {
        const char *ini, *env, *key;
    } cases[] = {
        {"[auth]\nsecret_key = a b\"c\\n", NULL, "a b\"c\\n"},
        {"[auth]\nsecret_key = \" a\\n\\r\\t\\\"\\\\#;\" # b", NULL, " a\n\r\t\"\\#;"},
        {"[auth]\nsecret_key = \"\"", NULL, ""},
        {NULL, "SECRET_KEY=a b\"c\\n", "a b\"c\\n"},
        {NULL, "SECRET_KEY='a\\n\\'\\\\\\q\"'", "a\\n'\\\\q\""},
        {NULL, "SECRET_KEY=\"\\a\\b\\f\\n\\r\\t\\v\\\"\\'\\\\\\q\"", "\a\b\f\n\r\t\v\"'\\\\q"},
        {NULL, "SECRET_KEY='a\r\nb # c'", "a\r\nb # c"},
        {NULL, "SECRET_KEY=\"${HOME}\"", "${HOME}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config_write_or_remove("c.ini", cases[i].ini);
        config_write_or_remove(".env", cases[i].env);
        struct config *c = config_load_held(cases[i].ini ? "c.ini" : NULL, NULL, NULL);
        if (!c)
            fail_msg("case %zu: %s", i, config_text_of(&config_held.errors));
        assert_string_equal(c->auth_secret_key, cases[i].key);
        config_teardown(NULL);
    }
}

static void test_environment(void **state)
{
    static const struct config_case cases[] = {
        {"full and further names",
         .environ = {"WEB_CONCURRENCY=2", "COLMEIA_LOG_LEVEL=WARNING", "PATH=/x",
                     "DATABASE_URL=sqlite://"},
         .flags = {"--workers", "1"},
         .lines = {"level = warning  # environment COLMEIA_LOG_LEVEL",
                   "url = sqlite://  # environment DATABASE_URL"}},
        {"the full name wins", .environ = {"COLMEIA_SERVER_WORKERS=2", "WEB_CONCURRENCY=3"},
         .lines = {"workers = 2  # environment COLMEIA_SERVER_WORKERS"}},
        {"an empty full name does not hide the further one",
         .environ = {"COLMEIA_SERVER_WORKERS=", "WEB_CONCURRENCY=3"},
         .lines = {"workers = 3  # environment WEB_CONCURRENCY"}},
        {"without the prefix it is not ours", .environ = {"SERVER_BIND=x", "LOG_LEVEL=debug", "_SERVER_BIND=x"},
         .lines = {"bind = 127.0.0.1:8000  # default", "level = info  # default"}},
        {"letter case", .environ = {"secret_key=abc"},
         .lines = {"# secret_key = ********  # environment secret_key"}},
        {"an empty key is a key", .environ = {"SECRET_KEY="},
         .lines = {"# secret_key = ********  # environment SECRET_KEY"}},
        {"empty lists", .environ = {"COLMEIA_SERVER_TRUSTED_PROXIES="},
         .lines = {"trusted_proxies =  # environment COLMEIA_SERVER_TRUSTED_PROXIES"}},
        {"unknown", .environ = {"COLMEIA_SERVER_BINDS=1", "COLMEIAX=1", "SECRETKEY=1"},
         .warnings = "environment: unknown name \"COLMEIA_SERVER_BINDS\"; did you mean "
                     "\"COLMEIA_SERVER_BIND\"?\n"},
        {"errors",
         .environ = {"COLMEIA_SERVER_BACKLOG=x", "ALGORITHM=HS512",
                     "DATABASE_URL=", "COLMEIA_SERVER_BIND=", "COLMEIA_LOG_ACCESS=a\nb"},
         .errors = "environment ALGORITHM: \"HS512\" is not supported: tokens are signed with "
                   "HS256 only\n"
                   "environment DATABASE_URL: it is no database URL; write sqlite:///database.db\n"
                   "environment COLMEIA_SERVER_BACKLOG: \"x\" is not a whole number\n"
                   "environment COLMEIA_SERVER_BIND: it is empty; at least one address is needed\n"
                   "environment COLMEIA_LOG_ACCESS: \"a\\x0ab\" is none of auto, on, off\n"},
    };
    CONFIG_RUN(cases);
}

/* ---- command line --------------------------------------------------------------------------- */

static void test_flags(void **state)
{
    static const struct config_case cases[] = {
        {"both spellings", .flags = {"--workers", "3", "--log-level=debug", "--access-log", "on"},
         .lines = {"workers = 3  # command line --workers",
                   "level = debug  # command line --log-level",
                   "access = on  # command line --access-log"}},
        {"the last wins", .flags = {"--workers", "3", "--workers=4"},
         .lines = {"workers = 4  # command line --workers"}},
        {"bind repeats", "[server]\nbind = :1", .flags = {"--bind", ":80", "--bind=[::1]:81, :82"},
         .lines = {"bind = :80, [::1]:81, :82  # command line --bind"}},
        {"host and port", .flags = {"--host", "0.0.0.0", "--port", "9000"},
         .lines = {"bind = 0.0.0.0:9000  # command line --host --port"}},
        {"port and host", .flags = {"--port=9000", "--host=0.0.0.0"},
         .lines = {"bind = 0.0.0.0:9000  # command line --host --port"}},
        {"a host", .flags = {"--host", "::1"},
         .lines = {"bind = [::1]:8000  # command line --host"}},
        {"a host in brackets", .flags = {"--host", "[::1]"},
         .lines = {"bind = [::1]:8000  # command line --host"}},
        {"a port", .flags = {"--port", "0"},
         .lines = {"bind = 127.0.0.1:0  # command line --port"}},
        {"a path", .flags = {"--uds", "/run/x.sock"},
         .lines = {"bind = unix:/run/x.sock  # command line --uds"}},
        {"all of them",
         .flags = {"--uds", "x", "--port", "1", "--bind", ":2", "--host", "localhost"},
         .lines = {"bind = unix:x, :2, localhost:1  # command line --uds --bind --host --port"}},
        {"a switch", .flags = {"--debug", "--workers", "3"},
         .lines = {"workers = 3  # command line --workers", "enabled = yes  # command line --debug"}},
        {"a switch, last", .flags = {"--debug"}, .lines = {"enabled = yes  # command line --debug"}},
        {"a switch and its word", "[debug]\nenabled = yes", .flags = {"--debug", "OFF", "--port", "1"},
         .lines = {"bind = 127.0.0.1:1  # command line --port",
                   "enabled = no  # command line --debug"}},
        {"a switch and =", .flags = {"--debug=no"}, .lines = {"enabled = no  # command line --debug"}},
        {"a switch and another word", .flags = {"--debug", "3"},
         .errors = "command line: unexpected word \"3\"; try 'colmeia --help'\n"},
        {"unknown", .flags = {"--wrokers", "3", "--zzz=1", "serve"},
         .errors =
             "command line: unknown option \"--wrokers\"; did you mean --workers?; try 'colmeia "
             "--help'\n"
             "command line: unexpected word \"3\"; try 'colmeia --help'\n"
             "command line: unknown option \"--zzz\"; try 'colmeia --help'\n"
             "command line: unexpected word \"serve\"; try 'colmeia --help'\n"},
        {"no value", .flags = {"--workers", "--port=", "--bind"},
         .errors = "command line --workers: the value is missing; try 'colmeia --help'\n"
                   "command line --port: the value is missing; try 'colmeia --help'\n"
                   "command line --bind: the value is missing; try 'colmeia --help'\n"},
        {"wrong values",
         .flags = {"--workers", "0", "--port", "65536", "--uds", "a,b", "--bind", "::1:80"},
         .errors =
             "command line --workers: \"0\" is out of range: 1 to 256, or auto\n"
             "command line --port: \"65536\" is not a port; it is a number from 0 to 65535\n"
             "command line --uds: a path with a comma cannot be used\n"
             "command line --bind: \"::1:80\" is no address to listen on: an IPv6 address needs "
             "brackets, as in [::1]:8000\n"},
        {"an address twice",
         .flags = {"--bind", "127.0.0.1:80", "--host", "127.0.0.1", "--port", "80"},
         .errors = "command line --bind --host --port: \"127.0.0.1:80\" is listed twice\n"},
        {"port 0 twice", .flags = {"--bind", ":0", "--bind", ":0"},
         .lines = {"bind = :0, :0  # command line --bind"}},
    };
    CONFIG_RUN(cases);
}

static void test_flags_known(void **state)
{
    static const struct {
        int argc;
        const char *flags[CONFIG_WORDS_MAX];
        const char *errors;
    } cases[] = {
        {0, {NULL}, ""},
        {5, {"--workers", "many", "--host=x", "--uds", "y"}, ""},
        {2,
         {"--worker", "1"},
         "command line: unknown option \"--worker\"; did you mean --workers?; try 'colmeia "
         "--help'\n"
         "command line: unexpected word \"1\"; try 'colmeia --help'\n"},
        {1, {"--workers"}, "command line --workers: the value is missing; try 'colmeia --help'\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf *errors = &config_held.errors;
        struct config_flags f = {.argc = cases[i].argc, .argv = (char **)(uintptr_t)cases[i].flags};
        errors->len = 0;
        assert_int_equal(config_flags_known(&f, errors), cases[i].errors[0] == 0);
        assert_string_equal(config_text_of(errors), cases[i].errors);
    }
}

/* ---- precedence ----------------------------------------------------------------------------- */

/* Every subset of the four sources: the latest that speaks wins. */
static void test_precedence(void **state)
{
    static const char *const winners[] = {"workers = auto  # default", "workers = 11  # c.ini:2",
                                          "workers = 12  # .env:1",
                                          "workers = 13  # environment COLMEIA_SERVER_WORKERS",
                                          "workers = 14  # command line --workers"};
    for (unsigned set = 0; set < 16; set++) {
        struct config_case c = {.name = "precedence"};
        int winner = 0;
        for (int source = 0; source < 4; source++)
            if (set & (1u << source))
                winner = source + 1;
        c.ini = set & 1 ? "[server]\nworkers = 11" : NULL;
        c.env = set & 2 ? "WEB_CONCURRENCY=12" : NULL;
        if (set & 4)
            c.environ[0] = "COLMEIA_SERVER_WORKERS=13";
        if (set & 8) {
            c.flags[0] = "--workers";
            c.flags[1] = "14";
        }
        c.lines[0] = winners[winner];
        config_run(&c, 1);
    }
}

static void test_between_sources(void **state)
{
    static const struct config_case cases[] = {
        {"no error hides another", "[server]\nworkers = x\n", "WEB_CONCURRENCY=y",
         .environ = {"WEB_CONCURRENCY=z"}, .flags = {"--workers", "0"},
         .errors = "c.ini:2: workers: \"x\" is neither a whole number nor auto\n"
                   ".env:1: WEB_CONCURRENCY: \"y\" is neither a whole number nor auto\n"
                   "environment WEB_CONCURRENCY: \"z\" is neither a whole number nor auto\n"
                   "command line --workers: \"0\" is out of range: 1 to 256, or auto\n"},
        {"a key file over a key", "[auth]\nsecret_key = abc",
         .environ = {"COLMEIA_AUTH_SECRET_KEY_FILE=k"},
         .lines = {"secret_key =  # unset by environment COLMEIA_AUTH_SECRET_KEY_FILE",
                   "secret_key_file = k  # environment COLMEIA_AUTH_SECRET_KEY_FILE"}},
        {"a key over a key file", "[auth]\nsecret_key_file = k", "SECRET_KEY=abc",
         .lines = {"# secret_key = ********  # .env:1", "secret_key_file =  # unset by .env:1"}},
        {"both keys in the environment",
         .environ = {"COLMEIA_AUTH_SECRET_KEY_FILE=k", "SECRET_KEY=hush"},
         .errors =
             "environment COLMEIA_AUTH_SECRET_KEY_FILE: secret_key_file: secret_key is set too "
             "(environment SECRET_KEY); keep one of them\n"},
        {"memory and workers", "[server]\nworkers = 2",
         .environ = {"DATABASE_URL=sqlite:///:memory:"},
         .errors = "environment DATABASE_URL: url: a database in memory serves one worker, not 2 "
                   "(c.ini:2); use --workers 1\n"},
        {"memory and one worker", "[server]\nworkers = 1", .environ = {"DATABASE_URL=sqlite://"},
         .lines = {"url = sqlite://  # environment DATABASE_URL"}},
        {"target and head", "[limits]\nmax_target = 20k",
         .errors =
             "c.ini:2: max_target: 20480 bytes do not fit into a head of max_head, 16384 bytes "
             "(default)\n"},
        {"target and head, both", "[limits]\nmax_target = 20k\nmax_head = 20k",
         .lines = {"max_target = 20k  # c.ini:2"}},
    };
    CONFIG_RUN(cases);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    static char *const none[] = {NULL};
    static const struct {
        const char *config, *env, *errors;
    } cases[] = {
        {"nowhere.ini", NULL, "nowhere.ini: cannot read it: No such file or directory\n"},
        {NULL, "nowhere.env", "nowhere.env: cannot read it: No such file or directory\n"},
        {"/", "/", "/: cannot read it: Is a directory\n/: cannot read it: Is a directory\n"},
        {"/dev/zero", NULL, "/dev/zero: cannot read it: File too large\n"},
        {"/dev/null", "/dev/null", ""},
    };
    config_write_or_remove(".env", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config_flags f = {.config_path = cases[i].config,
                                 .env_path = cases[i].env,
                                 .environ = (char **)(uintptr_t)none};
        struct config *c = config_load(&f, &config_held.errors, &config_held.warnings);
        config_held.configs[0] = c;
        config_held.configs_len = 1;
        assert_string_equal(config_text_of(&config_held.errors), cases[i].errors);
        assert_int_equal(c != NULL, cases[i].errors[0] == 0);
        config_teardown(NULL);
    }
}

/* ./.env is read when it exists, and not swallowed when it cannot be read. */
static void test_usual_env_unreadable(void **state)
{
    config_write_or_remove(".env", NULL);
    assert_int_equal(mkdir(".env", 0700), 0);
    struct config *c = config_load_held(NULL, NULL, NULL);
    assert_int_equal(rmdir(".env"), 0);
    assert_null(c);
    assert_string_equal(config_text_of(&config_held.errors),
                        ".env: cannot read it: Is a directory\n");
}

/* A configuration of 1 MiB of errors is refused, not a crash. */
static void test_many_errors(void **state)
{
    enum { LINES = 100000 };
    const struct buf *errors = &config_held.errors;
    for (int i = 0; i < LINES; i++)
        buf_append_slice(&config_held.text, SLICE("x\n"));
    config_write_bytes("c.ini", config_held.text.data, config_held.text.len);
    assert_null(config_load_held("c.ini", NULL, NULL));
    size_t lines = 0;
    for (size_t i = 0; i < errors->len; i++)
        lines += errors->data[i] == '\n';
    assert_int_equal(lines, LINES);
}

/* ---- secrets -------------------------------------------------------------------------------- */

/* No text that comes out of a configuration holds a secret. */
static void test_secrets_never_shown(void **state)
{
    static const struct config_case cases[] = {
        {"a key", .ini = "[auth]\nsecret_key = hush-hush\n[server]\nworkers = x"},
        {"a key in quotes left open", .ini = "[auth]\nsecret_key = \"hush-hush\n"},
        {"a key without a key", .ini = "[auth]\nhush-hush\n"},
        {"a key in .env", .env = "SECRET_KEY='hush-hush\n"},
        {"a key behind quotes", .env = "SECRET_KEY='x'hush-hush\n"},
        {"a password", .environ = {"DATABASE_URL=postgresql+psycopg://me:hush-hush@db/app"}},
        {"a password, no scheme", .environ = {"DATABASE_URL=me:hush-hush@db/app"}},
        {"a password in sqlite's place", .environ = {"DATABASE_URL=sqlite://me:hush-hush@db/app"}},
        {"loaded", .ini = "[auth]\nsecret_key = hush-hush\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct config_case *c = &cases[i];
        struct buf *text = &config_held.text;
        config_write_or_remove("c.ini", c->ini);
        config_write_or_remove(".env", c->env);
        struct config *config = config_load_held(c->ini ? "c.ini" : NULL, c->environ, c->flags);
        buf_append_slice(text, buf_slice(&config_held.errors));
        buf_append_slice(text, buf_slice(&config_held.warnings));
        if (config)
            config_print(config, true, text);
        assert_true(text->len > 0);
        if (strstr(config_text_of(text), "hush"))
            fail_msg("%s: %s", c->name, text->data);
        config_teardown(NULL);
    }
}

static void test_text_from_bytes(void **state)
{
    (void)state;
    char *nothing[] = {NULL};
    struct config_flags flags = {.config_path = "my.ini", .environ = nothing};
    struct config_text text;
    struct buf errors = {0}, warnings = {0};
    assert_true(config_text_make(&flags, SLICE("[server]\nworkers = 3\n"), (struct slice){0}, &text));
    assert_null(text.env.ptr);
    struct config *c = config_parse(&flags, &text, &errors, &warnings);
    assert_non_null(c);
    assert_int_equal(c->server_workers, 3);
    config_free(c);
    config_text_free(&text);
    assert_true(config_text_make(&flags, SLICE("\nworker"), SLICE(""), &text));
    assert_non_null(text.env.ptr);
    assert_null(config_parse(&flags, &text, &errors, &warnings));
    assert_true(memmem(errors.data, errors.len, "my.ini:2: ", 10));
    config_text_free(&text);
    buf_free(&errors);
    buf_free(&warnings);
}

/* ---- what stays until a restart -------------------------------------------------------------- */

static struct config *load_ini(const char *ini)
{
    char *nothing[] = {NULL};
    struct config_flags flags = {.environ = nothing};
    struct config_text text;
    assert_true(config_text_make(&flags, slice_of(ini), (struct slice){0}, &text));
    struct config *c = config_parse(&flags, &text, &config_held.errors, &config_held.warnings);
    config_text_free(&text);
    assert_non_null(c);
    return config_held.configs[config_held.configs_len++] = c;
}

static bool keep(struct config *c, const char *section, const char *key, struct slice value)
{
    struct config_kept kept = {slice_of(section), slice_of(key), value};
    return config_keep(c, &kept, &config_held.text, &config_held.errors);
}

/* What one configuration gives, another takes, whatever its file says; nothing else goes along. */
static void test_kept_all(void **state)
{
    (void)state;
    struct config *a = load_ini("[database]\nurl = sqlite:///a.db\n[server]\ngroup = staff\n");
    struct config *b = load_ini("[database]\nurl = sqlite:///b.db\n[server]\nuser = me\n"
                                "workers = 3\n");
    struct config_kept kept;
    size_t len = 0;
    for (size_t at = 0; config_kept_next(a, &at, &kept); len++)
        assert_true(config_keep(b, &kept, &config_held.text, &config_held.errors));
    assert_int_equal(len, 4);
    assert_string_equal(b->database_url, "sqlite:///a.db");
    assert_ptr_not_equal(b->database_url, a->database_url);
    assert_string_equal(b->server_group, "staff");
    assert_null(b->server_user);
    assert_null(b->supervisor_control);
    assert_int_equal(b->server_workers, 3);
    assert_string_equal(b->private_data->origins[OPTION_ID_database_url],
                        "kept: a change needs a restart");
    assert_string_equal(b->private_data->origins[OPTION_ID_supervisor_control], "default");
    assert_int_equal(config_held.errors.len, 0);
}

/* Another version's options. */
static void test_kept_unknown(void **state)
{
    (void)state;
    struct config *c = load_ini("[server]\nworkers = 3\n");
    assert_true(keep(c, "server", "shoe_size", SLICE("44")));
    assert_true(keep(c, "server", "workers", SLICE("5")));
    assert_int_equal(c->server_workers, 3);
    assert_string_equal(config_text_of(&config_held.text),
                        "server.shoe_size: its present value is not kept: this version knows no "
                        "such option that needs a restart\n"
                        "server.workers: its present value is not kept: this version knows no "
                        "such option that needs a restart\n");
    assert_int_equal(config_held.errors.len, 0);
}

static void test_kept_refused(void **state)
{
    (void)state;
    struct config *c = load_ini("[database]\nurl = sqlite:///b.db\n");
    assert_false(keep(c, "database", "url", SLICE("hush://a.db")));
    assert_false(keep(c, "database", "url", (struct slice){0}));
    assert_string_equal(c->database_url, "sqlite:///b.db");
    assert_string_equal(config_text_of(&config_held.errors),
                        "database.url: its present value: \"hush\" databases are not supported; use "
                        "sqlite:///database.db; this needs a restart\n"
                        "database.url: its present value: it has none; this needs a restart\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_ini_values),
        CONFIG_TEST(test_ini_errors),
        CONFIG_TEST(test_ini_nul),
        CONFIG_TEST(test_dotenv),
        CONFIG_TEST(test_dotenv_nul),
        CONFIG_TEST(test_escapes),
        CONFIG_TEST(test_environment),
        CONFIG_TEST(test_flags),
        CONFIG_TEST(test_flags_known),
        CONFIG_TEST(test_precedence),
        CONFIG_TEST(test_between_sources),
        CONFIG_TEST(test_files),
        CONFIG_TEST(test_usual_env_unreadable),
        CONFIG_TEST(test_many_errors),
        CONFIG_TEST(test_secrets_never_shown),
        cmocka_unit_test(test_text_from_bytes),
        CONFIG_TEST(test_kept_all),
        CONFIG_TEST(test_kept_unknown),
        CONFIG_TEST(test_kept_refused),
    };
    return cmocka_run_group_tests(tests, config_group_setup, config_group_teardown);
}
