/* log_catcher.c: see log_catcher.h. */
#include "log_catcher.h"

#include "shared/log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char text[64 * 1024];
static int kept = -1, shown = -1;

void catcher_begin(void)
{
    kept = memfd_create("log", MFD_CLOEXEC);
    shown = dup(STDERR_FILENO);
    assert_true(kept >= 0 && shown >= 0);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
}

const char *catcher_end(void)
{
    assert_int_equal(dup2(shown, STDERR_FILENO), STDERR_FILENO);
    close(shown);
    ssize_t n = pread(kept, text, sizeof text - 1, 0);
    close(kept);
    assert_true(n >= 0);
    text[n] = '\0';
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    return text;
}

const char *catcher_abort(void (*bug)(void *ctx), void *ctx)
{
    int status;
    catcher_begin();
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        bug(ctx);
        _exit(0);
    }
    pid_t ended = pid > 0 ? waitpid(pid, &status, 0) : pid;
    const char *said = catcher_end();
    assert_true(pid > 0);
    assert_int_equal(ended, pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("it did not abort: status %d, \"%s\"", status, said);
    return said;
}
