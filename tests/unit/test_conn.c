/* test_conn.c: worker/net/conn.c over socketpair(2): what is kept, paused, written, lingered over.
 */
#include "shared/poison.h"
#include "shared/str.h"
#include "worker/net/conn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { TAKE_ALL = -2, CLOSE_IN_DATA = -3 };

struct rig {
    struct conn conn; /* first */
    struct loop *loop;
    struct scoreboard_slot slot;
    struct conn_shared shared;
    int peer;
    ssize_t take;     /* how many bytes data() takes, or one of the above */
    struct buf shown; /* the bytes of the last data() */
    unsigned datas, eofs, rooms, deadlines, closes;
    enum conn_end why;
};

static struct rig *rig_of(struct conn *c)
{
    return (struct rig *)c;
}

static ssize_t on_data(struct conn *c, const char *bytes, size_t len)
{
    struct rig *r = rig_of(c);
    r->datas++;
    r->shown.len = 0;
    buf_append(&r->shown, bytes, len);
#ifdef POISON_WORKS /* who reads on is seen */
    assert_true(__asan_address_is_poisoned(bytes + len));
#endif
    if (r->take == CLOSE_IN_DATA) {
        conn_close(c);
        return -1;
    }
    return r->take == TAKE_ALL || (size_t)r->take > len ? (ssize_t)len : r->take;
}

static void on_eof(struct conn *c)
{
    rig_of(c)->eofs++;
}

static void on_room(struct conn *c)
{
    rig_of(c)->rooms++;
    conn_want_data(c, true);
}

static void on_deadline(struct conn *c)
{
    rig_of(c)->deadlines++;
}

static void on_closed(struct conn *c, enum conn_end why)
{
    rig_of(c)->closes++;
    rig_of(c)->why = why;
}

static const struct conn_events events = {.data = on_data,
                                          .eof = on_eof,
                                          .room = on_room,
                                          .deadline = on_deadline,
                                          .closed = on_closed};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    int pair[2];
    r->loop = loop_new();
    r->take = TAKE_ALL;
    assert_int_equal(conn_shared_init(&r->shared, r->loop, &r->slot, &events, 30), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    r->peer = pair[0];
    conn_open(&r->conn, &r->shared, pair[1]);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    conn_close(&r->conn);
    conn_close(&r->conn); /* harmless */
    if (r->peer >= 0)
        close(r->peer);
    conn_shared_fini(&r->shared);
    buf_free(&r->shown);
    loop_free(r->loop);
    free(r);
    return 0;
}

static void turn(struct rig *r)
{
    for (int i = 0; i < 5; i++)
        loop_run_once(r->loop, false);
}

static void put(struct rig *r, const char *text)
{
    assert_int_equal(send(r->peer, text, strlen(text), 0), strlen(text));
    turn(r);
}

static struct iovec piece(const char *text)
{
    return (struct iovec){(char *)(uintptr_t)text, strlen(text)};
}

static void assert_shown(const struct rig *r, const char *text)
{
    assert_int_equal(r->shown.len, strlen(text));
    assert_memory_equal(r->shown.data, text, r->shown.len);
}

static void test_data(void **state)
{
    struct rig *r = *state;
    put(r, "abc");
    assert_shown(r, "abc");
    assert_null(r->conn.kept); /* nothing stays with the connection */
    assert_int_equal(r->slot.counters[COUNTER_bytes_in], 3);
    put(r, "d");
    assert_shown(r, "d");
    assert_int_equal(r->datas, 2);
    for (size_t i = 0; i < r->shown.len; i++) /* shared by all, and cleared behind each */
        assert_int_equal(r->shared.read_buffer[i], 0);
}

static void test_kept(void **state)
{
    struct rig *r = *state;
    r->take = 0;
    put(r, "abc");
    put(r, "de");
    assert_shown(r, "abcde");
    r->take = 2;
    put(r, "f");
    assert_shown(r, "abcdef");
    conn_again(&r->conn);
    assert_shown(r, "cdef");
    r->take = TAKE_ALL;
    conn_again(&r->conn);
    assert_shown(r, "ef");
    assert_null(r->conn.kept);
    unsigned before = r->datas;
    conn_again(&r->conn);
    assert_int_equal(r->datas, before);
}

