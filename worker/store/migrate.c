/* migrate.c: see migrate.h. First looks, then decides, then acts: a file that is not ours, or newer
 * than we are, is left as it was found. What alembic would do decides the doubtful cases:
 *
 *   empty file                             made: the tables of the head, stamped
 *   known revisions, table users fits      nothing to do
 *   unknown revision                       refused: a newer program was here
 *   users without alembic_version          alembic would fail with "table users already exists"; we
 *                                          stamp it when the columns are exactly those of a known
 *                                          revision, else refuse
 *   other tables, but no users             refused: some other program's file */
#include "worker/store/migrate.h"

#include "shared/check.h"
#include "worker/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A whole check of a file up to this size takes some 3 ms, and nobody is answered before it is over;
 * damage in a bigger one shows when it is met, or in "colmeia doctor", which looks at all of it. */
enum { CHECK_MAX_BYTES = 1 << 20 };

/* A new database: its rows hold password hashes, so not for everybody (and less if umask says so).
 */
enum { NEW_FILE_MODE = 0640 };

struct session {
    const char *path; /* as given, for messages */
    char *plain_path; /* owned */
    int64_t timeout_ms;
    struct buf *out;
    sqlite3 *db;
    struct sqlite_lock lock;
    bool locked;
    bool changed;
    struct schema schema;
};

static bool refuse(struct session *s, int rc)
{
    sqlite_explain(s->out, s->path, rc, sqlite_message(s->db));
    buf_append_char(s->out, '\n');
    return false;
}

/* Makes the file when there is none, so that mode and reason of a failure are ours and not
 * SQLite's. (A database file must never be opened beside SQLite: closing it would drop SQLite's
 * locks. This one is new, and no connection of this process knows it yet.) */
static bool make_file(struct session *s)
{
    struct stat st;
    if (stat(s->plain_path, &st) == 0)
        return true;
    int fd = open(s->plain_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, NEW_FILE_MODE);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    switch (errno) {
    case EEXIST: /* another process made it meanwhile */
        return true;
    case EACCES:
    case EPERM:
    case EROFS:
        return refuse(s, SQLITE_READONLY);
    case ENOSPC:
    case EDQUOT:
        return refuse(s, SQLITE_FULL);
    default:
        return refuse(s, SQLITE_CANTOPEN);
    }
}

static bool take_lock(struct session *s)
{
    const char *file = sqlite3_db_filename(s->db, "main");
    if (sqlite_lock_open(&s->lock, file, NULL, NULL)) {
        buf_printf(
            s->out,
            "database lock %s.lock: %s; user %u must be able to write it and its directory\n", file,
            strerror(errno), (unsigned)geteuid());
        return false;
    }
    if (sqlite_lock_take(&s->lock, s->timeout_ms)) {
        buf_printf(s->out, "database lock %s: %s\n", s->lock.path,
                   errno == ETIMEDOUT
                       ? "another process holds it (fuser tells which); stop it, or try again"
                       : strerror(errno));
        return false;
    }
    s->locked = true;
    return true;
}

/* Opens the database; for writing also takes the lock. */
static bool session_open(struct session *s, int flags)
{
    int rc = sqlite_open_file(s->plain_path, flags, s->timeout_ms, &s->db);
    if (rc != SQLITE_OK)
        return refuse(s, rc);
    if (!(flags & SQLITE_OPEN_READWRITE))
        return true;
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return refuse(s, SQLITE_READONLY);
    return take_lock(s);
}

static struct session session_for(const char *path, int64_t timeout_ms, struct buf *out)
{
    return (struct session){.path = path,
                            .plain_path = sqlite_plain_path(path),
                            .timeout_ms = timeout_ms,
                            .out = out,
                            .lock = {.fd = -1}};
}

static void session_close(struct session *s)
{
    ledger_gone(LEDGER_DATABASE, s->db);
    ASSERT(sqlite3_close(s->db) == SQLITE_OK);
    if (s->locked)
        sqlite_lock_release(&s->lock, s->changed);
    sqlite_lock_close(&s->lock);
    free(s->plain_path);
}

/* ---- looking ---- */

/* The first column of the first row, as text; "" when there is none. SQLITE_OK or an error. */
static int ask(sqlite3 *db, const char *sql, char *answer_r, size_t answer_max)
{
    sqlite3_stmt *statement = NULL;
    answer_r[0] = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        snprintf(answer_r, answer_max, "%s", text ? text : "");
    }
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

