/* test_sqlite.c: what only the SQLite driver does: group commit, one read transaction per batch,
 * disks that are full or fail, the lock between processes, checkpoints, databases of other makers.
 */
#include "fault_vfs.h"
#include "store_tester.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The store's writing connection, caught when it was opened: for limits that are a connection's
 * own. Touched only while no call is on its way. */
static sqlite3 *writer_db;

#define SOUND "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"

static int catch_connection(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
    if (sqlite3_db_readonly(db, "main") == 0)
        writer_db = db;
    return SQLITE_OK;
}

static int setup(void **state)
{
    fault_vfs_reset();
    struct tester *t = tester_new(&store_driver_sqlite);
    tester_open(t);
    *state = t;
    return 0;
}

static int setup_closed(void **state)
{
    fault_vfs_reset();
    *state = tester_new(&store_driver_sqlite);
    return 0;
}

static int teardown(void **state)
{
    struct tester *t = *state;
    fault_vfs_reset();
    tester_free(t);
    return 0;
}

enum { MANY = 100 };

struct wave {
    struct answer answers[MANY];
    int len;
};

/* Starts creates of user<from>… in this turn. */
static void start_creates(struct tester *t, struct wave *w, int from, int len)
{
    *w = (struct wave){.len = len};
    for (int i = 0; i < len; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d", from + i);
        assert_non_null(store_user_create(t->store, slice_of(name), slice_of(name), SLICE("h"),
                                          answer_on_done, &w->answers[i]));
    }
}

/* How many of the wave ended so. */
static int ended(struct tester *t, struct wave *w, enum store_result result)
{
    int n = 0;
    for (int i = 0; i < w->len; i++)
        n += tester_await(t, &w->answers[i]) == result;
    return n;
}

static void wave_fini(struct wave *w)
{
    for (int i = 0; i < w->len; i++)
        answer_fini(&w->answers[i]);
}

static uint64_t counter(struct tester *t, enum counter c)
{
    return scoreboard_total(t->board, c);
}

/* ---- batches ---- */

static void group_commit(void **state)
{
    struct tester *t = *state;
    struct wave w;
    assert_int_equal(tester_create(t, "first", "first", "h"),
                     STORE_OK); /* and a new log's header */
    atomic_store(&fault_vfs.wal_syncs, 0);
    start_creates(t, &w, 0, MANY);
    assert_int_equal(ended(t, &w, STORE_OK), MANY);
    wave_fini(&w);
    assert_int_equal(counter(t, COUNTER_store_writes), 1 + MANY);
    assert_int_equal(counter(t, COUNTER_store_write_batches), 2);
    assert_int_equal(atomic_load(&fault_vfs.wal_syncs), 1);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), 1 + MANY);
}

static void no_fsync_when_normal(void **state)
{
    struct tester *t = *state;
    t->options.durability = CONFIG_DURABILITY_NORMAL;
    tester_open(t);
    atomic_store(&fault_vfs.wal_syncs, 0);
    assert_int_equal(tester_create(t, "a", "a", "h"), STORE_OK);
    /* the first commit after a fresh log writes its header; later ones do not sync either */
    int first = atomic_load(&fault_vfs.wal_syncs);
    assert_int_equal(tester_create(t, "b", "b", "h"), STORE_OK);
    assert_int_equal(atomic_load(&fault_vfs.wal_syncs), first);
}

static void one_failure_hurts_nobody_else(void **state)
{
    struct tester *t = *state;
    struct wave w;
    assert_int_equal(tester_create(t, "user3", "x", "h"), STORE_OK);
    assert_int_equal(tester_create(t, "y", "user5", "h"), STORE_OK);
    start_creates(t, &w, 0, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(tester_await(t, &w.answers[i]), i == 3   ? STORE_USERNAME_TAKEN
                                                         : i == 5 ? STORE_EMAIL_TAKEN
                                                                  : STORE_OK);
    wave_fini(&w);
    assert_int_equal(counter(t, COUNTER_store_write_batches), 3);
    assert_int_equal(counter(t, COUNTER_store_writes), 10);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), 10);
}

