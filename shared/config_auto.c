/* config_auto.c: how many workers "auto" means: cores this process may run on, capped by what its
 * cgroups grant (cgroups(7); Linux Documentation/admin-guide/cgroup-v2.rst, cpu.max). */
#include "shared/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, CORES_MAX = 16384 };

/* ---- cores ---------------------------------------------------------------------------------- */

/* sched_getaffinity(2) wants a set as large as the kernel's, which it does not tell. */
static int usable_cores(void)
{
    for (int cores = 1024; cores <= CORES_MAX; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC(cores);
        size_t len = CPU_ALLOC_SIZE(cores);
        if (!set)
            return 1;
        int got = sched_getaffinity(0, len, set);
        int count = got == 0 ? CPU_COUNT_S(len, set) : 0;
        CPU_FREE(set);
        if (got == 0)
            return count > 0 ? count : 1;
        if (errno != EINVAL)
            return 1;
    }
    return 1;
}

/* ---- cgroups -------------------------------------------------------------------------------- */

/* A short file's text in buf, NUL-terminated. False when it cannot be read. */
static bool read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = 0;
    return n == 0;
}

/* quota µs in every period µs; -1 for no limit. */
static int64_t millicpus(const char *quota, const char *period)
{
    char *end;
    long long q = strtoll(quota, &end, 10);
    if (end == quota || q <= 0) /* "max", or -1 in version 1 */
        return -1;
    long long p = strtoll(period, &end, 10);
    if (end == period || p <= 0 || q > LLONG_MAX / 1000)
        return -1;
    int64_t value = q * 1000 / p;
    return value > 0 ? value : 1;
}

/* Limit of one directory, version 2: "max 100000" or "150000 100000". */
static int64_t limit_v2(const char *directory)
{
    char path[PATH_MAX], text[64];
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.max", directory) >= sizeof path ||
        !read_small(path, text, sizeof text))
        return -1;
    const char *space = strchr(text, ' ');
    return space ? millicpus(text, space + 1) : -1;
}

static int64_t limit_v1(const char *directory)
{
    char path[PATH_MAX], quota[64], period[64];
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory) >= sizeof path ||
        !read_small(path, quota, sizeof quota))
        return -1;
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory) >= sizeof path ||
        !read_small(path, period, sizeof period))
        return -1;
    return millicpus(quota, period);
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* The least limit from root/group up to root itself. What does not exist has none: in a container
 * the path may be the host's, and only root is there. */
static int64_t walk_up(const char *root, struct slice group, int64_t (*limit)(const char *))
{
    char directory[PATH_MAX];
    int64_t least = -1;
    for (;;) {
        int n = snprintf(directory, sizeof directory, "%s%.*s", root, SLICE_ARGS(group));
        if (n > 0 && (size_t)n < sizeof directory)
            least = lesser(least, limit(directory));
        if (group.len == 0)
            return least;
        while (group.len > 0 && group.ptr[group.len - 1] != '/')
            group.len--;
        if (group.len > 0)
            group.len--;
    }
}

static bool has_controller(struct slice controllers, const char *name)
{
    while (controllers.ptr)
        if (slice_equals(slice_split(&controllers, ','), slice_of(name)))
            return true;
    return false;
}

/* One line of /proc/self/cgroup: "0::/path" (version 2) or "4:cpu,cpuacct:/path". */
static int64_t limit_of_line(struct slice line, const char *mount)
{
    static const char *const v1[] = {"cpu", "cpu,cpuacct"};
    static const char *const v2[] = {"", "/unified"};
    char root[PATH_MAX];
    int64_t least = -1;
    struct slice group = line;
    slice_split(&group, ':');
    if (!group.ptr)
        return -1;
    struct slice controllers = slice_split(&group, ':');
    bool is_v2 = controllers.len == 0;
    if (!group.ptr || group.len == 0 || group.ptr[0] != '/' ||
        (!is_v2 && !has_controller(controllers, "cpu")))
        return -1;
    if (group.len == 1)
        group.len = 0;
    for (size_t i = 0; i < 2; i++) {
        snprintf(root, sizeof root, "%s%s%s", mount, is_v2 ? v2[i] : "/", is_v2 ? "" : v1[i]);
        least = lesser(least, walk_up(root, group, is_v2 ? limit_v2 : limit_v1));
    }
    return least;
}

int64_t cgroup_millicpus(const char *cgroup_file, const char *mount)
{
    char text[8192];
    int64_t least = -1;
    if (!read_small(cgroup_file, text, sizeof text))
        return -1;
    struct slice rest = slice_of(text);
    while (rest.ptr)
        least = lesser(least, limit_of_line(slice_split(&rest, '\n'), mount));
    return least;
}

/* ---- public --------------------------------------------------------------------------------- */

int auto_workers(int cores, int64_t limit, struct buf *why)
{
    int64_t workers = cores > 0 ? cores : 1;
    if (why)
        buf_printf(why, "%lld usable core%s", (long long)workers, workers == 1 ? "" : "s");
    if (limit > 0) {
        workers = lesser(workers, limit / 1000 + (limit % 1000 != 0));
        if (why)
            buf_printf(why, ", of which the cgroup grants %lld.%03lld", (long long)(limit / 1000),
                       (long long)(limit % 1000));
    }
    if (workers > WORKERS_MAX) {
        workers = WORKERS_MAX;
        if (why)
            buf_printf(why, ", at most %d", WORKERS_MAX);
    }
    return (int)workers;
}

int config_auto_workers(struct buf *why)
{
    return auto_workers(usable_cores(), cgroup_millicpus("/proc/self/cgroup", "/sys/fs/cgroup"),
                        why);
}

int config_workers(const struct config *c)
{
    const char *path;
    if (c->server_workers > 0)
        return (int)c->server_workers;
    return config_database(c, &path) == CONFIG_DATABASE_MEMORY ? 1 : config_auto_workers(NULL);
}
