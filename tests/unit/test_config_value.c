/* test_config_value.c: shared/config_value.c, config_text.c, config_suggest.c, config_auto.c and
 * config_print.c: values of each type, parsed and written again; what "auto" means; and that
 * etc/colmeia.ini says what options.def says. */
#include "tests/unit/config_tester.h"

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

#define LEN(array) (sizeof(array) / sizeof *(array))

/* ---- one value ------------------------------------------------------------------------------ */

/* Parses text as the option's; the reason why not, "" when it is one, lives until the next call. */
static const char *parse(int id, struct slice text, struct arena *a, struct option_value *value_r)
{
    config_held.text.len = 0;
    bool ok = option_parse(&config_options[id], text, a, value_r, &config_held.text);
    const char *why = config_text_of(&config_held.text);
    assert_int_equal(ok, why[0] == 0);
    return why;
}

static const char *format(int id, const struct option_value *value)
{
    config_held.text.len = 0;
    option_format(&config_options[id], value, &config_held.text);
    return config_text_of(&config_held.text);
}

/* A text, and what becomes of it: a number, and how it is written again, or why it is none. */
struct number_case {
    int id; /* enum option_id */
    const char *text;
    int64_t number;
    const char *written, *why;
};

static void run_numbers(const struct number_case *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const struct number_case *c = &cases[i];
        struct option_value value;
        const char *why = parse(c->id, slice_of(c->text), NULL, &value);
        if (strcmp(why, c->why ? c->why : "") != 0)
            fail_msg("\"%s\": %s", c->text, why);
        if (c->why)
            continue;
        if (value.number != c->number)
            fail_msg("\"%s\" is %lld", c->text, (long long)value.number);
        assert_string_equal(format(c->id, &value), c->written);
    }
}

static void test_numbers(void **state)
{
    enum {
        backlog = OPTION_ID_server_backlog,
        expire = OPTION_ID_auth_access_token_expire_minutes
    };
    static const struct number_case cases[] = {
        {backlog, "1", 1, "1", NULL},
        {backlog, "65535", 65535, "65535", NULL},
        {backlog, "0", 0, NULL, "\"0\" is out of range: 1 to 65535"},
        {backlog, "65536", 0, NULL, "\"65536\" is out of range: 1 to 65535"},
        {backlog, "99999999999999999999999999", 0, NULL,
         "\"99999999999999999999999999\" is out of range: 1 to 65535"},
        {backlog, "0042", 42, "42", NULL},
        {backlog, "+7", 7, "7", NULL},
        {backlog, " 7 ", 7, "7", NULL},
        {backlog, "1_000", 1000, "1000", NULL},
        {backlog, "7.0", 7, "7", NULL},
        {backlog, "7.00", 7, "7", NULL},
        {backlog, "7.", 0, NULL, "\"7.\" is not a whole number"},
        {backlog, "7.5", 0, NULL, "\"7.5\" is not a whole number"},
        {backlog, "1__0", 0, NULL, "\"1__0\" is not a whole number"},
        {backlog, "_1", 0, NULL, "\"_1\" is not a whole number"},
        {backlog, "1_", 0, NULL, "\"1_\" is not a whole number"},
        {backlog, "", 0, NULL, "\"\" is not a whole number"},
        {backlog, "-", 0, NULL, "\"-\" is not a whole number"},
        {backlog, "+-1", 0, NULL, "\"+-1\" is not a whole number"},
        {backlog, "0x10", 0, NULL, "\"0x10\" is not a whole number"},
        {backlog, "1e3", 0, NULL, "\"1e3\" is not a whole number"},
        {backlog, "many\x1b[m", 0, NULL, "\"many\\x1b[m\" is not a whole number"},
        {expire, "-525600", -525600, "-525600", NULL},
        {expire, "-525601", 0, NULL, "\"-525601\" is out of range: -525600 to 525600"},
        {expire, "-0", 0, "0", NULL},
        {OPTION_ID_server_workers, "auto", 0, "auto", NULL},
        {OPTION_ID_server_workers, "AUTO", 0, "auto", NULL},
        {OPTION_ID_server_workers, "256", 256, "256", NULL},
        {OPTION_ID_server_workers, "0", 0, NULL, "\"0\" is out of range: 1 to 256, or auto"},
        {OPTION_ID_server_workers, "257", 0, NULL, "\"257\" is out of range: 1 to 256, or auto"},
        {OPTION_ID_server_workers, "autos", 0, NULL,
         "\"autos\" is neither a whole number nor auto"},
    };
    run_numbers(cases, LEN(cases));
}

