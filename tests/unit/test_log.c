/* test_log.c: shared/log.h: what a line looks like, that nobody forges one, and that nothing stderr
 * may be (a full pipe, a closed one, a full disk, nothing at all) kills or holds up the program. */
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEN(array) (sizeof(array) / sizeof *(array))

enum { ROOM = 1024 * 1024 };

/* While a test has redirected stderr, cmocka's words would go there, too: so tests collect first,
 * and judge after restore(). */
static struct {
    int stderr_fd; /* the real one, duplicated */
    int read_fd;   /* where what is logged can be read, or -1 */
    char *text;    /* what was logged */
    size_t len;
} held;

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int setup(void **state)
{
    held.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    held.read_fd = -1;
    held.text = calloc(1, ROOM + 1);
    held.len = 0;
    signal(SIGPIPE, SIG_IGN);
    log_set_role("test");
    return held.stderr_fd >= 0 && held.text ? 0 : -1;
}

static void restore(void)
{
    dup2(held.stderr_fd, STDERR_FILENO);
}

static int teardown(void **state)
{
    restore();
    close_end(&held.stderr_fd);
    close_end(&held.read_fd);
    unsetenv("JOURNAL_STREAM");
    free(held.text);
    return 0;
}

/* fd becomes stderr (and is closed). */
static void redirect(int fd)
{
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        abort();
    close(fd);
}

static void redirect_to_pipe(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        abort();
    held.read_fd = fds[0];
    redirect(fds[1]);
}

/* Restores stderr and reads what the pipe or socket holds. */
static void collect(void)
{
    ssize_t n;
    restore();
    while ((n = read(held.read_fd, held.text + held.len, ROOM - held.len)) > 0)
        held.len += (size_t)n;
    close_end(&held.read_fd);
    held.text[held.len] = 0;
}

static void begin(enum log_level level, enum log_format format)
{
    held.len = 0;
    redirect_to_pipe();
    log_init(level, format);
}

/* ---- the parts of a line -------------------------------------------------------------------- */

/* What follows *pattern* at text, where 0 stands for a digit; fails otherwise. */
static const char *skip_pattern(const char *text, const char *pattern)
{
    const char *at = text;
    for (const char *p = pattern; *p; p++, at++)
        if (*p == '0' ? *at < '0' || *at > '9' : *at != *p)
            fail_msg("\"%s\" does not begin as \"%s\"", text, pattern);
    return at;
}

