/* dynamic.c: see dynamic.h. dlopen(3). */
#include "shared/dynamic.h"

#include "curl_build.h"
#include "shared/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: silence is success. */
__attribute__((noreturn)) static void load(const char *file, const char *symbol, int to)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const char *why = library && dlsym(library, symbol) ? NULL : dlerror();
    ssize_t written = why ? write(to, why, strlen(why)) : 0;
    _exit(why || written < 0);
}

static void read_all(int from, struct buf *into)
{
    char bytes[256];
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_append(into, bytes, (size_t)n);
}

static bool await(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum dynamic_result untried(const char *file, int why, struct buf *error)
{
    buf_printf(error, "%s: cannot be tried: %s", file, strerror(why));
    return DYNAMIC_UNTRIED;
}

enum dynamic_result dynamic_probe(const char *file, const char *symbol, struct buf *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return untried(file, errno, error);
    void (*inherited)(int) = signal(SIGCHLD, SIG_DFL); /* were it ignored, nobody could be awaited: wait(2) */
    pid_t child = fork();
    if (child == 0)
        load(file, symbol, ends[1]);
    int why = errno;
    size_t before = error->len;
    close(ends[1]);
    if (child > 0)
        read_all(ends[0], error);
    close(ends[0]);
    bool good = child > 0 && await(child);
    signal(SIGCHLD, inherited);
    if (child < 0)
        return untried(file, why, error);
    if (good)
        return DYNAMIC_GOOD;
    if (error->len == before)
        buf_printf(error, "%s: loading it ends the process", file);
    return DYNAMIC_BAD;
}

bool dynamic_find(void *library, const char *file, const char *name, void *function_r,
                  struct buf *error)
{
    void *found = dlsym(library, name);
    if (!found)
        buf_printf(error, "%s has no %s", file, name);
    memcpy(function_r, &found, sizeof found); /* ISO C has no cast from object to function */
    return found;
}

enum exit_code dynamic_probe_for(const struct config *config, struct buf *errors)
{
    struct buf why = {0};
    enum dynamic_result found =
        config->orders_upstream ? dynamic_probe(CURL_FILE, CURL_SYMBOL, &why) : DYNAMIC_GOOD;
    if (found != DYNAMIC_GOOD)
        buf_printf(errors, "[orders] upstream needs libcurl: %.*s%s", SLICE_ARGS(buf_slice(&why)),
                   found == DYNAMIC_BAD ? "; " CURL_REMEDY : "");
    buf_free(&why);
    switch (found) {
    case DYNAMIC_GOOD:
        return EXIT_CODE_OK;
    case DYNAMIC_BAD:
        return EXIT_CODE_CONFIG;
    case DYNAMIC_UNTRIED:
        return EXIT_CODE_INTERNAL;
    }
    UNREACHABLE();
}
