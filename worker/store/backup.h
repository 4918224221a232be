/* backup.h: a copy of the database in one file, made beside running servers. One read transaction
 * sees one moment: all that was acknowledged before it began is in the copy. Blocks; one-shot
 * children. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

enum backup_result {
    BACKUP_OK,
    BACKUP_FAILED, /* one line says why; nothing is left behind */
    BACKUP_STOPPED /* as asked; nothing is left behind */
};

enum backup_phase { BACKUP_COPIES, BACKUP_CHECKS };

struct backup {
    const char *path;   /* the database file, which is there */
    const char *target; /* comes to be complete or not at all; mode 0600 */
    bool overwrite;     /* a file of that name is replaced, in one step */
    int64_t busy_timeout_ms;
    /* Called once in a while. percent: of the phase, 0 to 99. True: stop. */
    bool (*progress)(void *ctx, enum backup_phase phase, int percent);
    void *ctx;
    /* what came of it */
    int64_t bytes;
    int64_t users;
};

/* Copies to TARGET.tmp, which is checked, flushed to disk and renamed. The line goes to *error*. */
enum backup_result backup_make(struct backup *b, struct buf *error);
