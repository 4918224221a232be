/* doctor_judge.h: what the numbers mean that `colmeia doctor` finds around the database. Pure; each
 * adds one finding. */
#pragma once

#include "shared/findings.h"

#include <stdint.h>
#include <sys/types.h>

/* statfs(2)'s f_type: whether SQLite's locks and shared memory work there, and what is written
 * lasts. */
void doctor_judge_filesystem(struct findings *f, uint64_t type, const char *directory);

/* Bytes free to us, bytes of the database with its log, free inodes (0 inodes in all: they are not
 * counted there). */
void doctor_judge_space(struct findings *f, int64_t free_bytes, int64_t database_bytes,
                        uint64_t inodes_free, uint64_t inodes);

/* One of the database's files. *owner* and *database_owner*: who must be the same; accessible: we
 * may read and write it. */
struct doctor_file {
    const char *path;
    mode_t mode;
    uid_t owner, database_owner;
    bool accessible;
    int64_t changed_s; /* since the epoch */
};
void doctor_judge_file(struct findings *f, const struct doctor_file *file, int64_t now_s);

/* How long a small write takes to be on disk. */
void doctor_judge_sync(struct findings *f, int64_t sync_us);
