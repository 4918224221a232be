/* test_handover.c: worker/net/handover.c: parcels in and out of the queue; what does not fit, what
 * is none, and a receiver that is short of descriptors. */
#include "worker/net/handover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { TAKEN_MAX = 512 };

struct rig {
    struct loop *loop;
    struct scoreboard_slot slot;
    int queue[2];
    struct inbox *inbox;
    bool shut;             /* the gate */
    unsigned refused;      /* so often there was no memory to take one */
    bool short_of_memory;
    struct parcel taken[TAKEN_MAX];
    char bytes[HANDOVER_BYTES_MAX]; /* of the last one */
    unsigned taken_len;
};

static bool may_take(void *ctx)
{
    struct rig *r = ctx;
    return !r->shut;
}

static bool on_taken(void *ctx, const struct parcel *p)
{
    struct rig *r = ctx;
    r->refused += r->short_of_memory;
    if (r->short_of_memory)
        return false;
    assert_in_range(r->taken_len, 0, TAKEN_MAX - 1);
    assert_true(fcntl(p->fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(p->fd, F_GETFD) & FD_CLOEXEC);
    memcpy(r->bytes, p->bytes, p->bytes_len);
    r->taken[r->taken_len++] = *p;
    return true;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->loop = loop_new();
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, r->queue), 0);
    r->inbox = inbox_new(r->loop, &(struct inbox_options){
                                      .queue_fd = r->queue[0],
                                      .give_fd = r->queue[1],
                                      .slot = &r->slot,
                                      .may_take = may_take,
                                      .taken = on_taken,
                                      .ctx = r,
                                  });
    assert_non_null(r->inbox);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    inbox_free(r->inbox);
    for (unsigned i = 0; i < r->taken_len; i++)
        close(r->taken[i].fd);
    close(r->queue[0]);
    close(r->queue[1]);
    loop_free(r->loop);
    free(r);
    return 0;
}

static void turn(struct rig *r)
{
    for (int i = 0; i < 40; i++)
        loop_run_once(r->loop, false);
}

/* A connection: *near* is given away, the test keeps *far*. */
struct line {
    int near, far;
};

static struct line line_open(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    return (struct line){pair[0], pair[1]};
}

/* Gives and forgets, as a sender does. */
static enum handover_result give(struct rig *r, struct line l, const char *bytes, size_t len)
{
    struct parcel p = {.fd = l.near, .fresh = len == 0, .bytes = bytes, .bytes_len = len};
    p.peer.len = sizeof p.peer.u.any.sa_family;
    enum handover_result result = handover_give(r->queue[1], &p);
    close(l.near);
    return result;
}

static void assert_ended(int far)
{
    char c;
    assert_int_equal(read(far, &c, 1), 0);
    close(far);
}

static void test_what_travels(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    mono_ms now = clock_now();
    struct parcel p = {
        .fd = l.near,
        .opened = mono_add(now, -5000),
        .waiting_since = mono_add(now, -30),
        .requests = 17,
        .bytes = "GET / HT",
        .bytes_len = 8,
    };
    p.peer.len = sizeof p.peer.u.in;
    p.peer.u.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(4711)};
    assert_int_equal(handover_give(r->queue[1], &p), HANDOVER_GIVEN);
    close(l.near);
    turn(r);
    assert_int_equal(r->taken_len, 0); /* not started */
    inbox_start(r->inbox);
    inbox_start(r->inbox);
    turn(r);
    assert_int_equal(r->taken_len, 1);
    const struct parcel *got = &r->taken[0];
    assert_int_equal(got->opened.ms, p.opened.ms);
    assert_int_equal(got->waiting_since.ms, p.waiting_since.ms);
    assert_int_equal(got->requests, 17);
    assert_false(got->fresh);
    assert_int_equal(got->bytes_len, 8);
    assert_memory_equal(r->bytes, "GET / HT", 8);
    assert_int_equal(got->peer.len, p.peer.len);
    assert_memory_equal(&got->peer.u.in, &p.peer.u.in, sizeof p.peer.u.in);
    assert_int_equal(write(l.far, "hello", 5), 5);
    char text[8];
    assert_int_equal(read(got->fd, text, sizeof text), 5);
    close(l.far);
}

