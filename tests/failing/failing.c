/* failing.c: failing.so, preloaded under the server under test: library and system calls that fail when
 * the page (failing.h) says so. What it wraps are rows at the end. Works under ASan, whose functions
 * it calls in turn (verify_asan_link_order=0). */
#include "failing.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct page *page; /* NULL: nothing is ever wrong */
static int32_t ordinal = -1;
static char program[512];  /* our path */
static _Thread_local bool inside; /* our own calls are nobody's */

/* ---- who we are ------------------------------------------------------------------------------ */

static void take_ordinal(void)
{
    ordinal = (int32_t)__atomic_fetch_add((uint32_t *)&page->processes, 1, __ATOMIC_SEQ_CST);
    if (ordinal < PROCESSES_MAX)
        page->pids[ordinal] = getpid();
}

/* After execve(2) it is the process that it was; of several with its number, the latest. */
static void find_ordinal(void)
{
    uint32_t begun = page->processes;
    for (uint32_t i = begun < PROCESSES_MAX ? begun : PROCESSES_MAX; i-- > 0 && ordinal < 0;)
        ordinal = page->pids[i] == getpid() ? (int32_t)i : -1;
    if (ordinal < 0)
        take_ordinal();
}

/* setpriv(1) and setarch(1), through which it is started, are not the server. */
__attribute__((constructor)) static void begin(void)
{
    char path[512];
    const char *directory = getenv("COLMEIA_FAULTS");
    if (!directory || strncmp(program_invocation_short_name, "colmeia", 7) != 0)
        return;
    snprintf(path, sizeof path, "%s/calls", directory);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = (void *)syscall(SYS_mmap, NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (at == MAP_FAILED)
        abort();
    syscall(SYS_readlink, "/proc/self/exe", program, sizeof program - 1);
    page = at;
    find_ordinal();
}

/* ---- whether it is meant --------------------------------------------------------------------- */

static bool thread_fits(void)
{
    char name[16];
    return !page->thread[0] ||
           (syscall(SYS_prctl, PR_GET_NAME, name) == 0 && strcmp(name, page->thread) == 0);
}

/* *path* or, if it is NULL, what *fd* is. An eventfd(2) never fails: whoever uses it to wake a loop
 * may rely on that. */
static bool path_fits(const char *path, int fd)
{
    char link[64], target[512] = "";
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = syscall(SYS_readlink, link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        path = target;
    }
    return strstr(path, page->path) != NULL && strcmp(path, "anon_inode:[eventfd]") != 0;
}

static bool is_meant(unsigned kind, const char *path, int fd)
{
    return (page->kinds & kind) && (page->pid == 0 || page->pid == getpid()) &&
           (page->ordinal < 0 || page->ordinal == ordinal) && strstr(program, page->program) &&
           thread_fits() && path_fits(path, fd);
}

static void kill_all(void)
{
    for (uint32_t i = 0; i < page->processes && i < PROCESSES_MAX; i++)
        if (page->pids[i] != getpid())
            kill(page->pids[i], SIGKILL);
}

/* Whether this call is struck; then *value_r* is what order.value says. Does what kills itself. */
static bool strikes(unsigned kind, const char *name, const char *path, int fd, int *value_r)
{
    if (!page || !page->armed || inside)
        return false;
    int saved = errno;
    inside = true;
    bool struck = false;
    if (is_meant(kind, path, fd)) {
        int64_t n = __atomic_fetch_add((int64_t *)&page->seen, 1, __ATOMIC_SEQ_CST);
        struck = n >= page->skip && n - page->skip < page->times;
    }
    inside = false;
    errno = saved;
    if (!struck)
        return false;
    __atomic_fetch_add((int64_t *)&page->struck, 1, __ATOMIC_SEQ_CST);
    strncpy(page->last, name, sizeof page->last - 1);
    if (page->verb == VERB_KILL_ALL)
        kill_all();
    if (page->verb == VERB_KILL || page->verb == VERB_KILL_ALL)
        kill(getpid(), SIGKILL);
    *value_r = page->value;
    return true;
}

/* The call fails: errno is set. */
static bool fails(unsigned kind, const char *name, const char *path, int fd)
{
    int value;
    if (!strikes(kind, name, path, fd, &value) || page->verb != VERB_ERROR)
        return false;
    errno = value;
    return true;
}

/* What comes as a stream of bytes; messages and what is no file come whole or not at all. */
static bool is_stream(int fd)
{
    struct stat st;
    int type = SOCK_STREAM;
    socklen_t len = sizeof type;
    if (syscall(SYS_fstat, fd, &st) != 0)
        return false;
    if (S_ISSOCK(st.st_mode))
        syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len);
    return type == SOCK_STREAM && (st.st_mode & S_IFMT) != 0;
}

