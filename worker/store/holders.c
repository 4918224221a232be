/* holders.c: see holders.h. */
#include "worker/store/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 4242 fd:01:1234 0 EOF". A waiter's has "->"
 * behind the number, which no kind of lock is called. */
static pid_t owner_in_line(const char *line, const struct stat *file)
{
    char kind[16], way[16], access[16];
    int pid;
    unsigned major_no, minor_no;
    unsigned long long inode;
    if (sscanf(line, "%*u: %15s %15s %15s %d %x:%x:%llu", kind, way, access, &pid, &major_no,
               &minor_no, &inode) != 7)
        return 0;
    bool is_it = strcmp(kind, "FLOCK") == 0 && inode == file->st_ino &&
                 major_no == major(file->st_dev) && minor_no == minor(file->st_dev);
    return is_it && pid > 0 ? pid : 0;
}

pid_t holders_of_lock(const char *path)
{
    char line[256];
    char *lock_path = NULL;
    struct stat file;
    pid_t owner = 0;
    if (asprintf(&lock_path, "%s.lock", path) < 0)
        return 0;
    FILE *locks = stat(lock_path, &file) == 0 ? fopen("/proc/locks", "re") : NULL;
    free(lock_path);
    if (!locks)
        return 0;
    while (owner == 0 && fgets(line, sizeof line, locks))
        owner = owner_in_line(line, &file);
    fclose(locks);
    return owner;
}

void holders_name(struct buf *out, pid_t pid)
{
    char path[64], title[80];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(title, 1, sizeof title - 1, file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i < len; i++)
        if (title[i] == '\0' || !isprint((unsigned char)title[i]))
            title[i] = ' ';
    struct slice shown = slice_trim((struct slice){title, len}, " ");
    buf_printf(out, "process %d%s%.*s%s", (int)pid, shown.len ? " (" : "", SLICE_ARGS(shown),
               shown.len ? ")" : "");
}

/* ---- who has it open ------------------------------------------------------------------------- */

struct look {
    struct stat database, lock;
    bool has_lock_file;
};

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_called_colmeia(pid_t pid)
{
    char path[64], exe[256];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(path, exe, sizeof exe - 1);
    struct slice name = {exe, len > 0 ? (size_t)len : 0};
    return slice_ends_with(name, SLICE("/colmeia")) ||
           slice_ends_with(name, SLICE("/colmeia (deleted)"));
}

/* The descriptors of one process. */
static bool is_foreign(const struct look *look, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    bool database = false, lock = false;
    if (!fds)
        return false; /* gone, or not ours to see */
    for (struct dirent *d = readdir(fds); d; d = readdir(fds)) {
        struct stat st;
        if (fstatat(dirfd(fds), d->d_name, &st, 0))
            continue;
        database |= same(&st, &look->database);
        lock |= look->has_lock_file && same(&st, &look->lock);
    }
    closedir(fds);
    return database && !lock && !is_called_colmeia(pid);
}

void holders_foreign(const char *path, void (*found)(void *ctx, pid_t pid), void *ctx)
{
    struct look look = {.has_lock_file = false};
    char *lock_path = NULL;
    if (stat(path, &look.database) || asprintf(&lock_path, "%s.lock", path) < 0)
        return;
    look.has_lock_file = stat(lock_path, &look.lock) == 0;
    free(lock_path);
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (struct dirent *d = readdir(proc); d; d = readdir(proc)) {
        pid_t pid = (pid_t)atoi(d->d_name);
        if (pid > 0 && pid != getpid() && is_foreign(&look, pid))
            found(ctx, pid);
    }
    closedir(proc);
}