static void test_close_in_data(void **state)
{
    struct rig *r = *state;
    r->take = 0;
    put(r, "abc");
    r->take = CLOSE_IN_DATA;
    put(r, "d");
    assert_int_equal(r->conn.io.fd, -1);
    assert_null(r->conn.kept);
    assert_int_equal(r->closes, 0);
}

static void test_paused(void **state)
{
    struct rig *r = *state;
    conn_want_data(&r->conn, false);
    put(r, "abc");
    assert_int_equal(r->datas, 0);
    conn_want_data(&r->conn, true);
    turn(r);
    assert_shown(r, "abc");
}

static void test_read_now(void **state)
{
    struct rig *r = *state;
    conn_read_now(&r->conn);
    assert_int_equal(r->datas, 0);
    assert_int_equal(send(r->peer, "x", 1, 0), 1);
    conn_read_now(&r->conn);
    assert_shown(r, "x");
}

static void test_eof(void **state)
{
    struct rig *r = *state;
    put(r, "a");
    shutdown(r->peer, SHUT_WR);
    turn(r);
    assert_int_equal(r->eofs, 1);
    assert_int_equal(r->closes, 0);
    struct iovec text = piece("bye");
    assert_int_equal(conn_write(&r->conn, &text, 1), 3);
    assert_false(conn_linger(&r->conn)); /* nothing to wait for */
    char got[4];
    assert_int_equal(read(r->peer, got, 4), 3);
    assert_int_equal(read(r->peer, got, 4), 0);
}

static void test_hang_up(void **state)
{
    struct rig *r = *state;
    close(r->peer);
    r->peer = -1;
    turn(r);
    assert_int_equal(r->eofs, 0);
    assert_int_equal(r->closes, 1);
    assert_int_equal(r->why, CONN_END_BROKEN);
    assert_int_equal(r->conn.io.fd, -1);
}

static void test_write_pieces(void **state)
{
    struct rig *r = *state;
    struct iovec pieces[] = {piece("ab"), piece(""), piece("cde")};
    assert_int_equal(conn_write(&r->conn, pieces, 3), 5);
    assert_false(conn_is_blocked(&r->conn));
    char got[6];
    assert_int_equal(read(r->peer, got, 6), 5);
    assert_memory_equal(got, "abcde", 5);
    assert_int_equal(r->slot.counters[COUNTER_bytes_out], 5);
}

static void test_write_to_nobody(void **state)
{
    struct rig *r = *state;
    struct iovec text = piece("x");
    close(r->peer);
    r->peer = -1;
    assert_int_equal(conn_write(&r->conn, &text, 1), -1);
}

static size_t fill(struct rig *r)
{
    static char much[1 << 20];
    struct iovec all = {much, sizeof much};
    ssize_t n = conn_write(&r->conn, &all, 1);
    assert_in_range(n, 1, sizeof much - 1);
    assert_true(conn_is_blocked(&r->conn));
    return (size_t)n;
}

static void test_room(void **state)
{
    struct rig *r = *state;
    size_t n = fill(r);
    turn(r);
    assert_int_equal(r->rooms, 0);
    char *got = malloc(n);
    assert_int_equal(read(r->peer, got, n), n);
    free(got);
    turn(r);
    assert_int_equal(r->rooms, 1); /* once, not at every turn */
    assert_false(conn_is_blocked(&r->conn));
    assert_false(mono_is_set(r->conn.own_deadline)); /* to have been slow once is no fault */
    put(r, "still read");
    assert_shown(r, "still read");
}