static void test_durations(void **state)
{
    enum { boot = OPTION_ID_supervisor_boot_timeout, session = OPTION_ID_auth_session_max };
#define NO_DURATION " is not a duration; write it as 500ms, 30s, 5m, 1h or 30d"
    static const struct number_case cases[] = {
        {boot, "100ms", 100, "100ms", NULL},
        {boot, "1500ms", 1500, "1500ms", NULL},
        {boot, "2000ms", 2000, "2s", NULL},
        {boot, "7", 7000, "7s", NULL},
        {boot, "90s", 90000, "90s", NULL},
        {boot, "60s", 60000, "1m", NULL},
        {boot, "60M", 3600000, "1h", NULL},
        {boot, "1h", 3600000, "1h", NULL},
        {boot, "3601s", 0, NULL, "\"3601s\" is out of range: 100ms to 1h"},
        {boot, "99ms", 0, NULL, "\"99ms\" is out of range: 100ms to 1h"},
        {boot, "9223372036854775807d", 0, NULL,
         "\"9223372036854775807d\" is out of range: 100ms to 1h"},
        {boot, "106751991168d", 0, NULL, "\"106751991168d\" is out of range: 100ms to 1h"},
        {session, "30d", 30 * INT64_C(86400000), "30d", NULL},
        {session, "24h", 86400000, "1d", NULL},
        {OPTION_ID_supervisor_graceful_timeout, "0", 0, "0s", NULL},
        {boot, "", 0, NULL, "\"\"" NO_DURATION},
        {boot, "s", 0, NULL, "\"s\"" NO_DURATION},
        {boot, "-1s", 0, NULL, "\"-1s\"" NO_DURATION},
        {boot, "1 s", 0, NULL, "\"1 s\"" NO_DURATION},
        {boot, "1.5s", 0, NULL, "\"1.5s\"" NO_DURATION},
        {boot, "1_0s", 0, NULL, "\"1_0s\"" NO_DURATION},
        {boot, "1w", 0, NULL, "\"1w\"" NO_DURATION},
        {boot, "1h30m", 0, NULL, "\"1h30m\"" NO_DURATION},
    };
    run_numbers(cases, LEN(cases));
}

static void test_sizes(void **state)
{
    enum { body = OPTION_ID_limits_max_body, memory = OPTION_ID_auth_hash_memory };
#define NO_SIZE " is not a size; write it as 512, 64k, 1m or 2g"
    static const struct number_case cases[] = {
        {body, "0", 0, "0", NULL},
        {body, "1", 1, "1", NULL},
        {body, "1024", 1024, "1k", NULL},
        {body, "1500", 1500, "1500", NULL},
        {body, "64K", 65536, "64k", NULL},
        {body, "16m", 16777216, "16m", NULL},
        {body, "16385k", 0, NULL, "\"16385k\" is out of range: 0 to 16m"},
        {memory, "1g", 1073741824, "1g", NULL},
        {memory, "9999999999g", 0, NULL, "\"9999999999g\" is out of range: 8k to 1g"},
        {body, "k", 0, NULL, "\"k\"" NO_SIZE},
        {body, "1kb", 0, NULL, "\"1kb\"" NO_SIZE},
        {body, "-1", 0, NULL, "\"-1\"" NO_SIZE},
        {body, "1t", 0, NULL, "\"1t\"" NO_SIZE},
    };
    run_numbers(cases, LEN(cases));
}

