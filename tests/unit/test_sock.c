/* test_sock.c: shared/sock.h: addresses as people type them, and listening sockets: ports in use,
 * what stands at a unix path, and the ways to close the door. */
#include "shared/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cmocka.h>

#define LEN(array) (sizeof(array) / sizeof *(array))

#define EXACTLY_107                                                                                \
    "/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/"  \
    "12"                                                                                           \
    "3456789/123456"

/* What a test holds, let go of by teardown() whether it passed or not. */
static struct {
    char directory[64];
    struct listener listeners[4];
    size_t listeners_len;
    int fds[64];
    size_t fds_len;
    struct buf error;
} held;

static int setup(void **state)
{
    memset(&held, 0, sizeof held);
    strcpy(held.directory, "/tmp/test_sock.XXXXXX");
    return mkdtemp(held.directory) && chdir(held.directory) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < held.listeners_len; i++)
        listener_close(&held.listeners[i], true);
    for (size_t i = 0; i < held.fds_len; i++)
        close(held.fds[i]);
    buf_free(&held.error);
    unlink("s");
    return chdir("/") == 0 && rmdir(held.directory) == 0 ? 0 : -1;
}

static int keep(int fd)
{
    assert_true(fd >= 0 && held.fds_len < LEN(held.fds));
    held.fds[held.fds_len++] = fd;
    return fd;
}

/* The error so far, and an empty one again. */
static void expect_error(const char *expected)
{
    char text[512];
    assert_true(held.error.len < sizeof text);
    memcpy(text, buf_slice(&held.error).ptr, held.error.len);
    text[held.error.len] = 0;
    held.error.len = 0;
    assert_string_equal(text, expected);
}

static struct sock_address parse(const char *text)
{
    struct sock_address a;
    if (!sock_parse(slice_of(text), &a, &held.error))
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&held.error)));
    return a;
}

static struct listener *open_one(const char *text, int backlog)
{
    struct sock_address a = parse(text);
    struct listener *l = &held.listeners[held.listeners_len];
    if (listener_open(&a, backlog, l, &held.error) != 0)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&held.error)));
    held.listeners_len++;
    return l;
}

static void expect_cannot_open(const char *text, const char *error)
{
    struct sock_address a = parse(text);
    struct listener l = {.fd = -77};
    assert_int_equal(listener_open(&a, 5, &l, &held.error), -1);
    assert_int_equal(l.fd, -77);
    expect_error(error);
}

