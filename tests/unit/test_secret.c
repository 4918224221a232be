/* test_secret.c: where the key of tokens comes from, and which keys are refused. */
#include "master/secret.h"

#include "shared/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOOD "c0ffee00112233445566778899aabbccddeeff00112233445566778899aabb42"

static char directory[] = "/tmp/colmeia-secret-XXXXXX";

/* What one load brought. */
static struct {
    enum exit_code code;
    struct secret *secret;
    struct buf error, warnings, notes;
} got;

static void forget(void)
{
    secret_free(got.secret);
    got.secret = NULL;
    buf_free(&got.error);
    buf_free(&got.warnings);
    buf_free(&got.notes);
}

/* With up to three environment lines (NULL: none). */
static void load(bool create, const char *a, const char *b, const char *c)
{
    forget();
    char *environment[] = {(char *)a, (char *)b, (char *)c, NULL};
    struct config_flags flags = {.environ = environment};
    struct buf errors = {0}, warnings = {0};
    struct config *config = config_load(&flags, &errors, &warnings);
    if (!config)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&errors)));
    got.code = secret_load(config, create, &got.secret, &got.error, &got.warnings, &got.notes);
    config_free(config);
    buf_free(&errors);
    buf_free(&warnings);
}

static bool says(const struct buf *b, const char *text)
{
    return b->len > 0 && memmem(b->data, b->len, text, strlen(text));
}

