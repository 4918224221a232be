/* test_activation.c: sockets that come with LISTEN_FDS, and what the doors of configurations do with
 * them. They are put where the service manager puts them: at descriptors 3 and 4. */
#include "master/activation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/colmeia-given-XXXXXX";
static struct buf errors;
static struct config *configs[8];
static size_t configs_len;

static struct config *config_of(const char *bind)
{
    const char *words[] = {"--bind", bind, "--backlog", "7"};
    char *no_environment[] = {NULL};
    struct config_flags flags = {.config_path = "/dev/null",
                                 .argc = bind ? 4 : 0,
                                 .argv = (char **)words,
                                 .environ = no_environment};
    struct buf warnings = {0};
    struct config *config = config_load(&flags, &errors, &warnings);
    buf_free(&warnings);
    assert_non_null(config);
    configs[configs_len++] = config;
    return config;
}

/* A listening socket at *fd* and nowhere else; its port. */
static int put(int fd, const struct sockaddr *address, socklen_t len)
{
    struct sockaddr_in6 bound;
    socklen_t bound_len = sizeof bound;
    int made = socket(address->sa_family, SOCK_STREAM, 0);
    assert_true(made >= 0);
    assert_int_equal(bind(made, address, len), 0);
    assert_int_equal(listen(made, 64), 0);
    assert_int_equal(dup2(made, fd), fd);
    if (made != fd)
        close(made);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &bound_len), 0);
    return ntohs(bound.sin6_port); /* at the same place as sin_port */
}

static int put_loopback(int fd)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return put(fd, (struct sockaddr *)&in, sizeof in);
}

static void put_unix(int fd, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    put(fd, (struct sockaddr *)&un, sizeof un);
}

static void say(const char *pid, const char *fds, const char *names)
{
    char own[16];
    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv("LISTEN_PID", pid ? pid : own, 1);
    setenv("LISTEN_FDS", fds, 1);
    setenv("LISTEN_FDNAMES", names, 1);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_refused(const struct listener *l)
{
    int fd = socket(l->address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, &l->address.u.any, l->address.len);
    close(fd);
    return result < 0;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void test_take(void **state)
{
    (void)state;
    struct listeners given;
    char name[64];
    snprintf(name, sizeof name, "127.0.0.1:%d", put_loopback(3));
    put_unix(4, "a.sock");
    say(NULL, "2", "web:local");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
    assert_int_equal(given.len, 2);
    assert_string_equal(given.items[0].name, name);
    assert_string_equal(given.items[1].name, "unix:a.sock");
    assert_string_equal(given.notes[0].source, "systemd web");
    assert_string_equal(given.notes[1].source, "systemd local");
    for (int fd = 3; fd <= 4; fd++) {
        assert_true(given.items[fd - 3].activated && given.items[fd - 3].fd == fd);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    assert_int_equal(given.items[0].backlog_effective, 64);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    listeners_shut(&given);
    assert_int_equal(access("a.sock", F_OK), 0);
}

static void test_not_for_us(void **state)
{
    (void)state;
    struct listeners given;
    put_loopback(3);
    say("1", "1", "web");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
    assert_int_equal(given.len, 0);
    assert_null(getenv("LISTEN_FDS"));
    assert_int_equal(fcntl(3, F_GETFD), 0);
    say("", "nonsense", "web");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
    say(NULL, "0", "");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
    unsetenv("LISTEN_PID");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
    assert_int_equal(given.len + errors.len, 0);
}

/* All that is wrong is said at once; good ones do not help. */
static void test_refused(void **state)
{
    (void)state;
    struct listeners given;
    put_loopback(3);
    assert_int_equal(dup2(STDERR_FILENO, 4), 4);
    say(NULL, "3", "web");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_CONFIG);
    assert_int_equal(given.len, 0);
    buf_append_char(&errors, '\0');
    assert_non_null(strstr(errors.data, "descriptor 4 that LISTEN_FDS gives: it is no socket\n"));
    assert_non_null(strstr(errors.data, "descriptor 5 that LISTEN_FDS gives: there is no such"));
    assert_null(strstr(errors.data, "descriptor 3"));
    errors.len = 0;
    say(NULL, "61", "");
    assert_int_equal(activation_take(&given, &errors), EXIT_CODE_CONFIG);
    assert_int_equal(given.len, 0);
    assert_null(getenv("LISTEN_FDS"));
}

/* ---- in configurations ----------------------------------------------------------------------- */

/* Doors of *bind* (NULL: the default) beside *current*. */
static void open_doors(struct listeners *l, const char *bind, const struct listeners *current)
{
    if (listeners_open(l, config_of(bind), current, &errors) < 0)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&errors)));
}