/* errno of a connect(2) to it that does not wait, 0. */
static int knock(const struct sock_address *a)
{
    int fd = keep(socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    /* over loopback the answer is there when connect(2) returns; a full unix queue would wait */
    if (sock_is_unix(a))
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return connect(fd, &a->u.any, a->len) == 0 ? 0 : errno;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int family;
        const char *name;
    } cases[] = {
        {"127.0.0.1:8000", AF_INET, "127.0.0.1:8000"},
        {"0.0.0.0:0", AF_INET, "0.0.0.0:0"},
        {"10.1.2.3:65535", AF_INET, "10.1.2.3:65535"},
        {":80", AF_INET, "0.0.0.0:80"},
        {"8000", AF_INET, "127.0.0.1:8000"},
        {"0", AF_INET, "127.0.0.1:0"},
        {"localhost:8000", AF_INET, "127.0.0.1:8000"},
        {"LocalHost:1", AF_INET, "127.0.0.1:1"},
        {"[::1]:8000", AF_INET6, "[::1]:8000"},
        {"[::]:0", AF_INET6, "[::]:0"},
        {"[0:0:0:0:0:0:0:1]:1", AF_INET6, "[::1]:1"},
        {"[2001:DB8::a]:443", AF_INET6, "[2001:db8::a]:443"},
        {"[::ffff:1.2.3.4]:1", AF_INET6, "[::ffff:1.2.3.4]:1"},
        {"[fe80::1%lo]:1", AF_INET6, "[fe80::1%lo]:1"},
        {"[fe80::1%1]:1", AF_INET6, "[fe80::1%lo]:1"},
        {"[fe80::1%4000000000]:1", AF_INET6, "[fe80::1%4000000000]:1"},
        {"unix:/run/x.sock", AF_UNIX, "unix:/run/x.sock"},
        {"unix:x", AF_UNIX, "unix:x"},
        {"unix:a b:80", AF_UNIX, "unix:a b:80"},
        {"unix:" EXACTLY_107, AF_UNIX, "unix:" EXACTLY_107},
        {"unix:@name", AF_UNIX, "unix:@name"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct sock_address a;
        char name[SOCK_NAME_MAX];
        if (!sock_parse(slice_of(cases[i].text), &a, &held.error))
            fail_msg("%.*s", SLICE_ARGS(buf_slice(&held.error)));
        sock_name(&a, name);
        assert_string_equal(name, cases[i].name);
        assert_int_equal(a.u.any.sa_family, cases[i].family);
        assert_int_equal(sock_is_unix(&a), cases[i].family == AF_UNIX);
    }
}

static void test_parse_errors(void **state)
{
    static const char port[] = "the port is a number from 0 to 65535";
    static const char host[] = "the host is a numeric address or localhost";
    static const char v6[] = "between [ and ] stands a numeric IPv6 address, as in [::1]:8000";
    static const char form[] = "write HOST:PORT, [V6]:PORT, :PORT or unix:PATH";
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "it is empty"},
        {"localhost", form},
        {"1.2.3.4", form},
        {"65536", form},
        {"1.2.3.4:", port},
        {"1.2.3.4:65536", port},
        {"1.2.3.4:-1", port},
        {"1.2.3.4:+1", port},
        {"1.2.3.4:http", port},
        {"1.2.3.4: 80", port},
        {"UNIX:/run/x", port},
        {"example.org:80", host},
        {"256.1.1.1:80", host},
        {"1.2.3:80", host},
        {"01.2.3.4:80", host},
        {"0x7f.0.0.1:80", host},
        {" 1.2.3.4:80", host},
        {"255.255.255.255.255:80", host},
        {"::1:80", "an IPv6 address needs brackets, as in [::1]:8000"},
        {"::", "an IPv6 address needs brackets, as in [::1]:8000"},
        {"[::1:80", "the ] of [V6]:PORT is missing"},
        {"[", "the ] of [V6]:PORT is missing"},
        {"[]:80", v6},
        {"[1.2.3.4]:80", v6},
        {"[::g]:80", v6},
        {"[::1%]:80", v6},
        {"[::1%0]:80", v6},
        {"[::1%no-such-if]:80", v6},
        {"[::1%a-name-that-is-too-long]:80", v6},
        {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80", v6},
        {"[::1]", "the port is missing, as in [::1]:8000"},
        {"[::1]80", "the port is missing, as in [::1]:8000"},
        {"[::1]:", port},
        {"[::1]:65536", port},
        {"unix:", "write unix:PATH"},
        {"unix:@", "write unix:PATH"},
        {"unix:@" EXACTLY_107, "a socket's path has at most 107 bytes, this one has 108"},
        {"unix:/" EXACTLY_107, "a socket's path has at most 107 bytes, this one has 108"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct sock_address a;
        char expected[512];
        snprintf(expected, sizeof expected, "\"%s\" is no address to listen on: %s", cases[i].text,
                 cases[i].why);
        if (sock_parse(slice_of(cases[i].text), &a, &held.error))
            fail_msg("\"%s\" was taken", cases[i].text);
        expect_error(expected);
    }
    struct sock_address a;
    assert_false(sock_parse(SLICE("unix:a\0b"), &a, &held.error));
    expect_error("\"?\" is no address to listen on: it holds a NUL byte");
}

/* Names of what accept(2) and others bring: no byte of them can upset a terminal or a line. */
static void test_names(void **state)
{
    char name[SOCK_NAME_MAX];
    struct sock_address a = {.len = offsetof(struct sockaddr_un, sun_path)};
    a.u.un.sun_family = AF_UNIX;
    sock_name(&a, name);
    assert_string_equal(name, "unix"); /* a client's, unnamed */
    a.len += 6;
    memcpy(a.u.un.sun_path, "\0a\nb\x7f\0", 6);
    sock_name(&a, name);
    assert_string_equal(name, "unix:@a?b??");
    a.len = sizeof a.u.un; /* all of it, no NUL at its end */
    memset(a.u.un.sun_path, 'x', sizeof a.u.un.sun_path);
    sock_name(&a, name);
    assert_int_equal(strlen(name), 5 + sizeof a.u.un.sun_path);
    a.u.any.sa_family = AF_UNSPEC;
    sock_name(&a, name);
    assert_string_equal(name, "?");
}

/* ---- TCP ------------------------------------------------------------------------------------ */

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static void test_tcp(void **state)
{
    struct listener *l = open_one("127.0.0.1:0", 7);
    char name[64];
    unsigned port = ntohs(l->address.u.in.sin_port);
    assert_true(port > 0);
    snprintf(name, sizeof name, "127.0.0.1:%u", port);
    assert_string_equal(l->name, name);
    assert_true(fcntl(l->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(l->fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(option_of(l->fd, SOL_SOCKET, SO_REUSEADDR), 1);
    assert_int_equal(accept(l->fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(knock(&l->address), 0);
    int fd = keep(accept(l->fd, NULL, NULL));
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
}

static int somaxconn(void)
{
    int value = 0;
    FILE *f = fopen("/proc/sys/net/core/somaxconn", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &value), 1);
    fclose(f);
    return value;
}

static void test_backlog(void **state)
{
    static const int asked[] = {1, 7, 65535};
    int most = somaxconn();
    for (size_t i = 0; i < LEN(asked); i++) {
        struct listener *l = open_one("127.0.0.1:0", asked[i]);
        assert_int_equal(l->backlog_asked, asked[i]);
        assert_int_equal(l->backlog_effective, asked[i] < most ? asked[i] : most);
    }
    assert_int_equal(open_one("unix:s", 9)->backlog_effective, -1);
}

static void test_port_in_use(void **state)
{
    char expected[256];
    struct listener *l = open_one("127.0.0.1:0", 5);
    snprintf(expected, sizeof expected,
             "cannot listen on %s: address already in use; stop the other program or choose "
             "another --bind",
             l->name);
    expect_cannot_open(l->name, expected);
    listener_close(l, false);
    struct listener *again = open_one(l->name, 5);
    assert_string_equal(again->name, l->name);
}

static void test_no_such_address(void **state)
{
    expect_cannot_open("192.0.2.1:0", "cannot listen on 192.0.2.1:0: this machine has no such "
                                      "address; `ip address` shows those it has");
}

/* [::] is IPv6 alone, so that the same port of 0.0.0.0 stays free for an address of its own. */
static void test_v6_only(void **state)
{
    char name[64];
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0 && errno == EAFNOSUPPORT)
        skip();
    keep(probe);
    struct listener *six = open_one("[::]:0", 5);
    snprintf(name, sizeof name, "0.0.0.0:%u", ntohs(six->address.u.in6.sin6_port));
    struct listener *four = open_one(name, 5);
    assert_string_equal(four->name, name);
}

/* Whoever else holds the socket finds the door closed, too. */
static void test_shutdown(void **state)
{
    struct listener *l = open_one("127.0.0.1:0", 5);
    int other = keep(fcntl(l->fd, F_DUPFD_CLOEXEC, 0));
    assert_int_equal(knock(&l->address), 0);
    keep(accept(other, NULL, NULL));
    listener_shutdown(l);
    assert_int_equal(accept(other, NULL, NULL), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(knock(&l->address), ECONNREFUSED);
}

/* Closing is this process's affair: others may still accept. Twice is harmless. */
static void test_close(void **state)
{
    struct listener *l = open_one("127.0.0.1:0", 5);
    int other = keep(fcntl(l->fd, F_DUPFD_CLOEXEC, 0));
    listener_close(l, true);
    assert_int_equal(l->fd, -1);
    listener_close(l, true);
    assert_int_equal(knock(&l->address), 0);
    keep(accept(other, NULL, NULL));
}

/* Newcomers are refused; who stands in the queue is still served. */
static void test_refuse_newcomers(void **state)
{
    static const struct {
        const char *bind;
        int error;
    } cases[] = {{"127.0.0.1:0", ECONNREFUSED}, {"unix:s", ENOENT}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct listener *l = open_one(cases[i].bind, 5);
        assert_int_equal(knock(&l->address), 0);
        assert_int_equal(listener_refuse_newcomers(l), 0);
        assert_int_equal(knock(&l->address), cases[i].error);
        keep(accept(l->fd, NULL, NULL));
        assert_int_equal(accept(l->fd, NULL, NULL), -1);
        assert_int_equal(errno, EAGAIN);
    }
}

/* ---- unix ----------------------------------------------------------------------------------- */

static void test_unix(void **state)
{
    struct stat st;
    mode_t before = umask(077);
    struct listener *l = open_one("unix:s", 5);
    umask(before);
    assert_string_equal(l->name, "unix:s");
    assert_int_equal(stat("s", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(knock(&l->address), 0);
    keep(accept(l->fd, NULL, NULL));
    listener_close(l, true);
    assert_false(exists("s"));
}

static const char in_use[] = "cannot listen on unix:s: address already in use; stop the other "
                             "program or choose another --bind";

/* What a server that died left behind is taken over; what a living one holds is not. */
static void test_stale_path(void **state)
{
    struct listener *dead = open_one("unix:s", 5);
    listener_close(dead, false);
    assert_true(exists("s"));
    struct listener *l = open_one("unix:s", 5);
    assert_int_equal(knock(&l->address), 0);
    keep(accept(l->fd, NULL, NULL));
    listener_close(dead, true); /* it is not the dead one's any more */
    assert_true(exists("s"));
}

static void test_live_path(void **state)
{
    struct listener *l = open_one("unix:s", 5);
    expect_cannot_open("unix:s", in_use);
    assert_true(exists("s"));
    assert_int_equal(knock(&l->address), 0);
}

/* Alive, but so busy that its queue is full. */
static void test_live_path_busy(void **state)
{
    struct listener *l = open_one("unix:s", 1);
    int error = 0;
    while (error == 0)
        error = knock(&l->address);
    assert_int_equal(error, EAGAIN);
    expect_cannot_open("unix:s", in_use);
    assert_true(exists("s"));
}

/* Alive, but of another kind. */
static void test_live_datagram_path(void **state)
{
    struct sock_address a = parse("unix:s");
    int fd = keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(fd, &a.u.any, a.len), 0);
    expect_cannot_open("unix:s", in_use);
    assert_true(exists("s"));
}

/* A file that is no socket is somebody's data, whatever it is. */
static void test_no_socket_there(void **state)
{
    static const char error[] = "cannot listen on unix:s: something that is no socket stands "
                                "there; remove it or choose another --bind";
    keep(open("s", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    expect_cannot_open("unix:s", error);
    assert_int_equal(unlink("s"), 0);
    assert_int_equal(symlink("/nowhere", "s"), 0);
    expect_cannot_open("unix:s", error);
    assert_int_equal(unlink("s"), 0);
    assert_int_equal(mkdir("s", 0700), 0);
    expect_cannot_open("unix:s", error);
    assert_int_equal(rmdir("s"), 0);
}

static void test_no_directory(void **state)
{
    expect_cannot_open("unix:no/s", "cannot listen on unix:no/s: its directory does not exist; "
                                    "make it or choose another --bind");
}

static void test_no_permission(void **state)
{
    uid_t before = geteuid();
    assert_int_equal(chmod(".", 0555), 0);
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    struct sock_address a = parse("unix:s");
    struct listener l = {.fd = -1};
    int result = listener_open(&a, 5, &l, &held.error);
    assert_int_equal(seteuid(before), 0);
    assert_int_equal(chmod(".", 0700), 0);
    assert_int_equal(result, -1);
    expect_error("cannot listen on unix:s: permission denied; the socket's directory must be "
                 "writable for this user");
}

/* Somebody removed our socket and put his own there: that one is not ours to unlink. */
static void test_path_of_another(void **state)
{
    struct listener *ours = open_one("unix:s", 5);
    assert_int_equal(unlink("s"), 0);
    struct listener *theirs = open_one("unix:s", 5);
    assert_int_equal(listener_refuse_newcomers(ours), 0);
    listener_close(ours, true);
    assert_int_equal(knock(&theirs->address), 0);
}

static void test_abstract(void **state)
{
    char bind[128], expected[256];
    snprintf(bind, sizeof bind, "unix:@test_sock.%s", strrchr(held.directory, '.'));
    struct listener *l = open_one(bind, 5);
    assert_string_equal(l->name, bind);
    assert_int_equal(knock(&l->address), 0);
    snprintf(expected, sizeof expected,
             "cannot listen on %s: address already in use; stop the other program or choose "
             "another --bind",
             bind);
    expect_cannot_open(bind, expected);
    assert_int_equal(listener_refuse_newcomers(l), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    listener_close(l, true);
    assert_int_equal(knock(&l->address), ECONNREFUSED);
}

static void test_no_descriptors(void **state)
{
    struct sock_address a = parse("127.0.0.1:0");
    struct listener l = {.fd = -1};
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = listener_open(&a, 5, &l, &held.error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, -1);
    expect_error("cannot listen on 127.0.0.1:0: no file descriptors left; raise the limit "
                 "(ulimit -n, LimitNOFILE=)");
}

/* As another program in this process has opened them. */
static void test_adopt(void **state)
{
    (void)state;
    static const char *const binds[] = {"127.0.0.1:0", "[::1]:0", "unix:adopted.sock",
                                        "unix:@colmeia-adopted"};
    for (size_t i = 0; i < sizeof binds / sizeof binds[0]; i++) {
        struct sock_address address;
        struct listener opened, adopted;
        struct buf error = {0};
        assert_true(sock_parse(slice_of(binds[i]), &address, &error));
        assert_int_equal(listener_open(&address, 9, &opened, &error), 0);
        assert_int_equal(listener_inherit(opened.fd, 9, &adopted), 0);
        assert_string_equal(adopted.name, opened.name);
        assert_int_equal(adopted.backlog_asked, 9);
        assert_int_equal(adopted.backlog_effective, opened.backlog_effective);
        assert_int_equal(adopted.path_ino, 0); /* whoever knows that it is ours says so */
        listener_close(&opened, true);
    }
    int pair[2];
    struct listener none;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(listener_inherit(pair[0], 9, &none), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(listener_inherit(-1, 9, &none), -1);
    close(pair[0]);
    close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_parse),
        TEST(test_parse_errors),
        TEST(test_names),
        TEST(test_tcp),
        TEST(test_backlog),
        TEST(test_port_in_use),
        TEST(test_no_such_address),
        TEST(test_v6_only),
        TEST(test_shutdown),
        TEST(test_close),
        TEST(test_refuse_newcomers),
        TEST(test_unix),
        TEST(test_stale_path),
        TEST(test_live_path),
        TEST(test_live_path_busy),
        TEST(test_live_datagram_path),
        TEST(test_no_socket_there),
        TEST(test_no_directory),
        TEST(test_no_permission),
        TEST(test_path_of_another),
        TEST(test_abstract),
        TEST(test_no_descriptors),
        TEST(test_adopt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
