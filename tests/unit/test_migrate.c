/* test_migrate.c: fresh, old, foreign, newer, damaged and unreachable databases: what migrate makes
 * of them, and the line it says. */
#include "store_tester.h"
#include "worker/store/migrate.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = tester_new(&store_driver_sqlite);
    return 0;
}

static int teardown(void **state)
{
    tester_free(*state);
    return 0;
}

/* What alembic and SQLAlchemy make, as sqlite3 .schema shows it. */
#define PYTHON_USERS                                                                               \
    "CREATE TABLE users (\n\tid INTEGER NOT NULL, \n\tusername VARCHAR NOT NULL, \n\tpassword "    \
    "VARCHAR NOT NULL, \n\temail VARCHAR NOT NULL, \n\tcreated_at DATETIME DEFAULT "               \
    "(CURRENT_TIMESTAMP) NOT NULL, \n\tPRIMARY KEY (id), \n\tUNIQUE (email), \n\tUNIQUE "          \
    "(username)\n);"
#define PYTHON_VERSION                                                                             \
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT "                  \
    "alembic_version_pkc PRIMARY KEY (version_num));"
#define PYTHON_TODOS                                                                               \
    "CREATE TABLE todos (id INTEGER NOT NULL, title VARCHAR NOT NULL, description VARCHAR NOT "    \
    "NULL, state VARCHAR(5) NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (id), FOREIGN "        \
    "KEY(user_id) REFERENCES users (id));"
#define PYTHON_STAMP                                                                               \
    "ALTER TABLE users ADD COLUMN updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL;"
#define ALICE                                                                                      \
    "INSERT INTO users (username, password, email) VALUES ('alice', "                              \
    "'$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA', 'alice@example.com');"
#define AT(revision) "INSERT INTO alembic_version VALUES ('" revision "');"

static char *upgrade(struct tester *t, enum migrate_result want)
{
    struct buf out = {0};
    enum migrate_result result = migrate_upgrade_within(t->path, 50, &out);
    if (result != want)
        fail_msg("result %d: %.*s", (int)result, SLICE_ARGS(buf_slice(&out)));
    buf_append_char(&out, 0);
    return out.data;
}

