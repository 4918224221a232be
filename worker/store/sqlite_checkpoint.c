/* sqlite_checkpoint.c: keeps the write-ahead log short, under the writer lock only: SQLite before
 * 3.51.3 can corrupt a WAL database when one connection checkpoints while another commits. And it
 * notices programs that write without the lock. Thread: the writer's. */
#include "worker/store/sqlite.h"

#include "shared/log.h"

enum {
    PASSIVE_PAGES = 1000, /* 4 MiB: copy what no reader needs any more */
    RESTART_PAGES = 4000, /* 16 MiB: readers overlap; wait for those of now, the log begins anew */
    RESTART_WAIT_MS = 100,
    FOREIGN_GAP_MS = 60000
};

static int on_commit(void *ctx, sqlite3 *db, const char *name, int wal_pages)
{
    ((struct sqlite *)ctx)->wal_pages = wal_pages;
    return SQLITE_OK;
}

void sqlite_checkpoint_watch(struct sqlite *s)
{
    sqlite3_wal_hook(s->write_side.db, on_commit, s);
    s->wal_pages_restart = RESTART_PAGES;
    s->data_version = -1;
}

/* sqlite3_busy_handler(). SQLite's own sleeps ever longer; these readers take a moment each. */
static int on_busy(void *ctx, int times)
{
    (void)ctx;
    if (times >= RESTART_WAIT_MS)
        return 0;
    sqlite3_sleep(1);
    return 1;
}

/* Readers that overlap all the time leave no moment at which the log may begin anew. But those that
 * began before this can be waited for: who comes meanwhile reads what they do not hold up. When one
 * of them stays (a backup, a very long list), the next wait comes at twice the length, so that
 * writers are not held again and again. */
static int restart(struct sqlite *s)
{
    sqlite3 *db = s->write_side.db;
    sqlite3_busy_handler(db, on_busy, NULL);
    int rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    sqlite3_busy_timeout(db, (int)s->write_side.busy_timeout_ms);
    if (rc != SQLITE_OK)
        s->wal_pages_restart = 2 * s->wal_pages;
    return rc;
}

void sqlite_checkpoint_if_due(struct sqlite *s)
{
    if (s->wal_pages < s->wal_pages_tried) { /* the log began anew since */
        s->wal_pages_tried = 0;
        s->wal_pages_restart = RESTART_PAGES;
    }
    if (!s->path || s->wal_pages - s->wal_pages_tried < PASSIVE_PAGES)
        return;
    s->wal_pages_tried = s->wal_pages;
    sqlite3 *db = s->write_side.db;
    int rc = s->wal_pages >= s->wal_pages_restart
                 ? restart(s)
                 : sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    /* what was committed is safe in the log; it only stays long */
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        log_warning(
            "database %s: checkpoint: %s; the -wal file grows until one works (tried again after "
            "%d pages)",
            s->path, sqlite3_errmsg(db), PASSIVE_PAGES);
}

/* -1 when it cannot be had. */
static int64_t data_version(struct sqlite *s)
{
    sqlite3_stmt *statement = s->write_side.statements[SQL_DATA_VERSION];
    int64_t version =
        sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    return sqlite3_reset(statement) == SQLITE_OK ? version : -1;
}

/* SQLite says whether another connection changed the file since we last looked; the lock's own
 * count says whether somebody did so under the lock. */
void sqlite_check_foreign_changes(struct sqlite *s)
{
    if (!s->path)
        return;
    int64_t version = data_version(s);
    bool changed = s->data_version >= 0 && version >= 0 && version != s->data_version;
    if (changed && s->seen_changes == s->lock.changes &&
        seldom_due(&s->foreign_gap, FOREIGN_GAP_MS))
        log_warning(
            "database %s was changed by a program that does not hold %s; stop it: two writers can "
            "damage the file",
            s->path, s->lock.path);
    s->data_version = version;
}

void sqlite_remember_changes(struct sqlite *s, bool changed)
{
    s->seen_changes = s->lock.changes + (changed ? 1 : 0);
}
