/* test_ctl.c: the client of the control socket: its words, its exit codes, what it prints. */
#include "master/cli.h"
#include "master/ctl.h"
#include "master/ctl_table.h"
#include "shared/door.h"
#include "shared/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 10 };

static char *nobody[] = {NULL};

/* "a b c" as words, in the text's own memory. */
static int split(char *text, char *argv[WORDS_MAX])
{
    int argc = 0;
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const struct words_case {
    const char *words;
    const char
        *want; /* line | seconds | json help | control | config | env-file | flags; or error */
} words_cases[] = {
    {"status", "status|10||-|-|-|"},
    {"--json status", "status|10|json|-|-|-|"},
    {"status --json", "status|10|json|-|-|-|"},
    {"--help", "|0|help|-|-|-|"},
    {"status -h", "status|0|help|-|-|-|"},
    {"reload", "reload|10||-|-|-|"},
    {"reload --wait", "reload --wait|90||-|-|-|"},
    {"upgrade --wait --binary /x%y", "upgrade --wait --binary=/x%25y|90||-|-|-|"},
    {"upgrade", "upgrade|10||-|-|-|"},
    {"reload --wait --timeout 80", "reload --wait|80||-|-|-|"},
    {"wait ready", "wait ready|90||-|-|-|"},
    {"--timeout=3 wait ready", "wait ready|3||-|-|-|"},
    {"scale -1", "scale -1|10||-|-|-|"},
    {"scale +1 --control /x", "scale +1|10||/x|-|-|"},
    {"--control=/x --config c.ini --env-file e scale 2", "scale 2|10||/x|c.ini|e|"},
    {"--workers 3 status", "status|10||-|-|-| --workers 3"},
    {"--debug debug on", "debug on|10||-|-|-| --debug"},
    {"--debug=no debug off", "debug off|10||-|-|-| --debug=no"},
    {"--bind=:81 --port 9 status", "status|10||-|-|-| --bind=:81 --port 9"},
    {"top", "top|10||-|-|-|"},
    {"top --count 3", "top|10||-|-|-|"},
    {"--count=1000000 top", "top|10||-|-|-|"},
    {"top --count", "--count needs a value"},
    {"top --count 0", "--count is a number from 1 to 1000000"},
    {"top --count 1000001", "--count is a number from 1 to 1000000"},
    {"top --cuont 3", "unknown option \"--cuont\"; did you mean --count?"},
    {"status --count 3", "--count belongs to top"},
    {"", "which command? as in: colmeia ctl status"},
    {"--json", "which command? as in: colmeia ctl status"},
    {"statsu", "unknown command \"statsu\"; did you mean \"status\"?"},
    {"status --quick", "status: unknown option \"--quick\""},
    {"--jsno status", "unknown option \"--jsno\"; did you mean --json?"},
    {"reload --wiat", "unknown option \"--wiat\"; did you mean --wait?"},
    {"--wrokers 3 status", "unknown option \"--wrokers\"; did you mean --workers?"},
    {"--frobnicate=1 status", "unknown option \"--frobnicate\""},
    {"status --timeout", "--timeout needs a value"},
    {"status --timeout 0", "--timeout is a number of seconds from 1 to 86400"},
    {"status --timeout 1.5", "--timeout is a number of seconds from 1 to 86400"},
    {"status --timeout 86401", "--timeout is a number of seconds from 1 to 86400"},
    {"status --control", "--control needs a value"},
    {"status --control=", "--control needs a value"},
    {"scale 0", "scale: \"0\" is no number from 1 to 256; write: scale N|+N|-N|reset"},
};

static void describe(const struct ctl *ctl, struct buf *out)
{
    buf_printf(out, "%.*s|%lld|%s%s|%s|%s|%s|", SLICE_ARGS(buf_slice(&ctl->line)),
               (long long)ctl->timeout_ms / 1000, ctl->json ? "json" : "", ctl->help ? "help" : "",
               ctl->control ? ctl->control : "-",
               ctl->flags.config_path ? ctl->flags.config_path : "-",
               ctl->flags.env_path ? ctl->flags.env_path : "-");
    for (int i = 0; i < ctl->flags.argc; i++)
        buf_printf(out, " %s", ctl->flags.argv[i]);
}

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words_cases / sizeof words_cases[0]; i++) {
        char *text = strdup(words_cases[i].words), *argv[WORDS_MAX];
        int argc = split(text, argv);
        struct ctl ctl;
        struct buf got = {0};
        if (ctl_parse(argc, argv, nobody, &ctl, &got)) {
            assert_int_equal(got.len, 0);
            describe(&ctl, &got);
        }
        buf_append_char(&got, '\0');
        assert_string_equal(got.data, words_cases[i].want);
        buf_free(&got);
        ctl_free(&ctl);
        free(text);
    }
}