static bool look(struct session *s)
{
    int rc = schema_inspect(s->db, &s->schema);
    return rc == SQLITE_OK || refuse(s, rc);
}

static bool is_sound(struct session *s)
{
    struct stat st;
    if (stat(s->plain_path, &st) || st.st_size > CHECK_MAX_BYTES)
        return true;
    if (sqlite_inspect(s->db, s->path, s->out))
        return true;
    buf_append_char(s->out, '\n');
    return false;
}

/* ---- deciding ---- */

enum plan { PLAN_REFUSE, PLAN_NOTHING, PLAN_CREATE, PLAN_STAMP };

static enum plan decide_by_revision(struct session *s)
{
    const struct schema *schema = &s->schema;
    if (schema->revisions_len > SCHEMA_REVISIONS_MAX) {
        buf_printf(s->out,
                   "database %s: alembic_version has more rows than there are revisions; restore a "
                   "backup\n",
                   s->path);
        return PLAN_REFUSE;
    }
    for (size_t i = 0; i < schema->revisions_len; i++) {
        if (schema_find(schema->revisions[i]))
            continue;
        buf_printf(
            s->out,
            "database %s: it is at revision %s, which this colmeia does not know: a newer program "
            "has upgraded it; install the newer colmeia, or restore a backup from before\n",
            s->path, schema->revisions[i]);
        return PLAN_REFUSE;
    }
    if (schema->users_usable)
        return PLAN_NOTHING;
    buf_printf(s->out,
               "database %s: it says it is at revision %s, but %s; restore a backup, or repair the "
               "table\n",
               s->path, schema->revisions[0],
               schema->has_users ? "its table users is not as that revision made it"
                                 : "it has no table users");
    return PLAN_REFUSE;
}

static enum plan decide(struct session *s)
{
    const struct schema *schema = &s->schema;
    if (schema->revisions_len > 0)
        return decide_by_revision(s);
    if (schema->users_exact)
        return PLAN_STAMP;
    if (schema->has_users) {
        buf_printf(
            s->out,
            "database %s: it has a table users that is not ours, and no alembic_version; if it is "
            "the "
            "Python app's, run its \"alembic upgrade head\" first, else change [database] url\n",
            s->path);
        return PLAN_REFUSE;
    }
    if (schema->tables == 0)
        return PLAN_CREATE;
    buf_printf(s->out,
               "database %s: it holds other tables but no users, so it seems to be another "
               "program's; change [database] url\n",
               s->path);
    return PLAN_REFUSE;
}

/* ---- acting ---- */

static bool use_wal(struct session *s)
{
    char before[16], now[16];
    int rc = ask(s->db, "PRAGMA journal_mode", before, sizeof before);
    if (rc == SQLITE_OK)
        rc = ask(s->db, "PRAGMA journal_mode = WAL", now, sizeof now);
    if (rc != SQLITE_OK)
        return refuse(s, rc);
    if (strcmp(now, "wal") != 0) {
        buf_printf(
            s->out,
            "database %s: it cannot be switched to WAL mode (it stays %s); put it on a local file "
            "system with shared memory\n",
            s->path, now);
        return false;
    }
    if (strcmp(before, "wal") != 0) {
        s->changed = true;
        buf_printf(s->out, "database %s: journal mode %s changed to wal\n", s->path, before);
    }
    return true;
}

/* An unstamped database gets what alembic would have written for what it holds: both heads if it
 * has the marks of both. */
static int stamp(struct session *s)
{
    const struct schema *schema = &s->schema;
    int rc = SQLITE_OK;
    if (schema->has_todos)
        rc = schema_stamp(s->db, "a6b139a38fe0");
    if (rc == SQLITE_OK && schema->has_updated_at)
        rc = schema_stamp(s->db, "bb77f9679811");
    if (rc == SQLITE_OK && !schema->has_todos && !schema->has_updated_at)
        rc = schema_stamp(s->db, schema_head);
    return rc;
}

static int apply_in_transaction(struct session *s, enum plan plan)
{
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = plan == PLAN_CREATE ? schema_create(s->db) : stamp(s);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return rc; /* what was not committed goes when the connection closes */
}

