/* tool_doctor.c: the part of `colmeia doctor` that looks at the database (master/doctor.h has the
 * rest). See tools.h. Changes nothing. */
#include "shared/clock.h"
#include "shared/findings.h"
#include "worker/store/holders.h"
#include "worker/store/inspect.h"
#include "worker/store/migrate.h"
#include "worker/tools/doctor_judge.h"
#include "worker/tools/tool.h"
#include "worker/tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char verb[] = "doctor";

enum { SYNCS = 5, SYNC_BYTES = 4096 };

struct look {
    const struct config *config;
    struct findings *found; /* borrowed */
    const char *path;
    char *directory; /* owned */
    bool exists;
    bool readable;
    struct stat st; /* of the database, if it exists */
};

/* ---- files ----------------------------------------------------------------------------------- */

static void look_at_directory(struct look *l)
{
    static const char about[] = "directory";
    struct stat st;
    if (stat(l->directory, &st)) {
        findings_add(l->found, FINDING_FAIL, about, "%s: %s", l->directory, strerror(errno));
        findings_remedy(l->found, "make it, or change [database] url");
    } else if (access(l->directory, W_OK | X_OK)) {
        findings_add(l->found, FINDING_FAIL, about, "%s cannot be written by this user: %s",
                     l->directory, strerror(errno));
        findings_remedy(l->found,
                        "SQLite makes files in it: chown or chmod it, or run doctor as the "
                        "server's user");
    } else if ((st.st_mode & 02) && !(st.st_mode & S_ISVTX)) {
        findings_add(l->found, FINDING_WARN, about, "%s can be written by everybody", l->directory);
        findings_remedy(l->found, "chmod o-w %s", l->directory);
    } else {
        findings_add(l->found, FINDING_OK, about, "%s can be written", l->directory);
    }
}

static void look_at_files(struct look *l)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    if (!l->exists) {
        findings_add(l->found, FINDING_OK, "files",
                     "%s does not exist yet; the first start makes it", l->path);
        return;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct buf name = {0};
        struct stat st;
        buf_printf(&name, "%s%s%c", l->path, suffixes[i], '\0');
        if (!name.failed && stat(name.data, &st) == 0)
            doctor_judge_file(
                l->found,
                &(struct doctor_file){.path = name.data,
                                      .mode = st.st_mode,
                                      .owner = st.st_uid,
                                      .database_owner = l->st.st_uid,
                                      .accessible = access(name.data, R_OK | W_OK) == 0,
                                      .changed_s = st.st_mtim.tv_sec},
                clock_wall_s());
        buf_free(&name);
    }
}

static int64_t bytes_of(const struct look *l)
{
    struct stat st;
    struct buf wal = {0};
    int64_t bytes = l->exists ? l->st.st_size : 0;
    buf_printf(&wal, "%s-wal%c", l->path, '\0');
    if (!wal.failed && stat(wal.data, &st) == 0)
        bytes += st.st_size;
    buf_free(&wal);
    return bytes;
}

