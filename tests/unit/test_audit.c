/* test_audit.c: shared/audit.h: lines that fit whatever is in them, and a file that is what it seems. */
#include "shared/audit.h"

#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROOM = 256 * 1024, SERVICE_UID = 65534 };

static char directory[64], path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/colmeia-audit-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/audit.log", directory);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_set_role("test");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    audit_stop();
    unlink(path);
    return rmdir(directory);
}

/* NUL-terminated, to be freed. */
static char *content(void)
{
    char *text = calloc(1, ROOM);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    assert_non_null(file);
    assert_true(fread(text, 1, ROOM - 1, file) < ROOM - 1);
    fclose(file);
    return text;
}

static void start(void)
{
    struct buf error = {0};
    assert_true(audit_start(path, (uid_t)-1, (gid_t)-1, &error));
    assert_int_equal(error.len, 0);
}

static void refused(const char *why)
{
    struct buf error = {0};
    assert_false(audit_start(path, SERVICE_UID, SERVICE_UID, &error));
    assert_false(audit_can_start(path, SERVICE_UID, SERVICE_UID, &error));
    buf_append_char(&error, '\0');
    assert_non_null(strstr(error.data, why));
    assert_non_null(strstr(error.data, "[log] audit"));
    buf_free(&error);
    assert_false(audit_has_file());
}

static void login_of(const char *email)
{
    audit_login((struct audit_origin){SLICE("203.0.113.9:1"), SLICE("id")}, AUDIT_FAILED,
                slice_of(email), 0);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void test_a_line(void **state)
{
    (void)state;
    start();
    errno = 123;
    login_of("ana@test.com");
    assert_int_equal(errno, 123);
    char *text = content(), expected[256];
    snprintf(expected, sizeof expected,
             "Z AUDIT [test pid %d] event=\"login\" outcome=failed who=\"ana@test.com\" "
             "from=\"203.0.113.9:1\" id=\"id\" why=\"wrong address or password\"\n",
             (int)getpid());
    assert_string_equal(strchr(text, 'Z'), expected);
    free(text);
}

/* Every field as long as it gets, of bytes that take the most room. */
static void test_the_longest_line(void **state)
{
    enum { LEN = 70000 };
    (void)state;
    char *long_text = malloc(LEN);
    assert_non_null(long_text);
    for (int byte = 0; byte < 256; byte += 5)
        for (enum log_format format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
            log_init(LOG_LEVEL_ERROR, format);
            memset(long_text, byte, LEN);
            struct slice s = {long_text, LEN};
            start();
            audit_write(&(struct audit){.event = AUDIT_EVENT_refresh,
                                        .outcome = AUDIT_THROTTLED,
                                        .who = s,
                                        .account = s,
                                        .account_id = INT64_MAX,
                                        .from = s,
                                        .request_id = s,
                                        .what = s,
                                        .why = s,
                                        .count = UINT64_MAX});
            char *text = content();
            size_t len = strlen(text);
            assert_in_range(len, 1000, PIPE_BUF - 1);
            assert_ptr_equal(strchr(text, '\n'), text + len - 1);
            assert_non_null(strstr(text, "18446744073709551615")); /* the end is there */
            free(text);
            unlink(path);
        }
    free(long_text);
}

/* ---- what is lost ---------------------------------------------------------------------------- */

/* As a full disk does it: a part of a line, then nothing. */
static int with_little_room(void)
{
    struct rlimit limit;
    struct stat st;
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || stat(path, &st) != 0)
        return 1;
    rlim_t all = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)st.st_size + 40;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 2;
    login_of("cut");
    login_of("gone");
    if (audit_dropped() != 2)
        return 3;
    limit.rlim_cur = all;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 4;
    login_of("after");
    login_of("last");
    return audit_dropped() == 2 ? 0 : 5;
}

