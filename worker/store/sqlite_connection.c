/* sqlite_connection.c: see sqlite.h. How a database file is opened and set, and what its errors
 * mean. Thread: the one that has the connection. */
#include "worker/store/sqlite.h"

#include "shared/check.h"
#include "shared/log.h"
#include "worker/loop/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ODD_GAP_MS = 60000 };

bool seldom_due(struct seldom *s, int64_t interval_ms)
{
    mono_ms now = clock_now();
    if (mono_is_set(s->next) && mono_before(now, s->next))
        return false;
    s->next = mono_add(now, interval_ms);
    return true;
}

/* ---- opening ---- */

/* A relative path gets "./" before it: no name is then a URI or ":memory:" by accident. */
char *sqlite_plain_path(const char *path)
{
    char *plain = NULL;
    return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

int (sqlite_open_file)(const char *path, int flags, int64_t busy_timeout_ms, sqlite3 **db_r,
                       const char *made_at)
{
    static const struct {
        int option;
        int value;
    } settings[] = {
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1}, /* only the lock's holder checkpoints */
        {SQLITE_DBCONFIG_DEFENSIVE, 1}, /* a crafted file must not write where it should not, */
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, /* nor its schema call functions with side effects */
        {SQLITE_DBCONFIG_DQS_DML, 0},          {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };
    int rc = sqlite3_open_v2(path, db_r, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return *db_r ? sqlite3_extended_errcode(*db_r) : rc;
    ledger_made(LEDGER_DATABASE, *db_r, LEDGER_OPEN, made_at);
    sqlite3_busy_timeout(*db_r, (int)busy_timeout_ms);
    sqlite3_extended_result_codes(*db_r, 1);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        rc = sqlite3_db_config(*db_r, settings[i].option, settings[i].value, NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    return sqlite3_wal_autocheckpoint(*db_r, 0);
}

static void explain_cannot_open(struct buf *out, const char *path, const char *message)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash && slash != path
                          ? slice_strdup((struct slice){path, (size_t)(slash - path)})
                          : slice_strdup(slash ? SLICE("/") : SLICE("."));
    struct stat st;
    if (!directory || stat(directory, &st))
        buf_printf(out, "its directory %s: %s; make the directory, or change [database] url",
                   directory ? directory : "", strerror(directory ? errno : ENOMEM));
    else if (!S_ISDIR(st.st_mode))
        buf_printf(out, "%s is not a directory; change [database] url", directory);
    else if (stat(path, &st))
        buf_printf(out, "%s; \"colmeia migrate upgrade\" makes it",
                   errno == ENOENT ? "it does not exist" : strerror(errno));
    else if (S_ISDIR(st.st_mode))
        buf_printf(out, "it is a directory; change [database] url");
    else
        buf_printf(
            out,
            "user %u cannot read and write it, its -wal and -shm, and its directory (%s); give them "
            "to that user (chown, chmod)",
            (unsigned)geteuid(), message);
    free(directory);
}

void sqlite_explain(struct buf *out, const char *path, int rc, const char *message)
{
    buf_printf(out, "database %s: ", path);
    switch (rc & 0xff) {
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        explain_cannot_open(out, path, message);
        return;
    case SQLITE_READONLY:
        buf_printf(
            out,
            "user %u cannot write it or its directory; give them to that user (chown, chmod), or "
            "remount the file system read-write",
            (unsigned)geteuid());
        return;
    case SQLITE_NOTADB:
        buf_printf(out,
                   "the file is not an SQLite database; move it away, or change [database] url");
        return;
    case SQLITE_CORRUPT: /* or EIO of a read(2), which SQLite takes for the same */
        buf_printf(out,
                   "the file is damaged (%s); look at the kernel log and at the disk, restore a "
                   "backup, or try \"sqlite3 %s .recover\"",
                   message, path);
        return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        buf_printf(out, "another program keeps it locked; stop that program and try again");
        return;
    case SQLITE_FULL:
        buf_printf(out, "the disk is full; make room and try again");
        return;
    case SQLITE_IOERR:
        buf_printf(out, "input/output error (%s); look at the kernel log and at the disk", message);
        return;
    default:
        buf_printf(out, "%s (SQLite code %d)", message, rc);
        return;
    }
}

const char *sqlite_message(sqlite3 *db)
{
    if (!db)
        return "no memory";
    int kind = sqlite3_errcode(db) & 0xff;
    const char *cause = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN
                            ? strerrordesc_np(sqlite3_system_errno(db))
                            : NULL;
    return cause && sqlite3_system_errno(db) ? cause : sqlite3_errmsg(db);
}

static int exec(struct sqlite_connection *c, const char *sql)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL);
}

