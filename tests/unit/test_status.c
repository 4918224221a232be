/* test_status.c: the server's state as JSON. */
#include "shared/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

/* The bounds of "durations", and its "counts" when all are 0 but the first. */
static void numbers(struct buf *out, const char *name, size_t len, bool bounds, int first)
{
    buf_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < len; i++)
        buf_printf(out, "%s%lld", i ? "," : "",
                   (long long)(bounds ? histogram_bounds_us[i] : i == 0 ? first : 0));
    buf_append_char(out, ']');
}

static void bounds(struct buf *out)
{
    buf_append_char(out, ',');
    numbers(out, "duration_bounds_us", HISTOGRAM_BOUNDS_LEN, true, 0);
}

/* "totals" as counters.def orders them: requests as given, each other one 0. */
static void totals(struct buf *out, int requests)
{
    buf_printf(out, "\"totals\":{");
#define COUNTER(name, help)                                                                        \
    buf_printf(out, "%s\"%s\":%d", COUNTER_##name ? "," : "", #name,                               \
               COUNTER_##name == COUNTER_requests ? requests : 0);
#include "shared/counters.def"
#undef COUNTER
    buf_printf(out, "}");
}

static void check(const struct status_facts *facts, struct buf *want)
{
    struct buf got = {0};
    status_render(facts, &got);
    buf_append_char(&got, '\0');
    buf_append_char(want, '\0');
    assert_false(got.failed || want->failed);
    assert_string_equal(got.data, want->data);
    buf_free(&got);
    buf_free(want);
}

static void occupy(struct scoreboard *s, size_t i, enum slot_state state, pid_t pid)
{
    scoreboard_use(s, i);
    atomic_store(&s->slots[i].pid, pid);
    atomic_store(&s->slots[i].state, (uint32_t)state);
    atomic_store(&s->slots[i].generation, 3);
}

static void test_bare(void **state)
{
    (void)state;
    struct buf want = {0};
    struct status_facts facts = {.version = "1", .pid = 7, .scoreboard = scoreboard_new(6)};
    buf_printf(&want, "{\"version\":\"1\",\"pid\":7,\"uptime_ms\":0,\"state\":\"starting\","
                      "\"generation\":0,\"debug\":false,\"config\":{\"path\":null,\"loaded_at\":0,\"hash\":null},"
                      "\"workers\":{\"configured\":0,\"override\":null,\"target\":0,\"by_state\":"
                      "{\"starting\":0,\"ready\":0,\"draining\":0,\"killed\":0,\"backoff\":0}},"
                      "\"listeners\":[],\"transition\":null,\"last_reload\":null,\"last_death\":null,"
                      "\"deaths\":[],"
                      "\"connections\":0,\"busy\":0,");
    totals(&want, 0);
    bounds(&want);
    buf_printf(&want, ",\"slots\":[]}");
    check(&facts, &want);
    scoreboard_free((struct scoreboard *)facts.scoreboard);
}

/* A ready worker, one that waits to be tried again, an empty slot between them, one whose state is
 * nonsense, and one that counts for nothing because it was never taken into use. */
static struct scoreboard *busy_scoreboard(void)
{
    struct scoreboard *s = scoreboard_new(6);
    occupy(s, 0, SLOT_READY, 4711);
    atomic_store(&s->slots[0].started_ms, 10000);
    atomic_store(&s->slots[0].beat_ms, 70005); /* after *now* was taken */
    atomic_store(&s->slots[0].lag_us, 1500);
    atomic_store(&s->slots[0].accepting, 1);
    atomic_store(&s->slots[0].connections, 5);
    atomic_store(&s->slots[0].busy, 2);
    atomic_store(&s->slots[0].counters[COUNTER_requests], 40);
    occupy(s, 1, SLOT_EMPTY, 0);
    occupy(s, 2, SLOT_BACKOFF, 0);
    occupy(s, 3, (enum slot_state)77, 4712);
    atomic_store(&s->slots[4].state, SLOT_READY);
    atomic_store(&s->totals[COUNTER_requests], 2);
    return s;
}

static void test_full(void **state)
{
    (void)state;
    struct buf want = {0};
    int64_t retry_ms[6] = {STATUS_NO_RETRY, STATUS_NO_RETRY, 250, STATUS_NO_RETRY};
    const struct status_listener listeners[] = {{"127.0.0.1:8000", "bind", 3, 128, 2048},
                                                {"unix:/run/a\"b", "bind", -1, -1, 2048}};
    struct scoreboard *s = busy_scoreboard();
    unsigned route = scoreboard_route(s, "GET", "/");
    histogram_note(&s->slots[0].series[scoreboard_series(route, 2)], 60);
    static const int64_t turns_us[] = {0, 999, 64000, 3600000000};
    for (size_t i = 0; i < sizeof turns_us / sizeof *turns_us; i++)
        scoreboard_note_turn(&s->slots[0], turns_us[i]);
    atomic_store(&s->slots[0].upstream_breaker, BREAKER_HALF_OPEN);
    atomic_store(&s->slots[0].upstream_busy, 7);
    atomic_store(&s->slots[0].upstream_waiting, 8);
    histogram_note(&s->slots[0].series[TIMED_upstream], 250000);
    histogram_note(&s->slots[0].series[TIMED_upstream], 100000000);
    atomic_store(&s->slots[0].hashes_queued, 7);
    atomic_store(&s->slots[0].store_queued, 8);
    struct status_facts facts = {
        .version = "0.1.0",
        .pid = 4242,
        .now = {70000},
        .uptime_ms = 69999,
        .state = STATUS_DEGRADED,
        .generation = 3,
        .debug = true,
        .config_path = "/etc/colmeia/colmeia.ini",
        .config_loaded_at = 1700000000,
        .config_hash = "ab12",
        .workers_configured = 2,
        .workers_override = 3,
        .workers_target = 3,
        .listeners = listeners,
        .listeners_len = 2,
        .last_reload = {12, "ok", "reload 12: done", 1234},
        .transition = {"reload", "start", 13, 4, 1, 3, 2, 77},
        .last_death = "worker 2 died",
        .deaths = (const struct status_death[]){{2, 99, "worker 2 died"}, {0, 1000, "\"0\""}},
        .deaths_len = 2,
        .scoreboard = s,
        .retry_ms = retry_ms,
    };
    buf_printf(&want,
               "{\"version\":\"0.1.0\",\"pid\":4242,\"uptime_ms\":69999,\"state\":\"degraded\","
               "\"generation\":3,\"debug\":true,\"config\":{\"path\":\"/etc/colmeia/colmeia.ini\","
               "\"loaded_at\":1700000000,\"hash\":\"ab12\"},"
               "\"workers\":{\"configured\":2,\"override\":3,\"target\":3,\"by_state\":"
               "{\"starting\":0,\"ready\":1,\"draining\":0,\"killed\":0,\"backoff\":1}},"
               "\"listeners\":[{\"address\":\"127.0.0.1:8000\",\"source\":\"bind\",\"queue\":3,"
               "\"limit\":128,\"limit_asked\":2048},{\"address\":\"unix:/run/a\\\"b\","
               "\"source\":\"bind\",\"queue\":null,\"limit\":null,\"limit_asked\":2048}],"
               "\"transition\":{\"kind\":\"reload\",\"step\":\"start\",\"number\":13,\"generation\":4,"
               "\"ready\":1,\"needed\":3,\"leaving\":2,\"age_ms\":77},"
               "\"last_reload\":{\"number\":12,\"result\":\"ok\",\"text\":\"reload 12: done\","
               "\"age_ms\":1234},\"last_death\":\"worker 2 died\","
               "\"deaths\":[{\"slot\":2,\"age_ms\":99,\"text\":\"worker 2 died\"},"
               "{\"slot\":0,\"age_ms\":1000,\"text\":\"\\\"0\\\"\"}],\"connections\":5,\"busy\":2,");
    totals(&want, 42);
    bounds(&want);
    buf_printf(&want, ",\"slots\":["
                      "{\"slot\":0,\"pid\":4711,\"generation\":3,\"state\":\"ready\",\"accepting\":true,"
                      "\"uptime_ms\":60000,\"beat_age_ms\":0,\"lag_us\":1500,\"slow_callbacks\":0,"
                      "\"slow_polls\":0,\"turns\":[{\"below_ms\":1,\"count\":2},"
                      "{\"below_ms\":128,\"count\":1},{\"below_ms\":null,\"count\":1}],"
                      "\"upstream\":{\"breaker\":\"half-open\",\"busy\":7,\"waiting\":8,"
                      "\"p50_us\":250000,\"p99_us\":30000000},"
                      "\"connections\":5,"
                      "\"busy\":2,\"requests\":40,\"durations\":{\"p50_us\":100,\"p99_us\":100,\"sum_us\":60,");
    numbers(&want, "counts", HISTOGRAM_BUCKETS, false, 1);
    buf_printf(&want, "},\"hashes_queued\":7,\"store_queued\":8,\"retry_ms\":null},"
                      "{\"slot\":2,\"pid\":null,\"generation\":3,\"state\":\"backoff\",\"accepting\":false,"
                      "\"uptime_ms\":null,\"beat_age_ms\":null,\"lag_us\":0,\"slow_callbacks\":0,"
                      "\"slow_polls\":0,\"turns\":[],\"upstream\":null,\"connections\":0,"
                      "\"busy\":0,\"requests\":0,\"durations\":{\"p50_us\":null,\"p99_us\":null,\"sum_us\":0,");
    numbers(&want, "counts", HISTOGRAM_BUCKETS, false, 0);
    buf_printf(&want, "},\"hashes_queued\":0,\"store_queued\":0,\"retry_ms\":250}]}");
    check(&facts, &want);
    scoreboard_free(s);
}

static void test_cpu(void **state)
{
    (void)state;
    struct buf got = {0};
    struct scoreboard *s = scoreboard_new(1);
    struct status_facts facts = {.scoreboard = s, .cpu = true};
    struct rusage before;
    do /* until the kernel's ticks show it */
        getrusage(RUSAGE_SELF, &before);
    while (before.ru_utime.tv_usec + before.ru_stime.tv_usec < 20000 && before.ru_utime.tv_sec == 0);
    int64_t ms = status_cpu_ms(getpid());
    assert_in_range(ms, 10, 3600 * 1000);
    assert_int_equal(status_cpu_ms(0x7fffffff), -1);
    occupy(s, 0, SLOT_READY, getpid());
    status_render(&facts, &got);
    buf_append_char(&got, '\0');
    const char *at = strstr(got.data, "\"cpu_ms\":");
    assert_non_null(at);
    assert_true(atoll(at + strlen("\"cpu_ms\":")) >= ms);
    buf_free(&got);
    scoreboard_free(s);
}

static void test_memory(void **state)
{
    (void)state;
    struct buf got = {0};
    struct scoreboard *s = scoreboard_new(2);
    struct status_facts facts = {.scoreboard = s, .memory = true};
    occupy(s, 0, SLOT_READY, getpid());
    occupy(s, 1, SLOT_BACKOFF, 0);
    assert_true(status_memory_kib(getpid()) > 0);
    assert_int_equal(status_memory_kib(0x7fffffff), -1);
    status_render(&facts, &got);
    buf_append_char(&got, '\0');
    const char *first = strstr(got.data, "\"memory_kib\":");
    assert_non_null(first);
    assert_true(atoi(first + strlen("\"memory_kib\":")) > 0);
    assert_non_null(strstr(first + 1, "\"memory_kib\":null"));
    buf_free(&got);
    scoreboard_free(s);
}

static void open_listener(struct listener *l, const char *text, int backlog)
{
    struct sock_address address;
    struct buf error = {0};
    assert_true(sock_parse(slice_of(text), &address, &error));
    assert_int_equal(listener_open(&address, backlog, l, &error), 0);
    buf_free(&error);
}

static void test_listeners(void **state)
{
    (void)state;
    struct listener l;
    int clients[3];
    open_listener(&l, "127.0.0.1:0", 9);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(clients[i], &l.address.u.any, l.address.len), 0);
    }
    struct status_listener s = status_listener_of(&l, "systemd");
    assert_string_equal(s.name, l.name);
    assert_string_equal(s.source, "systemd");
    assert_int_equal(s.queue, 3);
    assert_int_equal(s.limit, 9);
    assert_int_equal(s.limit_asked, 9);
    assert_int_equal(listen(l.fd, 5), 0); /* changed since it was opened */
    assert_int_equal(status_listener_of(&l, "bind").limit, 5);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    listener_close(&l, true);
    open_listener(&l, "unix:@colmeia-test-status", 9);
    s = status_listener_of(&l, "bind");
    assert_int_equal(s.queue, -1);
    assert_int_equal(s.limit, -1);
    listener_close(&l, true);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(status_state_name(STATUS_STARTING), "starting");
    assert_string_equal(status_state_name(STATUS_STOPPING), "stopping");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_memory), cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
