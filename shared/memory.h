/* memory.h: memory that processes share and that outlives an execve(2): pages behind a descriptor
 * (memfd_create(2)) whose length nobody can change. Master, before it forks. */
#pragma once

#include <stddef.h>

/* An empty file that lives nowhere else, close-on-exec, can be sealed, and is never executed. -1 with
 * errno. */
int memory_file(const char *name);
/* *len* zeroed bytes, mapped shared; *fd_r*: theirs, close-on-exec, the caller's. NULL with errno. */
void *memory_new(const char *name, size_t len, int *fd_r);
/* Maps what memory_new made, perhaps in another program. *len_r*: how long it is. NULL with errno:
 * EINVAL if somebody could still shorten it. */
void *memory_map(int fd, size_t *len_r);
/* The same where the length is known. NULL with errno: EINVAL too if it has another. */
void *memory_map_exact(int fd, size_t len);
/* Unmaps what memory_new made, which failed later, and closes *fd_r (-1 from then on). Keeps errno. */
void memory_undo(void *memory, size_t len, int *fd_r);