static void look_at_space(struct look *l)
{
    struct statvfs vfs;
    if (statvfs(l->directory, &vfs) == 0)
        doctor_judge_space(l->found, (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize, bytes_of(l),
                           vfs.f_favail, vfs.f_files);
}

static void look_at_filesystem(struct look *l)
{
    struct statfs fs;
    if (statfs(l->directory, &fs) == 0)
        doctor_judge_filesystem(l->found, (uint64_t)fs.f_type, l->directory);
}

/* A file without a name: nobody sees it, nothing stays. */
static void look_at_disk(struct look *l)
{
    char block[SYNC_BYTES] = {0};
    int64_t best_us = -1;
    int fd = open(l->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < SYNCS; i++) {
        int64_t began_us = clock_now_us();
        if (pwrite(fd, block, sizeof block, (off_t)i * SYNC_BYTES) != SYNC_BYTES || fdatasync(fd))
            break;
        int64_t us = clock_now_us() - began_us;
        best_us = best_us < 0 || us < best_us ? us : best_us;
    }
    if (fd >= 0)
        close(fd);
    if (best_us >= 0)
        doctor_judge_sync(l->found, best_us);
}

/* ---- what is in them ------------------------------------------------------------------------- */

static void look_at_schema(struct look *l)
{
    static const char about[] = "schema";
    struct buf line = {0};
    if (!l->exists)
        return;
    l->readable = migrate_check(l->path, &line) == MIGRATE_OK;
    struct slice text = slice_trim(buf_slice(&line), "\n");
    if (l->readable)
        findings_add(l->found, FINDING_OK, about, "of this version (SQLite %s)", inspect_library());
    else
        findings_add(l->found, FINDING_FAIL, about, "%.*s", SLICE_ARGS(text));
    buf_free(&line);
}

static void look_at_content(struct look *l)
{
    static const char about[] = "integrity";
    struct buf error = {0};
    if (!l->exists || !l->readable)
        return;
    if (inspect_database(l->path, l->config->database_timeout, &error))
        findings_add(l->found, FINDING_OK, about, "quick_check finds nothing wrong");
    else
        findings_add(l->found, FINDING_FAIL, about, "%.*s", SLICE_ARGS(buf_text(&error)));
    buf_free(&error);
}

/* ---- who else is there ----------------------------------------------------------------------- */

static void found_foreign(void *ctx, pid_t pid)
{
    struct look *l = ctx;
    struct buf name = {0};
    holders_name(&name, pid);
    findings_add(l->found, FINDING_WARN, "other programs", "%.*s has the database open",
                 SLICE_ARGS(buf_slice(&name)));
    findings_remedy(l->found, "it does not know colmeia's lock: it may read, but must not write");
    buf_free(&name);
}

static void look_at_others(struct look *l)
{
    if (!l->exists)
        return;
    size_t before = l->found->len;
    holders_foreign(l->path, found_foreign, l);
    if (l->found->len == before)
        findings_add(l->found, FINDING_OK, "other programs", "none has the database open%s",
                     geteuid() == 0 ? "" : " (of this user's; root sees all)");
}

/* ---- the table ------------------------------------------------------------------------------- */

static void (*const checks[])(struct look *l) = {
    look_at_directory, look_at_files,  look_at_filesystem, look_at_space,
    look_at_disk,      look_at_schema, look_at_content,    look_at_others,
};

static enum exit_code look_at_all(struct look *l)
{
    char *copy = strdup(l->path);
    l->directory = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    if (!l->directory) {
        tool_say(verb, "out of memory");
        return EXIT_CODE_FAILED;
    }
    l->exists = stat(l->path, &l->st) == 0;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](l);
    free(l->directory);
    return EXIT_CODE_OK;
}

static void print_summary(const struct findings *f, struct buf *out)
{
    buf_printf(out, "\n%zu ok, %zu warn, %zu FAIL\n", findings_count(f, FINDING_OK),
               findings_count(f, FINDING_WARN), findings_count(f, FINDING_FAIL));
}

static enum exit_code report(struct findings *f, bool json)
{
    struct buf out = {0};
    if (json)
        findings_json(f, &out);
    else
        findings_text(f, &out);
    if (!json)
        print_summary(f, &out);
    out.failed |= f->failed;
    bool printed = tool_print(verb, &out);
    buf_free(&out);
    return printed && findings_count(f, FINDING_FAIL) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int tools_doctor(const struct entry *entry)
{
    bool json = false;
    struct look l = {.config = entry->config, .found = entry->findings};
    const struct tool_option options[] = {{"--json", &json, NULL}};
    struct tool_words words;
    if (!tool_words(verb, entry->argc, entry->argv, options, 1, &words))
        return EXIT_CODE_USAGE;
    tool_obey_keys();
    enum exit_code code = EXIT_CODE_OK;
    if (config_database(l.config, &l.path) == CONFIG_DATABASE_FILE) {
        code = look_at_all(&l);
    } else {
        findings_add(l.found, FINDING_WARN, "database",
                     "it is kept in memory, and ends with the server");
        findings_remedy(l.found, "set [database] url to a file");
    }
    if (code == EXIT_CODE_OK)
        code = report(l.found, json);
    findings_free(l.found); /* this process's copy */
    return code;
}
