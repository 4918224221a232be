/* schema.c: see schema.h. Thread: the one that has the connection. */
#include "worker/store/schema.h"

#include "shared/check.h"

#include <stdio.h>
#include <string.h>

const char schema_head[] = "74f39286e2f6";

const struct schema_migration schema_migrations[] = {
#define MIGRATION(revision, parent, title, sql) {revision, parent, title, sql},
#include "worker/store/migrations.def"
#undef MIGRATION
};
const size_t schema_migrations_len = sizeof schema_migrations / sizeof *schema_migrations;

/* Questions with one number as the answer. */
#define COUNT_UNIQUE(column)                                                                       \
    "SELECT count(*) FROM pragma_index_list('users') AS l WHERE l.\"unique\" AND NOT l.partial "   \
    "AND (SELECT group_concat(i.name) FROM pragma_index_info(l.name) AS i) = '" column "'"

static const char USERS_TABLES[] =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'users'";
static const char VERSION_TABLES[] =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'";
static const char OTHER_TABLES[] =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND "
    "name <> 'alembic_version' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'";
static const char NEEDED_COLUMNS[] =
    "SELECT count(*) FROM pragma_table_info('users') WHERE name IN ('username', 'email', "
    "'password') "
    "OR (name = 'id' AND pk = 1 AND upper(type) = 'INTEGER' AND "
    "(SELECT count(*) FROM pragma_table_info('users') WHERE pk) = 1)";
static const char FOREIGN_COLUMNS[] =
    "SELECT count(*) FROM pragma_table_info('users') WHERE name NOT IN "
    "('id', 'username', 'email', 'password', 'created_at', 'updated_at')";
/* an INSERT that does not name them would fail */
static const char DEMANDING_COLUMNS[] =
    "SELECT count(*) FROM pragma_table_info('users') WHERE \"notnull\" AND dflt_value IS NULL "
    "AND name NOT IN ('id', 'username', 'email', 'password')";
static const char STAMP_COLUMNS[] =
    "SELECT count(*) FROM pragma_table_info('users') WHERE name = 'updated_at'";
static const char TODO_COLUMNS[] =
    "SELECT count(*) FROM pragma_table_info('todos') WHERE name = 'user_id'";

/* Keeps the first error in *rc; 0 after an error. */
static unsigned count(sqlite3 *db, const char *sql, int *rc)
{
    if (*rc != SQLITE_OK)
        return 0;
    sqlite3_stmt *statement = NULL;
    unsigned n = 0;
    *rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (*rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        n = (unsigned)sqlite3_column_int(statement, 0);
    int end = sqlite3_finalize(statement);
    if (*rc == SQLITE_OK)
        *rc = end;
    return n;
}

static int read_revisions(sqlite3 *db, struct schema *s)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT version_num FROM alembic_version ORDER BY version_num",
                                -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    while (sqlite3_step(statement) == SQLITE_ROW && s->revisions_len <= SCHEMA_REVISIONS_MAX) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (s->revisions_len < SCHEMA_REVISIONS_MAX)
            snprintf(s->revisions[s->revisions_len], sizeof s->revisions[0], "%s",
                     text ? text : "");
        s->revisions_len++;
    }
    return sqlite3_finalize(statement);
}

const struct schema_migration *schema_find(const char *revision)
{
    for (size_t i = 0; i < schema_migrations_len; i++)
        if (strcmp(schema_migrations[i].revision, revision) == 0)
            return &schema_migrations[i];
    return NULL;
}

int schema_inspect(sqlite3 *db, struct schema *schema_r)
{
    int rc = SQLITE_OK;
    struct schema s = {0};
    s.tables = count(db, OTHER_TABLES, &rc);
    s.has_users = count(db, USERS_TABLES, &rc) == 1;
    if (s.has_users) {
        s.users_usable =
            count(db, NEEDED_COLUMNS, &rc) == 4 && count(db, COUNT_UNIQUE("username"), &rc) > 0 &&
            count(db, COUNT_UNIQUE("email"), &rc) > 0 && count(db, DEMANDING_COLUMNS, &rc) == 0;
        s.users_exact = s.users_usable && count(db, FOREIGN_COLUMNS, &rc) == 0;
        s.has_updated_at = count(db, STAMP_COLUMNS, &rc) == 1;
    }
    s.has_todos = count(db, TODO_COLUMNS, &rc) == 1;
    if (count(db, VERSION_TABLES, &rc) == 1 && rc == SQLITE_OK)
        rc = read_revisions(db, &s);
    *schema_r = s;
    return rc;
}

int schema_stamp(sqlite3 *db, const char *revision)
{
    int rc = sqlite3_exec(db,
                          "CREATE TABLE IF NOT EXISTS alembic_version (\n"
                          "\tversion_num VARCHAR(32) NOT NULL, \n"
                          "\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)",
                          NULL, NULL, NULL);
    sqlite3_stmt *statement = NULL;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO alembic_version (version_num) VALUES (?)", -1,
                                &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(statement, 1, revision, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        sqlite3_step(statement);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

int schema_create(sqlite3 *db)
{
    const struct schema_migration *head = schema_find(schema_head);
    ASSERT(head && head->sql && !head->parent);
    int rc = sqlite3_exec(db, head->sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? schema_stamp(db, head->revision) : rc;
}