/* What migrate_current() says. */
static void assert_current(struct tester *t, const char *want)
{
    struct buf out = {0};
    assert_int_equal(migrate_current(t->path, &out), MIGRATE_OK);
    buf_append_char(&out, 0);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void fresh(void **state)
{
    struct tester *t = *state;
    struct stat st;
    char want[512];
    mode_t before = umask(022);
    char *out = upgrade(t, MIGRATE_OK);
    umask(before);
    snprintf(want, sizeof want,
             "database %s: journal mode delete changed to wal\n"
             "database %s: created, now at revision 74f39286e2f6 (create users table)\n",
             t->path, t->path);
    assert_string_equal(out, want);
    free(out);
    assert_current(t, "74f39286e2f6 (head) create users table\n");
    assert_int_equal(stat(t->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true(st.st_size >= 4096); /* in the file itself, not only in its log */
    /* the schema is alembic's, byte for byte */
    assert_int_equal(
        tester_sql(t, "ATTACH ':memory:' AS python;"
                      "CREATE TABLE python.x (sql TEXT);"
                      "INSERT INTO python.x VALUES ('CREATE TABLE users (\n\tid INTEGER NOT "
                      "NULL, \n\tusername VARCHAR NOT NULL, \n\tpassword VARCHAR NOT NULL, "
                      "\n\temail VARCHAR NOT NULL, \n\tcreated_at DATETIME DEFAULT "
                      "(CURRENT_TIMESTAMP) NOT NULL, \n\tPRIMARY KEY (id), \n\tUNIQUE "
                      "(email), \n\tUNIQUE (username)\n)');"
                      "SELECT count(*) FROM sqlite_master WHERE name = 'users' AND sql = "
                      "(SELECT sql FROM python.x)"),
        1);
    assert_int_equal(tester_sql(t, "SELECT count(*) FROM sqlite_master WHERE type = 'table'"), 2);
    /* again: nothing */
    out = upgrade(t, MIGRATE_OK);
    snprintf(want, sizeof want,
             "database %s: nothing to do, at revision 74f39286e2f6 (create users table)\n",
             t->path);
    assert_string_equal(out, want);
    free(out);
}

static void empty_file_is_fresh(void **state)
{
    struct tester *t = *state;
    int fd = open(t->path, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
    free(upgrade(t, MIGRATE_OK));
    assert_current(t, "74f39286e2f6 (head) create users table\n");
}

/* Databases as they are found: what becomes of them. */
static void takes_over_or_refuses(void **state)
{
    struct tester *t = *state;
    static const struct {
        const char *name;
        const char *sql;
        enum migrate_result result;
        const char *says; /* part of the output */
        const char *current;
    } cases[] = {
        {"lesson 9", PYTHON_USERS PYTHON_VERSION AT("74f39286e2f6") ALICE, MIGRATE_OK,
         "nothing to do, at revision 74f39286e2f6", "74f39286e2f6 (head) create users table\n"},
        {"with todos", PYTHON_USERS PYTHON_VERSION PYTHON_TODOS AT("a6b139a38fe0") ALICE,
         MIGRATE_OK, "nothing to do, at revision a6b139a38fe0",
         "a6b139a38fe0 (head) create todos table\n"},
        {"exercise", PYTHON_USERS PYTHON_STAMP PYTHON_VERSION AT("bb77f9679811") ALICE, MIGRATE_OK,
         "nothing to do, at revision bb77f9679811", "bb77f9679811 (head) updated_at on users\n"},
        {"two heads",
         PYTHON_USERS PYTHON_STAMP PYTHON_TODOS PYTHON_VERSION AT("bb77f9679811") AT("a6b139a38fe0")
             ALICE,
         MIGRATE_OK,
         "at revision a6b139a38fe0 (create todos table) and bb77f9679811 (updated_at on users)",
         "a6b139a38fe0 (head) create todos table\nbb77f9679811 (head) updated_at on users\n"},
        {"without alembic", PYTHON_USERS ALICE, MIGRATE_OK,
         "taken over, now at revision 74f39286e2f6", "74f39286e2f6 (head) create users table\n"},
        {"without alembic, todos", PYTHON_USERS PYTHON_TODOS ALICE, MIGRATE_OK,
         "taken over, now at revision a6b139a38fe0", "a6b139a38fe0 (head) create todos table\n"},
        {"without alembic, both", PYTHON_USERS PYTHON_STAMP PYTHON_TODOS ALICE, MIGRATE_OK,
         "taken over, now at revision a6b139a38fe0 (create todos table) and bb77f9679811",
         "a6b139a38fe0 (head) create todos table\nbb77f9679811 (head) updated_at on users\n"},
        {"downgraded to base", PYTHON_VERSION, MIGRATE_OK, "created, now at revision 74f39286e2f6",
         "74f39286e2f6 (head) create users table\n"},
        {"newer", PYTHON_USERS PYTHON_VERSION AT("deadbeef0001") ALICE, MIGRATE_UNUSABLE,
         "it is at revision deadbeef0001, which this colmeia does not know: a newer program has "
         "upgraded "
         "it; install the newer colmeia, or restore a backup from before\n",
         "deadbeef0001 (unknown to this colmeia)\n"},
        {"one known, one newer",
         PYTHON_USERS PYTHON_VERSION AT("74f39286e2f6") AT("deadbeef0001") ALICE, MIGRATE_UNUSABLE,
         "it is at revision deadbeef0001",
         "74f39286e2f6 (head) create users table\ndeadbeef0001 (unknown to this colmeia)\n"},
        {"stamp without table", PYTHON_VERSION AT("74f39286e2f6"), MIGRATE_UNUSABLE,
         "it says it is at revision 74f39286e2f6, but it has no table users; restore a backup",
         "74f39286e2f6 (head) create users table\n"},
        {"stamp with another table",
         "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, email TEXT "
         "UNIQUE);" PYTHON_VERSION AT("74f39286e2f6"),
         MIGRATE_UNUSABLE, "its table users is not as that revision made it",
         "74f39286e2f6 (head) create users table\n"},
        {"names not unique",
         "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, email TEXT UNIQUE, password "
         "TEXT);",
         MIGRATE_UNUSABLE, "it has a table users that is not ours, and no alembic_version",
         "no revision\n"},
        {"a column more, unstamped",
         "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, email TEXT UNIQUE, "
         "password "
         "TEXT, age INT);",
         MIGRATE_UNUSABLE, "it has a table users that is not ours", "no revision\n"},
        {"a demanding column",
         "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, email TEXT UNIQUE, "
         "password "
         "TEXT, age INT NOT NULL);" PYTHON_VERSION AT("74f39286e2f6"),
         MIGRATE_UNUSABLE, "its table users is not as that revision made it",
         "74f39286e2f6 (head) create users table\n"},
        {"somebody else's", "CREATE TABLE moz_places (url TEXT);", MIGRATE_UNUSABLE,
         "it holds other tables but no users, so it seems to be another program's; change "
         "[database] url",
         "no revision\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wal[128], shm[128];
        snprintf(wal, sizeof wal, "%s-wal", t->path);
        snprintf(shm, sizeof shm, "%s-shm", t->path);
        unlink(t->path);
        unlink(wal);
        unlink(shm);
        tester_sql(t, cases[i].sql);
        char *out = upgrade(t, cases[i].result);
        if (!strstr(out, cases[i].says))
            fail_msg("%s: %s", cases[i].name, out);
        free(out);
        assert_current(t, cases[i].current);
        bool refused = cases[i].result == MIGRATE_UNUSABLE;
        /* what is refused is left as it was */
        assert_int_equal(
            tester_sql(t, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"),
            !refused);
        if (refused)
            continue;
        tester_open(t);
        char text[100];
        assert_string_equal(tester_list(t, text, sizeof text),
                            strstr(cases[i].sql, ALICE) ? "1 alice alice@example.com; " : "");
        assert_int_equal(tester_create(t, "bob", "b@x.com", "h"), STORE_OK);
        tester_close(t);
    }
}

/* Bytes that are no database, or one no more. */
static void damaged(void **state)
{
    struct tester *t = *state;
    static char garbage[8192];
    memset(garbage, 'g', sizeof garbage);
    int fd = open(t->path, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
    close(fd);
    char want[512];
    snprintf(
        want, sizeof want,
        "database %s: the file is not an SQLite database; move it away, or change [database] url\n",
        t->path);
    char *out = upgrade(t, MIGRATE_UNUSABLE);
    assert_string_equal(out, want);
    free(out);
    struct buf text = {0};
    assert_int_equal(migrate_current(t->path, &text), MIGRATE_UNUSABLE);
    buf_append_char(&text, 0);
    assert_string_equal(text.data, want);
    buf_free(&text);

    /* a page in the middle overwritten */
    assert_int_equal(unlink(t->path), 0);
    free(upgrade(t, MIGRATE_OK));
    tester_sql(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
                  "INSERT INTO users (username, email, password) SELECT 'u' || i, 'e' || i, "
                  "hex(randomblob(50)) FROM n; PRAGMA wal_checkpoint(TRUNCATE)");
    fd = open(t->path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, garbage, 4096, 4096), 4096);
    close(fd);
    out = upgrade(t, MIGRATE_UNUSABLE);
    if (!strstr(out, ": the file is damaged (") || !strstr(out, "restore a backup") ||
        count_of(out, "\n") != 1)
        fail_msg("%s", out);
    free(out);
}

static void unreachable(void **state)
{
    struct tester *t = *state;
    struct {
        const char *path; /* below the directory */
        const char *says;
    } cases[] = {
        {"missing/a.db",
         "its directory %s/missing: No such file or directory; make the directory, or change "
         "[database] url"},
        {"file/a.db", "%s/file is not a directory; change [database] url"},
        {"sub", "it is a directory; change [database] url"},
    };
    char path[256], says[512], want[1024];
    snprintf(path, sizeof path, "%s/file", t->dir);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof path, "%s/sub", t->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        snprintf(path, sizeof path, "%s/%s", t->dir, cases[i].path);
        const char *hole = strstr(cases[i].says, "%s");
        snprintf(says, sizeof says, "%.*s%s%s", hole ? (int)(hole - cases[i].says) : 0,
                 cases[i].says, hole ? t->dir : "", hole ? hole + 2 : cases[i].says);
        snprintf(want, sizeof want, "database %s: %s\n", path, says);
        assert_int_equal(migrate_upgrade_within(path, 50, &out), MIGRATE_UNUSABLE);
        buf_append_char(&out, 0);
        assert_string_equal(out.data, want);
        buf_free(&out);
    }
    struct buf out = {0};
    assert_int_equal(migrate_current(t->path, &out), MIGRATE_UNUSABLE);
    buf_append_char(&out, 0);
    snprintf(want, sizeof want,
             "database %s: it does not exist; \"colmeia migrate upgrade\" makes it\n", t->path);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

/* In a child without root's powers: the exit status says whether migrate said so. */
static void assert_refused_for_nobody(struct tester *t, const char *says)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(3);
        struct buf out = {0};
        enum migrate_result result = migrate_upgrade_within(t->path, 50, &out);
        buf_append_char(&out, 0);
        if (result == MIGRATE_UNUSABLE && strstr(out.data, says))
            _exit(0);
        dprintf(STDERR_FILENO, "result %d: %s\n", (int)result, out.data);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void not_permitted(void **state)
{
    struct tester *t = *state;
    char lock_path[128];
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    /* no new file in this directory */
    assert_int_equal(chmod(t->dir, 0555), 0);
    assert_refused_for_nobody(
        t, "cannot write it or its directory; give them to that user (chown, chmod)");
    /* a file that may be read only */
    assert_int_equal(chmod(t->dir, 0777), 0);
    free(upgrade(t, MIGRATE_OK));
    assert_int_equal(chmod(t->path, 0444), 0);
    assert_int_equal(chmod(lock_path, 0666), 0);
    assert_refused_for_nobody(t, "cannot write it or its directory");
    /* one that may not even be read */
    if (geteuid() == 0) {
        assert_int_equal(chmod(t->path, 0600), 0);
        assert_refused_for_nobody(t,
                                  "cannot read and write it, its -wal and -shm, and its directory");
    }
    /* the lock belongs to somebody else */
    if (geteuid() == 0) {
        assert_int_equal(chmod(t->path, 0666), 0);
        assert_int_equal(chmod(lock_path, 0600), 0);
        assert_refused_for_nobody(t,
                                  ".lock: Permission denied; user 65534 must be able to write it");
    }
}

static void locked_by_another_program(void **state)
{
    struct tester *t = *state;
    sqlite3 *db = NULL;
    tester_sql(t, PYTHON_USERS PYTHON_VERSION AT("74f39286e2f6"));
    assert_int_equal(sqlite3_open(t->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    char *out = upgrade(t, MIGRATE_UNUSABLE);
    char want[512];
    snprintf(want, sizeof want,
             "database %s: another program keeps it locked; stop that program and try again\n",
             t->path);
    assert_string_equal(out, want);
    free(out);
    sqlite3_close(db);
    free(upgrade(t, MIGRATE_OK));
}

static void lock_held(void **state)
{
    struct tester *t = *state;
    char lock_path[128];
    free(upgrade(t, MIGRATE_OK));
    snprintf(lock_path, sizeof lock_path, "%s.lock", t->path);
    int fd = open(lock_path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    char *out = upgrade(t, MIGRATE_UNUSABLE);
    if (!strstr(out,
                ".lock: another process holds it (fuser tells which); stop it, or try again\n"))
        fail_msg("%s", out);
    free(out);
    assert_current(t, "74f39286e2f6 (head) create users table\n"); /* reading needs no lock */
    close(fd);
    free(upgrade(t, MIGRATE_OK));
}

static void checkpoint_truncates(void **state)
{
    struct tester *t = *state;
    char wal[128];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", t->path);
    tester_open(t);
    assert_int_equal(tester_create(t, "alice", "a", "h"), STORE_OK);
    tester_close(t);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 0);
    struct buf out = {0};
    assert_int_equal(migrate_checkpoint(t->path, &out), MIGRATE_OK);
    assert_true(stat(wal, &st) || st.st_size == 0);
    tester_open(t);
    struct answer a = {0};
    assert_int_equal(tester_by_id(t, 1, &a), STORE_OK);
    answer_fini(&a);
    tester_close(t);
    buf_free(&out);
    assert_int_equal(unlink(t->path), 0);
    assert_int_equal(migrate_checkpoint(t->path, &out), MIGRATE_UNUSABLE);
    buf_free(&out);
}

static void history(void **state)
{
    struct buf out = {0};
    migrate_history(&out);
    buf_append_char(&out, 0);
    assert_string_equal(
        out.data, "74f39286e2f6 -> a6b139a38fe0, create todos table (the Python app's; accepted)\n"
                  "74f39286e2f6 -> bb77f9679811, updated_at on users (the Python app's; accepted)\n"
                  "<base> -> 74f39286e2f6 (head), create users table\n");
    buf_free(&out);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(fresh),
        CASE(empty_file_is_fresh),
        CASE(takes_over_or_refuses),
        CASE(damaged),
        CASE(unreachable),
        CASE(not_permitted),
        CASE(locked_by_another_program),
        CASE(lock_held),
        CASE(checkpoint_truncates),
        CASE(history),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
