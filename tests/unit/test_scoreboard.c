/* test_scoreboard.c: shared/scoreboard.h between processes and threads: what each writes all see,
 * and a counter never runs backwards, whoever dies. */
#include "shared/scoreboard.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct scoreboard *board; /* of the running test */

static void use(size_t slots_len)
{
    board = scoreboard_new(slots_len);
    assert_non_null(board);
    assert_int_equal(scoreboard_slots_len(board), slots_len);
    if (slots_len > 0)
        scoreboard_use(board, slots_len - 1);
}

/* Slots that nobody used are not read, so that their memory is not allocated. */
static void test_unused_slots_do_not_count(void **state)
{
    (void)state;
    board = scoreboard_new(4);
    assert_non_null(board);
    counter_add(&board->slots[0], COUNTER_requests, 3);
    counter_add(&board->slots[2], COUNTER_requests, 5);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 0);
    scoreboard_use(board, 0);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 3);
    scoreboard_use(board, 2);
    scoreboard_use(board, 1);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 8);
}

static int teardown(void **state)
{
    scoreboard_free(board);
    board = NULL;
    return 0;
}

static bool is_zero(const void *bytes, size_t len)
{
    const char *p = bytes;
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* ---- the mapping ---------------------------------------------------------------------------- */

static void test_new(void **state)
{
    static const size_t lens[] = {1, 3, SCOREBOARD_SLOTS_MAX};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        use(lens[i]);
        atomic_store(&board->slots_used, 0);
        assert_true(is_zero(board, sizeof *board + lens[i] * sizeof *board->slots));
        for (size_t k = 0; k < lens[i]; k++) /* no two workers share a cache line */
            assert_int_equal((uintptr_t)&board->slots[k] % 64, 0);
        teardown(NULL);
    }
    scoreboard_free(NULL);
}

