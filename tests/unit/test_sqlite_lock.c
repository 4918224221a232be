/* test_sqlite_lock.c: the lock between processes. Two struct sqlite_lock in one process have two
 * open file descriptions, so they exclude each other as two processes do. */
#include "worker/store/sqlite_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char dir[64];
    char database[96];
    char lock[112];
    struct scoreboard *board;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->dir, sizeof p->dir, "/tmp/colmeia-lock-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->database, sizeof p->database, "%s/a.db", p->dir);
    snprintf(p->lock, sizeof p->lock, "%s.lock", p->database);
    int fd = open(p->database, O_CREAT | O_RDWR, 0640);
    assert_true(fd >= 0);
    close(fd);
    p->board = scoreboard_new(2);
    assert_non_null(p->board);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlink(p->database);
    unlink(p->lock);
    assert_int_equal(rmdir(p->dir), 0);
    scoreboard_free(p->board);
    free(p);
    return 0;
}

static void open_lock(struct place *p, struct sqlite_lock *l, int slot)
{
    assert_int_equal(sqlite_lock_open(l, p->database, p->board, &p->board->slots[slot]), 0);
}

static void excludes(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a, b;
    open_lock(p, &a, 0);
    open_lock(p, &b, 1);
    assert_int_equal(sqlite_lock_take(&a, 0), 0);
    assert_int_equal(atomic_load(&p->board->slots[0].holds_db_lock), 1);
    assert_int_equal(sqlite_lock_holder(&b), getpid());
    errno = 0;
    assert_int_equal(sqlite_lock_take(&b, 5), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_int_equal(atomic_load(&p->board->slots[1].holds_db_lock), 0);
    sqlite_lock_release(&a, false);
    assert_int_equal(atomic_load(&p->board->slots[0].holds_db_lock), 0);
    assert_int_equal(sqlite_lock_holder(&b), 0);
    assert_int_equal(sqlite_lock_take(&b, 0), 0);
    /* a holder that goes away lets go */
    sqlite_lock_close(&b);
    assert_int_equal(sqlite_lock_take(&a, 0), 0);
    sqlite_lock_release(&a, false);
    sqlite_lock_close(&a);
    sqlite_lock_close(&a); /* harmless */
}

/* Who gives up waiting gives up its place in the turnstile. */
static void waiter_that_gives_up(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a, b, c;
    open_lock(p, &a, 0);
    open_lock(p, &b, 1);
    open_lock(p, &c, 1);
    assert_int_equal(sqlite_lock_take(&a, 0), 0);
    assert_int_equal(sqlite_lock_take(&b, 5), -1);
    sqlite_lock_release(&a, false);
    assert_int_equal(sqlite_lock_take(&c, 0), 0);
    sqlite_lock_release(&c, false);
    sqlite_lock_close(&a);
    sqlite_lock_close(&b);
    sqlite_lock_close(&c);
}

/* Programs that use flock(1) know nothing of the turnstile, and are kept out all the same. */
static void plain_flock_counts(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a;
    open_lock(p, &a, 0);
    int fd = open(p->lock, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(sqlite_lock_take(&a, 5), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(sqlite_lock_take(&a, 0), 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    sqlite_lock_release(&a, false);
    close(fd);
    sqlite_lock_close(&a);
}

static void counts_changes(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a, b;
    open_lock(p, &a, 0);
    open_lock(p, &b, 1);
    const struct {
        struct sqlite_lock *who;
        bool changed;
        uint64_t before;
    } steps[] = {{&a, false, 0}, {&b, true, 0}, {&a, true, 1}, {&b, false, 2}, {&a, false, 2}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(sqlite_lock_take(steps[i].who, 0), 0);
        assert_int_equal(steps[i].who->changes, steps[i].before);
        sqlite_lock_release(steps[i].who, steps[i].changed);
    }
    sqlite_lock_close(&a);
    sqlite_lock_close(&b);
}

/* Somebody cleaned up: the one that is open excludes nobody any more, so a new one is made. */
static void removed_file_is_made_anew(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a, b;
    struct stat st;
    open_lock(p, &a, 0);
    assert_int_equal(unlink(p->lock), 0);
    open_lock(p, &b, 1);
    assert_int_equal(sqlite_lock_take(&b, 0), 0);
    assert_int_equal(sqlite_lock_take(&a, 5), -1);
    assert_int_equal(errno, ETIMEDOUT);
    sqlite_lock_release(&b, false);
    assert_int_equal(sqlite_lock_take(&a, 0), 0);
    assert_int_equal(sqlite_lock_take(&b, 0), -1);
    sqlite_lock_release(&a, false);
    assert_int_equal(stat(p->lock, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640); /* as the database */
    sqlite_lock_close(&a);
    sqlite_lock_close(&b);
}

static void cannot_be_opened(void **state)
{
    struct place *p = *state;
    struct sqlite_lock a;
    assert_int_equal(symlink("/dev/null", p->lock), 0);
    assert_int_equal(sqlite_lock_open(&a, p->database, NULL, NULL), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(unlink(p->lock), 0);
    assert_int_equal(sqlite_lock_open(&a, "/nowhere/a.db", NULL, NULL), -1);
    assert_int_equal(errno, ENOENT);
}

/* A greedy holder asks again at once; one that waits still gets its turn. */
struct greedy {
    struct sqlite_lock lock;
    atomic_bool stop;
    atomic_uint rounds;
};

static void *take_again_and_again(void *arg)
{
    struct greedy *g = arg;
    while (!atomic_load(&g->stop)) {
        if (sqlite_lock_take(&g->lock, 10000))
            break;
        usleep(1000);
        sqlite_lock_release(&g->lock, false);
        atomic_fetch_add(&g->rounds, 1);
    }
    return NULL;
}

static void takes_turns(void **state)
{
    struct place *p = *state;
    struct greedy g = {0};
    struct sqlite_lock patient;
    pthread_t thread;
    open_lock(p, &g.lock, 0);
    open_lock(p, &patient, 1);
    assert_int_equal(pthread_create(&thread, NULL, take_again_and_again, &g), 0);
    while (atomic_load(&g.rounds) < 3)
        sched_yield();
    unsigned worst = 0;
    for (int i = 0; i < 50; i++) {
        unsigned before = atomic_load(&g.rounds);
        assert_int_equal(sqlite_lock_take(&patient, 10000), 0);
        unsigned passed = atomic_load(&g.rounds) - before;
        worst = passed > worst ? passed : worst;
        sqlite_lock_release(&patient, false);
    }
    atomic_store(&g.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* the round under way, the one that began before the turnstile was seen, and a late wake-up or
     * two */
    if (worst > 10)
        fail_msg("%u rounds passed before the waiting one had its turn", worst);
    sqlite_lock_close(&g.lock);
    sqlite_lock_close(&patient);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(excludes),       CASE(waiter_that_gives_up),      CASE(plain_flock_counts),
        CASE(counts_changes), CASE(removed_file_is_made_anew), CASE(cannot_be_opened),
        CASE(takes_turns),
    };
    return cmocka_run_group_tests_name("sqlite_lock", tests, NULL, NULL);
}
