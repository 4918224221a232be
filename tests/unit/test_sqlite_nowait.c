/* test_sqlite_nowait.c: reads that memory can answer are answered on the loop, and those that would
 * hold it are not: pages that are on the disk only, an index that has to be rebuilt, locks of others,
 * and whatever takes long. */
#include "store_tester.h"
#include "shared/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char orders[] = "/tmp/colmeia-faults-XXXXXX"; /* the directory of the fault points */
static char order[sizeof orders + 32];

static void let_reads_fail_after(int good, const char *with)
{
#ifndef COLMEIA_FAULTS
    skip(); /* a build without fault points */
#endif
    FILE *f = fopen(order, "w");
    assert_non_null(f);
    fprintf(f, "skip %d errno %s\n", good, with);
    fclose(f);
}

static void let_reads_fail(const char *with)
{
    let_reads_fail_after(0, with);
}

/* Whether the file system of *directory* knows what it has in memory. The tests are about those that
 * do. */
static bool can_tell(const char *directory)
{
    char path[128], byte = 'x';
    snprintf(path, sizeof path, "%s/trial", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool can = write(fd, &byte, 1) == 1 &&
               preadv2(fd, &(struct iovec){&byte, 1}, 1, 0, RWF_NOWAIT) == 1;
    close(fd);
    unlink(path);
    return can;
}

/* SQLite's way of waiting, as it was before anything is replaced: how often the loop's thread came to
 * it. The others sleep. */
static int (*sleep_before)(sqlite3_vfs *vfs, int us);
static pthread_t loop_thread;
static unsigned slept_on_loop;

static int note_sleep(sqlite3_vfs *vfs, int us)
{
    if (!pthread_equal(pthread_self(), loop_thread))
        return sleep_before(vfs, us);
    slept_on_loop++;
    return us;
}

static void watch_sleeps(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
    loop_thread = pthread_self();
    sleep_before = vfs->xSleep;
    vfs->xSleep = note_sleep;
}

static int setup(void **state)
{
    struct tester *t = tester_new(&store_driver_sqlite);
    *state = t;
    tester_open(t);
    assert_int_equal(tester_create(t, "alice", "alice@x.com", "hash"), STORE_OK);
    return 0;
}

static int teardown(void **state)
{
    unlink(order);
    tester_free(*state);
    unsigned slept = slept_on_loop;
    slept_on_loop = 0;
    assert_int_equal(slept, 0);
    return 0;
}

static uint64_t counter(const struct tester *t, enum counter c)
{
    return scoreboard_total(t->board, c);
}

/* Reads alice, and says whether the loop itself did. */
static bool reads_on_loop(struct tester *t)
{
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    struct answer a = {0};
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    assert_int_equal(a.users_len, 1);
    assert_true(slice_equals(a.users[0].username, SLICE("alice")));
    assert_true(slice_equals(a.users[0].password, SLICE("hash")));
    answer_fini(&a);
    return counter(t, COUNTER_store_reads_nowait) > before;
}

/* Another connection writes: what this one has in its cache is worth nothing any more. */
static void outdate_cache(struct tester *t)
{
    tester_sql(t, "INSERT INTO users (username, email, password) "
                  "SELECT 'u' || (count(*) + 1), 'e' || (count(*) + 1), 'p' FROM users");
}

static void from_memory(void **state)
{
    struct tester *t = *state;
    struct answer a[3] = {0};
    assert_true(reads_on_loop(t));
    uint64_t batches = counter(t, COUNTER_store_read_batches);
    for (int i = 0; i < 3; i++)
        assert_non_null(store_user_by_id(t->store, 1 + i, answer_on_done, &a[i]));
    for (int i = 0; i < 3; i++) {
        assert_false(a[i].done); /* not before the call that made it has returned */
    }
    loop_run_once(t->loop, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].result, i == 0 ? STORE_OK : STORE_NOT_FOUND);
        answer_fini(&a[i]);
    }
    assert_int_equal(counter(t, COUNTER_store_read_batches), batches + 1);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), counter(t, COUNTER_store_reads));
    outdate_cache(t);
    assert_true(reads_on_loop(t)); /* the kernel has the pages */
}