/* The program's own parser leaves all of it to the verb. */
static void test_raw_verb(void **state)
{
    (void)state;
    static const struct verb verbs[] = {{"run", "", "", "", 0, true, NULL},
                                        {"ctl", "", "", "", CLI_WORDS_RAW, false, NULL}};
    char text[] = "colmeia ctl --json scale -1 --help", *argv[WORDS_MAX];
    int argc = split(text, argv);
    struct cli cli;
    struct buf error = {0};
    assert_true(cli_parse(verbs, 2, argc, argv, nobody, &cli, &error));
    assert_ptr_equal(cli.verb, &verbs[1]);
    assert_false(cli.help);
    assert_int_equal(cli.argc, 4);
    assert_string_equal(cli.argv[0], "--json");
    assert_string_equal(cli.argv[3], "--help");
    cli_free(&cli);
}

/* ---- conversations --------------------------------------------------------------------------- */

static char *slurp(FILE *f)
{
    long len = ftell(f);
    char *text = calloc(1, (size_t)len + 1);
    rewind(f);
    assert_int_equal(fread(text, 1, (size_t)len, f), (size_t)len);
    fclose(f);
    return text;
}

/* A conversation with a server that has said all it will; what it got is in *heard*. */
static enum ctl_code talk(const char *words, const char *answer, int64_t timeout_ms, char **out_r,
                          char **err_r, char heard[static 128])
{
    char *text = strdup(words), *argv[WORDS_MAX];
    int ends[2], argc = split(text, argv);
    struct ctl ctl;
    struct buf error = {0};
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(ctl_parse(argc, argv, nobody, &ctl, &error));
    if (timeout_ms)
        ctl.timeout_ms = timeout_ms;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    size_t len = strlen(answer);
    assert_int_equal(send(ends[0], answer, len, 0), (ssize_t)len);
    if (!timeout_ms)
        shutdown(ends[0], SHUT_WR);
    enum ctl_code code = ctl_talk(&ctl, ends[1], out, err);
    ssize_t n = recv(ends[0], heard, 127, MSG_DONTWAIT);
    heard[n > 0 ? n : 0] = '\0';
    *out_r = slurp(out);
    *err_r = slurp(err);
    close(ends[0]);
    close(ends[1]);
    ctl_free(&ctl);
    free(text);
    return code;
}