static void write_file(const char *path, const char *content, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void assert_key(const char *want)
{
    assert_int_equal(got.code, EXIT_CODE_OK);
    assert_non_null(got.secret);
    struct slice key = secret_key(got.secret);
    assert_int_equal(key.len, strlen(want));
    assert_memory_equal(key.ptr, want, key.len);
}

/* ---- judging --------------------------------------------------------------------------------- */

static void test_weakness(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool weak;
    } cases[] = {
        {GOOD, false},
        {"correct horse battery staple, and then some", false},
        {"0123456789abcdef0123456789abcde", true},   /* 31 bytes */
        {"q8Zr1mX0c7Vb3Nn5Ls9Kd2Jf4Hg6Ty0P", false}, /* 32 */
        {"q8Zr1mX0c7Vb3Nn5Ls9Kd2Jf4Hg6Ty0", true},   /* 31 */
        {"your-very-secret-and-exclusive-key", true},
        {"Your-Very-Secret-And-Exclusive-Key", true},
        {"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", true},
        {"your-256-bit-secret", true},
        {"secret", true},
        {"changeme", true},
        {"00000000000000000000000000000000", true},
        {"changemechangemechangemechangeme", true},
        {"changemechangemechangemechangemX", false},
        {"abcdefghijklmnopabcdefghijklmnop", true}, /* period 16 */
        {"x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(secret_weakness(slice_of(cases[i].key)) != NULL, cases[i].weak);
}

static void test_weak_key_is_refused(void **state)
{
    (void)state;
    load(true, "SECRET_KEY=your-very-secret-and-exclusive-key", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_null(got.secret);
    assert_true(says(&got.error, "openssl rand -hex 32"));
    assert_false(says(&got.error, "exclusive")); /* a key is never shown, not even a bad one */
    load(true, "SECRET_KEY=short", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "shorter than 32 bytes"));
}

static void test_weak_key_is_allowed_loudly(void **state)
{
    (void)state;
    load(true, "SECRET_KEY=your-very-secret-and-exclusive-key",
         "COLMEIA_AUTH_ALLOW_WEAK_SECRET=yes", NULL);
    assert_key("your-very-secret-and-exclusive-key");
    assert_true(says(&got.warnings, "THE KEY IS WEAK"));
}

static void test_configured_key(void **state)
{
    (void)state;
    load(true, "SECRET_KEY=" GOOD, NULL, NULL);
    assert_key(GOOD);
    assert_int_equal(got.warnings.len + got.notes.len + got.error.len, 0);
    assert_int_not_equal(access("secret.key", F_OK), 0);
}

/* ---- keys of before -------------------------------------------------------------------------- */

#define OLD "0ddba11200112233445566778899aabbccddeeff00112233445566778899aabb"
#define OLDER "decade0300112233445566778899aabbccddeeff00112233445566778899aabb"

static void assert_previous(const char *const *want, size_t len)
{
    assert_int_equal(got.code, EXIT_CODE_OK);
    struct slice rest = secret_previous(got.secret), key;
    for (size_t i = 0; i < len; i++) {
        assert_true(keyring_next(&rest, &key));
        assert_true(slice_equals(key, slice_of(want[i])));
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(secret_previous_count(got.secret), len);
}

static void test_previous_keys(void **state)
{
    (void)state;
    load(true, "SECRET_KEY=" GOOD, NULL, NULL);
    assert_previous(NULL, 0);
    load(true, "SECRET_KEY=" GOOD, "COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=" OLD ", " OLDER, NULL);
    assert_key(GOOD);
    assert_previous((const char *const[]){OLD, OLDER}, 2);
    assert_true(says(&got.notes, "2 previous keys"));
    write_file("old.key", OLDER "\n", 0600);
    load(true, "SECRET_KEY=" GOOD, "COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=" OLD,
         "COLMEIA_AUTH_PREVIOUS_SECRET_KEY_FILES=old.key");
    assert_key(GOOD);
    assert_previous((const char *const[]){OLD, OLDER}, 2);
    struct secret *copy = secret_of(secret_key(got.secret), secret_previous(got.secret));
    assert_true(slice_equals(secret_previous(copy), secret_previous(got.secret)));
    secret_free(copy);
    assert_null(secret_of(SLICE(GOOD), SLICE("x"))); /* no keyring */
    unlink("old.key");
}

static void test_previous_keys_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *words;
    } rows[] = {
        {"COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=" OLD ", short", "previous_secret_keys: the key is shorter"},
        {"COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=your-very-secret-and-exclusive-key", "everybody knows"},
        {"COLMEIA_AUTH_PREVIOUS_SECRET_KEY_FILES=nothing.key", "see [auth] previous_secret_key_files"},
        {"COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=" OLD "," OLD "," OLD "," OLD "," OLD "," OLD "," OLD "," OLD
         "," OLD,
         "more than 8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load(true, "SECRET_KEY=" GOOD, rows[i].setting, NULL);
        assert_int_equal(got.code, EXIT_CODE_CONFIG);
        assert_null(got.secret);
        assert_true(says(&got.error, rows[i].words));
        assert_false(says(&got.error, OLD));
    }
    load(true, "SECRET_KEY=" GOOD, "COLMEIA_AUTH_PREVIOUS_SECRET_KEYS=" OLD ", short",
         "COLMEIA_AUTH_ALLOW_WEAK_SECRET=yes");
    assert_previous((const char *const[]){OLD, "short"}, 2);
    assert_true(says(&got.warnings, "THE KEY IS WEAK"));
}

/* ---- key files ------------------------------------------------------------------------------- */

static void test_key_file(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        enum exit_code code;
        const char *said; /* in the error */
    } cases[] = {
        {GOOD, EXIT_CODE_OK, ""},          {GOOD "\n", EXIT_CODE_OK, ""},
        {GOOD "\r\n", EXIT_CODE_OK, ""},   {"", EXIT_CODE_CONFIG, "empty"},
        {"\n", EXIT_CODE_CONFIG, "empty"}, {"secret\n", EXIT_CODE_CONFIG, "everybody"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file("my.key", cases[i].content, 0600);
        load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
        assert_int_equal(got.code, cases[i].code);
        if (cases[i].code == EXIT_CODE_OK)
            assert_key(GOOD);
        else
            assert_true(says(&got.error, cases[i].said));
        assert_int_equal(got.warnings.len, 0);
    }
    unlink("my.key");
}

static void test_key_file_too_long(void **state)
{
    (void)state;
    static char content[SECRET_MAX_BYTES + 2];
    for (size_t i = 0; i < sizeof content - 1; i++)
        content[i] = (char)('!' + i * i % 89);
    write_file("my.key", content, 0600);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "File too large"));
    content[SECRET_MAX_BYTES] = '\0';
    write_file("my.key", content, 0600);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
    assert_key(content);
    unlink("my.key");
}