static int set_pragmas(struct sqlite_connection *c)
{
    int rc = exec(c, "PRAGMA foreign_keys = ON;"
                     "PRAGMA mmap_size = 0;"
                     "PRAGMA temp_store = MEMORY;"
                     "PRAGMA journal_size_limit = 16777216");
    /* What a batch changes is written once, at its end. Who only reads keeps SQLite's 2,000 KiB: more does
     * not fit the core's own cache, and made pages far behind a fifth slower. */
    bool writes = c->sides & SQLITE_SIDE_WRITE;
    if (rc == SQLITE_OK && writes)
        rc = exec(c, "PRAGMA cache_size = -8192");
    if (rc == SQLITE_OK && writes && c->path)
        rc = exec(c, c->durability == CONFIG_DURABILITY_NORMAL ? "PRAGMA synchronous = NORMAL"
                                                               : "PRAGMA synchronous = FULL");
    if (rc == SQLITE_OK && c->sides == SQLITE_SIDE_READ)
        rc = exec(c, "PRAGMA query_only = ON");
    return rc;
}

/* When a statement is prepared at all: the word in its row. */
#define WHEN_ALWAYS     true
#define WHEN_UPDATED_AT c->schema.has_updated_at
#define WHEN_TODOS      c->schema.has_todos

static int prepare_all(struct sqlite_connection *c)
{
    const struct {
        unsigned sides;
        bool wanted;
        const char *sql;
    } rows[] = {
#define STATEMENT(name, side, when, sql) {SQLITE_SIDE_##side, WHEN_##when, sql},
#include "worker/store/statements.def"
#undef STATEMENT
    };
    for (size_t i = 0; i < SQL_STATEMENTS; i++) {
        if (!(rows[i].sides & c->sides) || !rows[i].wanted)
            continue;
        int rc = sqlite3_prepare_v3(c->db, rows[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    &c->statements[i], NULL);
        if (rc != SQLITE_OK)
            return rc;
        ledger_made(LEDGER_STATEMENT, c->statements[i], LEDGER_OPEN, MADE_HERE);
        if (debug_is_on())
            ledger_label(LEDGER_STATEMENT, c->statements[i], rows[i].sql, strlen(rows[i].sql));
    }
    return SQLITE_OK;
}

static int journal_is_wal(struct sqlite_connection *c, bool *wal_r)
{
    sqlite3_stmt *statement = NULL;
    *wal_r = false;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA journal_mode", -1, &statement, NULL);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        *wal_r = strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

/* Memory: makes the schema. File: sees that it has one and is in WAL mode. False with a line. */
static bool look_at_schema(struct sqlite_connection *c, struct buf *error)
{
    bool wal = true;
    int rc = c->path ? journal_is_wal(c, &wal) : schema_create(c->db);
    if (rc == SQLITE_OK)
        rc = schema_inspect(c->db, &c->schema);
    if (rc != SQLITE_OK) {
        sqlite_explain(error, c->path ? c->path : ":memory:", rc, sqlite_message(c->db));
        return false;
    }
    if (!wal || !c->schema.users_usable) {
        buf_printf(error, "database %s: %s; run \"colmeia migrate upgrade\"", c->path,
                   wal ? "it has no table users that fits" : "it is not in WAL mode");
        return false;
    }
    return true;
}

static int open_db(struct sqlite_connection *c)
{
    int flags = c->sides == SQLITE_SIDE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = c->path ? sqlite_open_file(c->path, flags, c->busy_timeout_ms, &c->db)
                     : sqlite_open_file(":memory:", flags | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY,
                                        c->busy_timeout_ms, &c->db);
    /* SQLite falls back to reading when it may not write */
    if (rc == SQLITE_OK && (c->sides & SQLITE_SIDE_WRITE) &&
        sqlite3_db_readonly(c->db, "main") == 1)
        return SQLITE_READONLY;
    struct stat st;
    if (rc == SQLITE_OK && c->path) {
        if (stat(c->path, &st))
            return SQLITE_CANTOPEN;
        c->dev = st.st_dev;
        c->ino = st.st_ino;
    }
    return rc;
}

/* The code of what went wrong; the line is in *error*. */
static int open_and_prepare(struct sqlite_connection *c, struct buf *error)
{
    int rc = open_db(c);
    if (rc == SQLITE_OK)
        rc = set_pragmas(c);
    if (rc == SQLITE_OK) {
        if (!look_at_schema(c, error))
            return SQLITE_ERROR;
        rc = prepare_all(c);
    }
    if (rc != SQLITE_OK)
        sqlite_explain(error, c->path ? c->path : ":memory:", rc,
                       sqlite_message(c->db));
    return rc;
}

bool sqlite_connection_open(struct sqlite_connection *c, struct buf *error)
{
    ASSERT(!c->db);
    if (open_and_prepare(c, error) == SQLITE_OK) {
        c->reopen = false;
        return true;
    }
    sqlite_connection_close(c);
    return false;
}

/* Before the assertion below finds that there are some. */
static void report_statements(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    while (db && (statement = sqlite3_next_stmt(db, statement)))
        log_error("debug: a statement is still open: %s", sqlite3_sql(statement));
}

void sqlite_connection_close(struct sqlite_connection *c)
{
    for (size_t i = 0; i < SQL_STATEMENTS; i++) {
        ledger_gone(LEDGER_STATEMENT, c->statements[i]);
        sqlite3_finalize(c->statements[i]);
        c->statements[i] = NULL;
    }
    if (debug_is_on())
        report_statements(c->db);
    ledger_gone(LEDGER_DATABASE, c->db);
    /* nothing else may be open: then it closes, whatever the disk says */
    ASSERT(sqlite3_close(c->db) == SQLITE_OK);
    c->db = NULL;
}

/* ---- trouble ---- */

static const char *side_name(const struct sqlite_connection *c)
{
    return c->sides == SQLITE_SIDE_READ ? "reads" : "writes";
}

static void in_trouble(struct sqlite_connection *c, int rc, struct slice line)
{
    if (outage_goes_on(&c->outage, rc, clock_now()))
        log_error("%s fail: %.*s; they are answered 503 until it works again, and tried each time",
                  side_name(c), SLICE_ARGS(line));
}

static enum store_result result_of(int rc)
{
    if (rc == SQLITE_IOERR_NOMEM)
        return STORE_NO_MEMORY;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STORE_BUSY;
    case SQLITE_NOMEM:
        return STORE_NO_MEMORY;
    default:
        return STORE_UNAVAILABLE;
    }
}

/* Errors after which the connection itself is as good as before. */
static bool is_passing(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_FULL:
        return true;
    default:
        return false;
    }
}

