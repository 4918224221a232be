/* sqlite.h: what the files of the SQLite driver share; nobody else includes it.
 *
 *   sqlite.c             the driver: executors, batches
 *   sqlite_connection.c  opening, settings, prepared statements, errors and how they are told
 *   outage.c             which of these are told
 *   sqlite_read.c        a batch of reads in one read transaction
 *   sqlite_nowait.c      reading without ever waiting for a disk, for reads on the loop
 *   sqlite_write.c       a batch of writes in one transaction under the lock: group commit
 *   sqlite_checkpoint.c  keeps the WAL short; looks out for changes made without the lock
 *   sqlite_lock.c        the lock between processes
 *
 * Thread: a connection belongs to one at a time: opened on the loop's, then used (and, after an error,
 * opened anew) on its executor's thread, closed on the loop's when that has ended. The one that reads is
 * the loop's as well while the reader's thread has nothing to do. */
#pragma once

#include "worker/store/driver.h"
#include "worker/store/outage.h"
#include "worker/store/schema.h"
#include "worker/store/sqlite_lock.h"

#include <sqlite3.h>
#include <sys/types.h>

enum sqlite_side { SQLITE_SIDE_READ = 1, SQLITE_SIDE_WRITE = 2, SQLITE_SIDE_BOTH = 3 };

enum sqlite_statement {
#define STATEMENT(name, side, when, sql) SQL_##name,
#include "worker/store/statements.def"
#undef STATEMENT
    SQL_STATEMENTS
};

/* Lets a message through once in a while. */
struct seldom {
    mono_ms next;
};
bool seldom_due(struct seldom *s, int64_t interval_ms);

struct sqlite_connection {
    /* fixed when opened the first time */
    const char *path; /* borrowed; NULL: in memory */
    enum sqlite_side sides;
    int durability;
    int64_t busy_timeout_ms;
    /* of the open connection */
    sqlite3 *db;                              /* NULL: closed, to be opened with the next batch */
    sqlite3_stmt *statements[SQL_STATEMENTS]; /* NULL: not of this side, or not in this database */
    struct schema schema;
    dev_t dev; /* of the file at path when it was opened */
    ino_t ino;
    /* trouble */
    bool reopen; /* what happened may have broken it: open it anew */
    struct outage outage; /* of error codes */
    struct seldom odd_gap;
};

/* ---- sqlite_connection.c: on the thread that has the connection ------------------------------ */

/* Opens a file with the settings every connection of ours has; *db_r* is to be closed even after an
 * error. Runs no statement. SQLITE_OK or an error code. */
int sqlite_open_file(const char *path, int flags, int64_t busy_timeout_ms, sqlite3 **db_r,
                     const char *made_at);
#define sqlite_open_file(...) sqlite_open_file(__VA_ARGS__, MADE_HERE)
/* A heap copy of the path that SQLite takes for a plain file name, whatever it is; NULL without
 * memory. */
char *sqlite_plain_path(const char *path);
/* One clause that says what is wrong with the database at *path* and what to do. */
void sqlite_explain(struct buf *out, const char *path, int rc, const char *message);

/* What went wrong last, for sqlite_explain(): the cause that the kernel named, if it was input or
 * output. *db* NULL: there was no memory for one. */
const char *sqlite_message(sqlite3 *db);

/* Opens, sets and prepares; the fields above "of the open connection" are set. False with one line
 * in *error*. */
bool sqlite_connection_open(struct sqlite_connection *c, struct buf *error);
void sqlite_connection_close(struct sqlite_connection *c);
/* Before a batch: opens anew if need be. STORE_OK, or what to answer instead. */
enum store_result sqlite_connection_ready(struct sqlite_connection *c);
/* Runs a statement without rows, or whose rows do not matter. SQLITE_OK or an error code. */
int sqlite_connection_run(struct sqlite_connection *c, enum sqlite_statement statement);
/* What an error means for the caller of the store. Logs when the state changes, not per call. */
enum store_result sqlite_connection_failed(struct sqlite_connection *c, int rc);
/* A batch went through: logs the end of a trouble. */
void sqlite_connection_worked(struct sqlite_connection *c);
/* Whether *path* still names the file that is open; logs when that changes. */
bool sqlite_connection_file_is_there(struct sqlite_connection *c);

/* Binds parameter i to bytes that outlive the step; U+0000 included. */
int sqlite_bind_slice(sqlite3_stmt *statement, int i, struct slice value);
struct slice sqlite_column_slice(sqlite3_stmt *statement, int i);
/* The id of the row that the statement finds for the text: SQLITE_ROW, SQLITE_DONE or an error. */
int sqlite_find_id(struct sqlite_connection *c, enum sqlite_statement statement, struct slice text,
                   int64_t *id_r);

