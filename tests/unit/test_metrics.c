/* test_metrics.c: the server's state as Prometheus reads it. */
#include "shared/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct scoreboard *board;
static struct buf text;

static int setup(void **state)
{
    (void)state;
    board = scoreboard_new(6);
    text = (struct buf){0};
    return board ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    scoreboard_free(board);
    buf_free(&text);
    return 0;
}

static void render(struct status_facts facts)
{
    text.len = 0;
    facts.scoreboard = board;
    facts.version = facts.version ? facts.version : "1";
    metrics_render(&facts, &text);
    buf_append_char(&text, '\0');
    assert_false(text.failed);
}

/* A whole line of it. */
static void expect(const char *line)
{
    char framed[300];
    snprintf(framed, sizeof framed, "\n%s\n", line);
    if (!strstr(text.data, framed))
        fail_msg("no line: %s\nin:\n%s", line, text.data);
}

static void expect_none(const char *part)
{
    if (strstr(text.data, part))
        fail_msg("there: %s", part);
}

static void test_server(void **state)
{
    (void)state;
    const struct status_listener listeners[] = {{"127.0.0.1:8000", "bind", 3, 128, 2048, 0},
                                                {"unix:/a\"\\\n", "bind", -1, 7, 9, 0}};
    render((struct status_facts){.version = "0.1.0",
                                 .started_at = 1600000000,
                                 .state = STATUS_DEGRADED,
                                 .generation = 4,
                                 .config_loaded_at = 1700000000,
                                 .workers_configured = 2,
                                 .workers_target = 3,
                                 .listeners = listeners,
                                 .listeners_len = 2,
                                 .last_reload = {3, "failed", "", 0}});
    assert_int_equal(strncmp(text.data, "# HELP colmeia_build_info ", 26), 0);
    expect("# TYPE colmeia_build_info gauge");
    expect("colmeia_build_info{version=\"0.1.0\"} 1");
    expect("colmeia_start_time_seconds 1600000000");
    expect("colmeia_state{state=\"degraded\"} 1");
    expect("colmeia_state{state=\"ready\"} 0");
    expect("colmeia_generation 4");
    expect("colmeia_config_loaded_time_seconds 1700000000");
    expect("colmeia_last_reload_failed 1");
    expect("colmeia_workers_wanted 3");
    expect("colmeia_workers_configured 2");
    expect("colmeia_listener_queue_length{address=\"127.0.0.1:8000\"} 3");
    expect("colmeia_listener_queue_limit{address=\"unix:/a\\\"\\\\\\n\"} 7");
    expect_none("queue_length{address=\"unix"); /* unknown */
    render((struct status_facts){.last_reload = {3, "ok", "", 0}});
    expect("colmeia_last_reload_failed 0");
}

/* Each counter of the table is there; the dead count too; names that differ are those of the table. */
static void test_counters(void **state)
{
    (void)state;
    scoreboard_use(board, 1);
    for (int c = 0; c < COUNTERS; c++) {
        atomic_store(&board->totals[c], 1000);
        counter_add(&board->slots[1], (enum counter)c, (uint64_t)c);
    }
    render((struct status_facts){0});
    expect("# HELP colmeia_requests_total requests answered");
    expect("# TYPE colmeia_requests_total counter");
    expect("colmeia_requests_total 1000");
    char line[100];
    snprintf(line, sizeof line, "colmeia_received_bytes_total %d", 1000 + COUNTER_bytes_in);
    expect(line);
    snprintf(line, sizeof line, "colmeia_responses_total{class=\"5xx\"} %d",
             1000 + COUNTER_responses_5xx);
    expect(line);
    snprintf(line, sizeof line, "colmeia_worker_exits_total{reason=\"died\"} %d",
             1000 + COUNTER_workers_died);
    expect(line);
    for (int c = 0; c < COUNTERS; c++) {
        snprintf(line, sizeof line, " %d\n", 1000 + c);
        assert_non_null(strstr(text.data, line));
    }
}

/* Values of 64 bits keep all their digits as far as a double has them. */
static void test_large_counters(void **state)
{
    (void)state;
    atomic_store(&board->totals[COUNTER_bytes_out], 123456789012345);
    render((struct status_facts){0});
    expect("colmeia_sent_bytes_total 123456789012345");
}

