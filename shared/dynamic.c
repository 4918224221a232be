/* dynamic.c: see dynamic.h. dlopen(3). */
#include "shared/dynamic.h"

#include "curl_build.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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

bool dynamic_probe(const char *file, const char *symbol, struct buf *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) {
        buf_printf(error, "%s: cannot be tried: %s", file, strerror(errno));
        return false;
    }
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
    if (child < 0)
        buf_printf(error, "%s: cannot be tried: %s", file, strerror(why));
    else if (!good && error->len == before)
        buf_printf(error, "%s: loading it ends the process", file);
    return good;
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

bool dynamic_probe_for(const struct config *config, struct buf *errors)
{
    struct buf why = {0};
    bool good = !config->orders_upstream || dynamic_probe(CURL_FILE, CURL_SYMBOL, &why);
    if (!good)
        buf_printf(errors, "[orders] upstream needs libcurl: %.*s; " CURL_REMEDY, SLICE_ARGS(buf_slice(&why)));
    buf_free(&why);
    return good;
}
