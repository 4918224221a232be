/* machine.c: see machine.h. */
#include "shared/machine.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 8192 };

/* As much as fits, NUL behind it. "" when it cannot be read. */
static void read_text(const char *path, char text_r[static TEXT_MAX])
{
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text_r, 1, TEXT_MAX - 1, file) : 0;
    text_r[len] = '\0';
    if (file)
        fclose(file);
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

int64_t machine_meminfo_bytes(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        long long kb;
        if (strncmp(line, name, len) == 0 && line[len] == ':' &&
            sscanf(line + len + 1, "%lld kB", &kb) == 1)
            return kb * 1024;
    }
    return -1;
}

/* A number in a file of a group; -1: "max", or none. */
static int64_t number_of_group(const char *mount, const char *path, size_t path_len,
                               const char *name)
{
    char file[PATH_MAX], text[TEXT_MAX];
    long long value;
    if (snprintf(file, sizeof file, "%s%.*s/%s", mount, (int)path_len, path, name) >=
        (int)sizeof file)
        return -1;
    read_text(file, text);
    return sscanf(text, "%lld", &value) == 1 && value >= 0 ? value : -1;
}

int64_t machine_cgroup_bytes(const char *mount, const char *path, int what_is_left)
{
    int64_t least = -1;
    for (size_t len = strlen(path);;) {
        int64_t limit = number_of_group(mount, path, len, "memory.max");
        int64_t used = what_is_left ? number_of_group(mount, path, len, "memory.current") : 0;
        if (limit >= 0)
            least = lesser(least, used > limit ? 0 : used > 0 ? limit - used : limit);
        while (len > 0 && path[len - 1] != '/')
            len--;
        if (len == 0)
            return least;
        len--;
    }
}

/* What the line "0::/path" of /proc/self/cgroup leads to; -1: no limit, or another cgroup version.
 */
static int64_t own_group_bytes(int what_is_left)
{
    char text[TEXT_MAX];
    read_text("/proc/self/cgroup", text);
    char *path = strstr(text, "0::");
    if (!path || (path != text && path[-1] != '\n'))
        return -1;
    path += strlen("0::");
    path[strcspn(path, "\n")] = '\0';
    return machine_cgroup_bytes("/sys/fs/cgroup", path, what_is_left);
}

int64_t machine_memory_bytes(void)
{
    char text[TEXT_MAX];
    read_text("/proc/meminfo", text);
    return lesser(machine_meminfo_bytes(text, "MemTotal"), own_group_bytes(0));
}

int64_t machine_memory_free_bytes(void)
{
    char text[TEXT_MAX];
    read_text("/proc/meminfo", text);
    return lesser(machine_meminfo_bytes(text, "MemAvailable"), own_group_bytes(1));
}