/* What follows the prefix of a text line by this process. */
static const char *after_prefix(const char *line, const char *level, const char *role)
{
    char rest[128];
    const char *at = skip_pattern(line, "0000-00-00T00:00:00.000Z ");
    snprintf(rest, sizeof rest, "%s [%s pid %d] ", level, role, (int)getpid());
    if (strncmp(at, rest, strlen(rest)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", at, rest);
    return at + strlen(rest);
}

static const char *after_json_prefix(const char *line, const char *level, const char *role)
{
    char rest[256];
    const char *at = skip_pattern(line, "{\"time\":\"0000-00-00T00:00:00.000Z\",");
    snprintf(rest, sizeof rest, "\"level\":\"%s\",\"role\":\"%s\",\"pid\":%d,", level, role,
             (int)getpid());
    if (strncmp(at, rest, strlen(rest)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", at, rest);
    return at + strlen(rest);
}

/* The only line there is, without its prefix, is *expected*. */
static void expect_text(const char *level, const char *role, const char *expected)
{
    collect();
    assert_string_equal(after_prefix(held.text, level, role), expected);
}

static void expect_json(const char *level, const char *role, const char *expected)
{
    collect();
    assert_string_equal(after_json_prefix(held.text, level, role), expected);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void test_levels(void **state)
{
    static const char *const text[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    static const char *const json[] = {"debug", "info", "warning", "error"};
    for (int least = LOG_LEVEL_DEBUG; least <= LOG_LEVEL_ERROR; least++) {
        for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
            for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
                begin((enum log_level)least, (enum log_format)format);
                log_write((enum log_level)level, "%s", "hello");
                collect();
                if (level < least)
                    assert_int_equal(held.len, 0);
                else if (format == LOG_FORMAT_TEXT)
                    assert_string_equal(after_prefix(held.text, text[level], "test"), "hello\n");
                else
                    assert_string_equal(after_json_prefix(held.text, json[level], "test"),
                                        "\"message\":\"hello\"}\n");
            }
        }
        assert_int_equal(log_level(), least);
    }
}

/* The macros; log_debug does not even look at its arguments unless it is wanted. */
static void test_macros(void **state)
{
    int looked = 0;
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_debug("%d", looked++);
    log_info("%s", "one");
    expect_text("INFO ", "test", "one\n");
    assert_int_equal(looked, 0);
    begin(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_debug("%d", looked++);
    expect_text("DEBUG", "test", "0\n");
    begin(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_warning("two");
    expect_text("WARN ", "test", "two\n");
    begin(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_error("three");
    expect_text("ERROR", "test", "three\n");
}

/* %m is the errno of the call, and the call leaves errno alone. */
static void test_errno(void **state)
{
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    errno = ENOENT;
    log_info("it failed: %m");
    int after = errno;
    errno = ENOENT;
    log_write(LOG_LEVEL_DEBUG, "not written");
    int after_debug = errno;
    expect_text("INFO ", "test", "it failed: No such file or directory\n");
    assert_int_equal(after, ENOENT);
    assert_int_equal(after_debug, ENOENT);
}

/* Bytes from elsewhere make neither a second line nor a field, nor do they reach a terminal. */
static void test_escapes(void **state)
{
    static const struct {
        const char *message, *text, *json;
    } cases[] = {
        {"", "", ""},
        {"plain", "plain", "plain"},
        {"a\nINFO forged", "a\\nINFO forged", "a\\nINFO forged"},
        {"\r\t\v", "\\r\\t\\x0b", "\\r\\t\\u000b"},
        {"\x1b[31m\x7f", "\\x1b[31m\\x7f", "\\u001b[31m\\\\x7f"},
        {"say \"no\" \\", "say \"no\" \\", "say \\\"no\\\" \\\\"},
        {"\",\"level\":\"error", "\",\"level\":\"error", "\\\",\\\"level\\\":\\\"error"},
        {"Jo\xc3\xa3o \xe2\x82\xac \xf0\x9f\x90\x9d", "Jo\xc3\xa3o \xe2\x82\xac \xf0\x9f\x90\x9d",
         "Jo\xc3\xa3o \xe2\x82\xac \xf0\x9f\x90\x9d"},
        {"\xff", "\\xff", "\\\\xff"},                 /* no UTF-8 */
        {"a\xc3", "a\\xc3", "a\\\\xc3"},              /* cut short */
        {"\xc0\x8a", "\\xc0\\x8a", "\\\\xc0\\\\x8a"}, /* overlong line feed */
        {"\xe0\x80\x8a", "\\xe0\\x80\\x8a", "\\\\xe0\\\\x80\\\\x8a"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m", "\\\\xc2\\\\x9b31m"}, /* CSI of C1 */
        {"\xc2\xa0", "\xc2\xa0", "\xc2\xa0"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        char expected[256];
        begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
        log_info("%s", cases[i].message);
        snprintf(expected, sizeof expected, "%s\n", cases[i].text);
        expect_text("INFO ", "test", expected);
        begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("%s", cases[i].message);
        snprintf(expected, sizeof expected, "\"message\":\"%s\"}\n", cases[i].json);
        expect_json("info", "test", expected);
    }
}

static void test_role(void **state)
{
    static const struct {
        const char *role, *text, *json;
    } cases[] = {
        {"master", "master", "master"},
        {"worker 3", "worker 3", "worker 3"},
        {"a role of more than thirty-one bytes", "a role of more than thirty-one ",
         "a role of more than thirty-one "},
        {"a\n\"b", "a\\n\"b", "a\\n\\\"b"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        log_set_role(cases[i].role);
        begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
        log_info("x");
        expect_text("INFO ", cases[i].text, "x\n");
        begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        log_info("x");
        expect_json("info", cases[i].json, "\"message\":\"x\"}\n");
    }
}

/* Whatever its bytes, a line is shorter than PIPE_BUF, ends in … and its line end, and is whole. */
static void test_long_messages(void **state)
{
    static const char *const pieces[] = {
        "x", "\xff", "\n", "\xe2\x82\xac", "\xf0\x9f\x90\x9d", "\"", "ab\xc3\xa3"};
    static const char *const ends[] = {"\xe2\x80\xa6\n", "\xe2\x80\xa6\"}\n"};
    char message[8192];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < LEN(pieces); i++) {
            for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
                size_t len = 0;
                while (len < shift)
                    message[len++] = '.';
                while (len + strlen(pieces[i]) < sizeof message) {
                    memcpy(message + len, pieces[i], strlen(pieces[i]));
                    len += strlen(pieces[i]);
                }
                message[len] = 0;
                begin(LOG_LEVEL_INFO, (enum log_format)format);
                log_info("%s", message);
                collect();
                assert_in_range(held.len, PIPE_BUF - 16, PIPE_BUF - 1);
                const char *end = ends[format];
                assert_string_equal(held.text + held.len - strlen(end), end);
                assert_ptr_equal(strchr(held.text, '\n'), held.text + held.len - 1);
            }
        }
    }
}

/* Around the length that just fits. */
static void test_length_that_fits(void **state)
{
    char message[PIPE_BUF];
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_info("%s", "");
    collect();
    size_t room = PIPE_BUF - 1 - held.len;
    for (size_t len = room - 4; len < room + 4; len++) {
        memset(message, 'x', len);
        message[len] = 0;
        begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
        log_info("%s", message);
        collect();
        bool is_cut = strstr(held.text, "\xe2\x80\xa6") != NULL;
        assert_int_equal(is_cut, len > room);
        assert_int_equal(held.len, PIPE_BUF - 1 - (is_cut ? 0 : room - len));
    }
}

/* ---- access lines --------------------------------------------------------------------------- */

static const struct log_access usual = {
    .peer = {"127.0.0.1:40312", 15},
    .method = {"GET", 3},
    .target = {"/users/1?x=1", 12},
    .request_id = {"6f1c", 4},
    .status = 200,
    .duration_us = 412,
    .body_bytes = 64,
    .worker_slot = 3,
};

static void test_access(void **state)
{
    struct log_access forger = usual, gone = usual, large = usual;
    forger.peer = SLICE("unix\n");
    forger.method = SLICE("G\"ET");
    forger.target = SLICE("/a\" 200 0B\r\n2026 \\ \0\xff");
    forger.request_id = SLICE("i\"d\n");
    gone.status = 0;
    gone.duration_us = -1;
    gone.body_bytes = 0;
    large.duration_us = INT64_MAX;
    large.body_bytes = SIZE_MAX;
    large.status = 599;
    const struct {
        const struct log_access *access;
        const char *text, *json;
    } cases[] = {
        {&usual, "127.0.0.1:40312 \"GET /users/1?x=1\" 200 64B 0.412ms id=6f1c\n",
         "\"event\":\"request\",\"peer\":\"127.0.0.1:40312\",\"method\":\"GET\",\"target\":"
         "\"/users/1?x=1\",\"status\":200,\"bytes\":64,\"duration_us\":412,\"id\":\"6f1c\"}\n"},
        {&forger,
         "unix\\n \"G\\\"ET /a\\\" 200 0B\\r\\n2026 \\\\ \\x00\\xff\" 200 64B 0.412ms id=i\"d\\n\n",
         "\"event\":\"request\",\"peer\":\"unix\\n\",\"method\":\"G\\\"ET\",\"target\":\"/a\\\" "
         "200 "
         "0B\\r\\n2026 \\\\ "
         "\\u0000\\\\xff\",\"status\":200,\"bytes\":64,\"duration_us\":412,\"id\":"
         "\"i\\\"d\\n\"}\n"},
        {&gone, "127.0.0.1:40312 \"GET /users/1?x=1\" - 0B 0.000ms id=6f1c\n",
         "\"event\":\"request\",\"peer\":\"127.0.0.1:40312\",\"method\":\"GET\",\"target\":"
         "\"/users/1?x=1\",\"status\":null,\"bytes\":0,\"duration_us\":0,\"id\":\"6f1c\"}\n"},
        {&large,
         "127.0.0.1:40312 \"GET /users/1?x=1\" 599 18446744073709551615B 9223372036854775.807ms "
         "id=6f1c\n",
         "\"event\":\"request\",\"peer\":\"127.0.0.1:40312\",\"method\":\"GET\",\"target\":"
         "\"/users/1?x=1\",\"status\":599,\"bytes\":18446744073709551615,\"duration_us\":"
         "9223372036854775807,\"id\":\"6f1c\"}\n"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        begin(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT); /* whatever the level */
        log_access(cases[i].access);
        expect_text("INFO ", "worker 3", cases[i].text);
        begin(LOG_LEVEL_ERROR, LOG_FORMAT_JSON);
        log_access(cases[i].access);
        expect_json("info", "worker 3", cases[i].json);
    }
}

/* Every field as long and as awkward as can be: one line, and what follows the target is there. */
static void test_access_long(void **state)
{
    static char awkward[20000];
    static const char bytes[] = "x\n\"\xff";
    for (size_t b = 0; b < sizeof bytes; b++) {
        memset(awkward, bytes[b], sizeof awkward);
        struct slice s = {awkward, sizeof awkward};
        struct log_access a = {.peer = s,
                               .method = s,
                               .target = s,
                               .request_id = s,
                               .status = INT_MAX,
                               .duration_us = INT64_MAX,
                               .body_bytes = SIZE_MAX,
                               .worker_slot = INT_MAX};
        for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
            begin(LOG_LEVEL_INFO, (enum log_format)format);
            log_access(&a);
            collect();
            assert_in_range(held.len, 1000, PIPE_BUF - 1);
            assert_ptr_equal(strchr(held.text, '\n'), held.text + held.len - 1);
            assert_non_null(strstr(held.text, "2147483647"));
            assert_non_null(strstr(held.text, "18446744073709551615"));
            const char *end = format == LOG_FORMAT_JSON ? "\xe2\x80\xa6\"}\n" : "\xe2\x80\xa6\n";
            assert_string_equal(held.text + held.len - strlen(end), end);
        }
    }
}

/* ---- what stderr may be --------------------------------------------------------------------- */

/* Nobody reads: lines are dropped and counted, none is cut, and nothing waits. */
static void test_full_pipe(void **state)
{
    enum { LINES = 3000 };
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped();
    int flags_before = fcntl(STDERR_FILENO, F_GETFL), errnos = 0;
    for (int i = 0; i < LINES; i++) {
        errno = 123;
        log_info("line %d of many, of some length, so that they fill the pipe ........", i);
        errnos += errno == 123;
    }
    int flags_after = fcntl(STDERR_FILENO, F_GETFL);
    uint64_t dropped = log_dropped() - before;
    collect();
    uint64_t lines = 0;
    for (const char *at = held.text; *at; at = strchr(at, '\n') + 1, lines++) {
        char expected[64];
        snprintf(expected, sizeof expected, "line %d of many", (int)lines);
        const char *message = after_prefix(at, "INFO ", "test");
        assert_memory_equal(message, expected, strlen(expected));
    }
    assert_true(dropped > 0 && lines > 0);
    assert_int_equal(lines + dropped, LINES);
    assert_int_equal(errnos, LINES);
    assert_int_equal(flags_after, flags_before); /* others may share the description */
}

/* A reader that comes back gets lines again. */
static void test_pipe_drained(void **state)
{
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped();
    while (log_dropped() == before)
        log_info("filling");
    if (read(held.read_fd, held.text, ROOM) <= 0)
        abort();
    before = log_dropped();
    log_info("again");
    uint64_t after = log_dropped();
    collect();
    assert_int_equal(after, before);
    assert_non_null(strstr(held.text, "] again\n"));
}

/* Each of these loses the line, counts it and goes on; errno is the caller's. */
static void test_lost(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        int fds[2] = {-1, -1};
        if (kind == 0) {
            close(STDERR_FILENO);
        } else if (kind == 1) { /* a pipe without a reader */
            if (pipe2(fds, O_CLOEXEC) != 0)
                abort();
            close(fds[0]);
            redirect(fds[1]);
        } else if (kind == 2) { /* a socket without a reader */
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
                abort();
            close(fds[0]);
            redirect(fds[1]);
        } else {
            redirect(open("/dev/full", O_WRONLY | O_CLOEXEC));
        }
        log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
        uint64_t before = log_dropped();
        errno = 123;
        log_info("into the void");
        log_access(&usual);
        int after = errno;
        restore();
        if (log_dropped() - before != 2 || after != 123)
            fail_msg("kind %d: %llu dropped, errno %d", kind,
                     (unsigned long long)(log_dropped() - before), after);
    }
}

/* Under systemd stderr is a stream socket; a full one is a full pipe. */
static void test_full_socket(void **state)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    held.read_fd = fds[0];
    redirect(fds[1]);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped();
    uint64_t sent = 0;
    while (log_dropped() == before) {
        log_info("to a socket that nobody reads");
        sent++;
    }
    collect();
    assert_true(sent > 1);
    assert_true(strncmp(after_prefix(held.text, "INFO ", "test"), "to a socket", 11) == 0);
}

static void test_file(void **state)
{
    char path[] = "/tmp/test_log.XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
    held.read_fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    redirect(fd);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped();
    for (int i = 0; i < 2000; i++) /* more than a pipe holds: nothing of a file is dropped */
        log_info("line %d", i);
    uint64_t dropped = log_dropped() - before;
    collect();
    assert_int_equal(dropped, 0);
    const char *last = strrchr(held.text, ']');
    assert_string_equal(last, "] line 1999\n");
}

/* The journal reads <N> before a line; it is named by device and inode. */
static void test_journal(void **state)
{
    static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"};
    for (int is_journal = 0; is_journal < 2; is_journal++) {
        for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
            struct stat st;
            char name[64];
            held.len = 0;
            redirect_to_pipe();
            if (fstat(STDERR_FILENO, &st) != 0)
                abort();
            snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev,
                     (uintmax_t)st.st_ino + !is_journal);
            setenv("JOURNAL_STREAM", name, 1);
            log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
            log_write((enum log_level)level, "x");
            collect();
            if (is_journal)
                assert_memory_equal(held.text, priorities[level], 3);
            skip_pattern(held.text + 3 * is_journal, "0000-00-00T");
        }
    }
}

/* ---- crowds --------------------------------------------------------------------------------- */

enum { WRITERS = 4, LINES_EACH = 300 };

static void write_many(int who)
{
    char filler[200];
    memset(filler, 'a' + who, sizeof filler - 1);
    for (int i = 0; i < LINES_EACH; i++) {
        filler[i % 199] = 0;
        log_info("writer %d line %d <%s>", who, i, filler);
        filler[i % 199] = (char)('a' + who);
    }
}

/* Every line is one writer's, whole, and each writer's come in their order. Returns how many. */
static uint64_t judge_lines(void)
{
    int next[WRITERS] = {0};
    uint64_t lines = 0;
    for (char *at = held.text; *at; lines++) {
        char *end = strchr(at, '\n');
        int who = -1, line = -1, from = 0;
        assert_non_null(end);
        *end = 0;
        const char *message = strstr(at, "] writer ");
        assert_non_null(message);
        assert_int_equal(sscanf(message, "] writer %d line %d <%n", &who, &line, &from), 2);
        assert_in_range(who, 0, WRITERS - 1);
        assert_true(line >= next[who]);
        next[who] = line + 1;
        for (int i = 0; i < line % 199; i++)
            assert_int_equal(message[from + i], 'a' + who);
        assert_string_equal(message + from + line % 199, ">");
        at = end + 1;
    }
    return lines;
}

/* A reader of the pipe that is as slow as it likes. */
static void *read_all(void *arg)
{
    ssize_t n;
    while ((n = read(held.read_fd, held.text + held.len, ROOM - held.len)) > 0)
        held.len += (size_t)n;
    return NULL;
}

static void *thread_writes(void *arg)
{
    write_many((int)(intptr_t)arg);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t reader, writers[WRITERS];
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped();
    if (pthread_create(&reader, NULL, read_all, NULL) != 0)
        abort();
    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&writers[i], NULL, thread_writes, (void *)(intptr_t)i) != 0)
            abort();
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    uint64_t dropped = log_dropped() - before;
    restore(); /* closes the pipe's writing end: the reader comes to its end */
    pthread_join(reader, NULL);
    uint64_t lines = judge_lines();
    assert_true(lines > 0);
    assert_int_equal(lines + dropped, WRITERS * LINES_EACH);
}

enum { ROUNDS = 500, LINES_A_ROUND = 8 };

static void *fill_each_round(void *arg)
{
    pthread_barrier_t *barrier = arg;
    char message[PIPE_BUF];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(barrier);
        for (int i = 0; i < LINES_A_ROUND; i++)
            log_info("%s", message);
        pthread_barrier_wait(barrier);
    }
    return NULL;
}

