/* schema.h: what a database file holds, as far as the store cares, and how a fresh one gets its
 * tables. Used by the SQLite driver when it opens and by migrate. Blocks.
 *
 * Thread: the one that has the connection at the moment (sqlite.h). */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

enum { SCHEMA_REVISIONS_MAX = 4, SCHEMA_REVISION_LEN = 32 };

struct schema {
    bool has_users;
    bool users_usable;    /* our columns, id as rowid, username and email unique, INSERT possible */
    bool users_exact;     /* usable, and no column that none of the known revisions has */
    bool has_updated_at;  /* users.updated_at */
    bool has_todos;       /* a table todos with a column user_id */
    unsigned tables;      /* tables in all, alembic's excepted */
    size_t revisions_len; /* rows of alembic_version; SCHEMA_REVISIONS_MAX + 1: even more */
    char revisions[SCHEMA_REVISIONS_MAX][SCHEMA_REVISION_LEN + 1];
};

struct schema_migration {
    const char *revision;
    const char *parent; /* NULL: the first */
    const char *title;
    const char *sql; /* NULL: the Python app's own, accepted */
};
/* The known revisions, newest first. */
extern const struct schema_migration schema_migrations[];
extern const size_t schema_migrations_len;
/* The revision a fresh file is brought to. */
extern const char schema_head[];

/* NULL when it is none of ours. */
const struct schema_migration *schema_find(const char *revision);
/* Looks. SQLITE_OK or an error code. */
int schema_inspect(sqlite3 *db, struct schema *schema_r);
/* Makes the tables of a fresh database and stamps it; inside the caller's transaction, if any. */
int schema_create(sqlite3 *db);
/* Writes down that the database is at this revision. */
int schema_stamp(sqlite3 *db, const char *revision);