/* Times that nobody can have sent are now. */
static void test_times_are_past(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    struct parcel p = {.fd = l.near, .fresh = true, .opened = mono_add(clock_now(), 100000)};
    assert_int_equal(handover_give(r->queue[1], &p), HANDOVER_GIVEN);
    close(l.near);
    inbox_empty(r->inbox);
    assert_int_equal(r->taken_len, 1);
    mono_ms now = clock_now();
    assert_in_range(now.ms - r->taken[0].opened.ms, 0, 60000);
    assert_in_range(now.ms - r->taken[0].waiting_since.ms, 0, 60000);
    close(l.far);
}

static void test_most_bytes(void **state)
{
    static char bytes[HANDOVER_BYTES_MAX + 1];
    struct rig *r = *state;
    memset(bytes, 'b', sizeof bytes);
    struct line much = line_open();
    struct line most = line_open();
    assert_int_equal(give(r, much, bytes, sizeof bytes), HANDOVER_REFUSED);
    assert_int_equal(errno, EMSGSIZE);
    assert_ended(much.far);
    assert_int_equal(give(r, most, bytes, HANDOVER_BYTES_MAX), HANDOVER_GIVEN);
    inbox_empty(r->inbox);
    assert_int_equal(r->taken_len, 1);
    assert_int_equal(r->taken[0].bytes_len, HANDOVER_BYTES_MAX);
    assert_memory_equal(r->bytes, bytes, HANDOVER_BYTES_MAX);
    close(most.far);
}

static void test_full_and_refused(void **state)
{
    struct rig *r = *state;
    unsigned given = 0;
    enum handover_result result;
    struct line keep = line_open();
    struct parcel p = {.fd = keep.near, .fresh = true};
    while ((result = handover_give(r->queue[1], &p)) == HANDOVER_GIVEN)
        given++;
    assert_int_equal(result, HANDOVER_FULL);
    assert_in_range(given, 8, TAKEN_MAX - 1); /* the kernel's affair */
    inbox_empty(r->inbox);
    assert_int_equal(r->taken_len, given);
    assert_int_equal(handover_give(r->queue[1], &p), HANDOVER_GIVEN);
    assert_int_equal(handover_give(-1, &p), HANDOVER_REFUSED);
    assert_int_equal(errno, EBADF);
    inbox_empty(r->inbox);
    shutdown(r->queue[0], SHUT_RDWR);
    assert_int_equal(handover_give(r->queue[1], &p), HANDOVER_REFUSED); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
    close(keep.near);
    close(keep.far);
}

static void test_batch_and_gate(void **state)
{
    struct rig *r = *state;
    int far[20];
    for (int i = 0; i < 20; i++) {
        struct line l = line_open();
        assert_int_equal(give(r, l, NULL, 0), HANDOVER_GIVEN);
        far[i] = l.far;
    }
    r->shut = true;
    inbox_start(r->inbox);
    loop_run_once(r->loop, false);
    assert_int_equal(r->taken_len, 0);
    r->shut = false;
    loop_run_once(r->loop, false);
    assert_int_equal(r->taken_len, HANDOVER_BATCH);
    inbox_stop(r->inbox);
    inbox_stop(r->inbox);
    turn(r);
    assert_int_equal(r->taken_len, HANDOVER_BATCH);
    r->shut = true;
    inbox_empty(r->inbox); /* asks no gate */
    assert_int_equal(r->taken_len, 20);
    for (int i = 0; i < 20; i++)
        close(far[i]);
}

/* ---- what is no parcel ----------------------------------------------------------------------- */

static void send_packet(int queue, const char *bytes, size_t len, const int *fds, size_t fds_len)
{
    char room[CMSG_SPACE(16 * sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, len};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fds_len > 0) {
        m.msg_control = room;
        m.msg_controllen = CMSG_SPACE(fds_len * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds_len * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fds_len * sizeof(int));
    }
    assert_int_equal(sendmsg(queue, &m, MSG_DONTWAIT), len);
}

