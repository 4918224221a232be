/* test_notify.c: what the service manager is told when, and how it gets there. */
#include "master/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- what is said ---------------------------------------------------------------------------- */

enum { BEGIN_MS = 100000 };

struct moment {
    int64_t at_ms; /* since the beginning */
    enum status_state state;
    unsigned reloads;
    const char *status;
    const char *said; /* NULL: nothing; beginning with "lost ": it could not be sent */
};

static void play(const struct moment *moments, size_t len, int64_t watchdog_ms)
{
    struct notify_said said = {.watchdog_ms = watchdog_ms};
    for (size_t i = 0; i < len; i++) {
        const struct moment *m = &moments[i];
        struct buf datagram = {0};
        struct notify_said then;
        struct notify_facts facts = {.now = {BEGIN_MS + m->at_ms},
                                     .now_us = (BEGIN_MS + m->at_ms) * 1000 + 7,
                                     .state = m->state,
                                     .reloads = m->reloads,
                                     .status = slice_of(m->status)};
        bool lost = m->said && strncmp(m->said, "lost ", 5) == 0;
        const char *want = m->said ? m->said + (lost ? 5 : 0) : "";
        bool some = notify_decide(&said, &facts, &then, &datagram);
        buf_append_char(&datagram, '\0');
        if (some != (m->said != NULL) || strcmp(datagram.data, want) != 0)
            fail_msg("moment %zu: \"%s\" instead of \"%s\"", i, datagram.data, want);
        buf_free(&datagram);
        if (!lost)
            said = then;
    }
}

#define PLAY(watchdog_ms, ...)                                                                     \
    do {                                                                                           \
        static const struct moment moments[] = {__VA_ARGS__};                                      \
        play(moments, sizeof moments / sizeof *moments, watchdog_ms);                              \
    } while (0)

#define MORE "EXTEND_TIMEOUT_USEC=20000000\n"

/* READY comes with all workers, not with the first; later a worker that is missing is no news but
 * for the status. */
static void test_start(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_STARTING, 0, "a", MORE "STATUS=a\n"}, {10, STATUS_STARTING, 0, "b", NULL},
         {1000, STATUS_STARTING, 0, "b", "STATUS=b\n"}, {2500, STATUS_STARTING, 0, "b", NULL},
         {5000, STATUS_STARTING, 0, "b", MORE}, {9999, STATUS_STARTING, 0, "b", NULL},
         {10000, STATUS_STARTING, 0, "b", MORE},
         {10001, STATUS_READY, 0, "c", "READY=1\nSTATUS=c\n"}, {10500, STATUS_READY, 0, "c", NULL},
         {30000, STATUS_READY, 0, "c", NULL}, {30001, STATUS_DEGRADED, 0, "d", "STATUS=d\n"},
         {30002, STATUS_READY, 0, "e", NULL}, {31001, STATUS_READY, 0, "e", "STATUS=e\n"});
}

static void test_status_once_a_second(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_READY, 0, "0", "READY=1\nSTATUS=0\n"}, {999, STATUS_READY, 0, "1", NULL},
         {1000, STATUS_READY, 0, "2", "STATUS=2\n"}, {1001, STATUS_READY, 0, "3", NULL},
         {1999, STATUS_READY, 0, "4", NULL}, {2000, STATUS_READY, 0, "2", NULL},
         {2001, STATUS_READY, 0, "5", "STATUS=5\n"});
}

/* The time is of the moment it is said; READY ends it, whatever came of it. */
static void test_reload(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_READY, 0, "s", "READY=1\nSTATUS=s\n"},
         {50, STATUS_RELOADING, 1, "s",
          "RELOADING=1\nMONOTONIC_USEC=100050007\n" MORE "STATUS=s\n"},
         {60, STATUS_RELOADING, 1, "s", NULL}, {5050, STATUS_RELOADING, 1, "s", MORE},
         {5100, STATUS_DEGRADED, 1, "t", "READY=1\nSTATUS=t\n"}, {5101, STATUS_READY, 1, "t", NULL});
}

/* One begins as the other ends, and one is over before anybody looked: each has its own time. */
static void test_reload_after_reload(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_READY, 0, "s", "READY=1\nSTATUS=s\n"},
         {1, STATUS_RELOADING, 1, "s", "RELOADING=1\nMONOTONIC_USEC=100001007\n" MORE "STATUS=s\n"},
         {2, STATUS_RELOADING, 2, "s", "RELOADING=1\nMONOTONIC_USEC=100002007\n" MORE "STATUS=s\n"},
         {3, STATUS_READY, 2, "s", "READY=1\nSTATUS=s\n"},
         {4, STATUS_READY, 3, "s", "RELOADING=1\nMONOTONIC_USEC=100004007\n" MORE "STATUS=s\n"},
         {5, STATUS_READY, 3, "s", "READY=1\nSTATUS=s\n"});
}

/* A reload during the start is a part of it. */
static void test_reload_before_ready(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_STARTING, 0, "s", MORE "STATUS=s\n"}, {1, STATUS_RELOADING, 1, "s", NULL},
         {2, STATUS_READY, 1, "s", "READY=1\nSTATUS=s\n"}, {3, STATUS_READY, 1, "s", NULL});
}