static void test_key_file_missing(void **state)
{
    (void)state;
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=none.key", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "none.key: cannot read the key: No such file"));
    assert_int_not_equal(access("none.key", F_OK), 0); /* only secret.key is ever made */
}

static void test_key_file_open_to_others(void **state)
{
    (void)state;
    write_file("my.key", GOOD, 0640);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
    assert_key(GOOD);
    assert_true(says(&got.warnings, "chmod 600 my.key"));
    assert_true(says(&got.warnings, "0640"));
    unlink("my.key");
}

/* Of a path that the operator names, links are his business (Kubernetes' secrets are links); a FIFO is
 * not waited for. */
static void test_key_file_of_other_kinds(void **state)
{
    (void)state;
    write_file("my.key", GOOD, 0600);
    assert_int_equal(symlink("my.key", "link.key"), 0);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=link.key", NULL, NULL);
    assert_key(GOOD);
    unlink("my.key");
    unlink("link.key");
    assert_int_equal(mkfifo("fifo.key", 0600), 0);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=fifo.key", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "fifo.key: cannot read the key: it is no regular file; see [auth]"));
    load(true, "SECRET_KEY=" GOOD, "COLMEIA_AUTH_PREVIOUS_SECRET_KEY_FILES=fifo.key", NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    unlink("fifo.key");
}

static void test_credentials_come_first(void **state)
{
    (void)state;
    static const char other[] = "another-key-that-is-long-enough-by-far-1";
    assert_int_equal(mkdir("credentials", 0700), 0);
    write_file("credentials/my.key", GOOD, 0600);
    write_file("my.key", other, 0600);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "credentials", 1), 0);
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
    assert_key(GOOD);
    unlink("credentials/my.key");
    load(true, "COLMEIA_AUTH_SECRET_KEY_FILE=my.key", NULL, NULL);
    assert_key(other);
    unsetenv("CREDENTIALS_DIRECTORY");
    rmdir("credentials");
    unlink("my.key");
}

static void test_empty_configured_key(void **state)
{
    (void)state;
    load(true, "SECRET_KEY=", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "the key is empty"));
    assert_int_not_equal(access("secret.key", F_OK), 0);
}

/* ---- beside the database --------------------------------------------------------------------- */

static void test_made_once(void **state)
{
    (void)state;
    load(false, NULL, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_OK);
    assert_null(got.secret); /* a check makes nothing */
    assert_int_not_equal(access("secret.key", F_OK), 0);

    load(true, NULL, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_OK);
    assert_true(says(&got.notes, "made a random key"));
    struct stat st;
    assert_int_equal(stat("secret.key", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    assert_int_equal(st.st_nlink, 1); /* no other name is left */
    char first[65] = "";
    assert_int_equal(secret_key(got.secret).len, 64);
    memcpy(first, secret_key(got.secret).ptr, 64);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);

    load(true, NULL, NULL, NULL);
    assert_key(first);
    assert_int_equal(got.notes.len, 0);
    load(false, NULL, NULL, NULL);
    assert_key(first);

    unlink("secret.key");
    load(true, NULL, NULL, NULL);
    assert_memory_not_equal(secret_key(got.secret).ptr, first, 64);
    unlink("secret.key");
}

/* Who starts in the same moment refuses a key with a second name: it gets its only one in one step. */
static void test_it_never_has_two_names(void **state)
{
    (void)state;
    alignas(struct inotify_event) char bytes[4096];
    uint32_t seen = 0;
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, ".", IN_CREATE | IN_MOVED_TO) > 0);
    load(true, NULL, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_OK);
    ssize_t len = read(watch, bytes, sizeof bytes);
    assert_true(len > 0);
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(bytes + at);
        if (strcmp(e->name, "secret.key") == 0)
            seen |= e->mask;
        at += (ssize_t)(sizeof *e + e->len);
    }
    assert_int_equal(seen, IN_MOVED_TO);
    close(watch);
    unlink("secret.key");
}

