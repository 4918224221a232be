/* test_listeners.c: the doors of one configuration and of the next, and regimes, which own them. */
#include "master/listeners.h"
#include "master/regime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/colmeia-doors-XXXXXX";
static struct buf error;
static struct config *configs[8];
static size_t configs_len;

/* A configuration with these addresses; freed after the test. *key_file* NULL: made where needed.
 */
static struct config *config_with(const char *bind, const char *key_file)
{
    const char *words[] = {"--bind", bind, "--backlog", "64"};
    char *no_environment[] = {NULL};
    FILE *f = fopen("c.ini", "w");
    assert_non_null(f);
    if (key_file)
        fprintf(f, "[auth]\nsecret_key_file = %s\n", key_file);
    fclose(f);
    struct config_flags flags = {
        .config_path = "c.ini", .argc = 4, .argv = (char **)words, .environ = no_environment};
    struct buf warnings = {0};
    struct config *config = config_load(&flags, &error, &warnings);
    buf_free(&warnings);
    if (!config)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&error)));
    configs[configs_len++] = config;
    return config;
}

static struct config *config_of(const char *bind)
{
    return config_with(bind, NULL);
}

static void open_doors(struct listeners *l, const char *bind, const struct listeners *current)
{
    if (listeners_open(l, config_of(bind), current, &error) < 0)
        fail_msg("%.*s", SLICE_ARGS(buf_slice(&error)));
}

/* What listeners_open says when it fails. */
static const char *cannot_open(struct listeners *l, const char *bind,
                               const struct listeners *current)
{
    assert_int_equal(listeners_open(l, config_of(bind), current, &error), -1);
    assert_int_equal(l->len, 0);
    assert_null(memchr(error.data, '\n', error.len));
    buf_append_char(&error, '\0');
    return error.data;
}

static int visit(const struct sock_address *address)
{
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, &address->u.any, address->len) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return saved == EINPROGRESS ? -2 : -1;
}

/* A loopback connection that does not wait for its accept: connect is over when poll says so. */
static bool is_refused(const struct listener *l)
{
    int fd = socket(l->address.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, &l->address.u.any, l->address.len);
    close(fd);
    return result < 0;
}

static ino_t socket_of(const struct listener *l)
{
    struct stat is;
    assert_int_equal(fstat(l->fd, &is), 0);
    return is.st_ino;
}

