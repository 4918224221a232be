/* memory.h: memory that processes share and that outlives an execve(2): pages behind a descriptor
 * (memfd_create(2)) whose length nobody can change. Made and mapped by the master, before it forks. Any
 * process may write any byte of it, so how long it is stands elsewhere, in each process's own memory. */
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
/* How long what one of these gave is, whatever others have written there. Any process. */
size_t memory_len(const void *memory);
/* Unmaps it from this process. Accepts NULL. */
void memory_free(void *memory);
/* Unmaps what memory_new made, which failed later, and closes *fd_r (-1 from then on). Keeps errno. */
void memory_undo(void *memory, int *fd_r);
