/* test_top.c: "colmeia ctl top": answers into facts, facts into screens, keys. The screens are files in
 * tests/unit/top_screens; COLMEIA_GOLDEN=write writes them anew, to be looked at before they are
 * committed. */
#include "master/ctl_say.h"
#include "master/top_facts.h"
#include "master/top_screen.h"
#include "master/top_terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- facts ----------------------------------------------------------------------------------- */

/* The buckets that are known, and a slot's durations: its first four and its last. */
#define BOUNDS                                                                                     \
    "\"duration_bounds_us\":[100,250,500,1000,2500,5000,10000,25000,50000,100000,250000,500000,"    \
    "1000000,2500000,5000000,10000000,30000000],"
#define DURATIONS(four, last)                                                                        \
    "\"durations\":{\"counts\":[" four ",0,0,0,0,0,0,0,0,0,0,0,0,0," last "]}"

static const char first_answer[] =
    "{\"ok\":true,\"status\":{\"version\":\"0.1.0\",\"pid\":4711,\"uptime_ms\":20000,\"state\":\"ready\","
    "\"generation\":3,\"workers\":{\"configured\":1,\"override\":2,\"target\":2,\"by_state\":{"
    "\"starting\":0,\"ready\":2,\"draining\":1}},\"listeners\":[{\"queue\":3,\"limit\":128},"
    "{\"queue\":null,\"limit\":null},{\"queue\":1,\"limit\":10}],\"last_reload\":null,"
    "\"transition\":null,\"last_death\":null,\"connections\":7,\"busy\":2,"
    "\"totals\":{\"requests\":1000,\"responses_5xx\":10}," BOUNDS "\"slots\":["
    "{\"slot\":0,\"pid\":10,\"generation\":3,\"state\":\"ready\",\"uptime_ms\":10000,\"lag_us\":1500,"
    "\"connections\":5,\"busy\":2,\"requests\":500,\"hashes_queued\":2,\"store_queued\":4,"
    "\"cpu_ms\":1000,\"memory_kib\":2048,\"retry_ms\":null," DURATIONS("400,0,0,96", "4") "},"
    "{\"slot\":1,\"pid\":null,\"generation\":3,\"state\":\"backoff\",\"uptime_ms\":null,"
    "\"retry_ms\":250," DURATIONS("0,0,0,0", "0") "}]}}";

/* Five seconds later; a third worker has come. */
static const char second_answer[] =
    "{\"ok\":true,\"status\":{\"version\":\"0.1.0\",\"pid\":4711,\"uptime_ms\":25000,\"state\":\"reloading\","
    "\"generation\":3,\"workers\":{\"configured\":1,\"target\":2,\"by_state\":{\"ready\":1}},"
    "\"last_reload\":{\"result\":\"failed\",\"age_ms\":65000,\"text\":\"reload 11 failed\"},"
    "\"transition\":{\"kind\":\"reload\",\"number\":12,\"step\":\"start\",\"ready\":1,\"needed\":2,"
    "\"leaving\":0,\"age_ms\":1200},\"last_death\":\"worker 1 died\",\"connections\":0,\"busy\":0,"
    "\"totals\":{\"requests\":1100,\"responses_5xx\":10}," BOUNDS "\"slots\":["
    "{\"slot\":0,\"pid\":10,\"state\":\"ready\",\"uptime_ms\":15000,\"requests\":550,\"cpu_ms\":1250,"
    DURATIONS("410,0,0,136", "4") "},"
    "{\"slot\":2,\"pid\":12,\"state\":\"starting\",\"uptime_ms\":500,\"requests\":1,\"cpu_ms\":600,"
    DURATIONS("1,0,0,0", "0") "}]}}";

static void take(struct top_facts *f, struct top_past *past, const char *answer, int64_t now_ms)
{
    struct buf error = {0};
    assert_true(top_facts_take(f, past, slice_of(answer), (mono_ms){now_ms}, &error));
    assert_int_equal(error.len, 0);
}