static void test_words(void **state)
{
    enum { weak = OPTION_ID_auth_allow_weak_secret, level = OPTION_ID_log_level };
    static const struct number_case cases[] = {
        {weak, "yes", true, "yes", NULL},
        {weak, "True", true, "yes", NULL},
        {weak, "ON", true, "yes", NULL},
        {weak, "1", true, "yes", NULL},
        {weak, "no", false, "no", NULL},
        {weak, "false", false, "no", NULL},
        {weak, "off", false, "no", NULL},
        {weak, "0", false, "no", NULL},
        {weak, "2", 0, NULL, "\"2\" is neither yes nor no"},
        {weak, "", 0, NULL, "\"\" is neither yes nor no"},
        {weak, "yes ", 0, NULL, "\"yes \" is neither yes nor no"},
        {level, "debug", CONFIG_LOG_DEBUG, "debug", NULL},
        {level, "Error", CONFIG_LOG_ERROR, "error", NULL},
        {level, "warn", 0, NULL, "\"warn\" is none of debug, info, warning, error"},
        {level, "warnign", 0, NULL,
         "\"warnign\" is none of debug, info, warning, error; did you mean \"warning\"?"},
        {level, "inf", 0, NULL,
         "\"inf\" is none of debug, info, warning, error; did you mean \"info\"?"},
        {level, "debug|info", 0, NULL, "\"debug|info\" is none of debug, info, warning, error"},
        {level, "", 0, NULL, "\"\" is none of debug, info, warning, error"},
        {OPTION_ID_log_format, "json", CONFIG_FORMAT_JSON, "json", NULL},
        {OPTION_ID_log_access, "off", CONFIG_ACCESS_OFF, "off", NULL},
        {OPTION_ID_database_durability, "normal", CONFIG_DURABILITY_NORMAL, "normal", NULL},
    };
    run_numbers(cases, LEN(cases));
}

