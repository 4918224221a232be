/* test_master_process.c: the real master with real forks and signals, and scripted workers
 * (fake_worker.h). What happens is awaited on the log, which ends when the last process is gone. */
#include "fake_worker.h"

#include "master/master.h"
#include "shared/config.h"
#include "shared/log.h"
#include "shared/sock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bsd/unistd.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A test that hangs is ended by this; none depends on it. */
enum { PATIENCE_MS = 30000 };

static char directory[] = "/tmp/colmeia-master-XXXXXX";

struct run {
    pid_t pid;
    int log_fd;
    char log[65536];
    size_t len;
    size_t seen; /* await goes on from here */
};

static struct run run;

/* ---- driving the master ---------------------------------------------------------------------- */

static struct config *load_config(const char *bind, const char *url)
{
    const char *words[] = {"--bind", bind, "--workers", "2", "--database-url", url};
    enum { WORDS = sizeof words / sizeof words[0] };
    char *argv[WORDS + 1] = {NULL};
    for (size_t i = 0; i < WORDS; i++)
        argv[i] = (char *)words[i];
    char *no_environment[] = {NULL};
    struct config_flags flags = {.argc = WORDS, .argv = argv, .environ = no_environment};
    struct buf errors = {0}, warnings = {0};
    struct config *config = config_load(&flags, &errors, &warnings);
    if (!config)
        fprintf(stderr, "%.*s", SLICE_ARGS(buf_slice(&errors)));
    buf_free(&errors);
    buf_free(&warnings);
    return config;
}

/* Long where the test waits for something better, so that nothing ends by its deadline unasked. */
static struct sup_settings patient(unsigned workers)
{
    struct sup_settings settings = sup_settings_standard(workers);
    settings.min_ready_ms = 0;
    settings.backoff = (struct backoff_times){.first_ms = 1, .max_ms = 5};
    settings.forks_burst = settings.forks_per_s = 1000;
    return settings;
}

static int be_master(const struct sup_settings *settings, const char *bind, const char *url)
{
    struct config *config = load_config(bind, url);
    if (!config)
        return 99;
    int code = master_run(config, settings);
    config_free(config);
    return code;
}

static void start_at(const struct sup_settings *settings, const char *bind, const char *url)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    run.len = run.seen = 0;
    fflush(NULL);
    run.pid = fork();
    assert_true(run.pid >= 0);
    if (run.pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        exit(be_master(settings, bind, url));
    }
    close(ends[1]);
    run.log_fd = ends[0];
}

static void start(const struct sup_settings *settings)
{
    char url[128];
    snprintf(url, sizeof url, "sqlite:///%s/database.db", directory);
    start_at(settings, "127.0.0.1:0", url);
}

static void plan(unsigned len, const enum fake_life *lives)
{
    memset(fake_plan, 0, sizeof *fake_plan);
    fake_plan->descriptors = fake_open_descriptors();
    memcpy(fake_plan->lives, lives, len * sizeof lives[0]);
    fake_plan->lives_len = len;
}
#define PLAN(...)                                                                                  \
    plan(sizeof((enum fake_life[]){__VA_ARGS__}) / sizeof(enum fake_life),                         \
         (enum fake_life[]){__VA_ARGS__})

/* More of the log: false at its end. */
static bool read_log(void)
{
    struct pollfd p = {.fd = run.log_fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) <= 0)
        fail_msg("the master is silent; so far:\n%s", run.log);
    assert_true(run.len < sizeof run.log - 1);
    ssize_t n = read(run.log_fd, run.log + run.len, sizeof run.log - 1 - run.len);
    assert_true(n >= 0);
    run.len += (size_t)n;
    run.log[run.len] = '\0';
    return n > 0;
}

/* Reads until the text comes, after what was awaited before; its line is what *run.seen* points
 * behind. */
static const char *await(const char *text)
{
    for (;;) {
        const char *found = run.len > run.seen ? strstr(run.log + run.seen, text) : NULL;
        if (found) {
            run.seen = (size_t)(found - run.log) + strlen(text);
            return found;
        }
        if (!read_log())
            fail_msg("\"%s\" never came:\n%s", text, run.log);
    }
}

static void assert_said(const char *text)
{
    if (!strstr(run.log, text))
        fail_msg("\"%s\" is not in:\n%s", text, run.log);
}

static void assert_not_said(const char *text)
{
    if (run.len > 0 && strstr(run.log, text))
        fail_msg("\"%s\" is in:\n%s", text, run.log);
}

/* The end of the log is the end of every process that could write to it. */
static void assert_ends(int code)
{
    while (read_log())
        ;
    close(run.log_fd);
    int status;
    assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("wait status %#x, not exit code %d:\n%s", (unsigned)status, code, run.log);
    if (atomic_load(&fake_plan->faults))
        fail_msg("faults %#x:\n%s", atomic_load(&fake_plan->faults), run.log);
    assert_not_said("Sanitizer");
}

static void tell(int number)
{
    assert_int_equal(kill(run.pid, number), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static int connect_to(const char *name)
{
    struct sock_address address;
    struct buf error = {0};
    assert_true(sock_parse(slice_of(name), &address, &error));
    int fd = socket(address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, &address.u.any, address.len);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

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
    snprintf(path, sizeof path, "unix:%s/http.sock", directory);
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

static void test_signals_not_built(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *want;
    } cases[] = {{SIGHUP, "SIGHUP"},
                 {SIGUSR1, "SIGUSR1"},
                 {SIGUSR2, "SIGUSR2"},
                 {SIGTTIN, "SIGTTIN"},
                 {SIGTTOU, "SIGTTOU"}};
    PLAN(FAKE_SERVE);
    struct sup_settings settings = patient(2);
    start(&settings);
    await("ready: 2 workers");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tell(cases[i].number);
        await(cases[i].want);
        await("is not built yet");
    }
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
    snprintf(path, sizeof path, "unix:%s/http.sock", directory);
    snprintf(url, sizeof url, "sqlite:///%s/database.db", directory);
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
    snprintf(url, sizeof url, "sqlite:///%s/database.db", directory);
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
    while (read_log())
        ;
    close(run.log_fd);
    int status;
    assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
    assert_true(WIFSIGNALED(status));
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    fake_plan =
        mmap(NULL, sizeof *fake_plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return fake_plan == MAP_FAILED || !mkdtemp(directory) || chdir(directory) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(fake_plan, sizeof *fake_plan);
    unlink("secret.key");
    return rmdir(directory);
}

int main(int argc, char **argv)
{
    setproctitle_init(argc, argv, environ);
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
        cmocka_unit_test(test_signals_not_built),
        cmocka_unit_test(test_migration_fails),
        cmocka_unit_test(test_stop_in_migration),
        cmocka_unit_test(test_busy_port_leaves_no_trace),
        cmocka_unit_test(test_dead_master),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