static void test_first_answer(void **state)
{
    (void)state;
    struct top_facts f = {0};
    struct top_past past = {0};
    take(&f, &past, first_answer, 70000);
    assert_string_equal(f.version, "0.1.0");
    assert_string_equal(f.state, "ready");
    assert_int_equal(f.pid, 4711);
    assert_int_equal(f.ready, 2);
    assert_int_equal(f.override, 2);
    assert_string_equal(f.others, ", 1 draining");
    assert_int_equal(f.queue, 4);
    assert_int_equal(f.queue_limit, 138);
    assert_int_equal(f.rate_tenths, 500); /* since the start */
    assert_int_equal(f.errors_tenths, 5);
    assert_string_equal(f.transition, "");
    assert_string_equal(f.last_reload, "");
    assert_string_equal(f.last_death, "");
    assert_int_equal(f.hashes, 2);
    assert_int_equal(f.calls, 4);
    assert_int_equal(f.rows_len, 2);
    const struct top_row *r = &f.rows[0];
    assert_int_equal(r->uptime_us, 10000000);
    assert_int_equal(r->rate_tenths, 500);
    assert_int_equal(r->p50_us, 62);
    assert_int_equal(r->p99_us, 994);
    assert_int_equal(r->cpu_permille, 100);
    assert_int_equal(r->memory_kib, 2048);
    assert_int_equal(r->retry_us, -1);
    r = &f.rows[1];
    assert_int_equal(r->pid, -1);
    assert_string_equal(r->state, "backoff");
    assert_int_equal(r->rate_tenths, -1);
    assert_int_equal(r->p50_us, -1);
    assert_int_equal(r->retry_us, 250000);
    top_facts_free(&f);
    top_past_free(&past);
}

/* Between two answers; a worker that is new since its start. */
static void test_second_answer(void **state)
{
    (void)state;
    struct top_facts f = {0};
    struct top_past past = {0};
    take(&f, &past, first_answer, 70000);
    take(&f, &past, second_answer, 75000);
    assert_int_equal(f.rate_tenths, 200);
    assert_int_equal(f.errors_tenths, 0);
    assert_int_equal(f.override, -1);
    assert_int_equal(f.queue, -1);
    assert_string_equal(f.transition, "reload 12: start, 1 of 2 new ready, 0 leaving, for 1.2 s");
    assert_string_equal(f.last_reload, "failed, 1m05s ago: reload 11 failed");
    assert_false(f.last_reload_ok);
    assert_string_equal(f.last_death, "worker 1 died");
    assert_int_equal(f.rows_len, 2);
    const struct top_row *r = &f.rows[0];
    assert_int_equal(r->rate_tenths, 100);
    assert_int_equal(r->cpu_permille, 50);
    assert_int_equal(r->p50_us, 687); /* of 10 and 40 */
    assert_int_equal(r->p99_us, 1000);
    r = &f.rows[1];
    assert_int_equal(r->rate_tenths, 20);
    assert_int_equal(r->cpu_permille, 1200);
    assert_int_equal(r->p50_us, 100);
    top_facts_free(&f);
    top_past_free(&past);
}

/* The same pid counts from the beginning again: nothing is known, and nothing is below 0. */
static void test_counters_that_run_backwards(void **state)
{
    (void)state;
    struct top_facts f = {0};
    struct top_past past = {0};
    take(&f, &past, second_answer, 75000);
    take(&f, &past, first_answer, 75000);
    assert_int_equal(f.rate_tenths, -1);
    assert_int_equal(f.rows[0].rate_tenths, -1);
    assert_int_equal(f.rows[0].cpu_permille, -1);
    top_facts_free(&f);
    top_past_free(&past);
}

