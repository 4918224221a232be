/* test_bulletin.c: facts through shared memory: what comes out is what went in, and nothing a writer
 * could leave there does harm. */
#include "shared/bulletin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct bulletin *bulletin;
static struct scoreboard *board;
static struct bulletin_page *page;
static struct bulletin_facts *facts;

static int setup(void **state)
{
    (void)state;
    bulletin = bulletin_new();
    board = scoreboard_new(6);
    page = calloc(1, sizeof *page);
    facts = calloc(1, sizeof *facts);
    return bulletin && board && page && facts ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bulletin_free(bulletin);
    scoreboard_free(board);
    free(page);
    free(facts);
    return 0;
}

static const struct status_listener listeners[] = {{"127.0.0.1:8000", "bind", 3, 128, 2048, 2},
                                                   {"unix:/run/a", "systemd web", -1, -1, 7, 0}};
static const struct status_death deaths[] = {{2, 100, "worker 2 died"}, {0, 5000, "worker 0 died"}};

static struct status_facts some_facts(const int64_t *retry_ms)
{
    return (struct status_facts){
        .version = "1.2.3",
        .pid = 4242,
        .now = {70000},
        .uptime_ms = 60000,
        .started_at = 1600000000,
        .state = STATUS_RELOADING,
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
        .last_reload = {12, "failed", "reload 12: went back", 1234},
        .transition = {"reload", "settle", 13, 4, 1, 3, 2, 500},
        .last_death = "worker 2 died",
        .deaths = deaths,
        .deaths_len = 2,
        .scoreboard = board,
        .retry_ms = retry_ms,
    };
}

static void render(const struct status_facts *f, struct buf *out)
{
    status_render(f, out);
    buf_append_char(out, '\0');
    assert_false(out->failed);
}

/* What a reader tells, at the same moment, is what the writer would have told. */
static void test_same_words(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    int64_t retry_ms[6] = {STATUS_NO_RETRY, 250, 0, STATUS_NO_RETRY, STATUS_NO_RETRY, STATUS_NO_RETRY};
    scoreboard_use(board, 1);
    atomic_store(&board->slots[1].state, SLOT_BACKOFF);
    struct status_facts from = some_facts(retry_ms);
    assert_true(bulletin_write(bulletin, &from));
    assert_true(bulletin_read(bulletin, page));
    bulletin_tell(page, board, from.now, facts);
    render(&from, &a);
    render(&facts->facts, &b);
    assert_string_equal(a.data, b.data);
    assert_int_equal(facts->facts.started_at, 1600000000);
    buf_free(&a);
    buf_free(&b);
}

/* A second later all ages are a second more, and waits a second less. */
static void test_time_goes_on(void **state)
{
    (void)state;
    int64_t retry_ms[6] = {1500, 250, STATUS_NO_RETRY, STATUS_NO_RETRY, STATUS_NO_RETRY, STATUS_NO_RETRY};
    struct status_facts from = some_facts(retry_ms);
    assert_true(bulletin_write(bulletin, &from));
    assert_true(bulletin_read(bulletin, page));
    bulletin_tell(page, board, mono_add(from.now, 1000), facts);
    assert_int_equal(facts->facts.uptime_ms, 61000);
    assert_int_equal(facts->facts.last_reload.age_ms, 2234);
    assert_int_equal(facts->facts.transition.age_ms, 1500);
    assert_int_equal(facts->deaths[1].age_ms, 6000);
    assert_int_equal(facts->retry_ms[0], 500);
    assert_int_equal(facts->retry_ms[1], 0);
    assert_int_equal(facts->retry_ms[2], STATUS_NO_RETRY);
    assert_int_equal(facts->retry_ms[6], STATUS_NO_RETRY); /* beyond the writer's slots */
}

static void test_nothing_yet(void **state)
{
    (void)state;
    page->pid = 5;
    assert_false(bulletin_read(bulletin, page));
    assert_int_equal(page->pid, 5);
}

static void test_absent_facts(void **state)
{
    (void)state;
    struct status_facts from = {.version = "1", .scoreboard = board};
    struct buf a = {0}, b = {0};
    assert_true(bulletin_write(bulletin, &from));
    assert_true(bulletin_read(bulletin, page));
    bulletin_tell(page, board, from.now, facts);
    render(&from, &a);
    render(&facts->facts, &b);
    assert_string_equal(a.data, b.data);
    buf_free(&a);
    buf_free(&b);
}

/* Whatever bytes stand there: texts end, numbers are in bounds. */
static void test_garbage(void **state)
{
    (void)state;
    struct buf out = {0};
    memset(bulletin, 0xfe, sizeof(uint64_t) + sizeof *page); /* an even edition, then rubbish */
    assert_true(bulletin_read(bulletin, page));
    assert_true(strlen(page->version) < sizeof page->version);
    assert_true(strlen(page->last_death) < sizeof page->last_death);
    assert_int_equal(page->state, STATUS_STOPPING);
    bulletin_tell(page, board, (mono_ms){1}, facts);
    assert_int_equal(facts->facts.deaths_len, BULLETIN_DEATHS_MAX);
    assert_int_equal(facts->facts.listeners_len, BULLETIN_LISTENERS_MAX);
    render(&facts->facts, &out);
    buf_free(&out);
}

/* A writer that was killed in the middle: readers keep what they had, and do not wait for it. */
static void test_half_written(void **state)
{
    (void)state;
    struct status_facts from = some_facts(NULL);
    assert_true(bulletin_write(bulletin, &from));
    atomic_fetch_add((_Atomic(uint32_t) *)(void *)bulletin, 1);
    assert_false(bulletin_read(bulletin, page));
    assert_true(bulletin_write(bulletin, &from)); /* the next writer mends it */
    assert_true(bulletin_read(bulletin, page));
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct status_facts from = {.version = text, .last_death = text, .scoreboard = board};
    assert_true(bulletin_write(bulletin, &from));
    assert_true(bulletin_read(bulletin, page));
    assert_int_equal(strlen(page->last_death), BULLETIN_TEXT_MAX - 1);
}

/* While one process writes editions that are all of one piece, others see only such. */
static void test_no_torn_page(void **state)
{
    (void)state;
    struct status_facts from = {.version = "1", .scoreboard = board};
    assert_true(bulletin_write(bulletin, &from));
    pid_t pid = fork();
    assert_true(pid >= 0);
    for (unsigned n = 1; pid == 0 && n <= 3000; n++) {
        from.generation = n;
        from.workers_target = (int)n;
        from.config_loaded_at = n;
        if (!bulletin_write(bulletin, &from))
            _exit(1);
    }
    if (pid == 0)
        _exit(0);
    int status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0)
        if (bulletin_read(bulletin, page)) {
            assert_int_equal(page->generation, page->workers_target);
            assert_int_equal(page->generation, page->config_loaded_at);
        }
    assert_int_equal(status, 0);
    assert_true(bulletin_read(bulletin, page));
    assert_int_equal(page->generation, 3000);
}

/* The child can read it, and dies of writing. */
static void test_protected(void **state)
{
    (void)state;
    struct status_facts from = {.version = "1", .scoreboard = board};
    assert_true(bulletin_write(bulletin, &from));
    for (int board_too = 0; board_too < 2; board_too++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(STDERR_FILENO);
            bool fine = bulletin_protect(bulletin) == 0 && scoreboard_protect(board) == 0 &&
                        bulletin_read(bulletin, page);
            if (!fine)
                _exit(0);
            if (board_too)
                atomic_store(&board->stopping, 1);
            else
                bulletin_write(bulletin, &from);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(board->stopping, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_texts_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_torn_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protected, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