/* Bytes are read or written: *len* may become less; true: the call fails. */
static bool fails_of(unsigned kind, const char *name, int fd, size_t *len)
{
    int value;
    unsigned of = kind == KIND_WRITE && fd == STDERR_FILENO ? KIND_STDERR : kind;
    if (!strikes(of, name, NULL, fd, &value))
        return false;
    if (page->verb == VERB_SHORT && *len > (size_t)value && is_stream(fd))
        *len = (size_t)value;
    if (page->verb != VERB_ERROR)
        return false;
    errno = value;
    return true;
}

/* The function that would have been called. */
#define REAL(type, name, types)                                                                    \
    static type(*real) types;                                                                      \
    if (!real)                                                                                     \
    real = (type(*) types)dlsym(RTLD_NEXT, #name)

#define WRAP(kind, type, failure, name, types, params, args, path, fd)                             \
    type name params;                                                                              \
    type name params                                                                               \
    {                                                                                              \
        REAL(type, name, types);                                                                   \
        return fails(kind, #name, path, fd) ? (failure) : real args;                               \
    }

/* ---- bytes ----------------------------------------------------------------------------------- */

#define BYTES(kind, name, types, params, args)                                                     \
    ssize_t name params;                                                                           \
    ssize_t name params                                                                            \
    {                                                                                              \
        REAL(ssize_t, name, types);                                                                \
        return fails_of(kind, #name, fd, &len) ? -1 : real args;                                   \
    }

BYTES(KIND_WRITE, write, (int, const void *, size_t), (int fd, const void *p, size_t len), (fd, p, len))
BYTES(KIND_WRITE, pwrite, (int, const void *, size_t, off_t), (int fd, const void *p, size_t len, off_t at),
      (fd, p, len, at))
BYTES(KIND_WRITE, pwrite64, (int, const void *, size_t, off_t), (int fd, const void *p, size_t len, off_t at),
      (fd, p, len, at))
BYTES(KIND_WRITE, send, (int, const void *, size_t, int), (int fd, const void *p, size_t len, int flags),
      (fd, p, len, flags))
BYTES(KIND_WRITE, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t),
      (int fd, const void *p, size_t len, int flags, const struct sockaddr *to, socklen_t to_len),
      (fd, p, len, flags, to, to_len))
BYTES(KIND_READ, read, (int, void *, size_t), (int fd, void *p, size_t len), (fd, p, len))
BYTES(KIND_READ, pread, (int, void *, size_t, off_t), (int fd, void *p, size_t len, off_t at), (fd, p, len, at))
BYTES(KIND_READ, pread64, (int, void *, size_t, off_t), (int fd, void *p, size_t len, off_t at),
      (fd, p, len, at))
BYTES(KIND_READ, recv, (int, void *, size_t, int), (int fd, void *p, size_t len, int flags), (fd, p, len, flags))

/* The first bytes of the first piece that has any, when it is to be short. */
static ssize_t write_pieces(const char *name, int fd, const struct iovec *iov, int n,
                            ssize_t (*all)(int, const struct iovec *, int))
{
    size_t len = SIZE_MAX;
    if (fails_of(KIND_WRITE, name, fd, &len))
        return -1;
    if (len == SIZE_MAX)
        return all(fd, iov, n);
    for (int i = 0; i < n; i++)
        if (iov[i].iov_len > 0) {
            struct iovec first = {iov[i].iov_base, iov[i].iov_len < len ? iov[i].iov_len : len};
            return all(fd, &first, 1);
        }
    return 0;
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    REAL(ssize_t, writev, (int, const struct iovec *, int));
    return write_pieces("writev", fd, iov, n, real);
}

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    size_t len = SIZE_MAX;
    REAL(ssize_t, readv, (int, const struct iovec *, int));
    if (fails_of(KIND_READ, "readv", fd, &len))
        return -1;
    if (len == SIZE_MAX || n == 0)
        return real(fd, iov, n);
    struct iovec first = {iov[0].iov_base, iov[0].iov_len < len ? iov[0].iov_len : len};
    return real(fd, &first, 1);
}

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    size_t len = SIZE_MAX;
    REAL(ssize_t, preadv2, (int, const struct iovec *, int, off_t, int));
    if (fails_of(KIND_READ, "preadv2", fd, &len))
        return -1;
    if (len == SIZE_MAX || n == 0)
        return real(fd, iov, n, at, flags);
    struct iovec first = {iov[0].iov_base, iov[0].iov_len < len ? iov[0].iov_len : len};
    return real(fd, &first, 1, at, flags);
}

