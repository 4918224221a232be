/* backup.c: see backup.h.
 *
 * VACUUM INTO copies inside one read transaction of a connection that cannot write. (The backup
 * interface in several steps would begin anew at each commit of another process; and this way rows
 * that were deleted do not travel along in free pages.) The copy is in rollback mode and a file of
 * its own: colmeia turns it to WAL when it first opens it. */
#include "worker/store/backup.h"

#include "shared/check.h"
#include "worker/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COPY_MODE = 0600,      /* password hashes are in it */
    PROGRESS_STEPS = 5000, /* of SQLite's virtual machine between two looks: a few milliseconds */
    PERCENT_MAX = 99
};

struct copy {
    struct backup *b;
    struct buf *error;
    char *directory; /* of the target, resolved; owned, as the others */
    char *target;
    char *temporary;
    int directory_fd;
    int fd;    /* of *temporary*, locked; -1: not made */
    bool made; /* *temporary* is ours */
    bool stopped;
    enum backup_phase phase;
    int64_t expected_bytes;
};

static bool fail(struct copy *c, const char *name, const char *problem)
{
    buf_printf(c->error, "%s: %s", name, problem);
    return false;
}

/* ---- the target ------------------------------------------------------------------------------ */

static bool resolve(struct copy *c)
{
    char *for_directory = strdup(c->b->target), *for_name = strdup(c->b->target);
    bool ok = false;
    if (!for_directory || !for_name) {
        fail(c, c->b->target, strerror(ENOMEM));
    } else if (c->b->target[0] == '\0' || c->b->target[strlen(c->b->target) - 1] == '/') {
        fail(c, c->b->target, "this names no file");
    } else {
        c->directory = realpath(dirname(for_directory), NULL);
        if (!c->directory)
            fail(c, c->b->target,
                 errno == ENOENT ? "its directory does not exist" : strerror(errno));
        else if (asprintf(&c->target, "%s/%s", c->directory, basename(for_name)) < 0 ||
                 asprintf(&c->temporary, "%s.tmp", c->target) < 0)
            fail(c, c->b->target, strerror(ENOMEM));
        else
            ok = true;
    }
    free(for_directory);
    free(for_name);
    return ok;
}

static bool is_same(const char *a, const char *b)
{
    struct stat of_a, of_b;
    return strcmp(a, b) == 0 || (stat(a, &of_a) == 0 && stat(b, &of_b) == 0 &&
                                 of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino);
}

/* Whether the name is one of the database's own files, there or not. */
static bool is_own(const char *name, const char *database)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock"};
    char own[PATH_MAX];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (snprintf(own, sizeof own, "%s%s", database, suffixes[i]) < (int)sizeof own &&
            is_same(name, own))
            return true;
    const char *slash = strrchr(database, '/');
    return snprintf(own, sizeof own, "%.*s/secret.key", slash ? (int)(slash - database) : 1,
                    slash ? database : ".") < (int)sizeof own &&
           is_same(name, own);
}

static bool is_in_the_way(struct copy *c)
{
    struct stat st;
    if (lstat(c->target, &st))
        return errno != ENOENT && !fail(c, c->b->target, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return !fail(c, c->b->target, "it is a directory; name a file in it");
    if (!S_ISREG(st.st_mode))
        return !fail(c, c->b->target, "it is there and no plain file; name another");
    return !c->b->overwrite && !fail(c, c->b->target, "it exists; --force replaces it");
}

/* *database* is what SQLite calls the file, free of links. */
static bool target_is_good(struct copy *c, const char *database)
{
    if (is_own(c->target, database) || is_own(c->temporary, database))
        return fail(c, c->b->target, "this is a file of the database itself; name another");
    return !is_in_the_way(c);
}

/* ---- the temporary file ---------------------------------------------------------------------- */

/* What a backup that was killed left is used anew; one that runs holds its lock. */
static bool take_temporary(struct copy *c)
{
    struct stat st, named;
    c->fd = open(c->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, COPY_MODE);
    if (c->fd < 0 || fstat(c->fd, &st))
        return fail(c, c->temporary, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1 || st.st_uid != geteuid())
        return fail(c, c->temporary, "it is there, and not what a backup left; remove it");
    if (flock(c->fd, LOCK_EX | LOCK_NB))
        return fail(c, c->temporary,
                    errno == EWOULDBLOCK ? "another backup writes it just now" : strerror(errno));
    if (stat(c->temporary, &named) || named.st_ino != st.st_ino || named.st_dev != st.st_dev)
        return fail(c, c->temporary, "another backup has just finished with it; try again");
    c->made = true;
    if (ftruncate(c->fd, 0) || fchmod(c->fd, COPY_MODE))
        return fail(c, c->temporary, strerror(errno));
    return true;
}

static void remove_temporary(struct copy *c)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm", ""};
    char name[PATH_MAX];
    for (size_t i = 0; c->made && i < sizeof suffixes / sizeof *suffixes; i++)
        if (snprintf(name, sizeof name, "%s%s", c->temporary, suffixes[i]) < (int)sizeof name)
            unlink(name);
    c->made = false;
}

/* ---- copying and checking -------------------------------------------------------------------- */

static int on_progress(void *ctx)
{
    struct copy *c = ctx;
    struct stat st;
    int64_t percent = 0;
    if (c->phase == BACKUP_COPIES && c->expected_bytes > 0 && fstat(c->fd, &st) == 0)
        percent = st.st_size * 100 / c->expected_bytes;
    c->stopped =
        c->b->progress(c->b->ctx, c->phase, (int)(percent > PERCENT_MAX ? PERCENT_MAX : percent));
    return c->stopped;
}

