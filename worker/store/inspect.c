/* inspect.c: see inspect.h. */
#include "worker/store/inspect.h"

#include "shared/check.h"
#include "worker/store/sqlite.h"

#include <stdlib.h>

/* Its first line: "ok", or a complaint. SQLITE_OK, or why it could not be asked. */
static int quick_check(sqlite3 *db, struct buf *answer)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        buf_append_slice(answer, sqlite_column_slice(statement, 0));
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_OK ? end : rc;
}

/* The complaint may have lines. */
static void explain(struct buf *error, const char *path, struct buf *complaint)
{
    for (size_t i = 0; i < complaint->len; i++)
        if (complaint->data[i] == '\n')
            complaint->data[i] = ' ';
    buf_append_char(complaint, '\0');
    sqlite_explain(error, path, SQLITE_CORRUPT, complaint->failed ? "no memory" : complaint->data);
}

bool sqlite_inspect(sqlite3 *db, const char *path, struct buf *error)
{
    struct buf answer = {0};
    int rc = quick_check(db, &answer);
    bool good = rc == SQLITE_OK && slice_equals(buf_slice(&answer), SLICE("ok"));
    if (rc != SQLITE_OK)
        sqlite_explain(error, path, rc, sqlite_message(db));
    else if (!good)
        explain(error, path, &answer);
    buf_free(&answer);
    return good;
}

bool inspect_database(const char *path, int64_t busy_timeout_ms, struct buf *error)
{
    sqlite3 *db = NULL;
    char *plain = sqlite_plain_path(path);
    int rc =
        plain ? sqlite_open_file(plain, SQLITE_OPEN_READONLY, busy_timeout_ms, &db) : SQLITE_NOMEM;
    if (rc != SQLITE_OK)
        sqlite_explain(error, path, rc, sqlite_message(db));
    bool good = rc == SQLITE_OK && sqlite_inspect(db, path, error);
    ASSERT(sqlite3_close(db) == SQLITE_OK);
    free(plain);
    return good;
}

const char *inspect_library(void)
{
    return sqlite3_libversion();
}