/* Messages are whole or not at all. */
WRAP(fd == STDERR_FILENO ? KIND_STDERR : KIND_WRITE, ssize_t, -1, pwritev2,
     (int, const struct iovec *, int, off_t, int), (int fd, const struct iovec *iov, int n, off_t at, int flags),
     (fd, iov, n, at, flags), NULL, fd)
WRAP(KIND_WRITE, ssize_t, -1, sendmsg, (int, const struct msghdr *, int),
     (int fd, const struct msghdr *m, int flags), (fd, m, flags), NULL, fd)
WRAP(KIND_READ, ssize_t, -1, recvmsg, (int, struct msghdr *, int), (int fd, struct msghdr *m, int flags),
     (fd, m, flags), NULL, fd)

/* ---- memory ---------------------------------------------------------------------------------- */

WRAP(KIND_MEMORY, void *, NULL, malloc, (size_t), (size_t n), (n), "", -1)
WRAP(KIND_MEMORY, void *, NULL, calloc, (size_t, size_t), (size_t n, size_t size), (n, size), "", -1)
WRAP(KIND_MEMORY, void *, NULL, reallocarray, (void *, size_t, size_t), (void *p, size_t n, size_t size),
     (p, n, size), "", -1)
WRAP(KIND_MEMORY, void *, NULL, memalign, (size_t, size_t), (size_t a, size_t n), (a, n), "", -1)
WRAP(KIND_MEMORY, void *, NULL, aligned_alloc, (size_t, size_t), (size_t a, size_t n), (a, n), "", -1)
WRAP(KIND_MEMORY, void *, MAP_FAILED, mmap, (void *, size_t, int, int, int, off_t),
     (void *at, size_t len, int prot, int flags, int fd, off_t offset), (at, len, prot, flags, fd, offset), "", -1)
WRAP(KIND_MEMORY, void *, MAP_FAILED, mmap64, (void *, size_t, int, int, int, off_t),
     (void *at, size_t len, int prot, int flags, int fd, off_t offset), (at, len, prot, flags, fd, offset), "", -1)

/* realloc(p, 0) frees. */
void *realloc(void *p, size_t n)
{
    REAL(void *, realloc, (void *, size_t));
    return n > 0 && fails(KIND_MEMORY, "realloc", "", -1) ? NULL : real(p, n);
}

int posix_memalign(void **p, size_t a, size_t n)
{
    REAL(int, posix_memalign, (void **, size_t, size_t));
    return fails(KIND_MEMORY, "posix_memalign", "", -1) ? ENOMEM : real(p, a, n);
}