/* Texts and lists: what they are written as again, or why they are refused. */
static void test_texts(void **state)
{
    enum {
        url = OPTION_ID_database_url,
        proxies = OPTION_ID_server_trusted_proxies,
        bind = OPTION_ID_server_bind,
        file = OPTION_ID_auth_secret_key_file,
        upstream = OPTION_ID_orders_upstream,
        key = OPTION_ID_orders_apikey
    };
#define NO_UPSTREAM " is no http(s)://host[:port]"
#define THREE                                                                                      \
    "after sqlite: stand three slashes and a file, as in sqlite:///database.db, or four for an "   \
    "absolute one"
#define NO_URL     "it is no database URL; write sqlite:///database.db"
#define NO_NETWORK " is no numeric address or network, as 10.0.0.1, 10.0.0.0/8 or fd00::/8"
    static const struct {
        int id;
        const char *text, *written, *why;
    } cases[] = {
        {url, "sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db", NULL},
        {url, "sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db", NULL},
        {url, "sqlite:///", "sqlite:///", NULL},
        {url, "sqlite://x.db", NULL, THREE},
        {url, "sqlite:///file:x.db", NULL, THREE},
        {url, "sqlite:///x.db?mode=ro", NULL,
         "options after ? are not supported; write sqlite:///database.db"},
        {url, "sqlite:///x/", NULL, "it names a directory; write sqlite:///directory/database.db"},
        {url, "", NULL, NO_URL},
        {url, "x.db", NULL, NO_URL},
        {url, "sqlite:/x.db", NULL, NO_URL},
        {url, "://x", NULL, NO_URL},
        {url, "postgresql+psycopg://u:p@h/d", NULL,
         "this build cannot use PostgreSQL yet; use sqlite:///database.db"},
        {url, "mysql://u:p@h/d", NULL,
         "\"mysql\" databases are not supported; use sqlite:///database.db"},
        {url, "mysql:me:hush@h/d?x=http://q", NULL, NO_URL},
        {url, "me:hush@db://app", NULL, NO_URL},
        {url, "password=hush ://x", NULL, NO_URL},
        {url, "sqlite:///a\nb", NULL, "it holds control characters"},
        {url, "postgresql://me:hush@h/d\n", NULL, "it holds control characters"},
        {OPTION_ID_auth_algorithm, "HS256", "HS256", NULL},
        {OPTION_ID_auth_algorithm, "hs256", NULL,
         "\"hs256\" is not supported: tokens are signed with HS256 only"},
        {file, "key", "key", NULL},
        {file, "", NULL, "it is empty; name a file, or leave it out"},
        {file, "a\x7f", NULL, "\"a\\x7f\" holds control characters"},
        {upstream, "http://x", "http://x", NULL},
        {upstream, "https://Api-1.example.com:8443", "https://Api-1.example.com:8443", NULL},
        {upstream, "http://10.0.0.1:1", "http://10.0.0.1:1", NULL},
        {upstream, "http://[::1]:65535", "http://[::1]:65535", NULL},
        {upstream, "http://[fd00::1]", "http://[fd00::1]", NULL},
        {upstream, "", NULL, "\"\"" NO_UPSTREAM},
        {upstream, "x", NULL, "\"x\"" NO_UPSTREAM},
        {upstream, "ftp://x", NULL, "\"ftp://x\"" NO_UPSTREAM},
        {upstream, "HTTP://x", NULL, "\"HTTP://x\"" NO_UPSTREAM},
        {upstream, "http://", NULL, "\"http://\"" NO_UPSTREAM},
        {upstream, "http://:80", NULL, "\"http://:80\"" NO_UPSTREAM},
        {upstream, "http://x:", NULL, "\"http://x:\"" NO_UPSTREAM},
        {upstream, "http://x:0", NULL, "\"http://x:0\"" NO_UPSTREAM},
        {upstream, "http://x:65536", NULL, "\"http://x:65536\"" NO_UPSTREAM},
        {upstream, "http://x:80:81", NULL, "\"http://x:80:81\"" NO_UPSTREAM},
        {upstream, "http://x/", NULL, "\"http://x/\"" NO_UPSTREAM},
        {upstream, "http://x?y", NULL, "\"http://x?y\"" NO_UPSTREAM},
        {upstream, "http://x y", NULL, "\"http://x y\"" NO_UPSTREAM},
        {upstream, "http://[::1", NULL, "\"http://[::1\"" NO_UPSTREAM},
        {upstream, "http://[::1]80", NULL, "\"http://[::1]80\"" NO_UPSTREAM},
        {upstream, "http://[x]", NULL, "\"http://[x]\"" NO_UPSTREAM},
        {upstream, "http://::1", NULL, "\"http://::1\"" NO_UPSTREAM},
        {upstream, "http://user:secret@x\r", NULL, "it holds control characters"},
        {upstream, "http://user:secret@x", NULL,
         "a user or password in it is not supported; write http(s)://host[:port]"},
        {key, "", "", NULL},
        {key, "k\r\nX: y", NULL, "it holds control characters"},
        {OPTION_ID_orders_tenant_id, "a\tb", NULL, "\"a\\x09b\" holds control characters"},
        {proxies, "", "", NULL},
        {proxies, " 10.0.0.1 ,::1\t,10.0.0.0/0, fd00::/128",
         "10.0.0.1, ::1, 10.0.0.0/0, fd00::/128", NULL},
        {proxies, "::1, ::1", "::1, ::1", NULL},
        {proxies, "10.0.0.0/33", NULL, "\"10.0.0.0/33\"" NO_NETWORK},
        {proxies, "fd00::/129", NULL, "\"fd00::/129\"" NO_NETWORK},
        {proxies, "10.0.0.0/", NULL, "\"10.0.0.0/\"" NO_NETWORK},
        {proxies, "10.0.0.0/255.0.0.0", NULL, "\"10.0.0.0/255.0.0.0\"" NO_NETWORK},
        {proxies, "10.0.0", NULL, "\"10.0.0\"" NO_NETWORK},
        {proxies, "*", NULL, "\"*\"" NO_NETWORK},
        {proxies, "proxy.example", NULL, "\"proxy.example\"" NO_NETWORK},
        {proxies, "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL,
         "\"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb\"" NO_NETWORK},
        {proxies, "::1,", NULL, "\"::1,\" has an empty item"},
        {proxies, ",", NULL, "\",\" has an empty item"},
        {bind, ":80,unix:/run/a proxy", ":80, unix:/run/a proxy", NULL},
        {bind, ":0, :0", ":0, :0", NULL},
        {bind, ":80, :81, :80", NULL, "\":80\" is listed twice"},
        {bind, "", NULL, "it is empty; at least one address is needed"},
        {bind, ":80, web", NULL,
         "\"web\" is no address to listen on: write HOST:PORT, [V6]:PORT, :PORT or unix:PATH"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct arena a;
        struct option_value value;
        char why[512];
        arena_init(&a, NULL, 0, 65536);
        snprintf(why, sizeof why, "%s", parse(cases[i].id, slice_of(cases[i].text), &a, &value));
        const char *written = why[0] ? NULL : format(cases[i].id, &value);
        arena_fini(&a);
        if (strcmp(why, cases[i].why ? cases[i].why : "") != 0)
            fail_msg("\"%s\": %s", cases[i].text, why);
        if (written)
            assert_string_equal(written, cases[i].written);
    }
}

/* Without memory: said so, and nothing else. */
static void test_no_memory(void **state)
{
    static const enum option_id ids[] = {OPTION_ID_database_url, OPTION_ID_server_bind};
    for (size_t i = 0; i < LEN(ids); i++) {
        for (size_t max = 0; max < 12; max += 11) {
            struct arena a;
            struct option_value value;
            char why[64];
            arena_init(&a, NULL, 0, max);
            snprintf(why, sizeof why, "%s", parse(ids[i], SLICE("127.0.0.1:8000"), &a, &value));
            arena_fini(&a);
            assert_string_equal(why, "out of memory");
        }
    }
}

/* What a message shows of a text: no control byte, no more than 80 bytes. */
static void test_quote(void **state)
{
    char text[200], expected[200];
    memset(text, 'x', sizeof text);
    text_quote(&config_held.text, (struct slice){"a\0\n\x1b\x7f\"\xc3\xa3", 8});
    assert_string_equal(config_text_of(&config_held.text), "\"a\\x00\\x0a\\x1b\\x7f\"\xc3\xa3\"");
    for (int len = 79; len < 83; len++) {
        config_held.text.len = 0;
        text_quote(&config_held.text, (struct slice){text, (size_t)len});
        snprintf(expected, sizeof expected, "\"%.*s%s\"", len < 80 ? len : 80, text,
                 len > 80 ? "\xe2\x80\xa6" : "");
        assert_string_equal(config_text_of(&config_held.text), expected);
    }
}

static void test_suggestions(void **state)
{
    static const char *const names[] = {"bind", "workers", "backlog", "trusted_proxies", "url"};
    static const struct {
        const char *word, *best;
    } cases[] = {
        {"workers", "workers"},
        {"wokrers", "workers"},
        {"WORKERS", "workers"},
        {"worker", "workers"},
        {"wrkrs", "workers"},
        {"bnid", "bind"},
        {"band", "bind"},
        {"blacklog", "backlog"},
        {"trusted-proxies", "trusted_proxies"},
        {"uri", "url"},
        {"frobnicate", NULL},
        {"x", NULL},
        {"", NULL},
        {"proxies", NULL},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct suggestion s = {.word = slice_of(cases[i].word)};
        for (size_t k = 0; k < LEN(names); k++)
            suggestion_offer(&s, names[k]);
        if (s.best != cases[i].best && (!s.best || !cases[i].best || strcmp(s.best, cases[i].best)))
            fail_msg("\"%s\": \"%s\"", cases[i].word, s.best ? s.best : "nothing");
    }
    char word[200];
    memset(word, 'w', sizeof word);
    for (size_t len = 60; len < sizeof word; len++) { /* beyond the table's edge */
        struct suggestion s = {.word = {word, len}};
        suggestion_offer(&s, "workers");
        assert_null(s.best);
    }
}

/* ---- auto ----------------------------------------------------------------------------------- */

static void test_auto_workers(void **state)
{
    static const struct {
        int cores;
        int64_t millicpus;
        int workers;
        const char *why;
    } cases[] = {
        {1, -1, 1, "1 usable core"},
        {8, -1, 8, "8 usable cores"},
        {0, -1, 1, "1 usable core"},
        {8, 1500, 2, "8 usable cores, of which the cgroup grants 1.500"},
        {8, 2000, 2, "8 usable cores, of which the cgroup grants 2.000"},
        {8, 1, 1, "8 usable cores, of which the cgroup grants 0.001"},
        {2, 64000, 2, "2 usable cores, of which the cgroup grants 64.000"},
        {300, -1, 256, "300 usable cores, at most 256"},
        {300, INT64_MAX, 256,
         "300 usable cores, of which the cgroup grants 9223372036854775.807, at most 256"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        config_held.text.len = 0;
        assert_int_equal(auto_workers(cases[i].cores, cases[i].millicpus, &config_held.text),
                         cases[i].workers);
        assert_string_equal(config_text_of(&config_held.text), cases[i].why);
        assert_int_equal(auto_workers(cases[i].cores, cases[i].millicpus, NULL), cases[i].workers);
    }
    assert_in_range(config_auto_workers(NULL), 1, 256);
}

/* Makes the directories of a path that ends in a file, and the file. */
static void write_deep(const char *path, const char *text)
{
    char directory[PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
        mkdir(directory, 0700);
    }
    config_write_bytes(path, text, strlen(text));
}

/* A mounted cgroup tree: the least limit from the process's group up to the root counts. */
static void test_cgroups(void **state)
{
    static const struct {
        const char *cgroup; /* /proc/self/cgroup */
        const char *files[3][2];
        int64_t millicpus;
    } cases[] = {
        {"0::/a/b\n", {{"fs/a/b/cpu.max", "150000 100000\n"}}, 1500},
        {"0::/a/b\n", {{"fs/a/b/cpu.max", "max 100000\n"}}, -1},
        {"0::/a/b\n",
         {{"fs/a/b/cpu.max", "max 100000\n"}, {"fs/a/cpu.max", "50000 100000\n"}},
         500},
        {"0::/a/b\n",
         {{"fs/a/b/cpu.max", "300000 100000\n"},
          {"fs/a/cpu.max", "200000 100000\n"},
          {"fs/cpu.max", "400000 100000\n"}},
         2000},
        {"0::/host/only\n", {{"fs/cpu.max", "250000 100000\n"}}, 2500}, /* as in a container */
        {"0::/\n", {{"fs/cpu.max", "1 100000\n"}}, 1},
        {"0::/a\n", {{"fs/unified/a/cpu.max", "70000 100000\n"}}, 700},
        {"4:cpu,cpuacct:/a\n0::/\n",
         {{"fs/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n"},
          {"fs/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
         2500},
        {"4:cpu:/a\n",
         {{"fs/cpu/a/cpu.cfs_quota_us", "-1\n"}, {"fs/cpu/a/cpu.cfs_period_us", "100000\n"}},
         -1},
        {"4:cpuset:/a\n",
         {{"fs/cpu/a/cpu.cfs_quota_us", "1000\n"}, {"fs/cpu/a/cpu.cfs_period_us", "100000\n"}},
         -1},
        {"0::/a\n", {{"fs/a/cpu.max", "150000\n"}}, -1},
        {"0::/a\n", {{"fs/a/cpu.max", "150000 0\n"}}, -1},
        {"0::/a\n", {{"fs/a/cpu.max", ""}}, -1},
        {"0::a\n\n:\n::\n7\n", {{"fs/cpu.max", "150000 100000\n"}}, -1},
        {"", {{"fs/cpu.max", "150000 100000\n"}}, -1},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        for (size_t k = 0; k < 3 && cases[i].files[k][0]; k++)
            write_deep(cases[i].files[k][0], cases[i].files[k][1]);
        config_write_or_remove("c.ini", cases[i].cgroup);
        int64_t got = cgroup_millicpus("c.ini", "fs");
        assert_int_equal(system("rm -rf fs"), 0);
        if (got != cases[i].millicpus)
            fail_msg("case %zu: %lld", i, (long long)got);
    }
    assert_int_equal(cgroup_millicpus("nowhere", "fs"), -1);
}

/* ---- round trips ---------------------------------------------------------------------------- */

/* What config_print() writes loads again, to the same. */
static void test_print_loads_again(void **state)
{
    static const char *const flags[] = {
        "--workers",           "7",      "--bind", ":1,unix:a proxy", "--access-log", "off",
        "--keepalive-timeout", "1500ms", NULL};
    static const char *const environ[] = {
        "COLMEIA_AUTH_SECRET_KEY_FILE= # a\\\"b;c ", "COLMEIA_LIMITS_MAX_BODY=1000",
        "COLMEIA_SERVER_TRUSTED_PROXIES=",           "DATABASE_URL=sqlite:///x;y",
        "COLMEIA_AUTH_ALLOW_WEAK_SECRET=1",          NULL};
    for (int origin = 0; origin < 2; origin++) {
        struct buf *printed = &config_held.text;
        config_write_or_remove(".env", NULL);
        struct config *a = config_load_held(NULL, environ, flags);
        assert_string_equal(config_text_of(&config_held.errors), "");
        config_print(a, origin, printed);
        config_write_bytes("c.ini", printed->data, printed->len);
        struct config *b = config_load_held("c.ini", NULL, NULL);
        assert_string_equal(config_text_of(&config_held.errors), "");
        config_assert_equal(a, b);
        config_teardown(NULL);
    }
}

/* etc/colmeia.ini, into config_held.text. */
static struct slice read_sample(void)
{
    struct buf *text = &config_held.text;
    FILE *f = fopen(config_sample_path, "r");
    if (!f)
        fail_msg("run it in the project's directory: no %s", config_sample_path);
    char *at = buf_reserve(text, CONFIG_FILE_MAX);
    assert_non_null(at);
    text->len = fread(at, 1, CONFIG_FILE_MAX, f);
    fclose(f);
    assert_true(text->len > 0);
    return buf_slice(text);
}

/* "# key = value", as etc/colmeia.ini shows defaults: without its "# " in *line_r. */
static bool is_default_line(struct slice line, struct slice *line_r)
{
    if (!slice_starts_with(line, SLICE("# ")))
        return false;
    struct slice rest = {line.ptr + 2, line.len - 2};
    size_t i = 0;
    while (i < rest.len && (rest.ptr[i] == '_' || (rest.ptr[i] >= 'a' && rest.ptr[i] <= 'z')))
        i++;
    if (i == 0 || i + 2 > rest.len || memcmp(rest.ptr + i, " =", 2) != 0)
        return false;
    *line_r = rest;
    return true;
}

static bool mentions(struct slice text, const char *word)
{
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

/* One default line of the sample: the option's, in its section, explained by the comment before it,
 * which names its flag and its environment variable. */
static void check_sample_line(const struct option *o, const char *section, struct slice line,
                              struct slice comment)
{
    char expected[256];
    snprintf(expected, sizeof expected, "%s =%s%s", o->key, o->fallback ? " " : "",
             o->fallback ? o->fallback : "");
    if (strcmp(section, o->section) != 0 || !slice_equals(line, slice_of(expected)))
        fail_msg("in [%s]: \"%.*s\", expected \"%s\" in [%s]", section, SLICE_ARGS(line), expected,
                 o->section);
    if (comment.len < 20)
        fail_msg("%s is not explained", o->key);
    if (!mentions(comment, o->flag) || !mentions(comment, o->environment))
        fail_msg("the explanation of %s does not mention %s %s", o->key, o->flag, o->environment);
}

/* etc/colmeia.ini shows each option of options.def once, in its order, with its default, explained,
 * and nothing else. */
static void test_sample_matches_options(void **state)
{
    struct slice rest = read_sample();
    const char *section = "", *comment = rest.ptr;
    size_t next = 0;
    while (rest.ptr) {
        struct slice value, line = slice_split(&rest, '\n');
        if (is_default_line(line, &value)) {
            assert_true(next < OPTIONS_LEN);
            check_sample_line(&config_options[next++], section, value,
                              (struct slice){comment, (size_t)(line.ptr - comment)});
        } else if (line.len && line.ptr[0] == '[') {
            section = next < OPTIONS_LEN ? config_options[next].section : "";
            assert_true(slice_equals(slice_trim(line, "[]"), slice_of(section)));
        } else if (line.len && line.ptr[0] != '#') {
            fail_msg("\"%.*s\" is no comment", SLICE_ARGS(line));
        }
        if (line.len == 0)
            comment = rest.ptr;
    }
    assert_int_equal(next, OPTIONS_LEN);
}

/* As it is shipped it loads without a word and changes nothing; so it does with every comment sign
 * before a key taken away, and then every value is the file's. */
static void test_sample_loads(void **state)
{
    struct slice rest = read_sample();
    FILE *f = fopen("c.ini", "w");
    assert_non_null(f);
    while (rest.ptr) {
        struct slice line = slice_split(&rest, '\n');
        is_default_line(line, &line);
        fprintf(f, "%.*s\n", SLICE_ARGS(line));
    }
    assert_int_equal(fclose(f), 0);
    config_write_or_remove(".env", NULL);
    struct config *usual = config_load_held("/dev/null", NULL, NULL);
    const char *const paths[] = {config_sample_path, "c.ini"};
    for (size_t i = 0; i < LEN(paths); i++) {
        struct config *c = config_load_held(paths[i], NULL, NULL);
        assert_string_equal(config_text_of(&config_held.errors), "");
        assert_string_equal(config_text_of(&config_held.warnings), "");
        config_assert_equal(usual, c);
        for (size_t k = 0; k < OPTIONS_LEN; k++)
            assert_int_equal(c->private_data->sources[k], i ? CONFIG_INI : CONFIG_DEFAULT);
    }
}

/* ---- fields and help ------------------------------------------------------------------------ */

static void test_fields(void **state)
{
    static const char *const flags[] = {"--bind=:1,:2", "--log-level=error",
                                        "--keepalive-timeout=2m", NULL};
    const char *path;
    config_write_or_remove(".env", NULL);
    struct config *c = config_load_held(NULL, NULL, flags);
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
    config_free(NULL);
}

static void test_workers_of_memory(void **state)
{
    static const char *const flags[] = {"--database-url", "sqlite:///:memory:", NULL};
    const char *path;
    config_write_or_remove(".env", NULL);
    struct config *c = config_load_held(NULL, NULL, flags);
    assert_non_null(c);
    assert_int_equal(config_database(c, &path), CONFIG_DATABASE_MEMORY);
    assert_int_equal(config_workers(c), 1);
}

static void test_help(void **state)
{
    struct buf *out = &config_held.text;
    config_help(out);
    const char *text = config_text_of(out);
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (config_options[i].flag[0])
            assert_non_null(strstr(text, config_options[i].flag));
    assert_true(config_has_line(text, "  --port PORT       (default: 8000)"));
    assert_true(config_has_line(text,
                                "  --workers N|auto  number of worker processes, or auto: one per "
                                "usable core"));
    struct slice rest = buf_slice(out);
    while (rest.ptr)
        assert_true(slice_split(&rest, '\n').len < 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_numbers),
        CONFIG_TEST(test_durations),
        CONFIG_TEST(test_sizes),
        CONFIG_TEST(test_words),
        CONFIG_TEST(test_texts),
        CONFIG_TEST(test_no_memory),
        CONFIG_TEST(test_quote),
        CONFIG_TEST(test_suggestions),
        CONFIG_TEST(test_auto_workers),
        CONFIG_TEST(test_cgroups),
        CONFIG_TEST(test_print_loads_again),
        CONFIG_TEST(test_sample_matches_options),
        CONFIG_TEST(test_sample_loads),
        CONFIG_TEST(test_fields),
        CONFIG_TEST(test_workers_of_memory),
        CONFIG_TEST(test_help),
    };
    return cmocka_run_group_tests(tests, config_group_setup, config_group_teardown);
}
