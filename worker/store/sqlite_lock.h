/* sqlite_lock.h: one writer at a time. Whoever writes to or checkpoints a SQLite file of ours holds
 * an exclusive flock(2) on "<database>.lock": writer threads of all workers, migrations,
 * command-line verbs, other servers. The kernel frees it when its holder dies; the file is never
 * unlinked. Opened per process after the fork.
 *
 * Thread: opened and closed on the loop's, before and after there is a writer's thread; everything
 * between on that one. */
#pragma once

#include "shared/scoreboard.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sqlite_lock {
    char *path;          /* owned */
    char *database_path; /* owned: whose mode and owner a new lock file gets */
    int fd;              /* owned; -1: not open */
    dev_t dev;           /* of fd, to see when the file was replaced */
    ino_t ino;
    uint64_t changes;              /* the file's count of changes, as last read or written */
    struct scoreboard *scoreboard; /* borrowed; may be NULL */
    struct scoreboard_slot *slot;  /* borrowed; may be NULL */
};

/* Opens, and makes when it is not there, the lock file beside *database_path* (absolute: what
 * sqlite3_db_filename() says). 0, or -1 with errno. */
int sqlite_lock_open(struct sqlite_lock *l, const char *database_path,
                     struct scoreboard *scoreboard, struct scoreboard_slot *slot);
/* Accepts a lock that was never opened but zeroed with fd -1. */
void sqlite_lock_close(struct sqlite_lock *l);

/* Waits for the lock, in turn with the other waiters. 0, or -1 with errno: ETIMEDOUT after
 * timeout_ms, else what flock or open said. l->changes is then up to date. */
int sqlite_lock_take(struct sqlite_lock *l, int64_t timeout_ms);
/* Lets go. *changed*: the database was written or checkpointed meanwhile, which the file counts, so
 * that a change without the lock can be told from one under it. */
void sqlite_lock_release(struct sqlite_lock *l, bool changed);
/* The process of ours that holds the lock, as far as the scoreboard tells; 0: not known. */
pid_t sqlite_lock_holder(const struct sqlite_lock *l);