static void test_requests(void **state)
{
    (void)state;
    unsigned route = scoreboard_route(board, "GET", "/users/{user_id}");
    unsigned other = scoreboard_route(board, "POST", "/users/");
    assert_int_equal(route, 1);
    assert_int_equal(other, 2);
    scoreboard_use(board, 0);
    struct histogram *h = board->slots[0].series;
    histogram_note(&h[scoreboard_series(route, 2)], 90);
    histogram_note(&h[scoreboard_series(route, 2)], 700);
    histogram_note(&h[scoreboard_series(route, 4)], 40000000);
    histogram_note(&h[scoreboard_series(0, 4)], 100);
    render((struct status_facts){0});
    expect("# TYPE colmeia_request_duration_seconds histogram");
#define USER "colmeia_request_duration_seconds_%s{method=\"GET\",route=\"/users/{user_id}\",class=\"2xx\"%s} %s"
    static const struct {
        const char *what, *le, *value;
    } lines[] = {
        {"bucket", ",le=\"0.0001\"", "1"},  {"bucket", ",le=\"0.0005\"", "1"},
        {"bucket", ",le=\"0.001\"", "2"},   {"bucket", ",le=\"30\"", "2"},
        {"bucket", ",le=\"+Inf\"", "2"},    {"sum", "", "0.00079"},
        {"count", "", "2"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[200];
        snprintf(line, sizeof line, USER, lines[i].what, lines[i].le, lines[i].value);
        expect(line);
    }
    expect("colmeia_request_duration_seconds_bucket{method=\"GET\",route=\"/users/{user_id}\",class=\"4xx\",le=\"30\"} 0");
    expect("colmeia_request_duration_seconds_bucket{method=\"GET\",route=\"/users/{user_id}\",class=\"4xx\",le=\"+Inf\"} 1");
    expect("colmeia_request_duration_seconds_count{method=\"\",route=\"other\",class=\"4xx\"} 1");
    expect("colmeia_request_duration_seconds_count{method=\"POST\",route=\"/users/\",class=\"2xx\"} 0");
    expect_none("class=\"5xx\",le"); /* nobody answered so */
}

/* One head for rows that share a metric. */
static void test_timings(void **state)
{
    (void)state;
    scoreboard_note(board, TIMED_reload, 1500000);
    scoreboard_note(board, TIMED_store_write, 20);
    render((struct status_facts){0});
    expect("colmeia_reload_duration_seconds_sum 1.5");
    expect("colmeia_reload_duration_seconds_bucket{le=\"2.5\"} 1");
    expect("colmeia_store_duration_seconds_count{operation=\"write\"} 1");
    expect("colmeia_store_duration_seconds_count{operation=\"read\"} 0");
    const char *head = "# TYPE colmeia_store_duration_seconds histogram";
    const char *first = strstr(text.data, head);
    assert_non_null(first);
    assert_null(strstr(first + 1, head));
}

/* Of a worker that lives; nothing of one that waits to be tried again. */
static void test_workers(void **state)
{
    (void)state;
    scoreboard_use(board, 2);
    struct scoreboard_slot *slot = &board->slots[0];
    atomic_store(&slot->state, SLOT_READY);
    atomic_store(&slot->pid, getpid());
    atomic_store(&slot->connections, 5);
    atomic_store(&slot->busy, 2);
    atomic_store(&slot->lag_us, 1500);
    atomic_store(&slot->started_ms, 10000);
    atomic_store(&board->slots[1].state, SLOT_BACKOFF);
    atomic_store(&board->slots[2].state, 77); /* nonsense counts as empty */
    render((struct status_facts){.now = {70000}, .memory = true});
    expect("colmeia_workers{state=\"ready\"} 1");
    expect("colmeia_workers{state=\"backoff\"} 1");
    expect("colmeia_worker_connections{slot=\"0\"} 5");
    expect("colmeia_worker_busy{slot=\"0\"} 2");
    expect("colmeia_worker_loop_lag_seconds{slot=\"0\"} 0.0015");
    expect("colmeia_worker_uptime_seconds{slot=\"0\"} 60");
    expect_none("beat_age_seconds{"); /* it has not begun to beat */
    expect_none("slot=\"1\"");
    expect_none("slot=\"2\"");
    const char *memory = strstr(text.data, "worker_memory_bytes{slot=\"0\"} ");
    assert_non_null(memory);
    assert_true(atof(strchr(memory, '}') + 1) > 1024);
    render((struct status_facts){.now = {70000}});
    expect_none("worker_memory_bytes{");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_counters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