/* A worker writes about itself; the master and the next worker read it. */
static void test_shared_between_processes(void **state)
{
    enum { WORKERS = 4 };
    pid_t pids[WORKERS];
    use(WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        struct scoreboard_slot *own = &board->slots[i];
        for (int n = 0; n < 1000; n++)
            counter_add(own, COUNTER_requests, (uint64_t)i + 1);
        atomic_store(&own->pid, getpid());
        strcpy(own->route, "GET /users/{id}");
        _exit(0);
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        assert_int_equal(board->slots[i].pid, pids[i]);
        assert_string_equal(board->slots[i].route, "GET /users/{id}");
        assert_int_equal(board->slots[i].counters[COUNTER_requests], 1000 * (i + 1));
    }
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 1000 * (1 + 2 + 3 + 4));
    assert_int_equal(scoreboard_total(board, COUNTER_bytes_in), 0);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void test_state_names(void **state)
{
    static const struct {
        enum slot_state state;
        const char *name;
    } cases[] = {
        {SLOT_EMPTY, "empty"},       {SLOT_STARTING, "starting"}, {SLOT_READY, "ready"},
        {SLOT_DRAINING, "draining"}, {SLOT_KILLED, "killed"},     {SLOT_BACKOFF, "backoff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(slot_state_name(cases[i].state), cases[i].name);
}

/* Names go into metrics: [a-z0-9_], each once; each has its line of help. */
static void test_counter_names(void **state)
{
    assert_string_equal(counter_name(COUNTER_requests), "requests");
    assert_string_equal(counter_name(COUNTER_hashes_refused), "hashes_refused");
    assert_string_equal(counter_help(COUNTER_bytes_in), "bytes received");
    for (int c = 0; c < COUNTERS; c++) {
        const char *name = counter_name((enum counter)c);
        assert_true(name[0] >= 'a' && name[0] <= 'z');
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
        assert_true(strlen(counter_help((enum counter)c)) > 0);
        for (int other = 0; other < c; other++)
            assert_string_not_equal(name, counter_name((enum counter)other));
    }
}

static void bad_state(void)
{
    slot_state_name((enum slot_state)(SLOT_BACKOFF + 1));
}

static void bad_counter_name(void)
{
    counter_name(COUNTERS);
}

static void bad_total(void)
{
    scoreboard_total(board, COUNTERS);
}

static void bad_slot(void)
{
    scoreboard_retire(board, 2);
}

static void no_slots(void)
{
    scoreboard_new(0);
}

static void too_many_slots(void)
{
    scoreboard_new(SCOREBOARD_SLOTS_MAX + 1);
}

static void test_misuse_aborts(void **state)
{
    static void (*const misuses[])(void) = {bad_state, bad_counter_name, bad_total,
                                            bad_slot,  no_slots,         too_many_slots};
    struct rlimit none = {0};
    use(2);
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            setrlimit(RLIMIT_CORE, &none);
            close(STDERR_FILENO);
            misuses[i]();
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("misuse %zu: status %#x", i, (unsigned)status);
    }
}

/* ---- the dead ------------------------------------------------------------------------------- */

static void fill(struct scoreboard_slot *slot)
{
    slot->pid = 42;
    slot->generation = 7;
    slot->state = SLOT_KILLED;
    slot->started_ms = 1;
    slot->beat_ms = 2;
    slot->busy_since_us = 3;
    slot->connections = 4;
    slot->busy = 5;
    slot->holds_db_lock = 1;
    slot->hashes_queued = 6;
    slot->store_queued = 7;
    slot->flights_used = 2;
    memset(slot->flights, 'f', 2 * sizeof slot->flights[0]);
    memset(slot->route, 'r', sizeof slot->route);
    memset(slot->request_id, 'i', sizeof slot->request_id);
    for (int c = 0; c < COUNTERS; c++)
        counter_add(slot, (enum counter)c, (uint64_t)c + 1);
}

/* Its counters live on in the totals; the slot is as new, the others' are untouched. */
static void test_retire(void **state)
{
    use(3);
    for (size_t i = 0; i < 3; i++)
        fill(&board->slots[i]);
    struct scoreboard_slot neighbour;
    memcpy(&neighbour, &board->slots[2], sizeof neighbour);
    scoreboard_retire(board, 1);
    assert_true(is_zero(&board->slots[1], sizeof board->slots[1]));
    assert_memory_equal(&board->slots[2], &neighbour, sizeof neighbour);
    assert_int_equal(board->slots[0].pid, 42);
    for (int c = 0; c < COUNTERS; c++) {
        assert_int_equal(board->totals[c], c + 1);
        assert_int_equal(scoreboard_total(board, (enum counter)c), 3 * (c + 1));
    }
    assert_int_equal(board->fold % 2, 0);
}

/* Durations live on as counters do. */
static void test_retire_folds_durations(void **state)
{
    struct histogram_copy h;
    use(3);
    size_t series = scoreboard_series(scoreboard_route(board, "GET", "/"), 2);
    histogram_note(&board->slots[0].series[series], 50);
    histogram_note(&board->slots[1].series[series], 60);
    histogram_note(&board->slots[1].series[TIMED_hash], 70);
    scoreboard_note(board, TIMED_reload, 80);
    for (int dead = 0; dead < 3; dead++) {
        scoreboard_collect(board, series, &h);
        assert_int_equal(h.cells[0], 2);
        assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 110);
        scoreboard_collect(board, TIMED_hash, &h);
        assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 70);
        scoreboard_retire(board, (size_t)dead);
        assert_true(is_zero(&board->slots[dead], sizeof board->slots[dead]));
    }
    scoreboard_collect(board, TIMED_reload, &h);
    assert_int_equal(histogram_count(&h), 1);
}

static void test_slot_of_all_routes(void **state)
{
    struct histogram_copy h;
    use(2);
    unsigned get = scoreboard_route(board, "GET", "/"), post = scoreboard_route(board, "POST", "/");
    histogram_note(&board->slots[1].series[scoreboard_series(get, 2)], 10);
    histogram_note(&board->slots[1].series[scoreboard_series(post, 5)], 20);
    histogram_note(&board->slots[1].series[scoreboard_series(0, 4)], 30);
    histogram_note(&board->slots[1].series[TIMED_hash], 40); /* is no request */
    histogram_note(&board->slots[0].series[scoreboard_series(get, 2)], 50);
    scoreboard_collect_slot(board, 1, &h);
    assert_int_equal(histogram_count(&h), 3);
    assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 60);
    scoreboard_forget(board, 1);
    scoreboard_collect_slot(board, 1, &h);
    assert_int_equal(histogram_count(&h), 0);
    scoreboard_collect_slot(board, 0, &h);
    assert_int_equal(histogram_count(&h), 1);
}