static const struct talk_case {
    const char *words, *answer;
    enum ctl_code code;
    const char *out, *err;
} talk_cases[] = {
    {"reload", "{\"ok\":true,\"text\":\"reload 12: done\"}\n", CTL_DONE, "reload 12: done\n", ""},
    {"reload --wait", "{\"ok\":false,\"error\":\"reload 12 failed\",\"log\":[\"a\",\"b\"]}\n",
     CTL_FAILED, "", "colmeia: reload 12 failed\n  a\n  b\n"},
    {"reload --dry-run", "{\"ok\":true,\"changes\":[\"server.workers 2 → 4\",\"x\"]}\n", CTL_DONE,
     "server.workers 2 → 4\nx\n", ""},
    {"reload --dry-run", "{\"ok\":true,\"changes\":[]}\n", CTL_DONE, "nothing would change\n", ""},
    {"scale +1", "{\"ok\":true,\"workers\":4}\n", CTL_DONE, "workers: 4\n", ""},
    {"recycle all", "{\"ok\":true,\"text\":\"t\"}\n", CTL_DONE, "t\n", ""},
    {"dump 0", "{\"ok\":true}\n", CTL_DONE, "done\n", ""},
    {"stop --quick", "{\"ok\":true,\"text\":\"stopping\"}\n", CTL_DONE, "stopping\n", ""},
    {"retry", "{\"ok\":false,\"error\":\"no\"}\n", CTL_FAILED, "", "colmeia: no\n"},
    {"retry", "{\"ok\":false}\n", CTL_FAILED, "", "colmeia: -\n"},
    {"--json retry", "{\"ok\": true, \"x\":1.5}\n", CTL_DONE, "{\"ok\": true, \"x\":1.5}\n", ""},
    {"--json retry", "{\"ok\":false,\"error\":\"no\"}\n", CTL_FAILED,
     "{\"ok\":false,\"error\":\"no\"}\n", "colmeia: no\n"},
    {"retry", "nonsense\n", CTL_FAILED, "", "colmeia: the answer is no JSON object: nonsense\n"},
    {"retry", "[1]\n", CTL_FAILED, "", "colmeia: the answer is no JSON object: [1]\n"},
    {"retry", "{\"ok\":tr", CTL_FAILED, "",
     "colmeia: the server closed the connection in the middle of its answer\n"},
    {"retry", "", CTL_FAILED, "", "colmeia: the server closed the connection without an answer\n"},
    {"events", "{\"ok\":true,\"events\":[{\"time\":\"T\",\"text\":\"a\"},{\"n\":1}]}\n", CTL_DONE,
     "T  a\n{\"n\":1}\n", ""},
    {"events --follow", "{\"ok\":true,\"events\":[{\"text\":\"a\"}]}\n{\"text\":\"b\"}\n{\"te",
     CTL_DONE, "a\nb\n", ""},
    {"events --follow --json", "{\"ok\":true,\"events\":[]}\n{\"text\":\"b\"}\n", CTL_DONE,
     "{\"ok\":true,\"events\":[]}\n{\"text\":\"b\"}\n", ""},
    {"events --follow", "{\"ok\":true,\"events\":[]}\nx\n", CTL_FAILED, "",
     "colmeia: the answer is no JSON object: x\n"},
    {"events --follow", "{\"ok\":false,\"error\":\"no\"}\n", CTL_FAILED, "", "colmeia: no\n"},
    {"why 1", "{\"ok\":true,\"text\":\"worker 1 died\"}\n", CTL_DONE, "worker 1 died\n", ""},
    {"why 1",
     "{\"ok\":true,\"text\":\"worker 1 (pid 7) died\",\"words\":\"out of luck\\n\","
     "\"stack\":[\"main+0x1\",\"start\"],\"in_flight\":[{\"age_ms\":2500,\"route\":\"PUT /users/7\","
     "\"id\":\"c3\"}],\"recent\":[{\"age_ms\":65000,\"route\":\"GET /\","
     "\"status\":200,\"duration_us\":412,\"id\":\"a1\"},{\"age_ms\":1200,\"route\":"
     "\"POST /users/\",\"status\":0,\"duration_us\":1234567,\"id\":\"b22\"}]}\n",
     CTL_DONE,
     "worker 1 (pid 7) died\n\nLast words:\nout of luck\n\nStack:\n  main+0x1\n  start\n\n"
     "In flight, never answered:\n"
     "BEGAN  REQUEST       ID\n"
     "2.5 s  PUT /users/7  c3\n\n"
     "Last requests:\n"
     "  AGO  REQUEST       STATUS       TOOK  ID\n"
     "1m05s  GET /            200     412 us  a1\n"
     "1.2 s  POST /users/       -  1234.5 ms  b22\n",
     ""},
    /* what clients and files wrote must not steer the terminal */
    {"why 1", "{\"ok\":true,\"text\":\"\\u001b[2J\\u009b1m\\u007f\\tü\"}\n", CTL_DONE,
     "?[2J??1m??ü\n", ""},
    {"retry", "{\"ok\":false,\"error\":\"\\u001b]0;x\\u0007\"}\n", CTL_FAILED, "",
     "colmeia: ?]0;x?\n"},
};