static bool has_visitor(const struct listener *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* ---- doors ----------------------------------------------------------------------------------- */

static void test_same_door(void **state)
{
    (void)state;
    struct listeners now, next;
    open_doors(&now, "127.0.0.1:0,unix:a.sock", NULL);
    open_doors(&next, "unix:a.sock,127.0.0.1:0", &now);
    assert_int_equal(socket_of(&now.items[0]), socket_of(&next.items[1]));
    assert_int_equal(socket_of(&now.items[1]), socket_of(&next.items[0]));
    assert_int_not_equal(now.items[0].fd, next.items[1].fd);
    assert_string_equal(now.items[0].name, next.items[1].name);
    assert_true(fcntl(next.items[0].fd, F_GETFD) & FD_CLOEXEC);
    next.items[1].backlog_asked = 7;
    listeners_hand_on(&now, &next);
    assert_int_equal(next.items[1].backlog_effective, 7);
    assert_int_equal(listeners_ending(&now), 0);
    listeners_shut(&now);
    assert_false(is_refused(&next.items[0]));
    assert_false(is_refused(&next.items[1]));
    assert_int_equal(access("a.sock", F_OK), 0);
    listeners_shut(&next);
    assert_int_equal(access("a.sock", F_OK), -1);
}

/* In other words, the same door: it is not "in use" by somebody else. */
static void test_same_door_in_other_words(void **state)
{
    (void)state;
    struct listeners first, now, next;
    char bind[256];
    open_doors(&first, "127.0.0.1:0,127.0.0.2:0", NULL);
    snprintf(bind, sizeof bind, "%s,%s,unix:a.sock", strchr(first.items[0].name, ':') + 1,
             first.items[1].name);
    open_doors(&now, bind, &first); /* "40000,127.0.0.2:40001" */
    assert_int_equal(socket_of(&now.items[0]), socket_of(&first.items[0]));
    assert_int_equal(socket_of(&now.items[1]), socket_of(&first.items[1]));
    listeners_hand_on(&first, &now);
    listeners_shut(&first);
    snprintf(bind, sizeof bind, "unix:a.sock,localhost%s", strchr(now.items[0].name, ':'));
    open_doors(&next, bind, &now);
    assert_int_equal(socket_of(&next.items[1]), socket_of(&now.items[0]));
    listeners_hand_on(&now, &next);
    assert_int_equal(listeners_ending(&now), 2); /* 127.0.0.2 */
    listeners_shut(&now);
    assert_false(is_refused(&next.items[0]));
    assert_false(is_refused(&next.items[1]));
    listeners_shut(&next);
}

/* Newcomers are refused, but who waits already can still be let in. */
static void test_door_that_ends(void **state)
{
    (void)state;
    struct listeners now, next;
    open_doors(&now, "127.0.0.1:0,unix:a.sock,127.0.0.2:0", NULL);
    open_doors(&next, "127.0.0.1:0,unix:b.sock", &now);
    int guest = visit(&now.items[1].address);
    assert_true(guest >= 0);
    listeners_hand_on(&now, &next);
    assert_int_equal(listeners_ending(&now), 6); /* the second and the third */
    assert_int_equal(listeners_ending(&next), 0);
    assert_true(is_refused(&now.items[1]));
    assert_true(is_refused(&now.items[2]));
    assert_false(is_refused(&next.items[0]));
    assert_true(has_visitor(&now.items[1]));
    assert_int_equal(access("a.sock", F_OK), -1);
    listeners_shut(&now);
    assert_false(is_refused(&next.items[0]));
    assert_false(is_refused(&next.items[1]));
    listeners_shut(&next);
    close(guest);
}

static void test_way_back(void **state)
{
    (void)state;
    struct listeners now, next;
    open_doors(&now, "127.0.0.1:0,unix:a.sock", NULL);
    open_doors(&next, "unix:a.sock,unix:b.sock,127.0.0.1:0", &now);
    listeners_take_back(&next);
    assert_int_equal(listeners_ending(&next), 2);
    listeners_shut(&next);
    assert_int_equal(access("b.sock", F_OK), -1);
    assert_int_equal(access("a.sock", F_OK), 0);
    assert_false(is_refused(&now.items[0]));
    assert_false(is_refused(&now.items[1]));
    open_doors(&next, "127.0.0.1:0", &now); /* and once more, forward */
    listeners_hand_on(&now, &next);
    listeners_shut(&now);
    assert_false(is_refused(&next.items[0]));
    listeners_shut(&next);
}

/* All or nothing. */
static void test_one_cannot_be_opened(void **state)
{
    (void)state;
    struct listeners now, next, busy;
    open_doors(&busy, "127.0.0.1:0", NULL);
    open_doors(&now, "unix:a.sock", NULL);
    char bind[256];
    snprintf(bind, sizeof bind, "unix:a.sock,unix:b.sock,%s", busy.items[0].name);
    assert_non_null(strstr(cannot_open(&next, bind, &now), "already in use"));
    assert_int_equal(access("b.sock", F_OK), -1);
    assert_false(is_refused(&now.items[0]));
    error.len = 0;
    assert_non_null(strstr(cannot_open(&next, bind, NULL), "a.sock")); /* it is taken, by us */
    assert_false(is_refused(&now.items[0]));
    listeners_shut(&now);
    listeners_shut(&busy);
}

static void test_too_many(void **state)
{
    (void)state;
    struct listeners l;
    struct buf bind = {0};
    for (int i = 0; i <= LISTENERS_MAX; i++)
        buf_printf(&bind, "%sunix:%d.sock", i ? "," : "", i);
    buf_append_char(&bind, '\0');
    assert_non_null(strstr(cannot_open(&l, bind.data, NULL), "at most 60"));
    assert_int_equal(access("0.sock", F_OK), -1);
    buf_free(&bind);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void test_full_stop(void **state)
{
    (void)state;
    struct listeners l;
    open_doors(&l, "127.0.0.1:0,unix:a.sock", NULL);
    int guest = visit(&l.items[1].address);
    assert_true(guest >= 0);
    listeners_refuse(&l);
    assert_true(l.refusing);
    assert_true(is_refused(&l.items[0]));
    assert_int_equal(access("a.sock", F_OK), -1);
    assert_true(has_visitor(&l.items[1]));
    /* its path may be a successor's by now */
    struct listeners successor;
    open_doors(&successor, "unix:a.sock", NULL);
    listeners_shut(&l);
    assert_int_equal(access("a.sock", F_OK), 0);
    assert_false(is_refused(&successor.items[0]));
    listeners_shut(&l); /* harmless */
    listeners_shut(&successor);
    close(guest);
}

/* A child's copies go without a trace. */
static void test_drop(void **state)
{
    (void)state;
    struct listeners now, next;
    open_doors(&now, "127.0.0.1:0,unix:a.sock", NULL);
    open_doors(&next, "127.0.0.1:0,unix:a.sock", &now);
    listeners_drop(&next);
    assert_int_equal(next.len, 0);
    listeners_drop(&next);
    assert_int_equal(access("a.sock", F_OK), 0);
    assert_false(is_refused(&now.items[0]));
    assert_false(is_refused(&now.items[1]));
    listeners_shut(&now);
}

static void test_description(void **state)
{
    (void)state;
    struct listeners l;
    struct buf text = {0};
    char want[256];
    open_doors(&l, "127.0.0.1:0,unix:a.sock", NULL);
    listeners_describe(&l, &text);
    snprintf(want, sizeof want, "http://%s, unix:a.sock", l.items[0].name);
    assert_int_equal(text.len, strlen(want));
    assert_memory_equal(text.data, want, text.len);
    assert_null(strstr(l.items[0].name, ":0"));
    buf_free(&text);
    listeners_shut(&l);
}

/* ---- regimes --------------------------------------------------------------------------------- */

static void test_regimes(void **state)
{
    (void)state;
    struct regime *now, *next;
    assert_int_equal(regime_open(config_of("unix:a.sock"), 1, NULL, NULL, &now, &error), EXIT_CODE_OK);
    assert_int_equal(regime_open(config_of("unix:a.sock"), 2, &now->listeners, &now->admin, &next, &error), EXIT_CODE_OK);
    assert_int_equal(now->generation, 1);
    assert_int_equal(next->generation, 2);
    struct slice a = secret_key(now->secret), b = secret_key(next->secret);
    assert_true(a.len >= 32 && slice_equals(a, b)); /* the file that the first has made */
    listeners_hand_on(&now->listeners, &next->listeners);
    regime_free(now);
    assert_false(is_refused(&next->listeners.items[0]));
    regime_free(next);
    assert_int_equal(access("a.sock", F_OK), -1);
    regime_free(NULL);
}

/* The key comes after the doors: when it fails, those that are new go again; and a busy door leaves
 * no key behind. */
static void test_regime_that_fails(void **state)
{
    (void)state;
    struct regime *now, *next;
    struct listeners busy;
    struct config *bad = config_with("unix:a.sock,unix:b.sock", "nowhere/secret.key");
    unlink("secret.key");
    open_doors(&busy, "unix:a.sock", NULL);
    assert_int_equal(regime_open(config_of("unix:a.sock"), 1, NULL, NULL, &now, &error), EXIT_CODE_BIND);
    assert_null(now);
    assert_int_equal(access("secret.key", F_OK), -1);
    listeners_shut(&busy);
    error.len = 0;
    assert_int_equal(regime_open(config_of("unix:a.sock"), 1, NULL, NULL, &now, &error), EXIT_CODE_OK);
    assert_int_equal(regime_open(bad, 2, &now->listeners, &now->admin, &next, &error), EXIT_CODE_CONFIG);
    assert_null(next);
    assert_non_null(memmem(error.data, error.len, "nowhere", 7));
    assert_int_equal(access("b.sock", F_OK), -1);
    assert_false(is_refused(&now->listeners.items[0]));
    regime_free(now);
}

/* What a child does with another's regime is nothing to that. */
static void test_disowned(void **state)
{
    (void)state;
    struct regime *now, *copy;
    assert_int_equal(regime_open(config_of("unix:a.sock"), 1, NULL, NULL, &now, &error), EXIT_CODE_OK);
    assert_int_equal(regime_open(config_of("unix:a.sock"), 2, &now->listeners, &now->admin, &copy, &error), EXIT_CODE_OK);
    regime_disown(copy);
    assert_null(copy->secret);
    assert_false(is_refused(&now->listeners.items[0]));
    regime_free(copy);
    assert_false(is_refused(&now->listeners.items[0]));
    assert_int_equal(access("a.sock", F_OK), 0);
    regime_free(now);
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
    unlink("secret.key");
    unlink("c.ini");
    return rmdir(directory);
}

static int free_all(void **state)
{
    (void)state;
    while (configs_len > 0)
        config_free(configs[--configs_len]);
    buf_free(&error);
    return 0;
}

#define DOORS_TEST(name) cmocka_unit_test_teardown(name, free_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOORS_TEST(test_same_door),
        DOORS_TEST(test_same_door_in_other_words),
        DOORS_TEST(test_door_that_ends),
        DOORS_TEST(test_way_back),
        DOORS_TEST(test_one_cannot_be_opened),
        DOORS_TEST(test_too_many),
        DOORS_TEST(test_full_stop),
        DOORS_TEST(test_drop),
        DOORS_TEST(test_description),
        DOORS_TEST(test_regimes),
        DOORS_TEST(test_regime_that_fails),
        DOORS_TEST(test_disowned),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