static bool apply(struct session *s, enum plan plan)
{
    if (plan == PLAN_CREATE || plan == PLAN_STAMP) {
        int rc = apply_in_transaction(s, plan);
        if (rc != SQLITE_OK)
            return refuse(s, rc);
        s->changed = true;
        if (!look(s))
            return false;
        ASSERT(s->schema.users_usable && s->schema.revisions_len > 0);
    }
    const char *did = plan == PLAN_CREATE  ? "created, now at revision"
                      : plan == PLAN_STAMP ? "taken over, now at revision"
                                           : "nothing to do, at revision";
    buf_printf(s->out, "database %s: %s", s->path, did);
    for (size_t i = 0; i < s->schema.revisions_len; i++)
        buf_printf(s->out, "%s %s (%s)", i ? " and" : "", s->schema.revisions[i],
                   schema_find(s->schema.revisions[i])->title);
    buf_append_char(s->out, '\n');
    return true;
}

/* Everything into the database file itself. A reader that is in the way is no failure. */
static bool checkpoint(struct session *s)
{
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    s->changed = true;
    return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || refuse(s, rc);
}

static bool upgrade(struct session *s)
{
    if (!make_file(s) || !session_open(s, SQLITE_OPEN_READWRITE) || !look(s) || !is_sound(s))
        return false;
    enum plan plan = decide(s);
    return plan != PLAN_REFUSE && use_wal(s) && apply(s, plan) &&
           (plan == PLAN_NOTHING || checkpoint(s));
}

static bool current(struct session *s)
{
    if (!session_open(s, SQLITE_OPEN_READONLY) || !look(s))
        return false;
    if (s->schema.revisions_len == 0)
        buf_printf(s->out, "no revision\n");
    for (size_t i = 0; i < s->schema.revisions_len && i < SCHEMA_REVISIONS_MAX; i++) {
        const struct schema_migration *known = schema_find(s->schema.revisions[i]);
        buf_printf(s->out, "%s %s%s\n", s->schema.revisions[i],
                   known ? "(head) " : "(unknown to this colmeia)", known ? known->title : "");
    }
    return true;
}

static bool is_current(struct session *s)
{
    if (!session_open(s, SQLITE_OPEN_READONLY) || !look(s))
        return false;
    enum plan plan = decide(s);
    if (plan == PLAN_CREATE || plan == PLAN_STAMP)
        buf_printf(s->out,
                   "database %s: it has not been migrated yet; run \"colmeia migrate upgrade\"\n",
                   s->path);
    return plan == PLAN_NOTHING;
}

/* Runs one of the above and tidies up. */
static enum migrate_result run(const char *path, int64_t timeout_ms, struct buf *out,
                               bool (*what)(struct session *s))
{
    struct session s = session_for(path, timeout_ms, out);
    bool ok = s.plain_path && what(&s);
    if (!s.plain_path)
        buf_printf(out, "database %s: no memory\n", path);
    session_close(&s);
    return ok ? MIGRATE_OK : MIGRATE_UNUSABLE;
}

enum migrate_result migrate_upgrade_within(const char *path, int64_t timeout_ms, struct buf *out)
{
    return run(path, timeout_ms, out, upgrade);
}

enum migrate_result migrate_upgrade(const char *path, struct buf *out)
{
    return migrate_upgrade_within(path, MIGRATE_TIMEOUT_MS, out);
}

enum migrate_result migrate_current(const char *path, struct buf *out)
{
    return run(path, MIGRATE_TIMEOUT_MS, out, current);
}

enum migrate_result migrate_check(const char *path, struct buf *out)
{
    return run(path, MIGRATE_TIMEOUT_MS, out, is_current);
}

void migrate_history(struct buf *out)
{
    for (size_t i = 0; i < schema_migrations_len; i++) {
        const struct schema_migration *m = &schema_migrations[i];
        buf_printf(out, "%s -> %s%s, %s%s\n", m->parent ? m->parent : "<base>", m->revision,
                   strcmp(m->revision, schema_head) == 0 ? " (head)" : "", m->title,
                   m->sql ? "" : " (the Python app's; accepted)");
    }
}

static bool truncate_wal(struct session *s)
{
    /* a connection that has not read yet knows of no log, and would checkpoint nothing */
    return session_open(s, SQLITE_OPEN_READWRITE) && look(s) && checkpoint(s);
}

enum migrate_result migrate_checkpoint(const char *path, struct buf *out)
{
    return run(path, MIGRATE_TIMEOUT_MS, out, truncate_wal);
}