static void test_talk(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof talk_cases / sizeof talk_cases[0]; i++) {
        const struct talk_case *c = &talk_cases[i];
        char *out, *err, heard[128];
        enum ctl_code code = talk(c->words, c->answer, 0, &out, &err, heard);
        assert_string_equal(out, c->out);
        assert_string_equal(err, c->err);
        assert_int_equal(code, c->code);
        assert_int_equal(heard[strlen(heard) - 1], '\n');
        free(out);
        free(err);
    }
}

static void test_what_is_sent(void **state)
{
    (void)state;
    char *out, *err, heard[128];
    talk("--json scale --timeout 5 -1", "{\"ok\":true}\n", 0, &out, &err, heard);
    assert_string_equal(heard, "scale -1\n");
    free(out);
    free(err);
}

static void test_timeout(void **state)
{
    (void)state;
    static const char *const answers[] = {"", "{\"ok\":tr"};
    for (size_t i = 0; i < 2; i++) {
        char *out, *err, heard[128];
        assert_int_equal(talk("wait ready", answers[i], 20, &out, &err, heard), CTL_TIMEOUT);
        assert_string_equal(out, "");
        assert_string_equal(err, "colmeia: no answer within 20 ms\n");
        free(out);
        free(err);
    }
}

/* Turned away before it could say a word: the reason still arrives. */
static void test_turned_away(void **state)
{
    (void)state;
    static const char answer[] = "{\"ok\":false,\"error\":\"full\"}\n";
    int ends[2];
    struct ctl ctl = {.timeout_ms = 10000, .call = {.command = CONTROL_STATUS}};
    FILE *out = tmpfile(), *err = tmpfile();
    buf_printf(&ctl.line, "status");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(send(ends[0], answer, strlen(answer), 0), (ssize_t)strlen(answer));
    close(ends[0]);
    assert_int_equal(ctl_talk(&ctl, ends[1], out, err), CTL_FAILED);
    char *said = slurp(err);
    assert_string_equal(said, "colmeia: full\n");
    free(said);
    fclose(out);
    close(ends[1]);
    buf_free(&ctl.line);
}

/* An answer that no socket buffer holds comes in pieces. */
static void test_big_answer(void **state)
{
    (void)state;
    enum { BIG = 4 << 20 };
    int ends[2];
    struct ctl ctl = {.timeout_ms = 60000, .json = true, .call = {.command = CONTROL_STATUS}};
    struct buf answer = {0};
    buf_printf(&answer, "{\"ok\":true,\"x\":\"%*s\"}\n", BIG, "");
    buf_printf(&ctl.line, "status");
    FILE *out = tmpfile(), *err = tmpfile();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        size_t sent = 0;
        ssize_t n = 1;
        for (; sent < answer.len && n > 0; sent += n > 0 ? (size_t)n : 0)
            n = send(ends[0], answer.data + sent, answer.len - sent, MSG_NOSIGNAL);
        _exit(sent == answer.len ? 0 : 1);
    }
    close(ends[0]);
    assert_int_equal(ctl_talk(&ctl, ends[1], out, err), CTL_DONE);
    char *said = slurp(out);
    assert_int_equal(strlen(said), answer.len);
    assert_memory_equal(said, answer.data, answer.len);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(said);
    fclose(err);
    close(ends[1]);
    buf_free(&answer);
    buf_free(&ctl.line);
}