static void test_made_beside_the_database(void **state)
{
    (void)state;
    char url[128], path[128];
    assert_int_equal(mkdir("data", 0700), 0);
    load(true, "DATABASE_URL=sqlite:///data/users.db", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_OK);
    assert_int_equal(access("data/secret.key", F_OK), 0);
    snprintf(url, sizeof url, "DATABASE_URL=sqlite:///%s/data/users.db", directory);
    snprintf(path, sizeof path, "%s", (const char *)secret_key(got.secret).ptr);
    load(true, url, NULL, NULL);
    assert_key(path);
    unlink("data/secret.key");
    rmdir("data");
}

static void assert_refused(const char *why)
{
    load(true, NULL, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_null(got.secret);
    assert_true(says(&got.error, "secret.key: cannot read the key: "));
    assert_true(says(&got.error, why));
    assert_false(says(&got.error, GOOD));
}

/* Its name may have been put there by somebody who wants another file read. */
static void test_only_an_own_file_beside_the_database(void **state)
{
    (void)state;
    write_file("other", GOOD, 0600);
    assert_int_equal(symlink("other", "secret.key"), 0);
    assert_refused("it is a link");
    unlink("secret.key");
    assert_int_equal(link("other", "secret.key"), 0);
    assert_refused("it has another name elsewhere");
    unlink("secret.key");
    unlink("other");
    assert_int_equal(mkfifo("secret.key", 0600), 0);
    assert_refused("it is no regular file");
    unlink("secret.key");
    write_file("secret.key", GOOD, 0600);
    load(true, NULL, NULL, NULL);
    assert_key(GOOD);
    unlink("secret.key");
}

/* What root gives to [server] user: that user's files are none of root's, and his links lead nowhere. */
static void test_directory_of_another_user(void **state)
{
    (void)state;
    enum { USER = 65534 };
    static const char user[] = "COLMEIA_SERVER_USER=nobody";
    if (geteuid() != 0) {
        print_message("not root: no file can be another's\n");
        skip();
    }
    write_file("secret.key", GOOD, 0600);
    assert_int_equal(chown("secret.key", USER, USER), 0);
    load(true, NULL, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG); /* in a directory of root's */
    assert_int_equal(chown(".", USER, USER), 0);
    load(true, NULL, NULL, NULL);
    assert_key(GOOD); /* root looks after what is another's: colmeia check */
    load(true, user, NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "it belongs to somebody else"));
    assert_true(says(&got.error, "chown"));
    assert_int_equal(chown("secret.key", 0, 0), 0);
    load(true, user, NULL, NULL);
    assert_key(GOOD);
    assert_int_equal(symlink("secret.key", "old.key"), 0);
    load(true, user, "COLMEIA_AUTH_PREVIOUS_SECRET_KEY_FILES=old.key", NULL);
    assert_int_equal(got.code, EXIT_CODE_CONFIG);
    assert_true(says(&got.error, "old.key: cannot read the key: it is a link"));
    assert_true(says(&got.error, "previous_secret_key_files"));
    assert_int_equal(chown(".", 0, 0), 0);
    load(true, user, "COLMEIA_AUTH_PREVIOUS_SECRET_KEY_FILES=old.key", NULL);
    assert_key(GOOD);
    unlink("old.key");
    unlink("secret.key");
}

