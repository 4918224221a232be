/* ceil_store.c: see ceil.h. */
#define _GNU_SOURCE
#include "ceil.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *path;
static bool commit_each;
static pthread_mutex_t *turn;     /* of the writers of all workers */
static sqlite3 *reader, *writer;
static sqlite3_stmt *begin, *commit, *by_id, *by_email, *page;
static sqlite3_stmt *write_begin, *write_commit, *insert;
static bool reading;

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "ceil: %s: %s, %s\n", what, reader ? sqlite3_errmsg(reader) : "",
                writer ? sqlite3_errmsg(writer) : "");
        _exit(1);
    }
}

void store_prepare(const char *database)
{
    pthread_mutexattr_t shared;
    path = database;
    commit_each = getenv("CEIL_EACH") != NULL;
    turn = mmap(NULL, sizeof *turn, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(turn != MAP_FAILED, "mmap");
    must(!pthread_mutexattr_init(&shared), "mutexattr");
    must(!pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED), "pshared");
    must(!pthread_mutex_init(turn, &shared), "mutex");
}

static sqlite3 *open_one(void)
{
    sqlite3 *db = NULL;
    must(!sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL), path);
    sqlite3_busy_timeout(db, 5000);
    must(!sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=268435456",
                       NULL, NULL, NULL), "pragma");
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    must(!sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), sql);
    return statement;
}

void store_open(void)
{
    reader = open_one();
    begin = prepare(reader, "BEGIN");
    commit = prepare(reader, "COMMIT");
    by_id = prepare(reader, "SELECT id, username, email FROM users WHERE id = ?");
    by_email = prepare(reader, "SELECT id, username, email, password FROM users WHERE email = ?");
    page = prepare(reader, "SELECT id, username, email FROM users ORDER BY id LIMIT ? OFFSET ?");
    writer = open_one();
    write_begin = prepare(writer, "BEGIN IMMEDIATE");
    write_commit = prepare(writer, "COMMIT");
    insert = prepare(writer, "INSERT INTO users (username, email, password) VALUES (?, ?, ?)");
}

static int run(sqlite3_stmt *statement)
{
    int r = sqlite3_step(statement);
    sqlite3_reset(statement);
    return r;
}

static void begin_read(void)
{
    if (!reading)
        must(run(begin) == SQLITE_DONE, "BEGIN");
    reading = true;
}

void store_end_reads(void)
{
    if (reading)
        must(run(commit) == SQLITE_DONE, "COMMIT");
    reading = false;
}

static char *put(char *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

static char *put_column(char *to, sqlite3_stmt *row, int column)
{
    const void *text = sqlite3_column_text(row, column);
    return put(to, text, (size_t)sqlite3_column_bytes(row, column));
}

#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static char *put_user(char *to, sqlite3_stmt *row)
{
    to = put_column(PUT(to, "{\"id\":"), row, 0);
    to = put_column(PUT(to, ",\"username\":\""), row, 1);
    to = put_column(PUT(to, "\",\"email\":\""), row, 2);
    return PUT(to, "\"}");
}

size_t store_user(long long id, char *text_r)
{
    size_t len = 0;
    begin_read();
    sqlite3_bind_int64(by_id, 1, id);
    if (sqlite3_step(by_id) == SQLITE_ROW)
        len = (size_t)(put_user(text_r, by_id) - text_r);
    sqlite3_reset(by_id);
    return len;
}

size_t store_user_by_email(const char *email, char *text_r, char *hash_r)
{
    size_t len = 0;
    begin_read();
    sqlite3_bind_text(by_email, 1, email, -1, SQLITE_STATIC);
    if (sqlite3_step(by_email) == SQLITE_ROW) {
        len = (size_t)(put_user(text_r, by_email) - text_r);
        if (hash_r)
            snprintf(hash_r, crypto_pwhash_STRBYTES, "%s", (const char *)sqlite3_column_text(by_email, 3));
    }
    sqlite3_reset(by_email);
    return len;
}

size_t store_page(int limit, int offset, char *text_r, size_t size)
{
    char *at = PUT(text_r, "{\"users\":[");
    begin_read();
    sqlite3_bind_int(page, 1, limit);
    sqlite3_bind_int(page, 2, offset);
    for (bool first = true; sqlite3_step(page) == SQLITE_ROW && at < text_r + size - 1024; first = false) {
        if (!first)
            *at++ = ',';
        at = put_user(at, page);
    }
    sqlite3_reset(page);
    return (size_t)(PUT(at, "]}") - text_r);
}

static void insert_one(struct job *job)
{
    sqlite3_bind_text(insert, 1, job->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, job->email, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 3, job->hash, -1, SQLITE_STATIC);
    job->good = run(insert) == SQLITE_DONE;
    job->id = sqlite3_last_insert_rowid(writer);
}

void store_sign_up(struct job *jobs)
{
    while (jobs) {
        must(!pthread_mutex_lock(turn), "lock");
        must(run(write_begin) == SQLITE_DONE, "BEGIN IMMEDIATE");
        do {
            insert_one(jobs);
            jobs = jobs->next;
        } while (jobs && !commit_each);
        must(run(write_commit) == SQLITE_DONE, "COMMIT of a write");
        must(!pthread_mutex_unlock(turn), "unlock");
    }
}
