/* tool_migrate.c: see tools.h. What was asked for goes to standard output, what happened to the log. */
#include "worker/tools/tools.h"

#include "shared/check.h"
#include "shared/log.h"
#include "worker/store/migrate.h"

#include <stdio.h>

/* The file the configuration names, or NULL with an error logged. */
static const char *database_path(const struct entry *entry)
{
    const char *path = NULL;
    switch (config_database(entry->config, &path)) {
    case CONFIG_DATABASE_FILE:
        return path;
    case CONFIG_DATABASE_MEMORY:
        log_error("the database is :memory:, so there is nothing to migrate; set [database] url to a file");
        return NULL;
    case CONFIG_DATABASE_POSTGRESQL:
        log_error("this build cannot use PostgreSQL yet; set [database] url to a SQLite file");
        return NULL;
    }
    UNREACHABLE();
}

static int report(enum migrate_result result, struct buf *out, bool to_stdout)
{
    int code = EXIT_CODE_DATABASE;
    switch (result) {
    case MIGRATE_OK:
        code = EXIT_CODE_OK;
        if (!to_stdout)
            log_lines(LOG_LEVEL_INFO, buf_slice(out));
        else if (fwrite(out->data, 1, out->len, stdout) != out->len || fflush(stdout))
            code = EXIT_CODE_FAILED;
        break;
    case MIGRATE_UNUSABLE:
        log_lines(LOG_LEVEL_ERROR, buf_slice(out));
        break;
    }
    buf_free(out);
    return code;
}

int tools_migrate(const struct entry *entry)
{
    struct slice verb = entry->argc > 0 ? slice_of(entry->argv[0]) : SLICE("upgrade");
    bool upgrade = slice_equals(verb, SLICE("upgrade"));
    struct buf out = {0};
    if (slice_equals(verb, SLICE("history"))) {
        migrate_history(&out);
        return report(MIGRATE_OK, &out, true);
    }
    if (!upgrade && !slice_equals(verb, SLICE("current"))) {
        log_error("colmeia migrate: unknown word \"%.*s\"; use upgrade, current or history",
                  SLICE_ARGS(verb));
        return EXIT_CODE_USAGE;
    }
    const char *path = database_path(entry);
    if (!path)
        return EXIT_CODE_CONFIG;
    return upgrade ? report(migrate_upgrade(path, &out), &out, false)
                   : report(migrate_current(path, &out), &out, true);
}

int tools_checkpoint(const struct entry *entry)
{
    const char *path = database_path(entry);
    if (!path)
        return EXIT_CODE_CONFIG;
    struct buf out = {0};
    return report(migrate_checkpoint(path, &out), &out, false);
}