static void page_on_disk(void **state)
{
    struct tester *t = *state;
    outdate_cache(t);
    let_reads_fail("EAGAIN");
    assert_false(reads_on_loop(t));
    assert_true(reads_on_loop(t)); /* the thread has brought it */
    assert_int_equal(counter(t, COUNTER_store_errors), 0);
}

/* What could be answered is, in its place; the others follow. */
static void some_on_disk(void **state)
{
    struct tester *t = *state;
    struct answer mail = {0}, id = {0};
    assert_true(reads_on_loop(t)); /* that page is there, the index of addresses is not */
    let_reads_fail("EAGAIN");
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    store_user_by_id(t->store, 1, answer_on_done, &id);
    store_user_by_email(t->store, SLICE("alice@x.com"), answer_on_done, &mail);
    assert_int_equal(tester_await(t, &mail), STORE_OK);
    assert_true(id.done && id.result == STORE_OK);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before + 1);
    answer_fini(&mail);
    answer_fini(&id);
}

static void file_system_cannot_tell(void **state)
{
    struct tester *t = *state;
    assert_true(reads_on_loop(t));
    outdate_cache(t);
    let_reads_fail("EOPNOTSUPP");
    stderr_capture_start();
    assert_false(reads_on_loop(t));
    assert_false(reads_on_loop(t)); /* not even what is in the cache: the next miss would be a wait */
    char *said = stderr_capture_end();
    assert_int_equal(count_of(said, "go to a thread: its file system cannot tell"), 1);
    free(said);
}

/* The two threads may hold what the loop would have to wait for. */
static void threads_at_work(void **state)
{
    struct tester *t = *state;
    struct answer write = {0}, read = {0};
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    store_user_create(t->store, SLICE("bob"), SLICE("bob@x.com"), SLICE("h"), answer_on_done, &write);
    store_user_by_id(t->store, 1, answer_on_done, &read);
    assert_int_equal(tester_await(t, &read), STORE_OK);
    assert_int_equal(tester_await(t, &write), STORE_OK);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    answer_fini(&read);
    answer_fini(&write);
    /* begun before the write was */
    store_user_by_id(t->store, 1, answer_on_done, &read);
    store_user_create(t->store, SLICE("eve"), SLICE("eve@x.com"), SLICE("h"), answer_on_done, &write);
    assert_int_equal(tester_await(t, &read), STORE_OK);
    assert_int_equal(tester_await(t, &write), STORE_OK);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    answer_fini(&read);
    answer_fini(&write);
    assert_true(reads_on_loop(t));
}

static void fill(struct tester *t, int rows)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "INSERT INTO users (username, email, password) SELECT 'n' || i, 'm' || i, 'p' FROM n",
             rows);
    tester_sql(t, sql);
}

/* One read that takes longer than the loop has for all of a turn. */
static void takes_long(void **state)
{
    struct tester *t = *state;
    enum { ROWS = 100000 };
    struct answer a = {0};
    fill(t, ROWS);
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    store_user_list(t->store, ROWS, 10, &tester_form, 0, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(answer_rows(&a), 1);
    assert_non_null(memmem(a.text.ptr, a.text.len, " n100000 ", 9));
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    answer_fini(&a);
    assert_true(reads_on_loop(t));
}

static bool in_a_hurry;

static int is_over(void *ctx)
{
    return 1;
}

/* SQLite's own, unless a test has it that time is over at each step of a statement. */
void sqlite3_progress_handler(sqlite3 *db, int steps, int (*look)(void *), void *ctx)
{
    void (*real)(sqlite3 *, int, int (*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "sqlite3_progress_handler");
    assert_non_null(real);
    if (look && in_a_hurry)
        real(db, 1, is_over, NULL);
    else
        real(db, steps, look, ctx);
}

/* Wherever that finds it: no transaction is left behind for the reader's thread to stumble over. */
static void time_is_over_at_every_step(void **state)
{
    struct tester *t = *state;
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    in_a_hurry = true;
    stderr_capture_start();
    enum store_result results[3];
    for (int i = 0; i < 3; i++) {
        struct answer a = {0};
        results[i] = tester_by_id(t, 1, &a);
        answer_fini(&a);
    }
    char *said = stderr_capture_end();
    in_a_hurry = false;
    assert_string_equal(said, "");
    free(said);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], STORE_OK);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    assert_true(reads_on_loop(t));
}

