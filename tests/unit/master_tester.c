/* master_tester.c: see master_tester.h. */
#include "master_tester.h"

#include "shared/log.h"
#include "shared/sock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

char master_directory[] = "/tmp/colmeia-master-XXXXXX";
struct master_run run;

/* ---- the master ------------------------------------------------------------------------------ */

struct sup_settings patient(unsigned workers)
{
    struct sup_settings settings = sup_settings_standard(workers);
    settings.workers_max = workers < 4 ? 4 : workers;
    settings.min_ready_ms = settings.settle_ms = 0;
    settings.backoff = (struct backoff_times){.first_ms = 1, .max_ms = 5};
    settings.forks_burst = settings.forks_per_s = 1000;
    return settings;
}

static struct sup_settings present; /* in the master's process */

static struct sup_settings settings_of(const struct config *config)
{
    present.workers = (unsigned)config->server_workers;
    return present;
}

static int be_master(const struct sup_settings *settings, const char *ini, int argc,
                     const char **words)
{
    char *no_environment[] = {NULL};
    struct config_flags flags = {
        .config_path = ini, .argc = argc, .argv = (char **)words, .environ = no_environment};
    struct master_options options = {
        .flags = &flags, .settings = *settings, .settings_of = settings_of};
    struct buf errors = {0}, warnings = {0};
    options.config = config_load_text(&flags, &options.text, &errors, &warnings);
    fprintf(stderr, "%.*s", SLICE_ARGS(buf_slice(&errors)));
    buf_free(&errors);
    buf_free(&warnings);
    present = *settings;
    if (!options.config)
        return 99;
    int code = master_run(&options);
    config_free(options.config);
    return code;
}

static void launch(const struct sup_settings *settings, const char *ini, int argc,
                   const char **words)
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
        exit(be_master(settings, ini, argc, words));
    }
    close(ends[1]);
    run.log_fd = ends[0];
}

void start_at(const struct sup_settings *settings, const char *bind, const char *url)
{
    char workers[16];
    snprintf(workers, sizeof workers, "%u", settings->workers);
    const char *words[] = {"--bind",         bind, "--workers", workers,
                           "--database-url", url,  "--control", "ctl.sock"};
    launch(settings, NULL, 8, words);
}

void start(const struct sup_settings *settings)
{
    char url[128];
    snprintf(url, sizeof url, "sqlite:///%s/database.db", master_directory);
    start_at(settings, "127.0.0.1:0", url);
}

void write_ini(const char *format, ...)
{
    va_list ap;
    FILE *f = fopen("next.ini", "w");
    assert_non_null(f);
    va_start(ap, format);
    vfprintf(f, format, ap);
    va_end(ap);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename("next.ini", "c.ini"), 0);
}

void start_with_ini(const struct sup_settings *settings)
{
    char url[128];
    snprintf(url, sizeof url, "sqlite:///%s/database.db", master_directory);
    const char *words[] = {"--database-url", url, "--control", "ctl.sock"};
    launch(settings, "c.ini", 4, words);
}

void plan(unsigned len, const enum fake_life *lives)
{
    memset(fake_plan, 0, sizeof *fake_plan);
    fake_plan->descriptors = fake_open_descriptors();
    memcpy(fake_plan->lives, lives, len * sizeof lives[0]);
    fake_plan->lives_len = len;
}
/* ---- its log --------------------------------------------------------------------------------- */

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

const char *await(const char *text)
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

void assert_said(const char *text)
{
    if (!strstr(run.log, text))
        fail_msg("\"%s\" is not in:\n%s", text, run.log);
}

void assert_not_said(const char *text)
{
    if (run.len > 0 && strstr(run.log, text))
        fail_msg("\"%s\" is in:\n%s", text, run.log);
}

void read_to_the_end(void)
{
    while (read_log())
        ;
    close(run.log_fd);
}

void assert_ends(int code)
{
    read_to_the_end();
    int status;
    assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("wait status %#x, not exit code %d:\n%s", (unsigned)status, code, run.log);
    if (atomic_load(&fake_plan->faults))
        fail_msg("faults %#x:\n%s", atomic_load(&fake_plan->faults), run.log);
    assert_not_said("Sanitizer");
}

void tell(int number)
{
    assert_int_equal(kill(run.pid, number), 0);
}

int connect_to(const char *name)
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

/* ---- set-up ---------------------------------------------------------------------------------- */

int master_set_up(void **state)
{
    (void)state;
    fake_plan =
        mmap(NULL, sizeof *fake_plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return fake_plan == MAP_FAILED || !mkdtemp(master_directory) || chdir(master_directory) < 0 ? -1
                                                                                                : 0;
}

int master_tear_down(void **state)
{
    (void)state;
    munmap(fake_plan, sizeof *fake_plan);
    unlink("secret.key");
    unlink("c.ini");
    unlink("ctl.sock"); /* of a master that was killed */
    return rmdir(master_directory);
}
