/* binary.c: see binary.h. elf(5), getauxval(3). */
#include "master/binary.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static const char self[] = "/proc/self/exe";

void binary_init(struct binary *b)
{
    *b = (struct binary){.fd = -1};
}

void binary_close(struct binary *b)
{
    if (b->fd >= 0)
        close(b->fd);
    free(b->path);
    binary_init(b);
}

struct binary binary_of(int fd, char *path)
{
    struct stat st;
    struct binary b = {.fd = fd, .path = path};
    if (fd >= 0 && fstat(fd, &st) == 0)
        b.written = st.st_mtim;
    return b;
}

/* ---- the one that runs ----------------------------------------------------------------------- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* "colmeia", "./colmeia" from the working directory of the start. */
static char *absolute(const char *path)
{
    struct buf out = {0};
    char directory[PATH_MAX];
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (path[0] != '/' && getcwd(directory, sizeof directory))
        buf_printf(&out, "%s/", strcmp(directory, "/") == 0 ? "" : directory);
    buf_append(&out, path, strlen(path) + 1);
    if (!out.failed)
        return out.data;
    buf_free(&out);
    return NULL;
}

/* As execve(2) was called: after a search in $PATH, and with a symbolic link as it is. A loader or an
 * emulator may stand there instead: then it is not the file that runs. */
static char *started_path(const struct stat *running)
{
    const char *started = (const char *)getauxval(AT_EXECFN); // NOLINT: it is an address
    struct stat st;
    if (started && stat(started, &st) == 0 && is_same_file(&st, running))
        return absolute(started);
    char path[PATH_MAX];
    ssize_t len = readlink(self, path, sizeof path - 1);
    if (len < 0)
        return NULL;
    path[len] = '\0';
    char *deleted = strstr(path, " (deleted)"); /* proc(5) */
    if (deleted && deleted[strlen(" (deleted)")] == '\0' && stat(path, &st) != 0)
        *deleted = '\0';
    return strdup(path);
}

int binary_self(struct binary *b_r)
{
    struct stat st;
    *b_r = binary_of(open(self, O_PATH | O_CLOEXEC), NULL);
    if (b_r->fd >= 0 && fstat(b_r->fd, &st) == 0)
        b_r->path = started_path(&st);
    if (b_r->path)
        return 0;
    int saved = errno;
    binary_close(b_r);
    errno = saved;
    return -1;
}

bool binary_differs(const struct binary *running, const char *path)
{
    struct stat is, was;
    if (fstat(running->fd, &was) != 0 || stat(path, &is) != 0)
        return false; /* gone: what runs goes on */
    return !is_same_file(&is, &was) || is.st_mtim.tv_sec != running->written.tv_sec ||
           is.st_mtim.tv_nsec != running->written.tv_nsec;
}

/* ---- another --------------------------------------------------------------------------------- */

static bool refuse(const char *path, const char *why, struct buf *error)
{
    buf_printf(error, "%s: %s", path, why);
    return false;
}

/* The first bytes of ELF's headers are alike for all machines and sizes. */
static ssize_t read_head(int fd, Elf64_Ehdr *head_r)
{
    memset(head_r, 0, sizeof *head_r);
    ssize_t n;
    do {
        n = pread(fd, head_r, sizeof *head_r, 0);
    } while (n < 0 && errno == EINTR);
    return n;
}

static bool judge_head(const char *path, int fd, struct buf *error)
{
    Elf64_Ehdr its, ours;
    if (read_head(fd, &its) < 0)
        return refuse(path, strerror(errno), error);
    if (memcmp(its.e_ident, "#!", 2) == 0)
        return refuse(path, "a script cannot take over; name the program it starts", error);
    if (memcmp(its.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(path, "it is no program (no ELF file)", error);
    int own = open(self, O_RDONLY | O_CLOEXEC);
    ssize_t n = own >= 0 ? read_head(own, &ours) : -1;
    if (own >= 0)
        close(own);
    if (n < (ssize_t)sizeof ours)
        return refuse(path, "cannot be compared with the program that runs", error);
    if (its.e_ident[EI_CLASS] != ours.e_ident[EI_CLASS] ||
        its.e_ident[EI_DATA] != ours.e_ident[EI_DATA] || its.e_machine != ours.e_machine)
        return refuse(path, "it was built for another machine", error);
    if (its.e_type != ET_EXEC && its.e_type != ET_DYN)
        return refuse(path, "it is an ELF file, but no program", error);
    return true;
}

/* As the kernel will look at it: no mount without execution, and our effective identity. */
static bool may_execute(int fd)
{
    return faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

static bool judge(const char *path, int fd, struct buf *error)
{
    struct stat st;
    if (fd < 0)
        return refuse(path, strerror(errno), error);
    if (fstat(fd, &st) != 0)
        return refuse(path, strerror(errno), error);
    if (!S_ISREG(st.st_mode))
        return refuse(path, "it is not a regular file", error);
    if (!may_execute(fd))
        return refuse(path, errno == EACCES ? "it may not be executed" : strerror(errno), error);
    return judge_head(path, fd, error);
}

bool binary_open(const char *path, struct binary *b_r, struct buf *error)
{
    *b_r = binary_of(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), NULL);
    bool good = judge(path, b_r->fd, error);
    b_r->path = good ? absolute(path) : NULL;
    if (b_r->path)
        return true;
    if (good)
        refuse(path, "out of memory", error);
    binary_close(b_r);
    return false;
}