/* Nobody can read it: that is no success. */
static void test_full_disk(void **state)
{
    (void)state;
    int ends[2];
    struct ctl ctl = {.timeout_ms = 10000, .call = {.command = CONTROL_RETRY}};
    FILE *out = fopen("/dev/full", "w"), *err = tmpfile();
    buf_printf(&ctl.line, "retry");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(send(ends[0], "{\"ok\":true}\n", 12, 0), 12);
    assert_int_equal(ctl_talk(&ctl, ends[1], out, err), CTL_FAILED);
    fclose(out);
    fclose(err);
    close(ends[0]);
    close(ends[1]);
    buf_free(&ctl.line);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void fill_scoreboard(struct scoreboard *s)
{
    for (size_t i = 0; i < 3; i++) {
        scoreboard_use(s, i);
        atomic_store(&s->slots[i].pid, i < 2 ? 4243 + (int)i : 0);
        atomic_store(&s->slots[i].generation, 7);
        atomic_store(&s->slots[i].state, i < 2 ? SLOT_READY : SLOT_BACKOFF);
        atomic_store(&s->slots[i].started_ms, 1000);
        atomic_store(&s->slots[i].beat_ms, 90000000 - 12 * (int)i);
    }
    atomic_store(&s->slots[0].connections, 12);
    atomic_store(&s->slots[0].busy, 1);
    atomic_store(&s->slots[0].lag_us, 999);
    atomic_store(&s->slots[1].lag_us, 20500);
    atomic_store(&s->slots[1].counters[COUNTER_requests], 123456);
    atomic_store(&s->totals[COUNTER_responses_5xx], 3);
}

/* The renderer's words are the printer's. */
static void test_status(void **state)
{
    (void)state;
    struct buf answer = {0};
    int64_t retry_ms[] = {STATUS_NO_RETRY, STATUS_NO_RETRY, 1500};
    const struct status_listener listeners[] = {{"127.0.0.1:8000", "bind", 2, 128, 2048, DOOR_PROXY | DOOR_TLS},
                                                {"unix:/run/x.sock", "bind", -1, -1, 2048, 0}};
    struct scoreboard *s = scoreboard_new(3);
    fill_scoreboard(s);
    counter_add(&s->slots[0], COUNTER_slow_callbacks, 3);
    counter_add(&s->slots[1], COUNTER_slow_polls, 1);
    scoreboard_note_turn(&s->slots[0], 7999);
    scoreboard_note_turn(&s->slots[0], 8000);
    scoreboard_note_turn(&s->slots[1], 5000000);
    atomic_store(&s->slots[0].upstream_breaker, BREAKER_CLOSED);
    atomic_store(&s->slots[0].upstream_busy, 3);
    atomic_store(&s->slots[1].upstream_breaker, BREAKER_OPEN);
    atomic_store(&s->slots[1].upstream_waiting, 4);
    counter_add(&s->slots[1], COUNTER_upstream_calls, 9);
    counter_add(&s->slots[1], COUNTER_upstream_retries, 2);
    counter_add(&s->slots[1], COUNTER_upstream_failures, 5);
    struct status_facts facts = {.version = "0.1.0",
                                 .debug = true,
                                 .pid = 4242,
                                 .now = {90000000},
                                 .uptime_ms = 90001000,
                                 .state = STATUS_DEGRADED,
                                 .generation = 7,
                                 .config_path = "/etc/colmeia/colmeia.ini",
                                 .config_loaded_at = 1700000000,
                                 .config_hash = "ab12",
                                 .workers_configured = 2,
                                 .workers_override = 3,
                                 .workers_target = 3,
                                 .listeners = listeners,
                                 .listeners_len = 2,
                                 .last_reload = {12, "ok", "reload 12: done", 5400},
                                 .last_death = "worker 2 died",
                                 .scoreboard = s,
                                 .retry_ms = retry_ms};
    buf_printf(&answer, "{\"ok\":true,\"status\":");
    status_render(&facts, &answer);
    buf_append(&answer, "}\n", 3);
    char *out, *err, heard[128];
    assert_int_equal(talk("status", answer.data, 0, &out, &err, heard), CTL_DONE);
    assert_string_equal(err, "");
    assert_string_equal(
        out, "colmeia 0.1.0: degraded, pid 4242, up 1d01h, generation 7\n"
             "workers      2 of 3 ready, 1 backoff (configured 2; changed by scale)\n"
             "config       /etc/colmeia/colmeia.ini, loaded 2023-11-14T22:13:20Z, hash ab12\n"
             "listener     127.0.0.1:8000 proxy tls (bind), queue 2 of 128 (2048 asked)\n"
             "listener     unix:/run/x.sock (bind)\n"
             "last reload  ok, 5.4 s ago: reload 12: done\n"
             "last death   worker 2 died\n"
             "requests     123456 (3 of them 5xx)\n"
             "connections  12, 1 busy\n"
             "loops        3 slow callbacks, 1 slow polls, held for 512 ms or more 1 times; debug mode is "
             "on\n"
             "upstream     circuit broken in 1 of 2 workers, 3 calls under way, 4 waiting; 9 calls (2 "
             "again), 5 failed\n"
             "\n"
             "SLOT   PID  GEN  STATE       UP   BEAT      LAG  SLOW  CONNS  BUSY  REQUESTS   NEXT\n"
             "   0  4243    7  ready    1d00h   0 ms   999 us     3     12     1         0      -\n"
             "   1  4244    7  ready    1d00h  12 ms  20.5 ms     0      0     0    123456      -\n"
             "   2     -    7  backoff      -      -     0 us     0      0     0         0  1.5 s\n");
    free(out);
    free(err);
    buf_free(&answer);
    scoreboard_free(s);
}

/* A server of another version says less: no reason to fail. */
static void test_meagre_status(void **state)
{
    (void)state;
    char *out, *err, heard[128];
    assert_int_equal(talk("status", "{\"ok\":true,\"status\":{\"slots\":[{\"memory_kib\":5}]}}\n",
                          0, &out, &err, heard),
                     CTL_DONE);
    assert_string_equal(err, "");
    assert_non_null(strstr(out, "colmeia -: -, pid 0, up -, generation 0\n"));
    assert_non_null(strstr(out, "NEXT  KIB\n"));
    assert_non_null(strstr(out, "-    5\n"));
    free(out);
    free(err);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void test_table(void **state)
{
    (void)state;
    static const char *const heads[] = {"A", ">NUMBER", "C"};
    struct table t;
    struct buf out = {0};
    table_init(&t, heads, 3);
    for (int i = 0; i < 40; i++) {
        table_add(&t, "%s", i == 1 ? "ééé" : "x");
        table_add(&t, "%d", i);
        table_add(&t, "%*sé", i == 2 ? TABLE_CELL_MAX - 2 : 0, ""); /* the cut goes through é */
    }
    table_write(&t, &out);
    buf_append_char(&out, '\0');
    static const char want[] = "A    NUMBER  C\n"
                               "x         0  é\n"
                               "ééé       1  é\n";
    assert_int_equal(strncmp(out.data, want, strlen(want)), 0);
    const char *cut = out.data + strlen(want) + strlen("x         2  ");
    assert_int_equal(strspn(cut, " "), TABLE_CELL_MAX - 2);
    assert_int_equal(cut[TABLE_CELL_MAX - 2], '\n');
    assert_non_null(strstr(out.data, "x        39  é\n"));
    buf_free(&out);
    table_free(&t);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void expect_no_connection(const char *path, enum ctl_code want, const char *why)
{
    int fd = -1;
    struct buf error = {0};
    assert_int_equal(ctl_connect(path, 20, &fd, &error), want);
    buf_append_char(&error, '\0');
    if (!strstr(error.data, why) || !strstr(error.data, path))
        fail_msg("%s", error.data);
    assert_int_equal(fd, -1);
    buf_free(&error);
}

static void test_connect(void **state)
{
    (void)state;
    char directory[] = "/tmp/colmeia-ctl-XXXXXX", too_long[200];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;
    struct buf error = {0};
    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", directory);
    expect_no_connection(address.sun_path, CTL_NO_CONNECTION, "is the server running?");
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    expect_no_connection(address.sun_path, CTL_NO_CONNECTION, "no server answers there any more");
    assert_int_equal(listen(server, 0), 0); /* room for one */
    assert_int_equal(ctl_connect(address.sun_path, 1000, &fd, &error), CTL_DONE);
    assert_int_equal(error.len, 0);
    expect_no_connection(address.sun_path, CTL_TIMEOUT, "takes no connection within 20 ms");
    memset(too_long, 'x', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    expect_no_connection(too_long, CTL_NO_CONNECTION, "too long");
    close(fd);
    close(server);
    unlink(address.sun_path);
    rmdir(directory);
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* ctl_main in a process of its own; both its outputs together. */
static int run(const char *words, char **text_r)
{
    char *text = strdup(words), *argv[WORDS_MAX];
    int argc = split(text, argv), status;
    FILE *both = tmpfile();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(both), STDOUT_FILENO);
        dup2(fileno(both), STDERR_FILENO);
        int code = ctl_main(argc, argv, nobody);
        fflush(NULL);
        _exit(code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    fseek(both, 0, SEEK_END);
    *text_r = slurp(both);
    free(text);
    if (!WIFEXITED(status))
        fail_msg("ctl %s: killed: %s", words, *text_r);
    return WEXITSTATUS(status);
}

static const struct {
    const char *words;
    int code;
    const char *says;
} verb_cases[] = {
    {"--help", CTL_DONE, "  scale N|+N|-N|reset\n"},
    {"", CTL_USAGE, "colmeia: which command? as in: colmeia ctl status\nTry \"colmeia ctl"},
    {"statsu", CTL_USAGE, "did you mean \"status\"?"},
    {"status --workers", CTL_USAGE, "colmeia: command line --workers: the value is missing"},
    {"status --control /nonexistent/x", CTL_NO_CONNECTION,
     "colmeia: cannot connect to the control socket /nonexistent/x: there is no such socket; is "
     "the server running? (another one is named with --control PATH, or [supervisor] control in "
     "the configuration)\n"},
    {"status --env-file /dev/null --config /nonexistent/c.ini", CTL_NO_CONNECTION,
     "/nonexistent/c.ini"},
    {"status --env-file /dev/null --config /dev/null --database-url sqlite:////nonexistent/x.db",
     CTL_NO_CONNECTION, "control socket /nonexistent/x.db.ctl.sock: "},
    {"status --env-file /dev/null --config /dev/null --database-url sqlite:///:memory:",
     CTL_NO_CONNECTION,
     "colmeia: the configuration names no control socket; name it with --control PATH\n"},
};

static void test_verb(void **state)
{
    (void)state;
    unsetenv("RUNTIME_DIRECTORY");
    unsetenv("XDG_RUNTIME_DIR");
    for (size_t i = 0; i < sizeof verb_cases / sizeof verb_cases[0]; i++) {
        char *text;
        int code = run(verb_cases[i].words, &text);
        if (code != verb_cases[i].code || !strstr(text, verb_cases[i].says))
            fail_msg("ctl %s: %d: %s", verb_cases[i].words, code, text);
        free(text);
    }
}

/* A broken configuration does not hide a server that systemd started. */
static void test_broken_configuration(void **state)
{
    (void)state;
    char *text;
    setenv("RUNTIME_DIRECTORY", "/nonexistent/run", 1);
    assert_int_equal(run("reload --env-file /dev/null --config /nonexistent/c.ini", &text),
                     CTL_NO_CONNECTION);
    assert_non_null(strstr(text, "/nonexistent/c.ini"));
    assert_non_null(strstr(text, "control socket /nonexistent/run/ctl.sock: "));
    free(text);
    unsetenv("RUNTIME_DIRECTORY");
}

static void test_help(void **state)
{
    (void)state;
    struct buf out = {0};
    ctl_help(&out);
    buf_append_char(&out, '\0');
    for (enum control_command c = 0; c < CONTROL_COMMANDS; c++) {
        assert_non_null(strstr(out.data, command_of(c)->help));
        assert_non_null(strstr(out.data, command_of(c)->usage));
    }
    for (const char *line = out.data; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 80);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),      cmocka_unit_test(test_raw_verb),
        cmocka_unit_test(test_talk),       cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_timeout),    cmocka_unit_test(test_turned_away),
        cmocka_unit_test(test_big_answer), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_status),     cmocka_unit_test(test_meagre_status),
        cmocka_unit_test(test_table),      cmocka_unit_test(test_connect),
        cmocka_unit_test(test_verb),       cmocka_unit_test(test_broken_configuration),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
