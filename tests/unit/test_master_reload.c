/* test_master_reload.c: reloads and scaling of the real master, with scripted workers. The fake
 * ones never accept: who connects waits in the kernel's queue. */
#include "master_tester.h"

#include "shared/sock.h"
#include "shared/title.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_LEN = 128 };

#define ONE_DOOR "[server]\nworkers = 2\nbind = 127.0.0.1:0\n"

/* A connection that stays open. */
static int visit(const char *name)
{
    struct sock_address address;
    struct buf error = {0};
    assert_true(sock_parse(slice_of(name), &address, &error));
    int fd = socket(address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = connect(fd, &address.u.any, address.len);
    assert_true(result == 0 || errno == EINPROGRESS);
    return fd;
}

/* Nobody has closed or reset it. */
static void assert_waits(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* The name of a port that was free a moment ago. */
static void find_free_port(char name[static SOCK_NAME_MAX])
{
    struct sock_address address;
    struct listener l;
    struct buf error = {0};
    assert_true(sock_parse(SLICE("127.0.0.1:0"), &address, &error));
    assert_int_equal(listener_open(&address, 1, &l, &error), 0);
    strcpy(name, l.name);
    listener_close(&l, false);
}

/* Starts with c.ini and waits for "ready"; the first address. */
static void start_ready(const struct sup_settings *settings, char name[static NAME_LEN])
{
    start_with_ini(settings);
    const char *said = strstr(await(" on http://"), "http://");
    assert_non_null(said);
    await("\n");
    name[0] = '\0';
    assert_int_equal(sscanf(said, "http://%127[^,\n]", name), 1);
}

static void stop(int code)
{
    tell(SIGTERM);
    assert_ends(code);
}

/* ---- what goes well -------------------------------------------------------------------------- */

static void test_same_configuration(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    int waiting = visit(name);
    tell(SIGHUP);
    await("reload 1: checking the configuration");
    await("reload 1: 2 workers replaced, configuration unchanged");
    assert_waits(waiting); /* one door, one queue: nobody in it was lost */
    assert_int_equal(connect_to(name), 0);
    assert_int_equal(fake_plan->workers, 4);
    assert_int_equal(fake_plan->generation, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(fake_plan->pids[i], 0), -1);
    close(waiting);
    stop(0);
    assert_int_equal(fake_plan->checkpoints, 1);
}

static void test_doors_come_and_go(void **state)
{
    (void)state;
    char first[NAME_LEN], added[SOCK_NAME_MAX], path[NAME_LEN];
    struct sup_settings settings = patient(1);
    PLAN(FAKE_SERVE);
    snprintf(path, sizeof path, "unix:%s/a.sock", master_directory);
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0, %s\n", path);
    start_ready(&settings, first);
    assert_int_equal(connect_to(path), 0);
    find_free_port(added);
    int waiting = visit(first);
    write_ini("[server]\nworkers = 1\nbind = %s, 127.0.0.1:0\n", added);
    tell(SIGHUP);
    await("reload 1: 1 worker replaced, configuration changed");
    assert_int_equal(connect_to(added), 0);
    assert_int_equal(connect_to(first), 0);
    assert_waits(waiting);
    assert_int_equal(access("a.sock", F_OK), -1);
    assert_int_equal(fake_plan->listeners, 2);
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0\n");
    tell(SIGHUP);
    await("reload 2: 1 worker replaced, configuration changed");
    assert_int_equal(connect_to(added), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(connect_to(first), 0);
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0, %s, %s\n", path, added); /* back again */
    tell(SIGHUP);
    await("reload 3: 1 worker replaced");
    assert_int_equal(connect_to(added), 0);
    assert_int_equal(connect_to(path), 0);
    assert_waits(waiting);
    close(waiting);
    stop(0);
    assert_int_equal(access("a.sock", F_OK), -1);
    assert_int_equal(connect_to(first), -1);
}

static void test_other_number(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    tell(SIGTTIN);
    await("3 workers wanted from now on (2 configured)");
    await("fake: serves as number 2");
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0\n");
    tell(SIGHUP);
    await("reload 1: 3 workers replaced");
    assert_int_equal(fake_plan->workers, 4);
    tell(SIGTTIN);
    await("2 workers wanted from now on (1 configured)");
    await("fake: serves as number 4");
    stop(0);
}

/* ---- what goes back -------------------------------------------------------------------------- */

/* The two first workers serve as if nothing had been. */
static void assert_untouched(const char *name)
{
    assert_int_equal(connect_to(name), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kill(fake_plan->pids[i], 0), 0);
}

static void refuse(const char *ini, const char *why)
{
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    write_ini("%s", ini);
    tell(SIGHUP);
    await("reload 1 failed: ");
    await(why);
    await("the old workers go on with the old configuration");
    assert_untouched(name);
    assert_int_equal(fake_plan->workers, 2);
    write_ini(ONE_DOOR); /* mended */
    tell(SIGHUP);
    await("reload 2: 2 workers replaced");
    assert_int_equal(connect_to(name), 0);
    stop(0);
}

static void test_bad_configuration(void **state)
{
    (void)state;
    refuse("[server]\nworkers = many\n", "c.ini:2");
    refuse("[sevrer]\n", "c.ini:1");
    refuse("[auth]\nsecret_key_file = nowhere/secret.key\n", "nowhere/secret.key");
}

/* The new door comes after one that could be opened: that one goes again. */
static void test_busy_port(void **state)
{
    (void)state;
    char ini[512];
    struct sock_address address;
    struct listener busy;
    struct buf error = {0};
    assert_true(sock_parse(SLICE("127.0.0.1:0"), &address, &error));
    assert_int_equal(listener_open(&address, 1, &busy, &error), 0);
    snprintf(ini, sizeof ini, "[server]\nworkers = 2\nbind = 127.0.0.1:0, unix:%s/b.sock, %s\n",
             master_directory, busy.name);
    refuse(ini, "address already in use");
    assert_int_equal(access("b.sock", F_OK), -1);
    listener_close(&busy, false);
}

static void test_fifo(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    assert_int_equal(unlink("c.ini"), 0);
    assert_int_equal(mkfifo("c.ini", 0600), 0);
    tell(SIGHUP);
    await("reload 1 failed: ");
    await("not a regular file");
    assert_untouched(name);
    assert_int_equal(unlink("c.ini"), 0);
    tell(SIGHUP);
    await("reload 2 failed: "); /* it is not there at all */
    assert_untouched(name);
    stop(0);
}

static void test_fifo_as_key(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    assert_int_equal(mkfifo("fifo.key", 0600), 0);
    write_ini(ONE_DOOR "[auth]\nsecret_key_file = fifo.key\n");
    tell(SIGHUP);
    await("reload 1 failed: ");
    await("fifo.key: cannot read the key: it is no regular file");
    assert_untouched(name);
    stop(0);
    assert_int_equal(unlink("fifo.key"), 0);
}

static void test_candidate_dies(void **state)
{
    (void)state;
    char name[NAME_LEN], path[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE, FAKE_SERVE, FAKE_SERVE, FAKE_FAIL, FAKE_REFUSE, FAKE_SERVE, FAKE_SERVE);
    snprintf(path, sizeof path, "unix:%s/c.sock", master_directory);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    write_ini("[server]\nworkers = 2\nbind = 127.0.0.1:0, %s\n", path);
    tell(SIGHUP);
    await("reload 1 failed: worker");
    await("exited with code 70 (internal error)");
    assert_untouched(name);
    tell(SIGHUP); /* remembered until those who leave are gone */
    await("reload 2 failed: worker");
    await("exited with code 78 (configuration refused)");
    assert_untouched(name);
    tell(SIGHUP);
    await("reload 3: 2 workers replaced, configuration changed");
    assert_int_equal(connect_to(path), 0);
    assert_int_equal(connect_to(name), 0);
    stop(0);
}

static void test_candidate_hangs(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    settings.boot_timeout_ms = 300;
    PLAN(FAKE_SERVE, FAKE_SERVE, FAKE_SERVE, FAKE_HANG, FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    tell(SIGHUP);
    await("was not ready after 300 ms; it is killed");
    await("reload 1 failed: worker");
    assert_untouched(name);
    stop(0);
}

static void test_stop_in_the_middle(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    settings.quick_ms = 50;
    PLAN(FAKE_SERVE, FAKE_SERVE, FAKE_SERVE, FAKE_HANG);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    tell(SIGHUP);
    await("fake: serves as number 2");
    tell(SIGTERM);
    await("reload 1 failed: the server is stopping");
    assert_ends(0);
    assert_int_equal(connect_to(name), -1);
}

static void test_memory_is_not_reloaded(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(1);
    settings.migrate = settings.checkpoint = false;
    start_at(&settings, "127.0.0.1:0", "sqlite://");
    await("ready: 1 worker");
    tell(SIGHUP);
    await("reload 1 failed: the database is in memory");
    stop(0);
    assert_int_equal(fake_plan->workers, 1);
}

/* ---- endurance ------------------------------------------------------------------------------- */

static void test_no_descriptor_is_lost(void **state)
{
    (void)state;
    enum { ROUNDS = 100 };
    char name[NAME_LEN];
    struct sup_settings settings = patient(1);
    PLAN(FAKE_SERVE);
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0\n");
    start_ready(&settings, name);
    int before = fake_open_descriptors_of(run.pid);
    assert_true(before > 3);
    for (int i = 1; i <= ROUNDS; i++) {
        static const char *const seconds[] = {"", ", unix:d.sock", ", 127.0.0.3:0", ", bad"};
        char text[32];
        write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0%s\n", seconds[i % 4]);
        tell(SIGHUP);
        snprintf(text, sizeof text, i % 4 == 3 ? "reload %d failed" : "reload %d", i);
        await(text);
        await(i % 4 == 3 ? "go on with" : " finished,");
    }
    assert_int_equal(fake_open_descriptors_of(run.pid), before);
    assert_int_equal(connect_to(name), 0);
    stop(0);
}

static void test_storm_of_hups(void **state)
{
    (void)state;
    enum { STORM = 1000 };
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    for (int i = 0; i < STORM; i++)
        tell(SIGHUP);
    await("reload 1: 2 workers replaced");
    assert_int_equal(connect_to(name), 0);
    stop(0);
    assert_not_said("failed: worker");
    assert_true(fake_plan->workers <= 2 * STORM);
}

static void test_scaling_storm(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(1);
    PLAN(FAKE_SERVE);
    write_ini("[server]\nworkers = 1\nbind = 127.0.0.1:0\n");
    start_ready(&settings, name);
    static const struct {
        int number;
        const char *said;
    } steps[] = {{SIGTTIN, "2 workers wanted"}, {SIGTTIN, "3 workers wanted"},
                 {SIGTTIN, "4 workers wanted"}, {SIGTTIN, "4 workers wanted"}, /* room for four */
                 {SIGTTOU, "3 workers wanted"}, {SIGTTOU, "2 workers wanted"},
                 {SIGTTOU, "1 worker wanted"},  {SIGTTOU, "1 worker wanted"}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        tell(steps[i].number);
        await(steps[i].said);
    }
    for (int i = 0; i < 1000; i++)
        tell(i % 3 ? SIGTTOU : SIGTTIN);
    assert_int_equal(kill(fake_plan->pids[0], 0), 0); /* the oldest stays */
    assert_int_equal(connect_to(name), 0);
    stop(0);
}

static void test_delayed_stop(void **state)
{
    (void)state;
    char name[NAME_LEN];
    struct sup_settings settings = patient(2);
    settings.stop_delay_ms = 200;
    PLAN(FAKE_SERVE);
    write_ini(ONE_DOOR);
    start_ready(&settings, name);
    tell(SIGTERM);
    await("stopping in 200 ms");
    tell(SIGHUP);
    await("nothing else is begun");
    assert_int_equal(connect_to(name), 0);
    assert_ends(0);
    assert_int_equal(fake_plan->workers, 2);
}

int main(int argc, char **argv)
{
    title_init(argc, argv, environ);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_configuration),
        cmocka_unit_test(test_doors_come_and_go),
        cmocka_unit_test(test_other_number),
        cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_busy_port),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_fifo_as_key),
        cmocka_unit_test(test_candidate_dies),
        cmocka_unit_test(test_candidate_hangs),
        cmocka_unit_test(test_stop_in_the_middle),
        cmocka_unit_test(test_memory_is_not_reloaded),
        cmocka_unit_test(test_no_descriptor_is_lost),
        cmocka_unit_test(test_storm_of_hups),
        cmocka_unit_test(test_scaling_storm),
        cmocka_unit_test(test_delayed_stop),
    };
    return cmocka_run_group_tests(tests, master_set_up, master_tear_down);
}