static const char *name_of(unsigned route)
{
    static char room[SCOREBOARD_ROUTE_MAX];
    struct slice name = scoreboard_route_name(board, route);
    snprintf(room, sizeof room, "%.*s", SLICE_ARGS(name));
    return name.ptr ? room : NULL;
}

/* Places are given once, by name, to whoever comes first, and never end beyond the table. */
static void test_routes(void **state)
{
    char path[32], long_path[100];
    use(2);
    assert_string_equal(name_of(0), "other");
    assert_null(name_of(1));
    unsigned users = scoreboard_route(board, "GET", "/users/");
    assert_int_equal(users, 1);
    assert_int_equal(scoreboard_route(board, "POST", "/users/"), 2);
    assert_int_equal(scoreboard_route(board, "GET", "/users/"), 1);
    assert_int_equal(scoreboard_route_named(board, "POST /users/"), 2);
    assert_int_equal(scoreboard_route_named(board, "other"), 0);
    assert_string_equal(name_of(users), "GET /users/");
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(scoreboard_route(board, "GET", long_path), 3);
    assert_int_equal(scoreboard_route(board, "GET", long_path), 3);
    assert_int_equal(strlen(name_of(3)), SCOREBOARD_ROUTE_MAX - 1);
    for (unsigned i = 4; i < SCOREBOARD_ROUTES_MAX; i++) {
        snprintf(path, sizeof path, "/%u", i);
        assert_int_equal(scoreboard_route(board, "GET", path), i);
    }
    assert_int_equal(scoreboard_route(board, "GET", "/one-too-many"), 0);
}

/* One whose writer was killed in the middle is lost; nobody waits for it for ever. */
static void test_lost_route(void **state)
{
    use(2);
    atomic_store(&board->routes[1].state, 1);
    assert_int_equal(scoreboard_route(board, "GET", "/"), 2);
    assert_null(name_of(1));
}

/* Processes that come at the same time agree. */
static void test_routes_of_many(void **state)
{
    enum { MANY = 6, NAMES = 20 };
    pid_t pids[MANY];
    char path[32];
    use(2);
    for (unsigned n = 0; n < MANY; n++) {
        pids[n] = fork();
        assert_true(pids[n] >= 0);
        for (unsigned i = 0; pids[n] == 0 && i < NAMES; i++) {
            snprintf(path, sizeof path, "/%u", (i + 3 * n) % NAMES);
            if (scoreboard_route(board, "GET", path) == 0)
                _exit(1);
        }
        if (pids[n] == 0)
            _exit(0);
    }
    for (unsigned n = 0; n < MANY; n++) {
        int status;
        assert_int_equal(waitpid(pids[n], &status, 0), pids[n]);
        assert_int_equal(status, 0);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(path, sizeof path, "/%u", i);
        unsigned place = scoreboard_route(board, "GET", path);
        assert_in_range(place, 1, NAMES);
        assert_string_equal(name_of(place) + strlen("GET "), path);
    }
    assert_null(name_of(NAMES + 1));
}

static void test_raise_cell(void **state)
{
    struct histogram_copy h;
    use(2);
    histogram_note(&board->slots[0].series[TIMED_hash], 50);
    scoreboard_raise_cell(board, TIMED_hash, 0, 5);
    scoreboard_raise_cell(board, TIMED_hash, 0, 4);
    scoreboard_raise_cell(board, TIMED_hash, HISTOGRAM_BUCKETS, 1000);
    scoreboard_collect(board, TIMED_hash, &h);
    assert_int_equal(h.cells[0], 5);
    assert_int_equal(h.cells[HISTOGRAM_BUCKETS], 1000);
}

