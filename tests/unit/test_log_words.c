/* test_log_words.c: shared/log.c: the errors that are kept for those who come after, and the level
 * that changes at run time. */
#include "shared/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int saved_stderr;
static char path[] = "/tmp/test_log_words.XXXXXX";

/* stderr goes into a file. */
static int setup(void **state)
{
    saved_stderr = dup(STDERR_FILENO);
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        return -1;
    close(fd);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    return 0;
}

static int teardown(void **state)
{
    char room[1];
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    unlink(path);
    log_keep_errors(room, sizeof room);
    log_keep_errors(NULL, 1);
    return 0;
}

static bool was_written(const char *text)
{
    static char all[65536];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(all, 1, sizeof all - 1, f);
    all[n] = 0;
    fclose(f);
    return strstr(all, text);
}

static void test_errors_only(void **state)
{
    char room[64] = {0};
    log_keep_errors(room, sizeof room);
    log_warning("a warning");
    log_info("all is well");
    log_error("first: %d", 1);
    log_error("second\nline \x01 é");
    assert_string_equal(room, "first: 1\nsecond\\nline \\x01 é\n");
    assert_true(was_written("first: 1"));
}

/* In JSON, too, they are kept as text. */
static void test_json(void **state)
{
    char room[64] = {0};
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_keep_errors(room, sizeof room);
    log_error("a \"quoted\" word");
    assert_string_equal(room, "a \"quoted\" word\n");
}

static void test_room(void **state)
{
    static const struct {
        size_t cap;
        const char *kept;
    } cases[] = {
        {1, ""},        {2, "o"},          {4, "one"},          {5, "one\n"},
        {7, "one\ntw"}, {9, "one\ntwo\n"}, {10, "one\ntwo\nt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char room[12];
        memset(room, 0, cases[i].cap);
        memset(room + cases[i].cap, '#', sizeof room - cases[i].cap);
        log_keep_errors(room, cases[i].cap);
        log_error("one");
        log_error("two");
        log_error("three");
        log_error("four");
        assert_string_equal(room, cases[i].kept);
        for (size_t k = cases[i].cap; k < sizeof room; k++)
            assert_int_equal(room[k], '#');
    }
}

enum { SHOUTS = 2000 };

static pthread_barrier_t together;

static void *shout(void *letter)
{
    pthread_barrier_wait(&together);
    char text[10];
    memset(text, *(const char *)letter, 9);
    text[9] = 0;
    for (int i = 0; i < SHOUTS; i++)
        log_error("%s", text);
    return NULL;
}

/* No line of one thread is in another's. */
static void test_threads(void **state)
{
    static char room[2 * SHOUTS * 10 + 1];
    pthread_t threads[2];
    char letters[] = {'a', 'b'};
    memset(room, 0, sizeof room);
    assert_int_equal(pthread_barrier_init(&together, NULL, 2), 0);
    log_keep_errors(room, sizeof room);
    assert_int_equal(pthread_create(&threads[0], NULL, shout, &letters[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, shout, &letters[1]), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    pthread_barrier_destroy(&together);
    for (size_t i = 0; i < sizeof room - 1; i++)
        assert_int_equal(room[i], i % 10 == 9 ? '\n' : room[i / 10 * 10]);
    assert_int_equal(strlen(room), sizeof room - 1);
}

static void test_level_at_run_time(void **state)
{
    log_debug("not yet");
    log_set_level(LOG_LEVEL_DEBUG);
    assert_int_equal(log_level(), LOG_LEVEL_DEBUG);
    log_debug("in detail");
    log_set_level(LOG_LEVEL_ERROR);
    log_warning("no more");
    assert_false(was_written("not yet"));
    assert_true(was_written("in detail"));
    assert_false(was_written("no more"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_errors_only),       TEST(test_json), TEST(test_room), TEST(test_threads),
        TEST(test_level_at_run_time),
    };
    return cmocka_run_group_tests_name("log_words", tests, NULL, NULL);
}
