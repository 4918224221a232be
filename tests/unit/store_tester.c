/* store_tester.c: see store_tester.h. */
#include "store_tester.h"

#include "shared/check.h"
#include "worker/store/migrate.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct tester *tester_new(const struct store_driver *driver)
{
    struct tester *t = calloc(1, sizeof *t);
    assert_non_null(t);
    snprintf(t->dir, sizeof t->dir, "/tmp/colmeia-store-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->path, sizeof t->path, "%s/test.db", t->dir);
    t->loop = loop_new();
    t->board = scoreboard_new(1);
    assert_non_null(t->loop);
    assert_non_null(t->board);
    scoreboard_use(t->board, 0);
    t->slot = &t->board->slots[0];
    t->driver = driver;
    t->options = (struct store_options){.kind = CONFIG_DATABASE_FILE,
                                        .path = t->path,
                                        .durability = CONFIG_DURABILITY_FULL,
                                        .scoreboard = t->board,
                                        .slot = t->slot};
    return t;
}

void tester_open(struct tester *t)
{
    struct buf out = {0};
    bool file = t->driver == &store_driver_sqlite && t->options.kind == CONFIG_DATABASE_FILE;
    if (file && access(t->path, F_OK) && migrate_upgrade(t->path, &out) != MIGRATE_OK)
        fail_msg("migrate: %.*s", SLICE_ARGS(buf_slice(&out)));
    out.len = 0;
    t->store = store_open_with(t->loop, t->driver, &t->options, &out);
    if (!t->store)
        fail_msg("store_open: %.*s", SLICE_ARGS(buf_slice(&out)));
    buf_free(&out);
}

void tester_close(struct tester *t)
{
    store_close(t->store);
    t->store = NULL;
    loop_run_once(t->loop, false);
}

static void remove_directory(const char *path)
{
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_type != DT_DIR)
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
        else if (e->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR), 0);
    closedir(d);
    assert_int_equal(rmdir(path), 0);
}

void tester_free(struct tester *t)
{
    if (t->store)
        tester_close(t);
    loop_free(t->loop);
    scoreboard_free(t->board);
    remove_directory(t->dir);
    free(t);
}

void answer_on_done(void *ctx, const struct store_reply *reply)
{
    struct answer *a = ctx;
    a->calls++;
    a->done = true;
    a->result = reply->result;
    a->users_len = reply->users_len;
    arena_init(&a->arena, NULL, 0, SIZE_MAX);
    if (reply->text)
        a->text = slice_dup(&a->arena, buf_slice(reply->text));
    a->users = arena_zalloc(&a->arena, (reply->users_len + 1) * sizeof *a->users);
    assert_non_null(a->users);
    for (size_t i = 0; i < reply->users_len; i++) {
        a->users[i].id = reply->users[i].id;
        a->users[i].username = slice_dup(&a->arena, reply->users[i].username);
        a->users[i].email = slice_dup(&a->arena, reply->users[i].email);
        if (reply->users[i].password.ptr)
            a->users[i].password = slice_dup(&a->arena, reply->users[i].password);
    }
}

void answer_fini(struct answer *a)
{
    if (a->done)
        arena_fini(&a->arena);
    *a = (struct answer){0};
}

enum store_result tester_await(struct tester *t, struct answer *a)
{
    while (!a->done)
        loop_run_once(t->loop, true);
    assert_int_equal(a->calls, 1);
    return a->result;
}

enum store_result tester_create(struct tester *t, const char *username, const char *email,
                                const char *password)
{
    struct answer a = {0};
    assert_non_null(store_user_create(t->store, slice_of(username), slice_of(email),
                                      slice_of(password), answer_on_done, &a));
    enum store_result result = tester_await(t, &a);
    answer_fini(&a);
    return result;
}

enum store_result tester_by_id(struct tester *t, int64_t id, struct answer *a)
{
    answer_fini(a);
    assert_non_null(store_user_by_id(t->store, id, answer_on_done, a));
    return tester_await(t, a);
}

static void write_row(struct buf *out, const struct store_user *user)
{
    assert_null(user->password.ptr);
    buf_printf(out, "%" PRId64 " %.*s %.*s; ", user->id, SLICE_ARGS(user->username),
               SLICE_ARGS(user->email));
}

const struct store_list_form tester_form = {.row = write_row};

size_t answer_rows(const struct answer *a)
{
    size_t rows = 0;
    for (size_t i = 0; i < a->text.len; i++)
        rows += a->text.ptr[i] == ';';
    return rows;
}

const char *tester_list(struct tester *t, char *text, size_t text_max)
{
    struct answer a = {0};
    assert_non_null(store_user_list(t->store, 0, INT64_MAX, &tester_form, 0, answer_on_done, &a));
    assert_int_equal(tester_await(t, &a), STORE_OK);
    snprintf(text, text_max, "%.*s", SLICE_ARGS(a.text));
    answer_fini(&a);
    return text;
}

int64_t tester_sql(struct tester *t, const char *sql)
{
    sqlite3 *db = NULL;
    int64_t value = -1;
    assert_int_equal(sqlite3_open(t->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    /* a guest here: it must not checkpoint away what the test looks at */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_autocheckpoint(db, 0);
    for (const char *rest = sql; *rest;) {
        sqlite3_stmt *statement = NULL;
        if (sqlite3_prepare_v2(db, rest, -1, &statement, &rest) != SQLITE_OK)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        if (sqlite3_step(statement) == SQLITE_ROW)
            value = sqlite3_column_int64(statement, 0);
        if (sqlite3_finalize(statement) != SQLITE_OK)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

static int captured_fd = -1;
static int real_stderr = -1;

void stderr_capture_start(void)
{
    captured_fd = memfd_create("stderr", MFD_CLOEXEC);
    real_stderr = dup(STDERR_FILENO);
    assert_true(captured_fd >= 0 && real_stderr >= 0);
    assert_true(dup2(captured_fd, STDERR_FILENO) >= 0);
}

char *stderr_capture_end(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    close(real_stderr);
    off_t len = lseek(captured_fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    assert_non_null(text);
    assert_int_equal(pread(captured_fd, text, (size_t)len, 0), len);
    close(captured_fd);
    return text;
}

unsigned count_of(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}
