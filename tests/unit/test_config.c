/* test_config.c: shared/config*.c: sources, precedence, errors word for word, origins, masks. Each
 * case is a directory of its own with a c.ini and a .env in it. */
#include "shared/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char sample_path[PATH_MAX]; /* etc/colmeia.ini */

enum { WORDS_MAX = 12 };

/* What is loaded, and what comes of it: *errors* and *warnings* whole, *lines* of config --origin.
 */
struct load_case {
    const char *name;
    const char *ini; /* NULL: no --config */
    const char *env; /* NULL: no .env */
    const char *environ[WORDS_MAX];
    const char *flags[WORDS_MAX];
    const char *errors; /* NULL: it loads */
    const char *warnings;
    const char *lines[WORDS_MAX];
};

static int setup(void **state)
{
    char *directory = strdup("/tmp/test_config.XXXXXX");
    if (!directory || !mkdtemp(directory) || chdir(directory) != 0)
        return -1;
    *state = directory;
    return 0;
}

static int teardown(void **state)
{
    unlink("c.ini");
    unlink(".env");
    int failed = chdir("/") != 0 || rmdir(*state) != 0;
    free(*state);
    return failed ? -1 : 0;
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void write_or_remove(const char *path, const char *text)
{
    if (text)
        write_bytes(path, text, strlen(text));
    else
        assert_true(unlink(path) == 0 || errno == ENOENT);
}

static char *text_of(struct buf *b)
{
    buf_append_char(b, 0);
    assert_false(b->failed);
    b->len--;
    return b->data;
}

static int count(const char *const *words)
{
    int n = 0;
    while (n < WORDS_MAX && words[n])
        n++;
    return n;
}

static struct config *load(const char *ini, const char *const *environ, const char *const *flags,
                           struct buf *errors, struct buf *warnings)
{
    struct config_flags f = {.config_path = ini,
                             .argc = count(flags),
                             .argv = (char **)(uintptr_t)flags,
                             .environ = (char **)(uintptr_t)environ};
    return config_load(&f, errors, warnings);
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return true;
    return false;
}

static void check_lines(const struct load_case *c, const struct config *config)
{
    struct buf printed = {0};
    config_print(config, true, &printed);
    for (int i = 0; i < count(c->lines); i++)
        if (!has_line(text_of(&printed), c->lines[i]))
            fail_msg("%s: no line \"%s\" in:\n%s", c->name, c->lines[i], printed.data);
    buf_free(&printed);
}

static void run_case(const struct load_case *c)
{
    struct buf errors = {0}, warnings = {0};
    write_or_remove("c.ini", c->ini);
    write_or_remove(".env", c->env);
    struct config *config = load(c->ini ? "c.ini" : NULL, c->environ, c->flags, &errors, &warnings);
    const char *expected = c->errors ? c->errors : "";
    if (strcmp(text_of(&errors), expected) != 0)
        fail_msg("%s: errors are:\n%snot:\n%s", c->name, errors.data, expected);
    expected = c->warnings ? c->warnings : "";
    if (strcmp(text_of(&warnings), expected) != 0)
        fail_msg("%s: warnings are:\n%snot:\n%s", c->name, warnings.data, expected);
    if ((config == NULL) != (c->errors != NULL))
        fail_msg("%s: loaded: %d", c->name, config != NULL);
    if (config)
        check_lines(c, config);
    config_free(config);
    buf_free(&errors);
    buf_free(&warnings);
}

#define RUN(cases)                                                                                 \
    for (size_t i_ = 0; i_ < sizeof(cases) / sizeof *(cases); i_++)                                \
    run_case(&(cases)[i_])

/* ---- ini ------------------------------------------------------------------------------------ */

static void test_ini_values(void **state)
{
    static const struct load_case cases[] = {
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
        {"quotes", "[database]\nurl = \"sqlite:///a # \\\"b\\\\ \\t\" ; c\n",
         .errors = "c.ini:2: url: \"sqlite:///a # \"b\\ \\x09\" holds control characters\n"},
        {"quotes kept", "[auth]\nsecret_key_file = \" a\\\"b\\\\c\\n\"",
         .lines = {"secret_key_file = \" a\\\"b\\\\c\\n\"  # c.ini:2"}},
        {"quotes within", "[auth]\nsecret_key_file = a\"b\"",
         .lines = {"secret_key_file = a\"b\"  # c.ini:2"}},
        {"lists", "[server]\ntrusted_proxies = 10.0.0.0/8,::1 ,  fd00::/8\nbind = :80, unix:/run/x",
         .lines = {"trusted_proxies = 10.0.0.0/8, ::1, fd00::/8  # c.ini:2",
                   "bind = :80, unix:/run/x  # c.ini:3"}},
        {"an empty list", "[server]\ntrusted_proxies =", .lines = {"trusted_proxies =  # c.ini:2"}},
        {"unset", "[auth]\nsecret_key =\nsecret_key_file = # none\n",
         .lines = {"secret_key =  # c.ini:2", "secret_key_file =  # c.ini:3"}},
        {"sections in pieces",
         "[log]\nlevel = debug\n[server]\nworkers = 2\n[log]\nformat = json\n",
         .lines = {"level = debug  # c.ini:2", "format = json  # c.ini:6"}},
    };
    RUN(cases);
}

static void test_ini_errors(void **state)
{
    static const struct load_case cases[] = {
        {"unknown key", "[server]\nworkrs = 3",
         .errors = "c.ini:2: unknown key \"workrs\" in [server]; did you mean \"workers\"?\n"},
        {"unknown key, nothing near", "[server]\nfrobnicate = 3",
         .errors = "c.ini:2: unknown key \"frobnicate\" in [server]\n"},
        {"letter case", "[server]\nWorkers = 3",
         .errors = "c.ini:2: unknown key \"Workers\" in [server]; did you mean \"workers\"?\n"},
        {"a key of another section", "[limits]\nworkers = 3",
         .errors = "c.ini:2: unknown key \"workers\" in [limits]; it belongs in [server]\n"},
        {"a key of a feature to come", "[supervisor]\ncontrol = x",
         .errors = "c.ini:2: unknown key \"control\" in [supervisor]\n"},
        {"unknown section, once", "[sevrer]\nworkers = 3\nbacklog = 0\n[tls]\nkey = x\n",
         .errors = "c.ini:1: unknown section \"sevrer\"; did you mean [server]?\n"
                   "c.ini:4: unknown section \"tls\"\n"},
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
    RUN(cases);
}

static void test_ini_nul(void **state)
{
    static const char *const none[] = {NULL};
    static const char text[] = "[server]\nwork\0ers = 3\nbacklog = 0";
    struct buf errors = {0}, warnings = {0};
    write_bytes("c.ini", text, sizeof text - 1);
    assert_null(load("c.ini", none, none, &errors, &warnings));
    assert_string_equal(text_of(&errors), "c.ini:2: a NUL byte: this is no text\n"
                                          "c.ini:3: backlog: \"0\" is out of range: 1 to 65535\n");
    buf_free(&errors);
}

/* ---- .env and environment ------------------------------------------------------------------- */

static void test_dotenv(void **state)
{
    static const struct load_case cases[] = {
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
        {"double quotes", NULL, "COLMEIA_AUTH_SECRET_KEY_FILE=\"a\\n\\\"\\\\\\q\"",
         .lines = {"secret_key_file = \"a\\n\\\"\\\\\\\\q\"  # .env:1"}},
        {"over lines", NULL, "COLMEIA_AUTH_SECRET_KEY_FILE=\"a\nb\"\nWEB_CONCURRENCY=2",
         .lines = {"secret_key_file = \"a\\nb\"  # .env:1", "workers = 2  # .env:3"}},
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
    RUN(cases);
}

static void test_dotenv_nul(void **state)
{
    static const char *const none[] = {NULL};
    static const char text[] = "A=1\nB=\0\nWEB_CONCURRENCY=0";
    struct buf errors = {0}, warnings = {0};
    unlink("c.ini");
    write_bytes(".env", text, sizeof text - 1);
    assert_null(load(NULL, none, none, &errors, &warnings));
    assert_string_equal(text_of(&errors), ".env:2: a NUL byte: this is no text\n");
    buf_free(&errors);
}

static void test_environment(void **state)
{
    static const struct load_case cases[] = {
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
    RUN(cases);
}

/* ---- command line --------------------------------------------------------------------------- */

static void test_flags(void **state)
{
    static const struct load_case cases[] = {
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
    RUN(cases);
}

static void test_flags_known(void **state)
{
    static const struct {
        const char *flags[WORDS_MAX];
        const char *errors;
    } cases[] = {
        {{NULL}, ""},
        {{"--workers", "many", "--host=x", "--uds", "y"}, ""},
        {{"--worker", "1"},
         "command line: unknown option \"--worker\"; did you mean --workers?; try 'colmeia "
         "--help'\n"
         "command line: unexpected word \"1\"; try 'colmeia --help'\n"},
        {{"--workers"}, "command line --workers: the value is missing; try 'colmeia --help'\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf errors = {0};
        struct config_flags f = {.argc = count(cases[i].flags),
                                 .argv = (char **)(uintptr_t)cases[i].flags};
        assert_int_equal(config_flags_known(&f, &errors), cases[i].errors[0] == 0);
        assert_string_equal(text_of(&errors), cases[i].errors);
        buf_free(&errors);
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
        struct load_case c = {.name = "precedence"};
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
        run_case(&c);
    }
}

static void test_between_sources(void **state)
{
    static const struct load_case cases[] = {
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
    RUN(cases);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    static const char *const none[] = {NULL};
    static const struct {
        const char *config, *env, *errors;
    } cases[] = {
        {"nowhere.ini", NULL, "nowhere.ini: cannot read it: No such file or directory\n"},
        {NULL, "nowhere.env", "nowhere.env: cannot read it: No such file or directory\n"},
        {"/", "/", "/: cannot read it: Is a directory\n/: cannot read it: Is a directory\n"},
        {"/dev/zero", NULL, "/dev/zero: cannot read it: File too large\n"},
        {"/dev/null", "/dev/null", ""},
    };
    write_or_remove(".env", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf errors = {0}, warnings = {0};
        struct config_flags f = {.config_path = cases[i].config,
                                 .env_path = cases[i].env,
                                 .environ = (char **)(uintptr_t)none};
        struct config *c = config_load(&f, &errors, &warnings);
        assert_string_equal(text_of(&errors), cases[i].errors);
        assert_int_equal(c != NULL, cases[i].errors[0] == 0);
        config_free(c);
        buf_free(&errors);
    }
}

/* ./.env is read when it exists, and not swallowed when it cannot be read. */
static void test_usual_env_unreadable(void **state)
{
    static const char *const none[] = {NULL};
    struct buf errors = {0}, warnings = {0};
    write_or_remove(".env", NULL);
    assert_int_equal(mkdir(".env", 0700), 0);
    struct config *c = load(NULL, none, none, &errors, &warnings);
    assert_int_equal(rmdir(".env"), 0);
    assert_null(c);
    assert_string_equal(text_of(&errors), ".env: cannot read it: Is a directory\n");
    buf_free(&errors);
}

/* A configuration of 1 MiB of errors is refused, not a crash. */
static void test_many_errors(void **state)
{
    static const char *const none[] = {NULL};
    enum { LINES = 100000 };
    struct buf text = {0}, errors = {0}, warnings = {0};
    for (int i = 0; i < LINES; i++)
        buf_append_slice(&text, SLICE("x\n"));
    write_bytes("c.ini", text.data, text.len);
    assert_null(load("c.ini", none, none, &errors, &warnings));
    size_t lines = 0;
    for (size_t i = 0; i < errors.len; i++)
        lines += errors.data[i] == '\n';
    assert_int_equal(lines, LINES);
    buf_free(&text);
    buf_free(&errors);
}

/* ---- secrets -------------------------------------------------------------------------------- */

/* No text that comes out of a configuration holds a secret. */
static void test_secrets_never_shown(void **state)
{
    static const struct load_case cases[] = {
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
        const struct load_case *c = &cases[i];
        struct buf text = {0};
        write_or_remove("c.ini", c->ini);
        write_or_remove(".env", c->env);
        struct config *config = load(c->ini ? "c.ini" : NULL, c->environ, c->flags, &text, &text);
        if (config)
            config_print(config, true, &text);
        assert_true(text.len > 0);
        if (strstr(text_of(&text), "hush"))
            fail_msg("%s: %s", c->name, text.data);
        config_free(config);
        buf_free(&text);
    }
}

/* ---- round trips ---------------------------------------------------------------------------- */

static void assert_equal_configs(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++) {
        struct buf x = {0}, y = {0};
        struct option_value va = option_load(a, &config_options[i]);
        struct option_value vb = option_load(b, &config_options[i]);
        assert_int_equal(va.string == NULL, vb.string == NULL);
        option_format(&config_options[i], &va, &x);
        option_format(&config_options[i], &vb, &y);
        assert_string_equal(text_of(&x), text_of(&y));
        buf_free(&x);
        buf_free(&y);
    }
}

/* What config_print() writes loads again, to the same. */
static void test_print_loads_again(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const flags[] = {
        "--workers",           "7",      "--bind", ":1,unix:a b", "--access-log", "off",
        "--keepalive-timeout", "1500ms", NULL};
    static const char *const environ[] = {"COLMEIA_AUTH_SECRET_KEY_FILE= # a\\\"b\n\tc",
                                          "COLMEIA_LIMITS_MAX_BODY=1000",
                                          "COLMEIA_SERVER_TRUSTED_PROXIES=",
                                          "DATABASE_URL=sqlite:///x;y",
                                          "COLMEIA_AUTH_ALLOW_WEAK_SECRET=1",
                                          NULL};
    for (int origin = 0; origin < 2; origin++) {
        struct buf errors = {0}, warnings = {0}, printed = {0};
        write_or_remove(".env", NULL);
        struct config *a = load(NULL, environ, flags, &errors, &warnings);
        assert_string_equal(text_of(&errors), "");
        config_print(a, origin, &printed);
        write_bytes("c.ini", printed.data, printed.len);
        struct config *b = load("c.ini", none, none, &errors, &warnings);
        assert_string_equal(text_of(&errors), "");
        assert_equal_configs(a, b);
        config_free(a);
        config_free(b);
        buf_free(&printed);
        buf_free(&errors);
    }
}

static char *read_sample(void)
{
    char *text = calloc(1, CONFIG_FILE_MAX);
    FILE *f = fopen(sample_path, "r");
    assert_non_null(text);
    if (!f)
        fail_msg("run it in the project's directory: no %s", sample_path);
    assert_true(fread(text, 1, CONFIG_FILE_MAX - 1, f) > 0);
    fclose(f);
    return text;
}

/* "# key = value", as etc/colmeia.ini shows defaults. */
static bool is_default_line(struct slice line, struct slice *rest_r)
{
    if (!slice_starts_with(line, SLICE("# ")))
        return false;
    *rest_r = (struct slice){line.ptr + 2, line.len - 2};
    size_t i = 0;
    while (i < rest_r->len &&
           (rest_r->ptr[i] == '_' || (rest_r->ptr[i] >= 'a' && rest_r->ptr[i] <= 'z')))
        i++;
    return i > 0 && i + 2 <= rest_r->len && memcmp(rest_r->ptr + i, " =", 2) == 0;
}

/* etc/colmeia.ini shows each option of options.def once, in its order, with its default, explained,
 * and nothing else. */
static void test_sample_matches_options(void **state)
{
    char *text = read_sample();
    const char *section = "";
    struct slice rest = slice_of(text), before = SLICE("");
    size_t next = 0;
    while (rest.ptr) {
        struct slice value, line = slice_split(&rest, '\n');
        if (is_default_line(line, &value)) {
            char expected[256];
            assert_true(next < OPTIONS_LEN);
            const struct option *o = &config_options[next++];
            snprintf(expected, sizeof expected, "%s =%s%s", o->key, o->fallback ? " " : "",
                     o->fallback ? o->fallback : "");
            if (strcmp(section, o->section) != 0 || !slice_equals(value, slice_of(expected)))
                fail_msg("in [%s]: \"%.*s\", expected \"%s\" in [%s]", section, SLICE_ARGS(value),
                         expected, o->section);
            if (!slice_starts_with(before, SLICE("# ")))
                fail_msg("%s is not explained", o->key);
        } else if (line.len && line.ptr[0] == '[') {
            section = next < OPTIONS_LEN ? config_options[next].section : "";
            assert_true(slice_equals(slice_trim(line, "[]"), slice_of(section)));
        } else if (line.len && line.ptr[0] != '#') {
            fail_msg("\"%.*s\" is no comment", SLICE_ARGS(line));
        }
        before = line;
    }
    assert_int_equal(next, OPTIONS_LEN);
    free(text);
}

/* With every comment sign before a key taken away, it loads and changes nothing. */
static void test_sample_loads(void **state)
{
    static const char *const none[] = {NULL};
    struct buf active = {0}, errors = {0}, warnings = {0};
    char *text = read_sample();
    struct slice rest = slice_of(text);
    size_t keys = 0;
    while (rest.ptr) {
        struct slice line = slice_split(&rest, '\n');
        keys += is_default_line(line, &line);
        buf_append_slice(&active, line);
        buf_append_char(&active, '\n');
    }
    assert_int_equal(keys, OPTIONS_LEN);
    write_or_remove(".env", NULL);
    struct config *usual = load(NULL, none, none, &errors, &warnings);
    struct config *as_shipped = load(sample_path, none, none, &errors, &warnings);
    write_bytes("c.ini", active.data, active.len);
    struct config *loaded = load("c.ini", none, none, &errors, &warnings);
    assert_string_equal(text_of(&errors), "");
    assert_equal_configs(usual, as_shipped);
    assert_equal_configs(usual, loaded);
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        assert_int_equal(loaded->private_data->sources[i], CONFIG_INI);
    config_free(usual);
    config_free(as_shipped);
    config_free(loaded);
    buf_free(&active);
    buf_free(&errors);
    free(text);
}

/* ---- fields and help ------------------------------------------------------------------------ */

static void test_fields(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const flags[] = {"--bind=:1,:2", "--log-level=error",
                                        "--keepalive-timeout=2m", NULL};
    struct buf errors = {0}, warnings = {0};
    const char *path;
    write_or_remove(".env", NULL);
    struct config *c = load(NULL, none, flags, &errors, &warnings);
    assert_non_null(c);
    assert_int_equal(c->server_bind.len, 2);
    assert_string_equal(c->server_bind.items[1], ":2");
    assert_int_equal(c->server_workers, 0);
    assert_int_equal(c->limits_keepalive_timeout, 120000);
    assert_int_equal(c->limits_max_body, 65536);
    assert_int_equal(c->log_level, CONFIG_LOG_ERROR);
    assert_int_equal(c->log_access, CONFIG_ACCESS_AUTO);
    assert_int_equal(c->database_durability, CONFIG_DURABILITY_FULL);
    assert_false(c->auth_allow_weak_secret);
    assert_null(c->auth_secret_key);
    assert_int_equal(config_database(c, &path), CONFIG_DATABASE_FILE);
    assert_string_equal(path, "database.db");
    assert_int_equal(config_workers(c), config_auto_workers(NULL));
    config_free(c);
    config_free(NULL);
}

static void test_workers_of_memory(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const flags[] = {"--database-url", "sqlite:///:memory:", NULL};
    struct buf errors = {0}, warnings = {0};
    const char *path;
    write_or_remove(".env", NULL);
    struct config *c = load(NULL, none, flags, &errors, &warnings);
    assert_non_null(c);
    assert_int_equal(config_database(c, &path), CONFIG_DATABASE_MEMORY);
    assert_int_equal(config_workers(c), 1);
    config_free(c);
}

static void test_help(void **state)
{
    struct buf out = {0};
    config_help(&out);
    const char *text = text_of(&out);
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (config_options[i].flag[0])
            assert_non_null(strstr(text, config_options[i].flag));
    assert_true(has_line(text, "  --port PORT       (default: 8000)"));
    assert_true(has_line(text, "  --workers N|auto  number of worker processes, or auto: one per "
                               "usable core"));
    struct slice rest = buf_slice(&out);
    while (rest.ptr)
        assert_true(slice_split(&rest, '\n').len < 80);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ini_values),
        cmocka_unit_test(test_ini_errors),
        cmocka_unit_test(test_ini_nul),
        cmocka_unit_test(test_dotenv),
        cmocka_unit_test(test_dotenv_nul),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_flags_known),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_between_sources),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_usual_env_unreadable),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_secrets_never_shown),
        cmocka_unit_test(test_print_loads_again),
        cmocka_unit_test(test_sample_matches_options),
        cmocka_unit_test(test_sample_loads),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_workers_of_memory),
        cmocka_unit_test(test_help),
    };
    char cwd[PATH_MAX - 32];
    if (!getcwd(cwd, sizeof cwd))
        return 1;
    snprintf(sample_path, sizeof sample_path, "%s/etc/colmeia.ini", cwd);
    return cmocka_run_group_tests(tests, setup, teardown);
}