static void test_what_is_lost_is_told(void **state)
{
    (void)state;
    start();
    login_of("first");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        audit_after_fork();
        _exit(with_little_room());
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    char *text = content(), *rest = text, *lines[8] = {0};
    for (size_t i = 0; i < 8 && rest && *rest; i++)
        lines[i] = strsep(&rest, "\n");
    assert_non_null(strstr(lines[0], "\"first\""));
    assert_null(strstr(lines[1], "\"cut\""));
    assert_int_equal(strlen(lines[1]), 40);
    assert_non_null(strstr(lines[2], "event=\"lines lost\" outcome=failed count=2"));
    assert_non_null(strstr(lines[3], "\"after\""));
    assert_non_null(strstr(lines[4], "\"last\""));
    assert_null(lines[5]);
    free(text);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void test_a_new_file_is_private_and_an_old_one_as_it_was(void **state)
{
    struct stat st;
    (void)state;
    mode_t umask_before = umask(0);
    start();
    umask(umask_before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    login_of("one");
    start();
    login_of("two");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    char *text = content();
    assert_true(strstr(text, "\"one\"") < strstr(text, "\"two\""));
    free(text);
}

static void test_what_is_no_file_of_ours_is_refused(void **state)
{
    char other[128];
    (void)state;
    snprintf(other, sizeof other, "%s/other", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused("No such device"); /* ENXIO: nobody reads there; and nobody is waited for */
    unlink(path);
    assert_int_equal(symlink("/tmp/x", path), 0);
    refused("it is a link");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused("directory");
    rmdir(path);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(link(other, path), 0);
    refused("it has another name");
    unlink(path);
    unlink(other);
    if (geteuid() == 0) {
        close(open(path, O_CREAT | O_WRONLY, 0600));
        assert_int_equal(chown(path, 4711, 4711), 0);
        refused("it belongs to somebody else");
    }
}

/* Root gives away what it has made, and nothing else. */
static void test_whose_it_is(void **state)
{
    struct stat st;
    struct buf error = {0};
    (void)state;
    if (geteuid() != 0) {
        print_message("not root: nothing can be given away\n");
        skip();
    }
    assert_true(audit_start(path, SERVICE_UID, SERVICE_UID, &error));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, SERVICE_UID);
    assert_int_equal(st.st_gid, SERVICE_UID);
    assert_int_equal(chown(path, 0, 0), 0);
    assert_true(audit_start(path, SERVICE_UID, SERVICE_UID, &error));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void test_a_file_that_was_moved(void **state)
{
    char moved[128];
    (void)state;
    snprintf(moved, sizeof moved, "%s/moved", directory);
    start();
    login_of("before");
    assert_int_equal(rename(path, moved), 0);
    login_of("meanwhile");
    audit_reopen();
    login_of("afterwards");
    char *text = content();
    assert_null(strstr(text, "meanwhile"));
    assert_non_null(strstr(text, "afterwards"));
    free(text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(moved, path), 0);
    text = content();
    assert_non_null(strstr(text, "meanwhile"));
    assert_null(strstr(text, "afterwards"));
    free(text);
}

/* Who must go on without it: what is lost until it can be opened is told there. */
static void test_a_file_that_is_waited_for(void **state)
{
    struct buf error = {0};
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(audit_start_or_wait(path, (uid_t)-1, (gid_t)-1, &error));
    assert_int_equal(errno, EISDIR);
    assert_true(error.len > 0);
    buf_free(&error);
    assert_true(audit_has_file());
    uint64_t before = audit_dropped();
    login_of("lost");
    assert_false(audit_reopen());
    login_of("lost, too");
    assert_int_equal(audit_dropped() - before, 2);
    assert_int_equal(rmdir(path), 0);
    assert_true(audit_reopen());
    login_of("kept");
    char *text = content();
    assert_non_null(strstr(text, "event=\"lines lost\" outcome=failed count=2"));
    assert_null(strstr(text, "who=\"lost"));
    assert_true(strstr(text, "count=2") < strstr(text, "\"kept\""));
    free(text);
    assert_true(audit_start_or_wait(path, (uid_t)-1, (gid_t)-1, &error));
    assert_int_equal(error.len, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_line),
        TEST(test_the_longest_line),
        TEST(test_what_is_lost_is_told),
        TEST(test_a_new_file_is_private_and_an_old_one_as_it_was),
        TEST(test_what_is_no_file_of_ours_is_refused),
        TEST(test_whose_it_is),
        TEST(test_a_file_that_was_moved),
        TEST(test_a_file_that_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