/* What the socket would take is sent in parts all the same; nobody has to read for the next one. */
static void test_much(void **state)
{
    struct rig *r = *state;
    static char much[CONN_WRITE_MAX + 1], got[CONN_WRITE_MAX];
    int room = 4 * CONN_WRITE_MAX;
    assert_int_equal(setsockopt(r->conn.io.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    struct iovec pieces[] = {{much, 1}, {much + 1, CONN_WRITE_MAX}, piece("behind it")};
    assert_int_equal(conn_write(&r->conn, pieces, 3), CONN_WRITE_MAX);
    assert_true(conn_is_blocked(&r->conn));
    assert_int_equal(r->rooms, 0);
    turn(r);
    assert_int_equal(r->rooms, 1);
    assert_false(conn_is_blocked(&r->conn));
    for (size_t n = 0; n < CONN_WRITE_MAX;)
        n += (size_t)read(r->peer, got, sizeof got - n);
    struct iovec all[] = {{much, 1}, {much + 1, CONN_WRITE_MAX - 1}};
    assert_int_equal(conn_write(&r->conn, all, 2), CONN_WRITE_MAX);
    assert_false(conn_is_blocked(&r->conn));
}

static void test_stuck(void **state)
{
    struct rig *r = *state;
    fill(r);
    while (r->closes == 0)
        loop_run_once(r->loop, true);
    assert_int_equal(r->why, CONN_END_STUCK);
    assert_int_equal(r->deadlines, 0);
}

/* Only progress moves the deadline of a blocked write. */
static void test_stuck_stays_stuck(void **state)
{
    struct rig *r = *state;
    r->shared.write_timeout_ms = 60000;
    fill(r);
    mono_ms until = r->conn.own_deadline;
    mono_ms began = loop_now(r->loop);
    while (mono_diff_ms(loop_now(r->loop), began) == 0)
        loop_run_once(r->loop, false);
    char more[] = "x";
    assert_int_equal(conn_write(&r->conn, &(struct iovec){more, 1}, 1), 0);
    assert_int_equal(mono_diff_ms(r->conn.own_deadline, until), 0);
}

static void test_deadline(void **state)
{
    struct rig *r = *state;
    mono_ms now = clock_now();
    conn_set_deadline(&r->conn, mono_add(now, 100000));
    conn_set_deadline(&r->conn, mono_add(now, 20)); /* nearer: the timer must move */
    while (r->deadlines == 0)
        loop_run_once(r->loop, true);
    assert_false(mono_before(clock_now(), mono_add(now, 20)));
    assert_false(mono_is_set(r->conn.deadline));
}

/* A deadline that moved away does not fire when the timer does. */
static void test_deadline_moves(void **state)
{
    struct rig *r = *state;
    mono_ms now = clock_now();
    conn_set_deadline(&r->conn, mono_add(now, 10));
    conn_set_deadline(&r->conn, mono_add(now, 60));
    while (r->deadlines == 0)
        loop_run_once(r->loop, true);
    assert_false(mono_before(clock_now(), mono_add(now, 60)));
    conn_set_deadline(&r->conn, mono_add(clock_now(), 5));
    conn_set_deadline(&r->conn, (mono_ms){0}); /* never */
    conn_close(&r->conn);
    assert_int_equal(r->deadlines, 1);
}

static void test_linger(void **state)
{
    struct rig *r = *state;
    r->take = 0;
    put(r, "kept");
    assert_true(conn_linger(&r->conn));
    char c;
    assert_int_equal(read(r->peer, &c, 1), 0);
    put(r, "more");
    assert_int_equal(r->datas, 1);
    assert_int_equal(r->closes, 0);
    shutdown(r->peer, SHUT_WR);
    turn(r);
    assert_int_equal(r->closes, 1);
    assert_int_equal(r->why, CONN_END_LINGERED);
}

static void test_size(void **state)
{
    assert_in_range(sizeof(struct conn), 1, 192);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_data),     TEST(test_kept),           TEST(test_close_in_data),
        TEST(test_paused),   TEST(test_read_now),       TEST(test_eof),
        TEST(test_hang_up),  TEST(test_write_pieces),   TEST(test_write_to_nobody),
        TEST(test_room),     TEST(test_much),           TEST(test_stuck),
        TEST(test_deadline), TEST(test_deadline_moves), TEST(test_stuck_stays_stuck),
        TEST(test_linger),   TEST(test_size),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