/* Whose answer finds no memory has a row already: nobody is told of a batch that is given up. */
static void answer_without_memory_gives_up_the_batch(void **state)
{
    struct tester *t = *state;
    struct wave w;
    struct answer poor = {0};
    start_creates(t, &w, 0, 2);
    struct task *call = store_user_create(t->store, SLICE("poor"), SLICE("poor"), SLICE("h"),
                                          answer_on_done, &poor);
    assert_non_null(call);
    ((struct store_call *)call)->arena.max_bytes = 0; /* it leaves the loop with this turn */
    assert_int_equal(tester_await(t, &poor), STORE_NO_MEMORY);
    assert_int_equal(ended(t, &w, STORE_UNAVAILABLE), 2);
    wave_fini(&w);
    answer_fini(&poor);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), 0);
    assert_int_equal(tester_create(t, "poor", "poor", "h"), STORE_OK);
}

static void one_read_transaction_per_batch(void **state)
{
    struct tester *t = *state;
    struct answer a[MANY] = {0};
    tester_create(t, "alice", "alice@x.com", "h");
    atomic_store(&fault_vfs.read_marks, 0);
    for (int i = 0; i < MANY; i++)
        store_user_by_id(t->store, 1, answer_on_done, &a[i]);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(tester_await(t, &a[i]), STORE_OK);
        answer_fini(&a[i]);
    }
    /* one, unless they take longer than the loop has for a turn, as they do under TSan */
    uint64_t batches = counter(t, COUNTER_store_read_batches);
    assert_int_equal(counter(t, COUNTER_store_reads), MANY);
    assert_int_equal(atomic_load(&fault_vfs.read_marks), batches);
    assert_true(batches >= 1 && batches <= MANY / 4);
}

/* ---- trouble ---- */

/* Every row that was acknowledged is there, and no other. */
static void assert_rows_are_the_acknowledged(struct tester *t, struct wave *w, int from)
{
    for (int i = 0; i < w->len; i++) {
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM users WHERE username = 'user%d'", from + i);
        assert_int_equal(tester_sql(t, sql), w->answers[i].result == STORE_OK);
    }
}

