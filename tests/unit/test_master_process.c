/* test_master_process.c: the real master with real forks and signals, and scripted workers
 * (fake_worker.h). What happens is awaited on the log, which ends when the last process is gone. */
#include "master_tester.h"

#include "shared/sock.h"
#include "shared/title.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_start_and_stop(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    char name[64];
    assert_int_equal(
        sscanf(await("ready: 2 workers on http://"), "ready: 2 workers on http://%63s", name), 1);
    assert_int_equal(connect_to(name), 0);
    tell(SIGTERM);
    assert_ends(0);
    assert_int_equal(connect_to(name), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(fake_plan->migrations, 1);
    assert_int_equal(fake_plan->workers, 2);
    assert_int_equal(fake_plan->checkpoints, 1);
}

static void test_memory_needs_no_jobs(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(1);
    settings.migrate = settings.checkpoint = false;
    char path[128];
    snprintf(path, sizeof path, "unix:%s/http.sock", master_directory);
    start_at(&settings, path, "sqlite:///database.db");
    await("ready: 1 worker on unix:");
    assert_int_equal(access(path + 5, F_OK), 0);
    tell(SIGINT);
    assert_ends(0);
    assert_int_equal(access(path + 5, F_OK), -1);
    assert_int_equal(fake_plan->migrations + fake_plan->checkpoints, 0);
}

static void test_boot_failures(void **state)
{
    (void)state;
    PLAN(FAKE_FAIL);
    struct sup_settings settings = patient(2);
    start(&settings);
    assert_ends(3);
    assert_said("exited with code 70 (internal error)");
    assert_said("5 boot failures and no worker ready");
    assert_int_equal(fake_plan->checkpoints, 0);
}

static void test_configuration_refused(void **state)
{
    (void)state;
    PLAN(FAKE_REFUSE);
    struct sup_settings settings = patient(1);
    start(&settings);
    assert_ends(78);
    assert_said("exited with code 78 (configuration refused)");
}

static void test_hang_at_boot(void **state)
{
    (void)state;
    PLAN(FAKE_HANG);
    struct sup_settings settings = patient(2);
    settings.boot_timeout_ms = 300;
    start(&settings);
    assert_ends(3);
    assert_said("giving up");
}

static void test_stop_while_hanging_at_boot(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE, FAKE_HANG);
    struct sup_settings settings = patient(2);
    settings.quick_ms = 50;
    start(&settings);
    await("fake: serves");
    tell(SIGTERM);
    assert_ends(0); /* whom it killed served nobody */
    assert_said("did not leave in time");
}

static void test_crash_is_replaced(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE, FAKE_CRASH, FAKE_CRASH, FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("killed by signal 14 (SIGALRM, Alarm clock)");
    await("replaced at once");
    await("fake: serves as number 3");
    tell(SIGTERM);
    assert_ends(0);
    assert_int_equal(fake_plan->workers, 4);
}

static void test_kill_from_outside(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    for (int i = 0; i < 4; i++) {
        char next[64];
        kill(atomic_load(&fake_plan->pids[i]), SIGKILL);
        await("killed by signal 9");
        await("replaced at once");
        snprintf(next, sizeof next, "fake: serves as number %d", i + 2);
        await(next);
    }
    tell(SIGTERM);
    assert_ends(0);
}

static void test_deaf_worker_is_cut_and_killed(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE, FAKE_DEAF);
    struct sup_settings settings = patient(2);
    settings.graceful_timeout_ms = 50;
    settings.kill_ms = 50;
    start(&settings);
    await("ready: 2 workers");
    tell(SIGTERM);
    assert_ends(5);
    assert_said("it is told to cut");
    assert_said("did not leave in time; it is killed");
    assert_int_equal(fake_plan->checkpoints, 1);
}