enum store_result sqlite_connection_failed(struct sqlite_connection *c, int rc)
{
    ASSERT(rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE);
    if (sqlite_nowait())
        return STORE_BUSY; /* the reader's thread tries again, and sees what is the matter */
    if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_TOOBIG) {
        /* this row's own affair: another table refers to it, a trigger refuses */
        if (seldom_due(&c->odd_gap, ODD_GAP_MS))
            log_error("a write was refused by the database: %s; it is answered 503",
                      sqlite3_errcode(c->db) == SQLITE_OK ? "a trigger ignored it"
                                                          : sqlite3_errmsg(c->db));
        return STORE_UNAVAILABLE;
    }
    struct buf line = {0};
    sqlite_explain(&line, c->path ? c->path : ":memory:", rc, sqlite_message(c->db));
    in_trouble(c, rc, buf_text(&line));
    buf_free(&line);
    if (!is_passing(rc))
        c->reopen = c->path != NULL; /* memory has nothing to open anew */
    return result_of(rc);
}

void sqlite_connection_worked(struct sqlite_connection *c)
{
    if (outage_is_over(&c->outage))
        log_info("%s work again: database %s", side_name(c), c->path ? c->path : ":memory:");
}

enum store_result sqlite_connection_ready(struct sqlite_connection *c)
{
    if (c->db && !c->reopen)
        return STORE_OK;
    sqlite_connection_close(c);
    struct buf line = {0};
    int rc = open_and_prepare(c, &line);
    enum store_result result = STORE_OK;
    if (rc == SQLITE_OK) {
        c->reopen = false;
    } else {
        in_trouble(c, rc, buf_text(&line));
        result = result_of(rc);
        sqlite_connection_close(c);
    }
    buf_free(&line);
    return result;
}

bool sqlite_connection_file_is_there(struct sqlite_connection *c)
{
    /* not an error code SQLite uses for anything else here */
    enum { GONE = SQLITE_READONLY_DBMOVED };
    struct stat st;
    if (!c->path || (stat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino))
        return true;
    struct buf line = {0};
    buf_printf(
        &line,
        "database %s was removed or replaced while it is open, and what is written would be lost; "
        "put it back, or restart colmeia to use the new one",
        c->path);
    in_trouble(c, GONE, buf_text(&line));
    buf_free(&line);
    return false;
}

/* ---- statements ---- */

int sqlite_connection_run(struct sqlite_connection *c, enum sqlite_statement statement)
{
    sqlite3_step(c->statements[statement]);
    return sqlite3_reset(c->statements[statement]);
}

int sqlite_bind_slice(sqlite3_stmt *statement, int i, struct slice value)
{
    return sqlite3_bind_text64(statement, i, value.ptr ? value.ptr : "", value.len, SQLITE_STATIC,
                               SQLITE_UTF8);
}

struct slice sqlite_column_slice(sqlite3_stmt *statement, int i)
{
    const char *text = (const char *)sqlite3_column_text(statement, i);
    return (struct slice){text ? text : "", text ? (size_t)sqlite3_column_bytes(statement, i) : 0};
}

int sqlite_find_id(struct sqlite_connection *c, enum sqlite_statement statement, struct slice text,
                   int64_t *id_r)
{
    sqlite3_stmt *find = c->statements[statement];
    int rc = sqlite_bind_slice(find, 1, text);
    if (rc != SQLITE_OK)
        return rc;
    bool found = sqlite3_step(find) == SQLITE_ROW;
    if (found)
        *id_r = sqlite3_column_int64(find, 0);
    rc = sqlite3_reset(find);
    return rc != SQLITE_OK ? rc : found ? SQLITE_ROW : SQLITE_DONE;
}
