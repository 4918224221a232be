/* migrate.h: the schema and its history, compatible with the Python app's alembic revisions.
 *
 * Thread: of one-shot children only, which have one and no loop: these functions block. */
#pragma once

#include "shared/str.h"

#include <stdint.h>

enum migrate_result {
    MIGRATE_OK,
    MIGRATE_UNUSABLE /* database unusable: exit code 6; the line in *out* says what to do */
};

enum { MIGRATE_TIMEOUT_MS = 10000 };

/* Brings the database file at *path* to the newest revision, creating it when it does not exist
 * (its directory is not created). Holds the writer lock. Appends what was done, a line each, to
 * *out*. */
enum migrate_result migrate_upgrade(const char *path, struct buf *out);
/* The same, waiting at most timeout_ms for the writer lock and as long for programs that keep the
 * file locked (migrate_upgrade: MIGRATE_TIMEOUT_MS). */
enum migrate_result migrate_upgrade_within(const char *path, int64_t timeout_ms, struct buf *out);
/* Appends the present revision ("74f39286e2f6 (head) create users table"), or "no revision". */
enum migrate_result migrate_current(const char *path, struct buf *out);
/* Whether the file can be used as it is: MIGRATE_OK with nothing appended, or the line that says what
 * to do: it is missing, damaged, newer, not ours, or has yet to be migrated. Changes nothing. */
enum migrate_result migrate_check(const char *path, struct buf *out);
/* Appends the known revisions, newest first. No database is needed. */
void migrate_history(struct buf *out);
/* Truncates the WAL under the writer lock: the last act of a clean stop. */
enum migrate_result migrate_checkpoint(const char *path, struct buf *out);