static void set_max_pages(sqlite3 *db, int extra)
{
    char sql[64];
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int pages = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", pages + extra);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* SQLITE_FULL in the middle of a batch: an INSERT finds no page. */
static void full_in_mid_batch(void **state)
{
    struct tester *t = *state;
    static char big[20000];
    memset(big, 'x', sizeof big);
    struct wave w = {.len = 10};
    sqlite3 *writer = writer_db; /* the next to open is not the store's */
    set_max_pages(writer, 30);
    stderr_capture_start();
    for (int i = 0; i < w.len; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d", i);
        store_user_create(t->store, slice_of(name), slice_of(name), (struct slice){big, sizeof big},
                          answer_on_done, &w.answers[i]);
    }
    int ok = ended(t, &w, STORE_OK), unavailable = ended(t, &w, STORE_UNAVAILABLE);
    free(stderr_capture_end());
    assert_int_equal(ok + unavailable, w.len);
    assert_true(unavailable > 0);
    assert_rows_are_the_acknowledged(t, &w, 0);
    assert_int_equal(counter(t, COUNTER_store_errors), unavailable);
    wave_fini(&w);
    set_max_pages(writer, 100000);
    start_creates(t, &w, 100, 5);
    assert_int_equal(ended(t, &w, STORE_OK), 5);
    wave_fini(&w);
    assert_int_equal(tester_sql(t, SOUND), 1);
}

/* The lock excludes nobody now. */
static void assert_lock_is_free(struct tester *t)
{
    char lock_path[128];
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    int fd = open(lock_path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
}

/* An I/O error in the middle of a batch ends the whole transaction: those before it, whose rows
 * were in already, are not acknowledged either. */
static void lost_in_mid_batch(void **state)
{
    enum { LARGE = 12 << 20 }; /* more than SQLite caches: goes to the log before the commit */
    struct tester *t = *state;
    char *large = malloc(LARGE);
    struct answer a = {0};
    struct wave w;
    assert_non_null(large);
    memset(large, 'x', LARGE);
    stderr_capture_start();
    atomic_store(&fault_vfs.fail_wal_write, SQLITE_IOERR_WRITE);
    start_creates(t, &w, 0, 5);
    store_user_create(t->store, SLICE("large"), SLICE("large"), (struct slice){large, LARGE},
                      answer_on_done, &a);
    assert_int_equal(ended(t, &w, STORE_UNAVAILABLE), 5);
    assert_int_equal(tester_await(t, &a), STORE_UNAVAILABLE);
    free(stderr_capture_end());
    assert_lock_is_free(t);
    assert_rows_are_the_acknowledged(t, &w, 0);
    assert_int_equal(counter(t, COUNTER_store_writes), 0);
    answer_fini(&a);
    wave_fini(&w);
    free(large);
    atomic_store(&fault_vfs.fail_wal_write, 0);
    start_creates(t, &w, 0, 5);
    assert_int_equal(ended(t, &w, STORE_OK), 5);
    wave_fini(&w);
}

/* The commit itself fails: nobody was acknowledged, not even those who were told no. Reads go on;
 * one line in the log says so, another that it is over. */
static void commit_fails(struct tester *t, atomic_int *knob, int failure, const char *cause)
{
    struct answer a = {0}, changed = {0}, taken = {0};
    struct wave w;
    assert_int_equal(tester_create(t, "alice", "alice@x.com", "h"), STORE_OK);
    stderr_capture_start();
    atomic_store(knob, failure);
    for (int round = 0; round < 3; round++) {
        start_creates(t, &w, round * MANY, MANY);
        store_user_create(t->store, SLICE("user0"), SLICE("z"), SLICE("h"), answer_on_done, &taken);
        store_user_rehash(t->store, 1, SLICE("no"), SLICE("h"), answer_on_done, &changed);
        assert_int_equal(ended(t, &w, STORE_UNAVAILABLE), MANY);
        assert_int_equal(tester_await(t, &taken), STORE_UNAVAILABLE);
        assert_int_equal(tester_await(t, &changed), STORE_UNAVAILABLE);
        assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
        assert_int_equal(tester_by_id(t, 2, &a), STORE_NOT_FOUND);
        wave_fini(&w);
        answer_fini(&taken);
        answer_fini(&changed);
    }
    atomic_store(knob, 0);
    start_creates(t, &w, 0, 10);
    assert_int_equal(ended(t, &w, STORE_OK), 10);
    assert_rows_are_the_acknowledged(t, &w, 0);
    wave_fini(&w);
    answer_fini(&a);
    char *log = stderr_capture_end();
    if (count_of(log, "writes fail: ") != 1 || count_of(log, cause) != 1 ||
        count_of(log, "writes work again") != 1 || count_of(log, "\n") != 2)
        fail_msg("%s", log);
    free(log);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), 11);
    assert_int_equal(counter(t, COUNTER_store_writes), 11);
    assert_int_equal(counter(t, COUNTER_store_write_batches), 2);
}

static void full_at_commit(void **state)
{
    commit_fails(*state, &fault_vfs.fail_wal_write, SQLITE_FULL, "the disk is full");
}

static void write_error_at_commit(void **state)
{
    commit_fails(*state, &fault_vfs.fail_wal_write, SQLITE_IOERR_WRITE, "input/output error");
}

static void fsync_error_at_commit(void **state)
{
    commit_fails(*state, &fault_vfs.fail_wal_sync, SQLITE_IOERR_FSYNC, "input/output error");
}

static void file_taken_away(void **state)
{
    struct tester *t = *state;
    struct answer a = {0};
    char aside[128];
    snprintf(aside, sizeof aside, "%s.aside", t->path);
    assert_int_equal(tester_create(t, "alice", "a", "h"), STORE_OK);
    assert_int_equal(rename(t->path, aside), 0);
    stderr_capture_start();
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_UNAVAILABLE);
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_UNAVAILABLE);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    /* another file in its place is not what is open either */
    int fd = open(t->path, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_UNAVAILABLE);
    char *log = stderr_capture_end();
    assert_int_equal(count_of(log, "was removed or replaced"), 1);
    free(log);
    assert_int_equal(rename(aside, t->path), 0);
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_OK);
    answer_fini(&a);
}