static void begin_phase(struct copy *c, sqlite3 *db, enum backup_phase phase)
{
    c->phase = phase;
    if (!c->b->progress)
        return;
    sqlite3_progress_handler(db, PROGRESS_STEPS, on_progress, c);
    on_progress(c);
}

/* The only number a statement gives; SQLITE_OK or an error code. */
static int ask_number(sqlite3 *db, const char *sql, int64_t *number_r)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        *number_r = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

static int vacuum_into(sqlite3 *db, const char *name)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "VACUUM INTO $1", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        sqlite3_step(statement);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

/* The source is only read, so what has to do with writing is the target's. */
static bool explain(struct copy *c, int rc, const char *message)
{
    int kind = rc & 0xff;
    if (kind == SQLITE_FULL)
        return fail(c, c->b->target, "the disk is full; make room, or name a file on another one");
    if (kind == SQLITE_CANTOPEN || kind == SQLITE_READONLY || rc == SQLITE_IOERR_WRITE ||
        rc == SQLITE_IOERR_TRUNCATE || rc == SQLITE_IOERR_FSYNC)
        return fail(c, c->b->target, message);
    sqlite_explain(c->error, c->b->path, rc, message);
    return false;
}

static bool copy_from(struct copy *c, sqlite3 *db)
{
    int64_t pages = 0, page_bytes = 0;
    int rc = ask_number(db, "PRAGMA page_count", &pages);
    if (rc == SQLITE_OK)
        rc = ask_number(db, "PRAGMA page_size", &page_bytes);
    if (rc != SQLITE_OK) {
        sqlite_explain(c->error, c->b->path, rc, sqlite_message(db));
        return false;
    }
    c->expected_bytes = pages * page_bytes;
    if (!take_temporary(c))
        return false;
    begin_phase(c, db, BACKUP_COPIES);
    rc = c->stopped ? SQLITE_INTERRUPT : vacuum_into(db, c->temporary);
    return rc == SQLITE_OK || explain(c, rc, sqlite3_errmsg(db));
}

static bool copy(struct copy *c)
{
    sqlite3 *db = NULL;
    char *plain = sqlite_plain_path(c->b->path);
    bool ok = false;
    int rc = plain ? sqlite_open_file(plain, SQLITE_OPEN_READONLY, c->b->busy_timeout_ms, &db)
                   : SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        ok = target_is_good(c, sqlite3_db_filename(db, "main")) && copy_from(c, db);
    else
        sqlite_explain(c->error, c->b->path, rc, sqlite_message(db));
    ASSERT(sqlite3_close(db) == SQLITE_OK);
    free(plain);
    return ok;
}

static int64_t is_whole(sqlite3 *db, int *rc_r)
{
    int64_t whole = 0;
    sqlite3_stmt *statement = NULL;
    *rc_r = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &statement, NULL);
    if (*rc_r == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        whole = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    int end = sqlite3_finalize(statement);
    *rc_r = *rc_r == SQLITE_OK ? end : *rc_r;
    return whole;
}

/* The copy is read back: whole, and with a table users. */
static bool check(struct copy *c)
{
    sqlite3 *db = NULL;
    int64_t whole = 0;
    int rc = sqlite_open_file(c->temporary, SQLITE_OPEN_READONLY, c->b->busy_timeout_ms, &db);
    if (rc == SQLITE_OK) {
        begin_phase(c, db, BACKUP_CHECKS);
        whole = is_whole(db, &rc);
    }
    if (rc == SQLITE_OK && whole)
        rc = ask_number(db, "SELECT count(*) FROM users", &c->b->users);
    bool ok = rc == SQLITE_OK && whole && !c->stopped;
    if (!ok)
        buf_printf(c->error,
                   "the copy is not whole (%s); is the database, or the disk, damaged? "
                   "\"colmeia doctor\" looks at both",
                   rc == SQLITE_OK ? "integrity_check" : sqlite3_errmsg(db));
    ASSERT(sqlite3_close(db) == SQLITE_OK);
    return ok;
}

/* ---- making it last -------------------------------------------------------------------------- */

static int give_name(struct copy *c)
{
    if (c->b->overwrite)
        return rename(c->temporary, c->target);
    int rc = renameat2(AT_FDCWD, c->temporary, AT_FDCWD, c->target, RENAME_NOREPLACE);
    if (rc == 0 || errno != EINVAL)
        return rc;
    rc = link(c->temporary,
              c->target); /* a file system that cannot; link(2) replaces nothing, too */
    return rc ? rc : unlink(c->temporary);
}

static bool publish(struct copy *c)
{
    struct stat st;
    if (fsync(c->fd) || fstat(c->fd, &st))
        return fail(c, c->temporary, strerror(errno));
    c->b->bytes = st.st_size;
    if (give_name(c))
        return fail(c, c->b->target,
                    errno == EEXIST ? "it exists by now; --force replaces it" : strerror(errno));
    c->made = false;
    c->directory_fd = open(c->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->directory_fd < 0 || fsync(c->directory_fd))
        return fail(c, c->b->target,
                    "it is complete, but its directory could not be flushed to disk");
    return true;
}

enum backup_result backup_make(struct backup *b, struct buf *error)
{
    struct copy c = {.b = b, .error = error, .fd = -1, .directory_fd = -1};
    bool ok = resolve(&c) && copy(&c) && check(&c) && publish(&c);
    remove_temporary(&c);
    if (c.fd >= 0)
        close(c.fd);
    if (c.directory_fd >= 0)
        close(c.directory_fd);
    free(c.directory);
    free(c.target);
    free(c.temporary);
    return ok ? BACKUP_OK : c.stopped ? BACKUP_STOPPED : BACKUP_FAILED;
}
