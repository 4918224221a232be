/* fault.c: see fault.h. In builds without fault points there is nothing in it. */
#include "shared/fault.h"

#ifdef COLMEIA_FAULTS

#include "shared/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 128, WORDS_MAX = 8, PATH_LEN_MAX = 512, ERRNO_END = 134 };

static const char *const names[FAULTS] = {
#define POINT(name, where) [FAULT_##name] = #name,
#define CALL(name, what) [FAULT_##name] = #name,
#include "shared/fault.def"
#undef POINT
#undef CALL
};

/* Which are calls. */
static const bool fails[FAULTS] = {
#define POINT(name, where)
#define CALL(name, what) [FAULT_##name] = true,
#include "shared/fault.def"
#undef POINT
#undef CALL
};

/* How often this process came there while the file was there. */
static _Atomic(int) visits[FAULTS];

static pthread_once_t looked = PTHREAD_ONCE_INIT;
static const char *directory; /* NULL: nothing ever happens */

/* ---- the file -------------------------------------------------------------------------------- */

/* False: there is none. The look comes first: a process without free descriptors, and without such
 * a file, shall not notice us. */
static bool read_order(const char *path, char text_r[static TEXT_MAX])
{
    if (access(path, F_OK) != 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text_r, TEXT_MAX - 1);
    close(fd);
    text_r[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static _Noreturn void refuse(const char *path)
{
    fprintf(stderr, "assertion failed: %s: no such order for a fault point\n", path);
    abort();
}

/* ---- what happens ---------------------------------------------------------------------------- */

static int errno_of(const char *name)
{
    for (int e = 1; e < ERRNO_END; e++) {
        const char *its_name = strerrorname_np(e);
        if (its_name && strcmp(its_name, name) == 0)
            return e;
    }
    return 0;
}

static int signal_of(const char *name)
{
    for (int n = 1; n < NSIG; n++) {
        const char *its_name = sigabbrev_np(n);
        if (its_name && strcmp(its_name, name) == 0)
            return n;
    }
    return 0;
}

/* 0, or the errno to fail with. */
static int obey(const char *path, const char *verb, const char *object)
{
    int number;
    if (strcmp(verb, "errno") == 0 && (number = errno_of(object)) > 0)
        return number;
    if (strcmp(verb, "exit") == 0)
        _exit(atoi(object));
    if (strcmp(verb, "signal") == 0 && (number = signal_of(object)) > 0)
        kill(getpid(), number);
    else if (strcmp(verb, "signal-parent") == 0 && (number = signal_of(object)) > 0)
        kill(getppid(), number);
    else
        refuse(path);
    return 0;
}

/* The words of an order; conditions are taken off as they are met. */
struct words {
    const char *path; /* it stands there */
    char *at[WORDS_MAX];
    size_t next, len;
};

static struct words split(const char *path, char *text)
{
    struct words w = {.path = path};
    char *rest = text;
    for (char *word; (word = strtok_r(rest, " \n", &rest));) {
        if (w.len == WORDS_MAX)
            refuse(path);
        w.at[w.len++] = word;
    }
    return w;
}

static const char *next(struct words *w)
{
    if (w->next == w->len)
        refuse(w->path);
    return w->at[w->next++];
}

static bool take(struct words *w, const char *word)
{
    bool found = w->next < w->len && strcmp(w->at[w->next], word) == 0;
    w->next += found;
    return found;
}

/* Whether it is for now, and for us. */
static bool is_due(struct words *w, enum fault point)
{
    if (take(w, "skip")) {
        int count = atoi(next(w));
        if (atomic_fetch_add(&visits[point], 1) < count)
            return false;
    }
    return !take(w, "once") || unlink(w->path) == 0;
}

static int strike(enum fault point)
{
    char path[PATH_LEN_MAX], text[TEXT_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, names[point]);
    if (!read_order(path, text)) {
        atomic_store(&visits[point], 0);
        return 0;
    }
    struct words w = split(path, text);
    if (!is_due(&w, point))
        return 0;
    const char *verb = next(&w), *object = next(&w);
    int code = obey(path, verb, object);
    if (code && !fails[point])
        refuse(path); /* a place cannot fail */
    return code;
}

static void find_directory(void)
{
    directory = getenv("COLMEIA_FAULTS");
}

_Bool fault_strikes(enum fault point)
{
    int before = errno;
    ASSERT(point < FAULTS);
    pthread_once(&looked, find_directory);
    int code = directory && directory[0] ? strike(point) : 0;
    errno = code ? code : before;
    return code != 0;
}

#endif