/* Worker after worker in one slot. */
static void test_generations(void **state)
{
    use(2);
    counter_add(&board->slots[1], COUNTER_requests, 1);
    for (uint64_t n = 1; n <= 100; n++) {
        counter_add(&board->slots[0], COUNTER_requests, n);
        assert_int_equal(scoreboard_total(board, COUNTER_requests), n * (n + 1) / 2 + 1);
        scoreboard_retire(board, 0);
        assert_int_equal(scoreboard_total(board, COUNTER_requests), n * (n + 1) / 2 + 1);
    }
}

/* A master that was killed in the middle of it stops nobody from reading. */
static void test_fold_left_open(void **state)
{
    use(1);
    counter_add(&board->slots[0], COUNTER_requests, 5);
    atomic_store(&board->fold, 1);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), 5);
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { ROUNDS = 20000, ADD = 3 };

static _Atomic(bool) finished;

struct reader {
    pthread_t thread;
    _Atomic(uint64_t) reads;
    bool went_back;
};

/* Reads on until the end. A fold that stood open all the while says nothing: its writer was off the
 * processor, and the reader gave up waiting. */
static void *read_totals(void *arg)
{
    struct reader *r = arg;
    uint64_t last = 0;
    bool last_time = false;
    while (!last_time) {
        last_time = atomic_load(&finished);
        uint32_t before = atomic_load(&board->fold);
        uint64_t total = scoreboard_total(board, COUNTER_requests);
        atomic_fetch_add(&r->reads, 1);
        if (before % 2 == 1 && atomic_load(&board->fold) == before)
            continue;
        r->went_back |= total < last;
        last = total;
    }
    r->went_back |= last != (uint64_t)ROUNDS * ADD;
    return NULL;
}

/* Until it has begun a read after this call, and finished it. */
static void await_a_read(struct reader *r)
{
    uint64_t now = atomic_load(&r->reads);
    while (atomic_load(&r->reads) < now + 2)
        sched_yield();
}

/* Workers come and go while another one reads: what it has seen it never misses, nor sees twice. */
static void test_never_backwards(void **state)
{
    struct reader reader = {0};
    use(2);
    atomic_store(&finished, false);
    assert_int_equal(pthread_create(&reader.thread, NULL, read_totals, &reader), 0);
    for (int i = 0; i < ROUNDS; i++) {
        counter_add(&board->slots[i % 2], COUNTER_requests, ADD);
        await_a_read(&reader);
        scoreboard_retire(board, (size_t)i % 2);
    }
    atomic_store(&finished, true);
    assert_int_equal(pthread_join(reader.thread, NULL), 0);
    assert_false(reader.went_back);
    assert_int_equal(scoreboard_total(board, COUNTER_requests), ROUNDS * ADD);
}

static void *count_up(void *slot)
{
    for (int i = 0; i < ROUNDS; i++) {
        counter_add(slot, COUNTER_bytes_out, 2);
        atomic_store(&((struct scoreboard_slot *)slot)->beat_ms, i);
    }
    return NULL;
}

/* Each thread its own slot: nothing is lost, and the sum grows under the reader's eyes. */
static void test_writers_side_by_side(void **state)
{
    enum { WRITERS = 4 };
    pthread_t threads[WRITERS];
    uint64_t last = 0;
    use(WRITERS);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &board->slots[i]), 0);
    while (last < (uint64_t)WRITERS * ROUNDS * 2) {
        uint64_t total = scoreboard_total(board, COUNTER_bytes_out);
        assert_true(total >= last);
        last = total;
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(last, WRITERS * ROUNDS * 2);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_unused_slots_do_not_count),
        TEST(test_shared_between_processes),
        TEST(test_state_names),
        TEST(test_counter_names),
        TEST(test_misuse_aborts),
        TEST(test_retire),
        TEST(test_retire_folds_durations),
        TEST(test_slot_of_all_routes),
        TEST(test_routes),
        TEST(test_lost_route),
        TEST(test_routes_of_many),
        TEST(test_raise_cell),
        TEST(test_generations),
        TEST(test_fold_left_open),
        TEST(test_never_backwards),
        TEST(test_writers_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