static void test_no_directory(void **state)
{
    (void)state;
    load(true, "DATABASE_URL=sqlite:///nowhere/users.db", NULL, NULL);
    assert_int_equal(got.code, EXIT_CODE_DATABASE);
    assert_true(says(&got.error, "directory must exist"));
}

static void test_memory(void **state)
{
    (void)state;
    load(true, "DATABASE_URL=sqlite:///:memory:", "WEB_CONCURRENCY=1", NULL);
    assert_int_equal(got.code, EXIT_CODE_OK);
    assert_int_equal(secret_key(got.secret).len, 64);
    assert_true(says(&got.notes, "this run only"));
    assert_int_not_equal(access("secret.key", F_OK), 0);
}

/* Sixteen start at once, eight times: all have the same key, and no scrap is left. */
static void test_race(void **state)
{
    (void)state;
    enum { RACERS = 16 };
    for (int round = 0; round < 8; round++) {
        int go[2], keys[2];
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(keys), 0);
        for (int i = 0; i < RACERS; i++) {
            if (fork() != 0)
                continue;
            char c;
            close(go[1]);
            if (read(go[0], &c, 1) != 0) /* the end of the file is the starting shot */
                _exit(1);
            load(true, NULL, NULL, NULL);
            bool ok = got.code == EXIT_CODE_OK && secret_key(got.secret).len == 64;
            _exit(ok && write(keys[1], secret_key(got.secret).ptr, 64) == 64 ? 0 : 1);
        }
        close(go[0]);
        close(go[1]);
        close(keys[1]);
        char first[64], other[64];
        assert_int_equal(read(keys[0], first, 64), 64);
        for (int i = 1; i < RACERS; i++) {
            assert_int_equal(read(keys[0], other, 64), 64);
            assert_memory_equal(first, other, 64);
        }
        close(keys[0]);
        for (int i = 0; i < RACERS; i++) {
            int status = -1;
            assert_true(wait(&status) > 0);
            assert_int_equal(status, 0);
        }
        assert_int_equal(unlink("secret.key"), 0);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

/* As another program had loaded it. */
static void test_handed_over(void **state)
{
    (void)state;
    static char long_one[SECRET_MAX_BYTES + 1];
    struct secret *s = secret_of(SLICE("\0key\xff"), SLICE(""));
    assert_non_null(s);
    assert_true(slice_equals(secret_key(s), SLICE("\0key\xff")));
    secret_free(s);
    assert_null(secret_of((struct slice){long_one, sizeof long_one}, SLICE("")));
    s = secret_of((struct slice){long_one, sizeof long_one - 1}, SLICE(""));
    assert_int_equal(secret_key(s).len, SECRET_MAX_BYTES);
    secret_free(s);
}

/* rmdir fails when a test, or a race, left a file behind. */
static int tear_down(void **state)
{
    (void)state;
    forget();
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weakness),
        cmocka_unit_test(test_weak_key_is_refused),
        cmocka_unit_test(test_weak_key_is_allowed_loudly),
        cmocka_unit_test(test_configured_key),
        cmocka_unit_test(test_previous_keys),
        cmocka_unit_test(test_previous_keys_are_judged),
        cmocka_unit_test(test_key_file),
        cmocka_unit_test(test_key_file_too_long),
        cmocka_unit_test(test_key_file_missing),
        cmocka_unit_test(test_key_file_open_to_others),
        cmocka_unit_test(test_key_file_of_other_kinds),
        cmocka_unit_test(test_credentials_come_first),
        cmocka_unit_test(test_empty_configured_key),
        cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_it_never_has_two_names),
        cmocka_unit_test(test_made_beside_the_database),
        cmocka_unit_test(test_only_an_own_file_beside_the_database),
        cmocka_unit_test(test_directory_of_another_user),
        cmocka_unit_test(test_no_directory),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_handed_over),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