/* ---- other processes ---- */

/* A child that takes the lock, says so, and holds it until it is killed or told to leave. */
struct holder {
    pid_t pid;
    int leave_fd;
};

static struct holder start_holder(struct tester *t)
{
    char lock_path[128], c;
    int ready[2], leave[2];
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    assert_true(pipe(ready) == 0 && pipe(leave) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(leave[1]);
        int fd = open(lock_path, O_RDWR);
        bool held = fd >= 0 && flock(fd, LOCK_EX) == 0 && write(ready[1], "r", 1) == 1;
        _exit(held && read(leave[0], &c, 1) >= 0 ? 0 : 1);
    }
    close(ready[1]);
    close(leave[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return (struct holder){pid, leave[1]};
}

static void end_holder(struct holder *h, bool killed)
{
    int status;
    if (killed)
        assert_int_equal(kill(h->pid, SIGKILL), 0);
    close(h->leave_fd);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_int_equal(status, killed ? SIGKILL : 0);
}

static void lock_is_busy(void **state)
{
    struct tester *t = *state;
    t->options.timeout_ms = 400;
    tester_open(t);
    struct holder h = start_holder(t);
    struct answer a = {0};
    stderr_capture_start();
    for (int i = 0; i < 3; i++)
        assert_int_equal(tester_create(t, "alice", "a@x.com", "h"), STORE_BUSY);
    store_probe(t->store, answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_BUSY);
    char *log = stderr_capture_end();
    assert_int_equal(count_of(log, "not to be had in time"), 1);
    free(log);
    assert_int_equal(counter(t, COUNTER_store_errors), 4);
    assert_int_equal(tester_by_id(t, 1, &a), STORE_NOT_FOUND); /* reads need no lock */
    end_holder(&h, true);
    assert_int_equal(tester_create(t, "alice", "a@x.com", "h"), STORE_OK);
    assert_int_equal(atomic_load(&t->slot->holds_db_lock), 0);
    assert_int_equal(atomic_load(&t->board->db_lock_pid), 0);
    answer_fini(&a);
}

/* A program that knows SQLite's own locks only. */
static void database_is_busy(void **state)
{
    struct tester *t = *state;
    t->options.timeout_ms = 400;
    tester_open(t);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(t->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    stderr_capture_start();
    assert_int_equal(tester_create(t, "alice", "a@x.com", "h"), STORE_BUSY);
    char *log = stderr_capture_end();
    assert_int_equal(count_of(log, "another program keeps it locked"), 1);
    free(log);
    assert_lock_is_free(t);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    stderr_capture_start();
    assert_int_equal(tester_create(t, "alice", "a@x.com", "h"), STORE_OK);
    free(stderr_capture_end());
}

/* Waits for its turn as long as it may: the batch goes through when the holder is killed. */
static void killed_holder_frees(void **state)
{
    struct tester *t = *state;
    t->options.timeout_ms = 60000;
    tester_open(t);
    struct holder h = start_holder(t);
    struct wave w;
    start_creates(t, &w, 0, 10);
    loop_run_once(t->loop, false); /* on their way */
    end_holder(&h, true);
    assert_int_equal(ended(t, &w, STORE_OK), 10);
    wave_fini(&w);
}

enum { WRITERS = 2, WAVES = 20 };

/* A process of its own with its own store, as workers are. Exit status 0: all acknowledged. */
static void write_from_child(const struct tester *parent, int who)
{
    struct tester t = *parent;
    t.loop = loop_new();
    t.slot = NULL;
    t.options.slot = NULL;
    tester_open(&t);
    int ok = 0;
    for (int i = 0; i < WAVES; i++) {
        struct wave w;
        start_creates(&t, &w, (who * WAVES + i) * MANY, MANY);
        ok += ended(&t, &w, STORE_OK);
        wave_fini(&w);
    }
    tester_close(&t);
    loop_free(t.loop);
    _exit(ok == WAVES * MANY && atomic_load(&fault_vfs.unlocked_writes) == 0 ? 0 : 1);
}

static void processes_write_at_once(void **state)
{
    struct tester *t = *state;
    char lock_path[128];
    tester_open(t);
    tester_close(t);
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    fault_vfs.lock_path = lock_path;
    pid_t pids[WRITERS];
    stderr_capture_start();
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            write_from_child(t, i);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    char *log = stderr_capture_end();
    assert_string_equal(log, ""); /* neither took the other for a foreigner */
    free(log);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), WRITERS * WAVES * MANY);
    assert_int_equal(tester_sql(t, SOUND), 1);
}

/* Acknowledged is durable, whenever the process is killed. */
static void killed_writer_loses_nothing(void **state)
{
    struct tester *t = *state;
    tester_open(t);
    tester_close(t);
    int acks[2];
    assert_int_equal(pipe(acks), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct tester child = *t;
        child.loop = loop_new();
        tester_open(&child);
        for (int i = 0;; i++) {
            char name[32];
            snprintf(name, sizeof name, "user%d", i);
            if (tester_create(&child, name, name, "h") != STORE_OK || write(acks[1], "a", 1) != 1)
                _exit(1);
        }
    }
    close(acks[1]);
    int acknowledged = 0;
    char c;
    while (acknowledged < 50 && read(acks[0], &c, 1) == 1)
        acknowledged++;
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (read(acks[0], &c, 1) == 1)
        acknowledged++;
    close(acks[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(acknowledged >= 50);
    tester_open(t);
    int64_t rows = tester_sql(t, "SELECT count(*) FROM users");
    assert_true(rows == acknowledged ||
                rows == acknowledged + 1); /* killed between commit and answer */
    assert_int_equal(tester_create(t, "alice", "a", "h"), STORE_OK);
}

/* ---- checkpoints and foreigners ---- */

/* About 10 pages of the log. */
static void create_big(struct tester *t, const char *kind, int i)
{
    static char big[40000];
    char name[32];
    struct answer a = {0};
    memset(big, 'x', sizeof big);
    snprintf(name, sizeof name, "%s%d", kind, i);
    store_user_create(t->store, slice_of(name), slice_of(name), (struct slice){big, sizeof big},
                      answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    answer_fini(&a);
}

static off_t log_size(struct tester *t)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s-wal", t->path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void checkpoints_under_the_lock(void **state)
{
    struct tester *t = *state;
    char lock_path[128];
    tester_close(t);
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    fault_vfs.lock_path = lock_path;
    tester_open(t);
    stderr_capture_start(); /* also by a connection that had to be opened anew */
    atomic_store(&fault_vfs.fail_wal_write, SQLITE_IOERR_WRITE);
    assert_int_equal(tester_create(t, "a", "a", "h"), STORE_UNAVAILABLE);
    atomic_store(&fault_vfs.fail_wal_write, 0);
    assert_int_equal(tester_create(t, "a", "a", "h"), STORE_OK);
    free(stderr_capture_end());
    atomic_store(&fault_vfs.db_writes, 0);
    for (int i = 0; i < 90; i++) {
        create_big(t, "user", i);
        if (i == 50) /* below the threshold */
            assert_int_equal(atomic_load(&fault_vfs.db_writes), 0);
    }
    assert_true(atomic_load(&fault_vfs.db_writes) > 0);
    assert_int_equal(atomic_load(&fault_vfs.unlocked_writes), 0);
    off_t before = log_size(t);
    for (int i = 0; i < 300; i++) /* the log is used again from its start, not longer and longer */
        create_big(t, "more", i);
    assert_true(log_size(t) < before * 2);
    atomic_store(&fault_vfs.db_writes, 0);
    tester_close(t); /* the last to close does not checkpoint either */
    assert_int_equal(atomic_load(&fault_vfs.db_writes), 0);
    assert_int_equal(atomic_load(&fault_vfs.unlocked_writes), 0);
}

/* A backup, say: writers wait for it now and then, not each time that a checkpoint is due. */
static void long_reader_holds_writers_seldom(void **state)
{
    struct tester *t = *state;
    sqlite3 *reader;
    create_big(t, "before", 0);
    assert_int_equal(sqlite3_open(t->path, &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT 1 FROM users", NULL, NULL, NULL),
                     SQLITE_OK);
    atomic_store(&fault_vfs.asleep_us, 0);
    for (int i = 0; i < 1000; i++)
        create_big(t, "beside", i);
    int asleep_ms = atomic_load(&fault_vfs.asleep_us) / 1000;
    assert_in_range(asleep_ms, 1, 2 * 100); /* at 4,000 and 8,000 pages */
    assert_true(log_size(t) > 32 << 20);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    for (int i = 0; i < 300; i++) /* once it has gone the log begins anew, and is cut */
        create_big(t, "after", i);
    assert_true(log_size(t) <= 16 << 20);
}

static void foreign_writer_is_noticed(void **state)
{
    struct tester *t = *state;
    stderr_capture_start();
    assert_int_equal(tester_create(t, "alice", "a", "h"), STORE_OK);
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_OK);
    char *log = stderr_capture_end();
    assert_string_equal(log, "");
    free(log);
    tester_sql(t, "INSERT INTO users (username, email, password) VALUES ('c', 'c', 'h')");
    stderr_capture_start();
    assert_int_equal(tester_create(t, "d", "d", "h"), STORE_OK);
    tester_sql(t, "DELETE FROM users WHERE username = 'c'");
    assert_int_equal(tester_create(t, "e", "e", "h"), STORE_OK);
    log = stderr_capture_end();
    assert_int_equal(count_of(log, "was changed by a program that does not hold"), 1);
    free(log);
}

/* ---- databases of other makers ---- */

static enum store_result delete_user(struct tester *t, int64_t id, const char *seen)
{
    struct answer a = {0};
    store_user_delete(t->store, id, slice_of(seen), answer_on_done, &a);
    enum store_result result = tester_await(t, &a);
    answer_fini(&a);
    return result;
}

static void todos_go_with_their_user(void **state)
{
    struct tester *t = *state;
    tester_open(t);
    tester_create(t, "alice", "a", "h1");
    tester_create(t, "bob", "b", "h2");
    tester_close(t);
    tester_sql(t,
               "CREATE TABLE todos (id INTEGER NOT NULL, title VARCHAR NOT NULL, "
               "description VARCHAR NOT NULL, state VARCHAR(5) NOT NULL, user_id INTEGER NOT NULL, "
               "PRIMARY KEY (id), FOREIGN KEY(user_id) REFERENCES users (id));"
               "INSERT INTO todos (title, description, state, user_id) VALUES "
               "('t', 'd', 'draft', 1), ('t', 'd', 'draft', 2), ('t', 'd', 'draft', 1)");
    tester_open(t);
    assert_int_equal(delete_user(t, 1, "no"), STORE_CHANGED);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM todos"), 3);
    assert_int_equal(delete_user(t, 1, "h1"), STORE_OK);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM todos"), 1);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM todos WHERE user_id = 2"), 1);
    assert_int_equal(delete_user(t, 2, "h2"), STORE_OK);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM todos"), 0);
}

/* Another table refers to the user: the database refuses, what the call had done before is undone,
 * and the others of the batch go on. */
static void refused_by_another_table(void **state)
{
    struct tester *t = *state;
    tester_open(t);
    tester_create(t, "alice", "a", "h1");
    tester_close(t);
    tester_sql(t,
               "CREATE TABLE todos (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id));"
               "INSERT INTO todos (user_id) VALUES (1);"
               "CREATE TABLE notes (user_id INTEGER REFERENCES users (id));"
               "INSERT INTO notes VALUES (1)");
    tester_open(t);
    stderr_capture_start();
    struct answer a = {0}, b = {0};
    store_user_delete(t->store, 1, SLICE("h1"), answer_on_done, &a);
    store_user_create(t->store, SLICE("bob"), SLICE("b"), SLICE("h"), answer_on_done, &b);
    assert_int_equal(tester_await(t, &a), STORE_UNAVAILABLE);
    assert_int_equal(tester_await(t, &b), STORE_OK);
    char *log = stderr_capture_end();
    assert_int_equal(count_of(log, "FOREIGN KEY constraint failed"), 1);
    free(log);
    answer_fini(&a);
    answer_fini(&b);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM users"), 2);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM todos"), 1);
}