/* Linux before 6.4 cannot be told not to wait for a pipe: there the next test would. */
static bool pipes_can_refuse(void)
{
    int fds[2];
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    if (pipe2(fds, O_CLOEXEC) != 0)
        abort();
    ssize_t n = pwritev2(fds[1], &iov, 1, -1, RWF_NOWAIT);
    close(fds[0]);
    close(fds[1]);
    return n == 1;
}

/* Several find room for one line at the same moment, and nobody reads until all have written: each
 * line is written or dropped, and nobody is left waiting. */
static void test_race_for_the_last_page(void **state)
{
    pthread_t writers[WRITERS];
    pthread_barrier_t barrier;
    if (!pipes_can_refuse())
        skip();
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    uint64_t before = log_dropped(), lines = 0;
    if (fcntl(held.read_fd, F_SETFL, O_NONBLOCK) != 0 ||
        pthread_barrier_init(&barrier, NULL, WRITERS + 1) != 0)
        abort();
    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&writers[i], NULL, fill_each_round, &barrier) != 0)
            abort();
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        ssize_t n = read(held.read_fd, held.text, ROOM);
        for (ssize_t i = 0; i < n; i++)
            lines += held.text[i] == '\n';
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    uint64_t dropped = log_dropped() - before;
    restore();
    pthread_barrier_destroy(&barrier);
    assert_true(lines >= ROUNDS);
    assert_true(dropped > 0);
    assert_int_equal(lines + dropped, WRITERS * ROUNDS * LINES_A_ROUND);
}

/* Master and workers share one stderr. */
static void test_processes(void **state)
{
    pid_t pids[WRITERS];
    begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            abort();
        if (pids[i] > 0)
            continue;
        write_many(i);
        _exit(0);
    }
    restore();
    read_all(NULL);
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(judge_lines() > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_levels),           TEST(test_macros),       TEST(test_errno),
        TEST(test_escapes),          TEST(test_role),         TEST(test_long_messages),
        TEST(test_length_that_fits), TEST(test_access),       TEST(test_access_long),
        TEST(test_full_pipe),        TEST(test_pipe_drained), TEST(test_lost),
        TEST(test_full_socket),      TEST(test_file),         TEST(test_journal),
        TEST(test_processes),        TEST(test_threads),      TEST(test_race_for_the_last_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