/* A good packet's bytes: what is put in is read as it is. */
static size_t good_packet(struct rig *r, char *bytes, size_t cap)
{
    struct line l = line_open();
    char copy[4];
    assert_int_equal(give(r, l, "abc", 3), HANDOVER_GIVEN);
    ssize_t n =
        recv(r->queue[0], bytes, cap, 0); /* without room for the descriptor: it is closed */
    assert_true(n > 3 && (size_t)n < cap);
    memcpy(copy, bytes + n - 3, 3);
    assert_memory_equal(copy, "abc", 3);
    close(l.far);
    return (size_t)n;
}

/* Each is closed and counted; the good one behind it is taken. */
static void test_garbage(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *name;
        int flip;   /* byte of a good packet that is changed; -1: none */
        int length; /* of the packet: 0 is none, -1 one byte less, 1 one more, 2 as it is */
        int fds;    /* connections that come with it */
    } cases[] = {
        {"nothing", -1, 0, 0},
        {"nothing but a connection", -1, 0, 1},
        {"one byte short", -1, -1, 1},
        {"one byte too much", -1, 1, 1},
        {"another magic", 0, 2, 1},
        {"another version", 4, 2, 1},
        {"a strange flag", 7, 2, 1},
        {"another length", 8, 2, 1},
        {"an enormous length", 11, 2, 1},
        {"no connection", -1, 2, 0},
        {"two connections", -1, 2, 2},
        {"twelve connections", -1, 2, 12},
    };
    char good[1024] = {0};
    size_t len = good_packet(r, good, sizeof good - 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[1024];
        int fds[16], far[16];
        memcpy(bytes, good, sizeof bytes);
        if (cases[i].flip >= 0)
            bytes[cases[i].flip] ^= 0x41;
        size_t n = cases[i].length == 0   ? 0
                   : cases[i].length == 2 ? len
                                          : (size_t)((int)len + cases[i].length);
        for (int k = 0; k < cases[i].fds; k++) {
            struct line l = line_open();
            fds[k] = l.near;
            far[k] = l.far;
        }
        send_packet(r->queue[1], bytes, n, fds, (size_t)cases[i].fds);
        struct line follows = line_open();
        assert_int_equal(give(r, follows, NULL, 0), HANDOVER_GIVEN);
        inbox_empty(r->inbox);
        if (r->taken_len != i + 1 || r->slot.counters[COUNTER_accept_errors] != i + 1)
            fail_msg("%s: %u taken, %u errors", cases[i].name, r->taken_len,
                     (unsigned)r->slot.counters[COUNTER_accept_errors]);
        for (int k = 0; k < cases[i].fds; k++) {
            close(fds[k]);
            assert_ended(far[k]);
        }
        close(follows.far);
    }
}

/* Descriptors of other kinds. */
static void test_no_connection(void **state)
{
    struct rig *r = *state;
    char good[1024];
    size_t len = good_packet(r, good, sizeof good);
    int kinds[3] = {open("/dev/null", O_RDONLY), socket(AF_INET, SOCK_DGRAM, 0),
                    socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(listen(kinds[2], 1), 0);
    for (int i = 0; i < 3; i++) {
        send_packet(r->queue[1], good, len, &kinds[i], 1);
        inbox_empty(r->inbox);
        assert_int_equal(r->taken_len, 0);
        assert_int_equal(r->slot.counters[COUNTER_accept_errors], i + 1);
        close(kinds[i]);
    }
}

static void test_is_queue(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    assert_true(handover_is_queue(r->queue[0]));
    assert_true(handover_is_queue(r->queue[1]));
    assert_false(handover_is_queue(-1));
    assert_false(handover_is_queue(l.near));
    int null = open("/dev/null", O_RDONLY);
    assert_false(handover_is_queue(null));
    close(null);
    close(l.near);
    close(l.far);
}

/* ---- a poor receiver, and the end ------------------------------------------------------------ */

static int lowest_free(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* The spare one makes room for exactly one; the others stay in the queue until there is room. */
static void test_short_of_descriptors(void **state)
{
    struct rig *r = *state;
    int far[3];
    for (int i = 0; i < 3; i++) {
        struct line l = line_open();
        assert_int_equal(give(r, l, NULL, 0), HANDOVER_GIVEN);
        far[i] = l.far;
    }
    inbox_start(r->inbox);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)lowest_free();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turn(r);
    inbox_empty(r->inbox);
    unsigned while_short = r->taken_len;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(while_short, 1);
    while (r->taken_len < 3)
        loop_run_once(r->loop, true); /* it looks again by itself */
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(far[i], "x", 1), 1); /* nobody was closed */
        close(far[i]);
    }
}