/* The id is that of the user, whatever else was inserted by the same statement; and a row that a trigger
 * leaves out is nobody's. */
static void triggers_of_others(void **state)
{
    struct tester *t = *state;
    char text[100];
    tester_open(t);
    tester_close(t);
    tester_sql(t, "CREATE TABLE log (id INTEGER PRIMARY KEY, who TEXT);"
                  "INSERT INTO log VALUES (700, 'first');"
                  "CREATE TRIGGER logs AFTER INSERT ON users BEGIN "
                  "INSERT INTO log (who) VALUES (new.username); END;"
                  "CREATE TRIGGER ignores BEFORE INSERT ON users WHEN new.username = 'nobody' BEGIN "
                  "SELECT raise(IGNORE); END");
    tester_open(t);
    stderr_capture_start();
    struct answer a[3] = {0};
    store_user_create(t->store, SLICE("alice"), SLICE("a"), SLICE("h"), answer_on_done, &a[0]);
    store_user_create(t->store, SLICE("nobody"), SLICE("n"), SLICE("h"), answer_on_done, &a[1]);
    store_user_create(t->store, SLICE("bob"), SLICE("b"), SLICE("h"), answer_on_done, &a[2]);
    assert_int_equal(tester_await(t, &a[0]), STORE_OK);
    assert_int_equal(tester_await(t, &a[1]), STORE_UNAVAILABLE);
    assert_int_equal(tester_await(t, &a[2]), STORE_OK);
    char *said = stderr_capture_end();
    assert_int_equal(count_of(said, "a trigger ignored it"), 1);
    free(said);
    assert_int_equal(a[0].users[0].id, 1);
    assert_int_equal(a[2].users[0].id, 2);
    assert_string_equal(tester_list(t, text, sizeof text), "1 alice a; 2 bob b; ");
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM log"), 3);
    for (int i = 0; i < 3; i++)
        answer_fini(&a[i]);
}

