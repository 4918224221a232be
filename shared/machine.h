/* machine.h: what this machine gives its processes, read from /proc and the cgroup. For advice to
 * people (calibrate, doctor), not for decisions of the server. Any thread; reads files. */
#pragma once

#include <stdint.h>

/* All memory this process could ever get: the machine's, or less by its cgroup's memory.max. -1:
 * not known. */
int64_t machine_memory_bytes(void);
/* What of it is to be had now without swapping. -1: not known. */
int64_t machine_memory_free_bytes(void);

/* The parts, for tests: a number of kB out of a text as /proc/meminfo has it, in bytes, -1: none;
 * the least of cgroup v2 limits ("max" is none) from the group at *path* ("/a/b") under *mount* up
 * to the root, memory.current of the same group taken off it when *what_is_left*; -1: no limit. */
int64_t machine_meminfo_bytes(const char *text, const char *name);
int64_t machine_cgroup_bytes(const char *mount, const char *path, int what_is_left);