static void test_cut_is_told(void **state)
{
    (void)state;
    PLAN(FAKE_CUT, FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    tell(SIGTERM);
    assert_ends(5);
    assert_said("connections cut: 2");
}

static void test_second_interrupt(void **state)
{
    (void)state;
    PLAN(FAKE_ONLY_QUIT);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    tell(SIGINT);
    await("fake: does not drain");
    tell(SIGINT);
    await("stopping quickly");
    assert_ends(5);
    assert_int_equal(fake_plan->checkpoints, 0);
}

static void test_quit(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    tell(SIGQUIT);
    assert_ends(0);
    assert_said("stopping quickly");
}

static void test_closed_channel_gets_term(void **state)
{
    (void)state;
    PLAN(FAKE_CLOSE_CHANNEL);
    struct sup_settings settings = patient(1);
    start(&settings);
    await("fake: closed its channel");
    tell(SIGTERM);
    assert_ends(0);
}

static void test_other_signals(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    tell(SIGUSR1);
    await("SIGUSR1: nothing to reopen");
    tell(SIGUSR2);
    await("no other program can take over from this one"); /* as a test's master is started */
    tell(SIGTERM);
    assert_ends(0);
    assert_int_equal(fake_plan->workers, 2);
}

static void test_migration_fails(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    fake_plan->migrate_code = 6;
    struct sup_settings settings = patient(2);
    char path[128], url[128];
    snprintf(path, sizeof path, "unix:%s/http.sock", master_directory);
    snprintf(url, sizeof url, "sqlite:///%s/database.db", master_directory);
    start_at(&settings, path, url);
    assert_ends(6);
    assert_int_equal(fake_plan->workers, 0);
    assert_int_not_equal(access(path + 5, F_OK), 0); /* it served nobody and leaves nothing */
}

static void stop_migration(int migrate_code, int signal, const char *said)
{
    PLAN(FAKE_SERVE);
    fake_plan->migrate_code = migrate_code;
    struct sup_settings settings = patient(2);
    settings.kill_ms = 50;
    start(&settings);
    await("fake: migrates");
    tell(signal);
    assert_ends(0);
    assert_said(said);
    assert_int_equal(fake_plan->workers, 0);
}

static void test_stop_in_migration(void **state)
{
    (void)state;
    stop_migration(-1, SIGTERM, "stopping");
    stop_migration(-2, SIGTERM, "did not leave in time");
    stop_migration(-2, SIGQUIT, "stopping quickly");
}

static void test_busy_port_leaves_no_trace(void **state)
{
    (void)state;
    unlink("secret.key");
    struct sock_address address;
    struct listener busy;
    struct buf error = {0};
    assert_true(sock_parse(SLICE("127.0.0.1:0"), &address, &error));
    assert_int_equal(listener_open(&address, 1, &busy, &error), 0);
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(1);
    char url[128];
    snprintf(url, sizeof url, "sqlite:///%s/database.db", master_directory);
    start_at(&settings, busy.name, url);
    assert_ends(4);
    assert_int_equal(fake_plan->migrations, 0);
    assert_int_not_equal(access("secret.key", F_OK), 0);
    listener_close(&busy, false);
}

/* Nobody is left when the log ends, though nobody was told to leave: EOF on the channels is enough.
 */
static void test_dead_master(void **state)
{
    (void)state;
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    tell(SIGKILL);
    read_to_the_end();
    int status;
    assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
    assert_true(WIFSIGNALED(status));
}

int main(int argc, char **argv)
{
    title_init(argc, argv, environ);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_and_stop),
        cmocka_unit_test(test_memory_needs_no_jobs),
        cmocka_unit_test(test_boot_failures),
        cmocka_unit_test(test_configuration_refused),
        cmocka_unit_test(test_hang_at_boot),
        cmocka_unit_test(test_stop_while_hanging_at_boot),
        cmocka_unit_test(test_crash_is_replaced),
        cmocka_unit_test(test_kill_from_outside),
        cmocka_unit_test(test_deaf_worker_is_cut_and_killed),
        cmocka_unit_test(test_cut_is_told),
        cmocka_unit_test(test_second_interrupt),
        cmocka_unit_test(test_quit),
        cmocka_unit_test(test_closed_channel_gets_term),
        cmocka_unit_test(test_other_signals),
        cmocka_unit_test(test_migration_fails),
        cmocka_unit_test(test_stop_in_migration),
        cmocka_unit_test(test_busy_port_leaves_no_trace),
        cmocka_unit_test(test_dead_master),
    };
    return cmocka_run_group_tests(tests, master_set_up, master_tear_down);
}
