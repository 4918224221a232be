/* test_message.c: shared/message.h over a real SOCK_SEQPACKET pair: what arrives, what is not a
 * message, and what the end of the other side looks like. */
#include "shared/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    int ours, theirs;
};

static int setup(void **state)
{
    static struct pair p;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return -1;
    p = (struct pair){fds[0], fds[1]};
    *state = &p;
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    close_end(&p->ours);
    close_end(&p->theirs);
    return 0;
}

static void expect(int fd, enum message_type type, unsigned generation, int64_t value)
{
    struct message m = {0};
    assert_int_equal(message_receive(fd, &m), MESSAGE_OK);
    assert_int_equal(m.type, type);
    assert_int_equal(m.generation, generation);
    assert_int_equal(m.pid, getpid());
    assert_int_equal(m.pad, 0);
    assert_int_equal(m.value, value);
}

static void test_each_type(void **state)
{
    struct pair *p = *state;
    static const int64_t values[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    struct message m;
    for (enum message_type type = MESSAGE_READY; type < MESSAGE_TYPE_END; type++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            assert_int_equal(message_send(p->ours, type, UINT32_MAX - (unsigned)i, values[i]), 0);
            expect(p->theirs, type, UINT32_MAX - (unsigned)i, values[i]);
        }
    }
    assert_int_equal(message_receive(p->theirs, &m), MESSAGE_NONE);
}

static void test_both_ways_in_order(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(message_send(p->ours, MESSAGE_QUIT, 1, i), 0);
        assert_int_equal(message_send(p->theirs, MESSAGE_CUT, 2, -i), 0);
    }
    for (int i = 0; i < 5; i++) {
        expect(p->theirs, MESSAGE_QUIT, 1, i);
        expect(p->ours, MESSAGE_CUT, 2, -i);
    }
}

/* None is there: the call returns at once although the socket would wait. */
static void test_none(void **state)
{
    struct pair *p = *state;
    struct message m = {.type = 77};
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_NONE);
    assert_int_equal(m.type, 77); /* untouched */
}

/* Wrong lengths and types are told apart from messages, and do not spoil the next one. */
static void test_bad(void **state)
{
    struct pair *p = *state;
    static const struct {
        size_t len;
        uint32_t type;
    } cases[] = {
        {1, MESSAGE_READY},
        {4, MESSAGE_READY},
        {sizeof(struct message) - 1, MESSAGE_READY},
        {sizeof(struct message) + 1, MESSAGE_READY},
        {4096, MESSAGE_READY},
        {sizeof(struct message), 0},
        {sizeof(struct message), MESSAGE_TYPE_END},
        {sizeof(struct message), UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[4096] = {0};
        struct message m = {.type = 77};
        memcpy(bytes, &(struct message){.type = cases[i].type}, sizeof m);
        assert_int_equal(send(p->theirs, bytes, cases[i].len, 0), cases[i].len);
        assert_int_equal(message_send(p->theirs, MESSAGE_READY, 3, (int64_t)i), 0);
        assert_int_equal(message_receive(p->ours, &m), MESSAGE_BAD);
        assert_int_equal(m.type, 77);
        expect(p->ours, MESSAGE_READY, 3, (int64_t)i);
    }
}

/* The other side says its last words and goes: the words first, then the end, again and again. */
static void test_peer_gone(void **state)
{
    struct pair *p = *state;
    struct message m;
    assert_int_equal(message_send(p->theirs, MESSAGE_CUT, 1, 5), 0);
    close_end(&p->theirs);
    expect(p->ours, MESSAGE_CUT, 1, 5);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_CLOSED);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_CLOSED);
}

/* It goes without having read what it was sent: the kernel says ECONNRESET, which means the same.
 */
static void test_peer_gone_unread(void **state)
{
    struct pair *p = *state;
    struct message m;
    assert_int_equal(message_send(p->ours, MESSAGE_DRAIN, 1, 0), 0);
    close_end(&p->theirs);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_CLOSED);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_CLOSED);
}

/* An error, and no SIGPIPE, which has its default action here. */
static void test_send_to_nobody(void **state)
{
    struct pair *p = *state;
    close_end(&p->theirs);
    errno = 0;
    assert_int_equal(message_send(p->ours, MESSAGE_DRAIN, 1, 0), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_no_socket(void **state)
{
    struct message m;
    errno = 0;
    assert_int_equal(message_send(-1, MESSAGE_DRAIN, 1, 0), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(message_receive(-1, &m), MESSAGE_CLOSED);
}

/* A side that does not read cannot hold up the other one; nothing that was accepted is lost. */
static void test_queue_full(void **state)
{
    struct pair *p = *state;
    int64_t sent = 0;
    errno = 0;
    while (message_send(p->ours, MESSAGE_QUIT, 9, sent) == 0)
        sent++;
    assert_int_equal(errno, EAGAIN);
    assert_true(sent > 0);
    for (int64_t i = 0; i < sent; i++)
        expect(p->theirs, MESSAGE_QUIT, 9, i);
    struct message m;
    assert_int_equal(message_receive(p->theirs, &m), MESSAGE_NONE);
    assert_int_equal(message_send(p->ours, MESSAGE_QUIT, 9, sent), 0);
}

/* From a child: its own pid, and its death is the end of the channel. */
static void test_across_fork(void **state)
{
    struct pair *p = *state;
    struct message m;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(message_send(p->theirs, MESSAGE_READY, 4, 0) == 0 ? 0 : 1);
    close_end(&p->theirs);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_OK);
    assert_int_equal(m.pid, child);
    assert_int_equal(m.generation, 4);
    assert_int_equal(message_receive(p->ours, &m), MESSAGE_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_type),      TEST(test_both_ways_in_order),
        TEST(test_none),           TEST(test_bad),
        TEST(test_peer_gone),      TEST(test_peer_gone_unread),
        TEST(test_send_to_nobody), TEST(test_no_socket),
        TEST(test_queue_full),     TEST(test_across_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
