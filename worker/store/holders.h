/* holders.h: which processes have a database's files open or locked, as far as /proc shows it to
 * this user (proc(5): others' descriptors are visible to root only). For messages and for doctor;
 * blocks. */
#pragma once

#include "shared/str.h"

#include <sys/types.h>

/* The process that holds the writer lock (sqlite_lock.h) of the database at *path*; 0: nobody, or
 * not to be seen. */
pid_t holders_of_lock(const char *path);

/* Appends a process as people know it: "process 4242 (colmeia: worker 0 gen 1 [ready])". */
void holders_name(struct buf *out, pid_t pid);

/* Processes that have the database file at *path* open and are none of colmeia's (which open its
 * lock file as well, or are called so): calls found() for each. */
void holders_foreign(const char *path, void (*found)(void *ctx, pid_t pid), void *ctx);