/* ---- inspect.c: in one-shot children ---------------------------------------------------------- */

/* SQLite's quick_check of an open database; *path* is for the text. True: nothing is wrong; else one
 * clause in *error* that says what is and what to do. Blocks while it reads the whole file. */
bool sqlite_inspect(sqlite3 *db, const char *path, struct buf *error);

/* ---- sqlite_nowait.c: for the calling thread ------------------------------------------------- */

/* Once, before the first connection is opened: from then on SQLite reads and waits through functions
 * of ours. False when this build of the library cannot be told to. */
bool sqlite_nowait_prepare(void);
/* Between these two, what SQLite would have to wait for fails instead (SQLITE_IOERR, SQLITE_BUSY,
 * SQLITE_CANTOPEN), and the same call may succeed at another time: what is in neither the
 * connection's cache nor the page cache, what opens files, writes to them or has the index of the
 * log rebuilt. The end is false if the file system has said that it cannot answer so. */
void sqlite_nowait_begin(void);
bool sqlite_nowait_end(void);
/* Between them? */
bool sqlite_nowait(void);

/* ---- the driver's state ---------------------------------------------------------------------- */

enum {
    SQLITE_BATCH_MAX = 256,
    SQLITE_NOWAIT_US = 1000,   /* reads on the loop: so long in one turn … */
    SQLITE_NOWAIT_LOOK = 4,     /* … looked at after so many reads, */
    SQLITE_NOWAIT_STEPS = 1000 /* … and, within one, so many of SQLite's steps: some 50 us */
};

struct sqlite {
    struct store_options options; /* path replaced by our copy; fixed */
    char *path;                   /* owned; NULL: in memory; fixed */
    int64_t lock_timeout_ms;      /* to get the writer lock; fixed */
    /* loop's thread only */
    struct executor *reader; /* NULL in memory: the writer does both */
    struct executor *writer;
    struct loop *loop;
    bool nowait; /* reads may be tried on the loop */
    struct loop_flush flush;
    struct store_call *collected[SQLITE_BATCH_MAX]; /* reads of this turn, to be tried */
    size_t collected_len;
    /* reader's thread only, while there is one and it has work; then the loop's */
    struct sqlite_connection read_side;
    /* writer's thread only, while there is one */
    struct sqlite_connection write_side;
    struct sqlite_lock lock; /* fd -1 in memory */
    enum store_result locked; /* STORE_OK, or what a batch that did not get the lock is answered */
    int wal_pages;           /* after the last commit of ours */
    int wal_pages_tried;     /* when a checkpoint was last tried */
    int wal_pages_restart;   /* from here on it waits for readers */
    int64_t data_version;    /* as last seen under the lock; -1: not yet */
    uint64_t seen_changes;   /* the lock's count then */
    struct seldom foreign_gap;
    struct seldom busy_gap;
};

/* The connection that reads: the writer's when there is one only. */
static inline struct sqlite_connection *sqlite_reading(struct sqlite *s)
{
    return s->path ? &s->read_side : &s->write_side;
}

/* ---- on the reader's thread (in memory: the writer's) ---------------------------------------- */

/* sqlite_read.c: fills in the replies of len calls, 1 to SQLITE_BATCH_MAX. */
void sqlite_read_batch(struct sqlite *s, struct store_call **calls, size_t len);

/* ---- on the loop's thread, while the two others have nothing to do ---------------------------- */

/* sqlite_read.c: the same for as many of them, from the first one, as memory can answer in
 * SQLITE_NOWAIT_US. Returns how many; of the others nothing has changed. May find that reads cannot
 * be tried on the loop (s->nowait). */
size_t sqlite_read_nowait(struct sqlite *s, struct store_call **calls, size_t len);

/* ---- on the writer's thread ------------------------------------------------------------------ */

/* sqlite_write.c. Waits for the lock, in its turn and up to its timeout; not in memory, which has
 * none. What comes meanwhile goes with the batch. */
void sqlite_write_begin(struct sqlite *s);
/* Fills in the replies of len calls, 0 to SQLITE_BATCH_MAX, and lets go of the lock. */
void sqlite_write_batch(struct sqlite *s, struct store_call **calls, size_t len);

/* sqlite_checkpoint.c. After the writer's connection was opened, on whatever thread. */
void sqlite_checkpoint_watch(struct sqlite *s);
/* Lock held. */
void sqlite_checkpoint_if_due(struct sqlite *s);     /* after a commit */
void sqlite_check_foreign_changes(struct sqlite *s); /* in a transaction, before it writes */
void sqlite_remember_changes(struct sqlite *s, bool changed); /* before the lock is released */