/* What a try has read that was given up is not counted when the next one does so again. */
static void tried_again_with_all_its_memory(void **state)
{
    struct tester *t = *state;
    enum { ROWS = 20, FITS = 60 * 1024 };
    struct answer a = {0};
    tester_sql(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
                  "INSERT INTO users (username, email, password) "
                  "SELECT 'n' || i, printf('%02000d', i), 'p' FROM n");
    let_reads_fail_after(9, "EAGAIN");
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    store_user_list(t->store, 0, ROWS, &tester_form, FITS, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(answer_rows(&a), ROWS);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    answer_fini(&a);
}

static int rows_on_loop, rows_elsewhere;

static void count_row(struct buf *out, const struct store_user *user)
{
    buf_append_char(out, '.');
    if (pthread_equal(pthread_self(), loop_thread))
        rows_on_loop++;
    else
        rows_elsewhere++;
}

enum { MANY_ROWS = 100000 };

/* All of so many, more than a turn of the loop has time for; their rows are counted. */
static struct task *list_many(struct tester *t, const struct store_list_form *dots, struct answer *a)
{
    fill(t, MANY_ROWS);
    loop_thread = pthread_self();
    rows_on_loop = rows_elsewhere = 0;
    return store_user_list(t->store, 0, MANY_ROWS, dots, 0, answer_on_done, a);
}

/* However long it is, it is the reader's thread that writes it. */
static void long_lists_are_written_elsewhere(void **state)
{
    struct tester *t = *state;
    static const struct store_list_form dots = {.row = count_row};
    struct answer a = {0};
    list_many(t, &dots, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(a.text.len, MANY_ROWS);
    assert_int_equal(rows_elsewhere, MANY_ROWS);
    assert_in_range(rows_on_loop, 1, MANY_ROWS - 1); /* the try that took too long */
    answer_fini(&a);
}

static sem_t first_row, go_on;

static void count_and_wait(struct buf *out, const struct store_user *user)
{
    count_row(out, user);
    if (rows_elsewhere != 1)
        return;
    sem_post(&first_row);
    sem_wait(&go_on);
}

/* Who has left is not written for; the reader has others waiting. That is no trouble of the database. */
static void long_lists_end_when_called_off(void **state)
{
    struct tester *t = *state;
    static const struct store_list_form dots = {.row = count_and_wait};
    struct answer a = {0};
    sem_init(&first_row, 0, 0);
    sem_init(&go_on, 0, 0);
    struct task *task = list_many(t, &dots, &a);
    while (sem_trywait(&first_row) != 0)
        loop_run_once(t->loop, false);
    task_cancel(task);
    sem_post(&go_on);
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    assert_null(a.text.ptr);
    assert_int_equal(rows_elsewhere, 1);
    assert_int_equal(counter(t, COUNTER_store_errors), 0);
    answer_fini(&a);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    answer_fini(&a);
    sem_destroy(&first_row);
    sem_destroy(&go_on);
}

static void count_turn(struct loop_flush *f)
{
    (*(int *)(f + 1))++;
}

/* Many that take long together, none of them long enough to be interrupted: others have their turns in between, and all keep their order. */
static void many_take_turns(void **state)
{
    struct tester *t = *state;
    enum { LISTS = 250, ROWS = 60 };
    static struct answer a[LISTS];
    struct {
        struct loop_flush flush;
        int turns;
    } count = {.flush = {.call = count_turn}};
    fill(t, ROWS);
    loop_add_flush(t->loop, &count.flush);
    for (int i = 0; i < LISTS; i++)
        store_user_list(t->store, 0, ROWS, &tester_form, 0, answer_on_done, &a[i]);
    int done = 0;
    while (done < LISTS) {
        loop_run_once(t->loop, true);
        while (done < LISTS && a[done].done)
            done++;
        for (int i = done; i < LISTS; i++)
            assert_false(a[i].done);
    }
    loop_remove_flush(t->loop, &count.flush);
    assert_true(count.turns >= 3);
    for (int i = 0; i < LISTS; i++) {
        assert_int_equal(answer_rows(&a[i]), ROWS);
        answer_fini(&a[i]);
    }
}

/* A reader that cannot make sense of the index has it rebuilt from the log, which is read for that. */
static void index_to_rebuild(void **state)
{
    struct tester *t = *state;
    char path[128];
    snprintf(path, sizeof path, "%s-shm", t->path);
    pid_t pid = fork(); /* closing it would take our own locks away */
    assert_true(pid >= 0);
    if (pid == 0) {
        static const char nothing[96];
        int fd = open(path, O_RDWR | O_CLOEXEC);
        _exit(pwrite(fd, nothing, sizeof nothing, 0) == sizeof nothing ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(reads_on_loop(t));
    assert_true(reads_on_loop(t));
}

/* Another process has all the locks: the thread waits for it, and the loop goes round. */
static void locked_by_others(void **state)
{
    struct tester *t = *state;
    char path[128], byte = 0;
    int locked[2], leave[2];
    struct answer a = {0};
    snprintf(path, sizeof path, "%s-shm", t->path);
    assert_int_equal(pipe(locked) | pipe(leave), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* https://sqlite.org/walformat.html, 2.3: the read marks */
        struct flock marks = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 123, .l_len = 5};
        int fd = open(path, O_RDWR | O_CLOEXEC);
        close(leave[1]);
        if (fcntl(fd, F_SETLKW, &marks) || write(locked[1], &byte, 1) != 1)
            _exit(1);
        _exit(read(leave[0], &byte, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(read(locked[0], &byte, 1), 1);
    uint64_t before = counter(t, COUNTER_store_reads_nowait);
    store_user_by_id(t->store, 1, answer_on_done, &a);
    for (int i = 0; i < 3; i++)
        loop_run_once(t->loop, false);
    assert_false(a.done);
    assert_int_equal(write(leave[1], &byte, 1), 1);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    assert_int_equal(counter(t, COUNTER_store_reads_nowait), before);
    answer_fini(&a);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++)
        close(locked[i]), close(leave[i]);
}

static void cancelled_is_not_read(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    uint64_t before = counter(t, COUNTER_store_reads);
    task_cancel(store_user_by_id(t->store, 1, answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    assert_int_equal(counter(t, COUNTER_store_reads), before);
    answer_fini(&a);
}

static void closed_in_the_same_turn(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    store_user_by_id(t->store, 1, answer_on_done, &a);
    tester_close(t);
    while (!a.done)
        loop_run_once(t->loop, true);
    assert_int_equal(a.result, STORE_OK);
    answer_fini(&a);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    if (!mkdtemp(orders))
        return 1;
    if (!can_tell(orders)) {
        rmdir(orders);
        puts("not tested: the file system of /tmp has no RWF_NOWAIT, preadv2(2)");
        return 0;
    }
    snprintf(order, sizeof order, "%s/read_nowait", orders);
    setenv("COLMEIA_FAULTS", orders, 1);
    watch_sleeps();
    const struct CMUnitTest tests[] = {
        CASE(from_memory),
        CASE(page_on_disk),
        CASE(some_on_disk),
        CASE(file_system_cannot_tell),
        CASE(threads_at_work),
        CASE(takes_long), CASE(time_is_over_at_every_step),
        CASE(long_lists_are_written_elsewhere), CASE(long_lists_end_when_called_off),
        CASE(tried_again_with_all_its_memory),
        CASE(many_take_turns),
        CASE(index_to_rebuild),
        CASE(locked_by_others),
        CASE(cancelled_is_not_read),
        CASE(closed_in_the_same_turn),
    };
    int failed = cmocka_run_group_tests_name("store: reads on the loop", tests, NULL, NULL);
    rmdir(orders);
    return failed;
}