/* Those of ASan do not come to us for memory. */
char *strndup(const char *s, size_t max)
{
    size_t len = strnlen(s, max);
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *strdup(const char *s)
{
    return strndup(s, SIZE_MAX);
}

char *__strdup(const char *s);
char *__strdup(const char *s)
{
    return strndup(s, SIZE_MAX);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

#define OPENING(name)                                                                              \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        REAL(int, name, (const char *, int, ...));                                                 \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;                    \
        va_end(ap);                                                                                \
        return fails(KIND_OPEN, #name, path, -1) ? -1 : real(path, flags, mode);                   \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                                                           \
    int name(int at, const char *path, int flags, ...)                                             \
    {                                                                                              \
        REAL(int, name, (int, const char *, int, ...));                                            \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;                    \
        va_end(ap);                                                                                \
        return fails(KIND_OPEN, #name, path, -1) ? -1 : real(at, path, flags, mode);               \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

WRAP(KIND_OPEN, FILE *, NULL, fopen, (const char *, const char *), (const char *path, const char *mode),
     (path, mode), path, -1)
WRAP(KIND_OPEN, FILE *, NULL, fopen64, (const char *, const char *), (const char *path, const char *mode),
     (path, mode), path, -1)
WRAP(KIND_OPEN, DIR *, NULL, opendir, (const char *), (const char *path), (path), path, -1)
WRAP(KIND_OPEN, int, -1, socket, (int, int, int), (int a, int b, int c), (a, b, c), "socket", -1)
WRAP(KIND_OPEN, int, -1, socketpair, (int, int, int, int *), (int a, int b, int c, int pair[2]), (a, b, c, pair),
     "socketpair", -1)
WRAP(KIND_OPEN, int, -1, accept4, (int, struct sockaddr *, socklen_t *, int),
     (int fd, struct sockaddr *from, socklen_t *len, int flags), (fd, from, len, flags), "accept", -1)
WRAP(KIND_OPEN, int, -1, epoll_create1, (int), (int flags), (flags), "epoll", -1)
WRAP(KIND_OPEN, int, -1, epoll_create, (int), (int size), (size), "epoll", -1)
WRAP(KIND_OPEN, int, -1, eventfd, (unsigned, int), (unsigned n, int flags), (n, flags), "eventfd", -1)
WRAP(KIND_OPEN, int, -1, pipe, (int *), (int pair[2]), (pair), "pipe", -1)
WRAP(KIND_OPEN, int, -1, pipe2, (int *, int), (int pair[2], int flags), (pair, flags), "pipe", -1)
WRAP(KIND_OPEN, int, -1, dup, (int), (int fd), (fd), "dup", -1)
WRAP(KIND_OPEN, int, -1, dup2, (int, int), (int fd, int to), (fd, to), "dup", -1)
WRAP(KIND_OPEN, int, -1, dup3, (int, int, int), (int fd, int to, int flags), (fd, to, flags), "dup", -1)
WRAP(KIND_OPEN, int, -1, memfd_create, (const char *, unsigned), (const char *name, unsigned flags),
     (name, flags), "memfd", -1)
WRAP(KIND_OPEN, int, -1, signalfd, (int, const sigset_t *, int), (int fd, const sigset_t *mask, int flags),
     (fd, mask, flags), "signalfd", -1)
WRAP(KIND_OPEN, int, -1, inotify_init1, (int), (int flags), (flags), "inotify", -1)

/* ---- files ----------------------------------------------------------------------------------- */

WRAP(KIND_SYNC, int, -1, fsync, (int), (int fd), (fd), NULL, fd)
WRAP(KIND_SYNC, int, -1, fdatasync, (int), (int fd), (fd), NULL, fd)
WRAP(KIND_FILE, int, -1, ftruncate, (int, off_t), (int fd, off_t len), (fd, len), NULL, fd)
WRAP(KIND_FILE, int, -1, ftruncate64, (int, off_t), (int fd, off_t len), (fd, len), NULL, fd)
WRAP(KIND_FILE, int, -1, rename, (const char *, const char *), (const char *from, const char *to), (from, to),
     from, -1)
WRAP(KIND_FILE, int, -1, link, (const char *, const char *), (const char *from, const char *to), (from, to),
     from, -1)
WRAP(KIND_FILE, int, -1, unlink, (const char *), (const char *path), (path), path, -1)
WRAP(KIND_FILE, int, -1, chmod, (const char *, mode_t), (const char *path, mode_t mode), (path, mode), path, -1)
WRAP(KIND_FILE, int, -1, fchmod, (int, mode_t), (int fd, mode_t mode), (fd, mode), NULL, fd)
WRAP(KIND_LOCK, int, -1, flock, (int, int), (int fd, int how), (fd, how), NULL, fd)
WRAP(KIND_FILE, int, -1, stat, (const char *, struct stat *), (const char *path, struct stat *st), (path, st),
     path, -1)
WRAP(KIND_FILE, int, -1, fstat, (int, struct stat *), (int fd, struct stat *st), (fd, st), NULL, fd)
WRAP(KIND_FILE, int, -1, stat64, (const char *, struct stat64 *), (const char *path, struct stat64 *st),
     (path, st), path, -1)
WRAP(KIND_FILE, int, -1, fstat64, (int, struct stat64 *), (int fd, struct stat64 *st), (fd, st), NULL, fd)

/* A copy of a descriptor is a descriptor. */
#define FCNTL(name)                                                                                \
    int name(int fd, int command, ...)                                                             \
    {                                                                                              \
        REAL(int, name, (int, int, ...));                                                          \
        va_list ap;                                                                                \
        va_start(ap, command);                                                                     \
        void *arg = va_arg(ap, void *);                                                            \
        va_end(ap);                                                                                \
        bool copy = command == F_DUPFD || command == F_DUPFD_CLOEXEC;                              \
        return fails(copy ? KIND_OPEN : KIND_LOCK, #name, copy ? "dup" : NULL, fd)                 \
                   ? -1                                                                            \
                   : real(fd, command, arg);                                                       \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- sockets --------------------------------------------------------------------------------- */

WRAP(KIND_SOCKET, int, -1, bind, (int, const struct sockaddr *, socklen_t),
     (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), NULL, fd)
WRAP(KIND_SOCKET, int, -1, listen, (int, int), (int fd, int backlog), (fd, backlog), NULL, fd)
WRAP(KIND_SOCKET, int, -1, connect, (int, const struct sockaddr *, socklen_t),
     (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), NULL, fd)
WRAP(KIND_SOCKET, int, -1, setsockopt, (int, int, int, const void *, socklen_t),
     (int fd, int level, int name, const void *p, socklen_t len), (fd, level, name, p, len), NULL, fd)
WRAP(KIND_SOCKET, int, -1, getsockopt, (int, int, int, void *, socklen_t *),
     (int fd, int level, int name, void *p, socklen_t *len), (fd, level, name, p, len), NULL, fd)
WRAP(KIND_SOCKET, int, -1, getsockname, (int, struct sockaddr *, socklen_t *),
     (int fd, struct sockaddr *to, socklen_t *len), (fd, to, len), NULL, fd)
WRAP(KIND_SOCKET, int, -1, shutdown, (int, int), (int fd, int how), (fd, how), NULL, fd)
WRAP(KIND_SOCKET, int, -1, epoll_ctl, (int, int, int, struct epoll_event *),
     (int fd, int op, int of, struct epoll_event *event), (fd, op, of, event), NULL, fd)

/* ---- processes, and waiting ------------------------------------------------------------------ */

pid_t fork(void)
{
    REAL(pid_t, fork, (void));
    if (fails(KIND_PROCESS, "fork", "fork", -1))
        return -1;
    pid_t pid = real();
    if (pid == 0 && page)
        take_ordinal();
    return pid;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    REAL(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *));
    return fails(KIND_PROCESS, "pthread_create", "thread", -1) ? errno : real(thread, attr, start, arg);
}

/* Only ASan asks, for each thread that begins, and ends the process if that fails. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
    REAL(int, pthread_getattr_np, (pthread_t, pthread_attr_t *));
    inside = true;
    int result = real(thread, attr);
    return inside = false, result;
}

WRAP(KIND_EXEC, int, -1, execveat, (int, const char *, char *const *, char *const *, int),
     (int at, const char *p, char *const *argv, char *const *env, int flags), (at, p, argv, env, flags), "exec", -1)
WRAP(KIND_WAIT, int, -1, epoll_wait, (int, struct epoll_event *, int, int),
     (int fd, struct epoll_event *events, int max, int timeout), (fd, events, max, timeout), NULL, fd)
WRAP(KIND_WAIT, int, -1, poll, (struct pollfd *, nfds_t, int), (struct pollfd *fds, nfds_t n, int timeout),
     (fds, n, timeout), "poll", -1)
WRAP(KIND_WAIT, pid_t, -1, waitpid, (pid_t, int *, int), (pid_t pid, int *status, int options),
     (pid, status, options), "waitpid", -1)
WRAP(KIND_WAIT, int, -1, sem_wait, (sem_t *), (sem_t * s), (s), "sem_wait", -1)
