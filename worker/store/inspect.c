/* inspect.c: see inspect.h. */
#include "worker/store/inspect.h"

#include "shared/check.h"
#include "worker/store/sqlite.h"

#include <stdlib.h>

/* The first complaint, or SQLITE_OK and nothing. */
static int quick_check(sqlite3 *db, struct buf *complaint)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        struct slice text = sqlite_column_slice(statement, 0);
        if (!slice_equals(text, SLICE("ok")))
            buf_append_slice(complaint, text);
    }
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

bool inspect_database(const char *path, int64_t busy_timeout_ms, struct buf *error)
{
    sqlite3 *db = NULL;
    struct buf complaint = {0};
    char *plain = sqlite_plain_path(path);
    int rc =
        plain ? sqlite_open_file(plain, SQLITE_OPEN_READONLY, busy_timeout_ms, &db) : SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        rc = quick_check(db, &complaint);
    bool good = rc == SQLITE_OK && complaint.len == 0 && !complaint.failed;
    if (rc != SQLITE_OK)
        sqlite_explain(error, path, rc, sqlite_message(db));
    else if (!good)
        explain(error, path, &complaint);
    ASSERT(sqlite3_close(db) == SQLITE_OK);
    buf_free(&complaint);
    free(plain);
    return good;
}

const char *inspect_library(void)
{
    return sqlite3_libversion();
}