static void updated_at_is_kept(void **state)
{
    struct tester *t = *state;
    tester_open(t);
    tester_close(t);
    tester_sql(
        t, "ALTER TABLE users ADD COLUMN updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL;"
           "INSERT INTO users (username, email, password, created_at, updated_at) VALUES "
           "('alice', 'a', 'h1', '2001-01-01 00:00:00', '2001-01-01 00:00:00')");
    tester_open(t);
    struct answer a = {0};
    store_user_rehash(t->store, 1, SLICE("h1"), SLICE("h2"), answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    answer_fini(&a);
    /* the account is as it was; only how its password is kept has changed */
    assert_int_equal(tester_sql(t, "SELECT updated_at = '2001-01-01 00:00:00' FROM users"), 1);
    store_user_update(t->store, 1, SLICE("h2"), SLICE("al"), SLICE("a"), SLICE("h3"),
                      answer_on_done, &a);
    assert_int_equal(tester_await(t, &a), STORE_OK);
    answer_fini(&a);
    assert_int_equal(tester_sql(t, "SELECT updated_at > '2020' AND updated_at LIKE "
                                   "'____-__-__ __:__:__' FROM users"),
                     1);
    assert_int_equal(tester_sql(t, "SELECT created_at = '2001-01-01 00:00:00' FROM users"), 1);
    assert_int_equal(tester_create(t, "bob", "b", "h"), STORE_OK);
}

static void schema_of_the_benchmark(void **state)
{
    struct tester *t = *state;
    tester_sql(
        t, "PRAGMA journal_mode=WAL;"
           "CREATE TABLE users(id INTEGER PRIMARY KEY, username TEXT UNIQUE NOT NULL, email TEXT "
           "UNIQUE NOT NULL, password TEXT NOT NULL, created_at DATETIME DEFAULT "
           "CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);"
           "CREATE TABLE alembic_version(version_num VARCHAR(32) NOT NULL PRIMARY KEY);"
           "INSERT INTO alembic_version VALUES('74f39286e2f6');"
           "INSERT INTO users(username,email,password) VALUES('alice','alice@example.com','h')");
    tester_open(t);
    char text[100];
    assert_int_equal(tester_create(t, "bob", "b@x.com", "h"), STORE_OK);
    assert_string_equal(tester_list(t, text, sizeof text),
                        "1 alice alice@example.com; 2 bob b@x.com; ");
}

/* ---- opening ---- */

static void open_refuses(void **state)
{
    struct tester *t = *state;
    const struct {
        const char *sql; /* NULL: no file */
        const char *line;
    } cases[] = {
        {NULL, "it does not exist; \"colmeia migrate upgrade\" makes it"},
        {"CREATE TABLE users (id INTEGER PRIMARY KEY)",
         "it is not in WAL mode; run \"colmeia migrate upgrade\""},
        {"PRAGMA journal_mode = WAL; CREATE TABLE x (y)",
         "it has no table users that fits; run \"colmeia migrate upgrade\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unlink(t->path);
        if (cases[i].sql)
            tester_sql(t, cases[i].sql);
        struct buf error = {0}, want = {0};
        assert_null(store_open(t->loop, &t->options, &error));
        buf_printf(&want, "database %s: %s", t->path, cases[i].line);
        if (!slice_equals(buf_slice(&error), buf_slice(&want)))
            fail_msg("got: %.*s", SLICE_ARGS(buf_slice(&error)));
        buf_free(&error);
        buf_free(&want);
    }
}

static void lock_file_is_the_databases(void **state)
{
    struct tester *t = *state;
    char lock_path[128];
    struct stat db, lock;
    tester_open(t);
    tester_close(t);
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    assert_int_equal(unlink(lock_path), 0);
    assert_int_equal(chmod(t->path, 0660), 0);
    tester_open(t);
    assert_int_equal(stat(t->path, &db), 0);
    assert_int_equal(stat(lock_path, &lock), 0);
    assert_int_equal(lock.st_mode, db.st_mode);
    assert_int_equal(lock.st_uid, db.st_uid);
    tester_close(t);
    assert_int_equal(access(lock_path, F_OK), 0); /* never unlinked */
}

#define OPEN(f)   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CLOSED(f) cmocka_unit_test_setup_teardown(f, setup_closed, teardown)

int main(void)
{
    fault_vfs_install();
    sqlite3_auto_extension((void (*)(void))catch_connection);
    const struct CMUnitTest tests[] = {
        OPEN(group_commit),
        CLOSED(no_fsync_when_normal),
        OPEN(one_failure_hurts_nobody_else),
        OPEN(answer_without_memory_gives_up_the_batch),
        OPEN(one_read_transaction_per_batch),
        OPEN(full_in_mid_batch),
        OPEN(lost_in_mid_batch),
        OPEN(full_at_commit),
        OPEN(write_error_at_commit),
        OPEN(fsync_error_at_commit),
        OPEN(file_taken_away),
        CLOSED(lock_is_busy),
        CLOSED(database_is_busy),
        CLOSED(killed_holder_frees),
        CLOSED(processes_write_at_once),
        CLOSED(killed_writer_loses_nothing),
        OPEN(checkpoints_under_the_lock),
        OPEN(long_reader_holds_writers_seldom),
        OPEN(foreign_writer_is_noticed),
        CLOSED(todos_go_with_their_user),
        CLOSED(refused_by_another_table),
        CLOSED(triggers_of_others),
        CLOSED(updated_at_is_kept),
        CLOSED(schema_of_the_benchmark),
        CLOSED(open_refuses),
        CLOSED(lock_file_is_the_databases),
    };
    return cmocka_run_group_tests_name("store: sqlite only", tests, NULL, NULL);
}