/* In every state, once. */
static void test_stop(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_STARTING, 0, "s", MORE "STATUS=s\n"},
         {1, STATUS_STOPPING, 0, "e", "STOPPING=1\n" MORE "STATUS=e\n"},
         {2, STATUS_STOPPING, 0, "e", NULL});
    PLAY(0, {0, STATUS_READY, 0, "s", "READY=1\nSTATUS=s\n"},
         {1, STATUS_RELOADING, 1, "s", "RELOADING=1\nMONOTONIC_USEC=100001007\n" MORE "STATUS=s\n"},
         {2, STATUS_STOPPING, 1, "e", "STOPPING=1\n" MORE "STATUS=e\n"},
         {3, STATUS_STOPPING, 2, "e", NULL}, {5002, STATUS_STOPPING, 2, "e", MORE});
}

static void test_watchdog(void **state)
{
    (void)state;
    PLAY(2000, {0, STATUS_STARTING, 0, "s", MORE "STATUS=s\nWATCHDOG=1\n"},
         {499, STATUS_STARTING, 0, "s", NULL}, {500, STATUS_STARTING, 0, "s", "WATCHDOG=1\n"},
         {600, STATUS_READY, 0, "s", "READY=1\nSTATUS=s\n"},
         {1100, STATUS_STOPPING, 0, "s", "STOPPING=1\n" MORE "STATUS=s\nWATCHDOG=1\n"},
         {1600, STATUS_STOPPING, 0, "s", "WATCHDOG=1\n"});
    assert_int_equal(notify_every_ms(&(struct notify_said){.watchdog_ms = 2000}), 500);
    assert_int_equal(notify_every_ms(&(struct notify_said){.watchdog_ms = 60000}), 1000);
    assert_int_equal(notify_every_ms(&(struct notify_said){0}), 1000);
}

/* What could not be sent is said again, as it is by then. */
static void test_lost(void **state)
{
    (void)state;
    PLAY(0, {0, STATUS_READY, 0, "s", "lost READY=1\nSTATUS=s\n"},
         {1, STATUS_READY, 0, "t", "READY=1\nSTATUS=t\n"},
         {2, STATUS_RELOADING, 1, "t",
          "lost RELOADING=1\nMONOTONIC_USEC=100002007\n" MORE "STATUS=t\n"},
         {3, STATUS_STOPPING, 1, "u", "STOPPING=1\n" MORE "STATUS=u\n"});
}

/* ---- to whom --------------------------------------------------------------------------------- */

static char directory[] = "/tmp/colmeia-told-XXXXXX";

/* A manager that listens there ("@…": abstract). */
static int listen_at(const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memcpy(un.sun_path, name, len);
    if (name[0] == '@')
        un.sun_path[0] = '\0';
    socklen_t un_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, un_len), 0);
    return fd;
}

static void test_both_kinds_of_address(void **state)
{
    (void)state;
    char names[2][64];
    snprintf(names[0], sizeof names[0], "%s/notify", directory);
    snprintf(names[1], sizeof names[1], "@colmeia-told-%d", (int)getpid());
    for (int i = 0; i < 2; i++) {
        struct notify_socket s;
        struct notify_said said;
        char got[32] = "", own[16];
        int manager = listen_at(names[i]);
        snprintf(own, sizeof own, "%d", (int)getpid());
        setenv("NOTIFY_SOCKET", names[i], 1);
        setenv("WATCHDOG_USEC", "3000000", 1);
        setenv("WATCHDOG_PID", i == 0 ? own : "1", 1);
        notify_open(&s, &said);
        assert_true(s.fd >= 0 && fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(said.watchdog_ms, i == 0 ? 3000 : 0);
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_null(getenv("WATCHDOG_USEC"));
        assert_null(getenv("WATCHDOG_PID"));
        assert_true(notify_send(&s, SLICE("READY=1\n")));
        assert_int_equal(recv(manager, got, sizeof got, 0), 8);
        assert_string_equal(got, "READY=1\n");
        close(manager);
        assert_false(notify_send(&s, SLICE("STOPPING=1\n")));
        assert_true(s.failed);
        assert_false(notify_send(&s, SLICE("STOPPING=1\n")));
        notify_close(&s);
        notify_close(&s);
    }
    unlink(names[0]);
}

/* A manager that does not read must not hold the server up. */
static void test_never_waits(void **state)
{
    (void)state;
    struct notify_socket s;
    struct notify_said said;
    char name[64];
    snprintf(name, sizeof name, "%s/notify", directory);
    int manager = listen_at(name);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_open(&s, &said);
    unsigned sent = 0;
    while (sent < 100000 && notify_send(&s, SLICE("STATUS=busy\n")))
        sent++;
    assert_true(sent > 0 && sent < 100000);
    char got[32];
    while (recv(manager, got, sizeof got, 0) > 0)
        continue;
    assert_true(notify_send(&s, SLICE("READY=1\n")));
    notify_close(&s);
    close(manager);
    unlink(name);
}

static void test_nobody(void **state)
{
    (void)state;
    static const char *const names[] = {"", "notify", "vsock:2:1234", "@",
                                        "/tmp/a-path-that-is-longer-than-the-108-bytes-that-unix-sockets-"
                                        "have-for-their-names-so-that-it-cannot-be-one"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct notify_socket s;
        struct notify_said said;
        setenv("NOTIFY_SOCKET", names[i], 1);
        setenv("WATCHDOG_USEC", "3000000", 1);
        notify_open(&s, &said);
        assert_int_equal(s.fd, -1);
        assert_int_equal(said.watchdog_ms, 0);
        assert_null(getenv("NOTIFY_SOCKET"));
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_status_once_a_second),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reload_after_reload),
        cmocka_unit_test(test_reload_before_ready),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_both_kinds_of_address),
        cmocka_unit_test(test_never_waits),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