/* A web socket at 3, unix:a.sock at 4. */
static void take(struct listeners *given)
{
    put_loopback(3);
    put_unix(4, "a.sock");
    say(NULL, "2", "web:local");
    assert_int_equal(activation_take(given, &errors), EXIT_CODE_OK);
}

static void assert_intact(const struct listeners *l, size_t i)
{
    assert_true(l->items[i].activated);
    assert_int_equal(l->items[i].backlog_asked, l->items[i].backlog_effective);
    assert_int_equal(l->notes[i].fate, LISTENER_KEPT);
}

static void test_from_start_to_stop(void **state)
{
    (void)state;
    struct listeners given, first, next;
    struct buf text = {0};
    take(&given);
    open_doors(&first, NULL, &given); /* the default address is not opened */
    assert_int_equal(first.len, 2);
    listeners_hand_on(&given, &first);
    listeners_shut(&given);
    assert_true(!is_open(3) && !is_open(4));
    open_doors(&next, "unix:b.sock,unix:a.sock", &first);
    assert_int_equal(next.len, 3);
    assert_string_equal(next.items[0].name, "unix:b.sock");
    assert_null(next.notes[0].source);
    assert_string_equal(next.notes[1].source, "systemd local");
    assert_string_equal(next.notes[2].source, "systemd web");
    listeners_hand_on(&first, &next);
    assert_int_equal(listeners_ending(&first), 0);
    listeners_shut(&first);
    assert_intact(&next, 1);
    assert_intact(&next, 2);
    listeners_describe(&next, &text);
    buf_append_char(&text, '\0');
    assert_non_null(strstr(text.data, "unix:b.sock, unix:a.sock (from systemd), http://127."));
    buf_free(&text);
    listeners_refuse(&next);
    assert_true(is_refused(&next.items[0]));
    assert_false(is_refused(&next.items[1]));
    assert_false(is_refused(&next.items[2]));
    int copy = dup(next.items[2].fd);
    struct listener web = next.items[2];
    listeners_shut(&next);
    assert_false(is_refused(&web));
    assert_int_equal(access("a.sock", F_OK), 0);
    close(copy);
}

static void test_way_back(void **state)
{
    (void)state;
    struct listeners given, next;
    take(&given);
    open_doors(&next, "unix:b.sock", &given);
    listeners_take_back(&next);
    listeners_shut(&next);
    struct config *bad = config_of("unix:nowhere/b.sock");
    assert_int_equal(listeners_open(&next, bad, &given, &errors), -1);
    assert_false(is_refused(&given.items[0]));
    assert_false(is_refused(&given.items[1]));
    listeners_shut(&given);
    assert_int_equal(access("a.sock", F_OK), 0);
}

/* [::]:PORT that takes IPv4 as well is what 0.0.0.0:PORT means; one for IPv6 alone is not. */
static void test_dual_stack(void **state)
{
    (void)state;
    struct listeners given, l;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    for (int v6only = 0; v6only <= 1; v6only++) {
        char bind_text[32];
        int made = socket(AF_INET6, SOCK_STREAM, 0);
        if (made < 0)
            skip();
        setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
        if (bind(made, (struct sockaddr *)&in6, sizeof in6) != 0 || listen(made, 8) != 0) {
            close(made);
            skip();
        }
        assert_int_equal(dup2(made, 3), 3);
        if (made != 3)
            close(made);
        say(NULL, "1", "web");
        assert_int_equal(activation_take(&given, &errors), EXIT_CODE_OK);
        snprintf(bind_text, sizeof bind_text, "%s", strrchr(given.items[0].name, ':'));
        open_doors(&l, bind_text, &given);
        assert_int_equal(l.len, v6only ? 2 : 1);
        listeners_shut(&l);
        listeners_shut(&given);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    return !mkdtemp(directory) || chdir(directory) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

static int clean(void **state)
{
    (void)state;
    while (configs_len > 0)
        config_free(configs[--configs_len]);
    buf_free(&errors);
    unlink("a.sock");
    for (int fd = 3; fd <= 4; fd++)
        close(fd);
    return 0;
}

#define GIVEN_TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GIVEN_TEST(test_take),    GIVEN_TEST(test_not_for_us),         GIVEN_TEST(test_refused),
        GIVEN_TEST(test_way_back), GIVEN_TEST(test_from_start_to_stop), GIVEN_TEST(test_dual_stack),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