static void test_no_answer(void **state)
{
    static const struct {
        const char *answer, *error;
    } cases[] = {
        {"", "the answer is no JSON object"},
        {"[1]", "the answer is no JSON object"},
        {"{\"ok\":false,\"error\":\"no\"}", "no"},
        {"{\"ok\":true}", "-"},
        {"{\"ok\":true,\"status\":7}", "-"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct top_facts f = {0};
        struct top_past past = {0};
        struct buf error = {0};
        take(&f, &past, first_answer, 1);
        assert_false(top_facts_take(&f, &past, slice_of(cases[i].answer), (mono_ms){2}, &error));
        assert_true(slice_equals(buf_slice(&error), slice_of(cases[i].error)));
        assert_int_equal(f.rows_len, 2);
        buf_free(&error);
        top_facts_free(&f);
        top_past_free(&past);
    }
}

/* ---- screens --------------------------------------------------------------------------------- */

static struct top_row a_row(int slot)
{
    static const char *const states[] = {"ready", "ready", "ready", "draining", "starting", "backoff"};
    struct top_row r = {
        .slot = slot,
        .pid = 4194304 - slot,
        .generation = 12,
        .uptime_us = 86399000000LL >> slot,
        .rate_tenths = 98123 * (slot % 5),
        .p50_us = 412 << slot % 8,
        .p99_us = 1900 << slot % 8,
        .lag_us = 999999,
        .connections = 4096 - slot,
        .busy = slot,
        .hashes = slot % 3,
        .calls = slot % 7,
        .cpu_permille = slot * 125 % 1010,
        .memory_kib = 1536 << slot % 12,
        .retry_us = -1,
    };
    snprintf(r.state, sizeof r.state, "%s", states[slot % 6]);
    if (slot % 6 == 5) {
        r.pid = r.uptime_us = r.rate_tenths = r.p50_us = r.p99_us = r.cpu_permille = r.memory_kib = -1;
        r.retry_us = 12300000;
    }
    return r;
}

static struct top_facts some_facts(size_t workers)
{
    struct top_facts f = {
        .version = "0.1.0",
        .state = "ready",
        .time = "12:04:31",
        .pid = 4711,
        .uptime_ms = 273840000,
        .generation = 12,
        .ready = (long long)workers,
        .target = (long long)workers,
        .connections = 412,
        .busy = 12,
        .rate_tenths = 98123,
        .queue = 3,
        .queue_limit = 2048,
        .hashes = 12,
        .calls = 4,
        .last_reload = "ok, 2m05s ago: reload 11: 4 workers replaced, config, 412 connections moved, 37 "
                       "finished, 0 cut, 1.9 s",
        .last_reload_ok = true,
        .rows = calloc(workers ? workers : 1, sizeof *f.rows),
        .rows_len = workers,
    };
    for (size_t i = 0; i < workers; i++)
        f.rows[i] = a_row((int)i);
    return f;
}

static char *read_golden(const char *name)
{
    static char text[64 * 1024];
    char path[256];
    snprintf(path, sizeof path, "tests/unit/top_screens/%s.txt", name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void write_golden(const char *name, struct slice text)
{
    char path[256];
    snprintf(path, sizeof path, "tests/unit/top_screens/%s.txt", name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(text.ptr, 1, text.len, file);
    fclose(file);
}

static size_t longest_line(struct slice text)
{
    size_t longest = 0;
    while (text.ptr && text.len > 0) {
        struct slice line = slice_split(&text, '\n');
        size_t n = 0;
        for (size_t i = 0; i < line.len; i++)
            n += ((unsigned char)line.ptr[i] & 0xc0) != 0x80;
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Draws and compares; takes the facts. */
static void check_screen(const char *name, struct top_facts *f, struct top_view *view)
{
    static struct top_screen s;
    const char *order = getenv("COLMEIA_GOLDEN");
    top_screen_draw(f, view, &s);
    assert_false(s.text.failed);
    assert_true(longest_line(buf_slice(&s.text)) <= view->columns);
    if (view->rows)
        assert_int_equal(s.len, view->rows); /* it fills the screen, and no more */
    if (order && strcmp(order, "write") == 0)
        write_golden(name, buf_slice(&s.text));
    const char *want = read_golden(name);
    assert_non_null(want);
    buf_append_char(&s.text, '\0');
    assert_string_equal(s.text.data, want);
    top_screen_free(&s);
    top_facts_free(f);
}

static void test_usual(void **state)
{
    (void)state;
    struct top_facts f = some_facts(4);
    check_screen("80x24", &f, &(struct top_view){80, 24, 0});
    f = some_facts(4);
    check_screen("120x40", &f, &(struct top_view){120, 40, 0});
    f = some_facts(4);
    check_screen("40x10", &f, &(struct top_view){40, 10, 0});
}

static void test_plain(void **state)
{
    (void)state;
    struct top_facts f = some_facts(6);
    snprintf(f.last_death, sizeof f.last_death, "worker 5 (pid 99, gen 12) killed by signal 9");
    check_screen("plain", &f, &(struct top_view){TOP_COLUMNS_ALL, 0, 0});
}

static void test_no_workers(void **state)
{
    (void)state;
    struct top_facts f = some_facts(0);
    snprintf(f.state, sizeof f.state, "starting");
    f.target = 4;
    f.rate_tenths = f.queue = f.queue_limit = -1;
    f.last_reload[0] = '\0';
    check_screen("no-workers", &f, &(struct top_view){80, 24, 0});
}

static void test_many_workers(void **state)
{
    (void)state;
    struct top_view view = {80, 24, 0};
    struct top_facts f = some_facts(64);
    check_screen("many", &f, &view);
    f = some_facts(64);
    view.first = 20;
    check_screen("many-scrolled", &f, &view);
    assert_int_equal(view.first, 20);
    f = some_facts(64);
    view.first = 1000000; /* as far as there are any */
    check_screen("many-end", &f, &view);
    assert_int_equal(view.first, 64 - 15);
    f = some_facts(64);
    check_screen("many-high", &f, &(struct top_view){132, 80, 3});
}

static void test_reload_under_way(void **state)
{
    (void)state;
    struct top_facts f = some_facts(6);
    snprintf(f.state, sizeof f.state, "reloading");
    snprintf(f.transition, sizeof f.transition,
             "reload 12: start, 1 of 4 new ready, 0 leaving, for 1.2 s");
    snprintf(f.others, sizeof f.others, ", 1 starting");
    f.override = 4;
    f.configured = 2;
    check_screen("reload", &f, &(struct top_view){80, 24, 0});
    f = some_facts(6);
    snprintf(f.transition, sizeof f.transition, "recycle: settle, 1 of 1 new ready");
    check_screen("reload-40x10", &f, &(struct top_view){40, 10, 0});
}

static void test_gone(void **state)
{
    (void)state;
    struct top_facts f = some_facts(4);
    snprintf(f.gone, sizeof f.gone, "no server answers there any more; trying again");
    check_screen("gone", &f, &(struct top_view){80, 24, 0});
}

/* However small: what fits. */
static void test_any_size(void **state)
{
    (void)state;
    static struct top_screen s;
    struct top_facts f = some_facts(64);
    for (unsigned columns = 1; columns < 130; columns += 11)
        for (unsigned rows = 1; rows < 90; rows += rows < 20 ? 1 : 7) {
            struct top_view view = {columns, rows, rows % 7};
            top_screen_draw(&f, &view, &s);
            assert_int_equal(s.len, rows);
            assert_true(longest_line(buf_slice(&s.text)) <= columns);
            assert_true(view.first <= 64);
        }
    top_screen_free(&s);
    top_facts_free(&f);
}

/* What came from a log must not steer the terminal, nor make a line two. */
static void test_nothing_steers(void **state)
{
    (void)state;
    static struct top_screen s;
    struct top_facts f = some_facts(0);
    struct top_view view = {80, 24, 0};
    snprintf(f.last_death, sizeof f.last_death, "a\033[2J\nb\302\2331m\177");
    top_screen_draw(&f, &view, &s);
    buf_append_char(&s.text, '\0');
    assert_non_null(strstr(s.text.data, "death    a?[2J?b??1m?\n"));
    assert_int_equal(s.len, 24);
    top_screen_free(&s);
    top_facts_free(&f);
}

/* A control character of two bytes becomes two question marks: the line is cut behind them. */
static void test_nothing_widens(void **state)
{
    (void)state;
    static struct top_screen s;
    struct top_facts f = some_facts(0);
    struct top_view view = {20, 24, 0};
    snprintf(f.last_death, sizeof f.last_death, "\302\233\302\233 and so on, as it will");
    top_screen_draw(&f, &view, &s);
    assert_int_equal(longest_line(buf_slice(&s.text)), 20);
    top_screen_free(&s);
    top_facts_free(&f);
}

static void test_paint(void **state)
{
    (void)state;
    static struct top_screen s;
    struct buf out = {0};
    buf_printf(&s.text, "title\nplain\nbad\n");
    s.styles[0] = TOP_TITLE;
    s.styles[1] = TOP_PLAIN;
    s.styles[2] = TOP_BAD;
    s.len = 3;
    top_screen_paint(&s, true, &out);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, "\033[H\033[1;32mtitle\033[m\033[K\r\nplain\033[K\r\n"
                                  "\033[1;31mbad\033[m\033[K\033[J");
    out.len = 0;
    top_screen_paint(&s, false, &out);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, "\033[H\033[1mtitle\033[m\033[K\r\nplain\033[K\r\n"
                                  "\033[1mbad\033[m\033[K\033[J");
    buf_free(&out);
    top_screen_free(&s);
}

/* ---- quantities ------------------------------------------------------------------------------ */

static void test_short_words(void **state)
{
    static const struct {
        void (*say)(long long n, char *out);
        long long n;
        const char *text;
    } cases[] = {
        {say_short_us, -1, "-"},
        {say_short_us, 0, "0us"},
        {say_short_us, 999, "999us"},
        {say_short_us, 1000, "1.0ms"},
        {say_short_us, 99999, "99.9ms"},
        {say_short_us, 100000, "100ms"},
        {say_short_us, 59999999, "59.9s"},
        {say_short_us, 60000000, "1m00s"},
        {say_short_us, 3599000000LL, "59m59s"},
        {say_short_us, 3600000000LL, "1h00m"},
        {say_short_us, 86399000000LL, "23h59m"},
        {say_short_us, 99 * 86400000000LL, "99d00h"},
        {say_short_us, 100 * 86400000000LL, "100d"},
        {say_short_kib, -1, "-"},
        {say_short_kib, 999, "999K"},
        {say_short_kib, 1024, "1.0M"},
        {say_short_kib, 100 * 1024, "100M"},
        {say_short_kib, 1024 * 1024, "1.0G"},
        {say_short_kib, 12902400, "12.3G"},
        {say_short_rate, -1, "-"},
        {say_short_rate, 0, "0.0"},
        {say_short_rate, 98123, "9812.3"},
        {say_short_rate, 100000, "10000"},
        {say_short_rate, 99999999, "9999999"},
        {say_short_rate, 120000000, "12M"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[SAY_MAX];
        cases[i].say(cases[i].n, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void test_keys(void **state)
{
    static const struct {
        const char *typed;
        enum terminal_key keys[4];
        size_t left;
    } cases[] = {
        {"q", {KEY_QUIT}, 0},
        {"Qx", {KEY_QUIT, KEY_NONE}, 0},
        {"jk ", {KEY_DOWN, KEY_UP, KEY_PAGE_DOWN}, 0},
        {"\033[A\033OB", {KEY_UP, KEY_DOWN}, 0},
        {"\033[5~\033[6~q", {KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_QUIT}, 0},
        {"\033[1;5A", {KEY_UP}, 0},
        {"\033[15~", {KEY_NONE}, 0},
        {"\033q", {KEY_NONE, KEY_QUIT}, 0},
        {"\033", {KEY_NONE}, 1}, /* what is still to come? */
        {"j\033[1;", {KEY_DOWN, KEY_NONE}, 4},
        {"", {KEY_NONE}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice rest = slice_of(cases[i].typed);
        size_t n = 0, before;
        do {
            before = rest.len;
            assert_true(n < 4);
            assert_int_equal(terminal_key(&rest), cases[i].keys[n++]);
        } while (rest.len > 0 && rest.len < before);
        assert_int_equal(rest.len, cases[i].left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_answer),
        cmocka_unit_test(test_second_answer),
        cmocka_unit_test(test_counters_that_run_backwards),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_usual),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_no_workers),
        cmocka_unit_test(test_many_workers),
        cmocka_unit_test(test_reload_under_way),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_any_size),
        cmocka_unit_test(test_nothing_steers),
        cmocka_unit_test(test_nothing_widens),
        cmocka_unit_test(test_paint),
        cmocka_unit_test(test_short_words),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