/* Who has no memory for a connection puts it back as it came, pauses, and looks again by itself; what it
 * empties for the last time is left to others. */
static void test_short_of_memory(void **state)
{
    struct rig *r = *state;
    struct line first = line_open(), second = line_open();
    assert_int_equal(give(r, first, "GET / HT", 8), HANDOVER_GIVEN);
    assert_int_equal(give(r, second, NULL, 0), HANDOVER_GIVEN);
    r->short_of_memory = true;
    inbox_empty(r->inbox);
    assert_int_equal(r->refused, 1); /* and not one after the other, for ever */
    inbox_start(r->inbox);
    turn(r);
    assert_int_equal(r->refused, 1);
    while (r->refused == 1)
        loop_run_once(r->loop, true);
    r->short_of_memory = false;
    while (r->taken_len < 2)
        loop_run_once(r->loop, true);
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 0);
    const struct parcel *late = &r->taken[r->taken[0].bytes_len > 0 ? 0 : 1];
    assert_int_equal(late->bytes_len, 8);
    assert_memory_equal(r->bytes, "GET / HT", 8);
    assert_int_equal(write(first.far, "x", 1), 1);
    char c;
    assert_int_equal(read(late->fd, &c, 1), 1);
    close(first.far);
    close(second.far);
}

/* … nor can it be put back: then it is closed, and counted. */
static void test_short_of_everything(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    assert_int_equal(give(r, l, "GET", 3), HANDOVER_GIVEN);
    r->short_of_memory = true;
    int end = dup(r->queue[1]), none = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(dup3(none, r->queue[1], O_CLOEXEC), r->queue[1]); /* no queue's end */
    inbox_empty(r->inbox);
    assert_int_equal(dup3(end, r->queue[1], O_CLOEXEC), r->queue[1]);
    close(end);
    close(none);
    assert_int_equal(r->refused, 1);
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 1);
    assert_ended(l.far);
}

/* Once everybody who could send is gone there is nothing to watch any more: no busy loop. */
static void test_the_end(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    assert_int_equal(give(r, l, NULL, 0), HANDOVER_GIVEN);
    inbox_start(r->inbox);
    shutdown(r->queue[1], SHUT_RDWR);
    turn(r);
    assert_int_equal(r->taken_len, 1); /* what was in it is taken all the same */
    assert_int_equal(r->slot.counters[COUNTER_accept_errors], 0);
    inbox_stop(r->inbox);
    inbox_start(r->inbox);
    inbox_empty(r->inbox);
    close(l.far);
    inbox_start(NULL);
    inbox_stop(NULL);
    inbox_empty(NULL);
    inbox_free(NULL);
}

/* The giver's death loses nothing: the connection is in the queue, not in the giver. */
static void test_giver_dies(void **state)
{
    struct rig *r = *state;
    struct line l = line_open();
    pid_t pid = fork();
    if (pid == 0)
        _exit(give(r, l, "GE", 2) == HANDOVER_GIVEN ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(l.near);
    inbox_empty(r->inbox);
    assert_int_equal(r->taken_len, 1);
    assert_memory_equal(r->bytes, "GE", 2);
    assert_int_equal(write(r->taken[0].fd, "x", 1), 1);
    char c;
    assert_int_equal(read(l.far, &c, 1), 1);
    close(l.far);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_travels),     TEST(test_times_are_past), TEST(test_most_bytes),
        TEST(test_full_and_refused), TEST(test_batch_and_gate), TEST(test_garbage),
        TEST(test_no_connection),    TEST(test_is_queue),       TEST(test_short_of_descriptors),
        TEST(test_short_of_memory),  TEST(test_short_of_everything),
        TEST(test_the_end),          TEST(test_giver_dies),
    };
    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
