/* fuzz_handover.c: what comes out of the handover queue (worker/net/handover.c): packets of any
 * bytes with any descriptors. The first byte says which descriptors, the second how much of a true
 * parcel's head stands before the rest; a '^' run of bytes is laid over that head. What is taken is
 * a connection with sane facts; what is not is closed: no descriptor is lost. */
#include "worker/net/handover.h"

#include "shared/check.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The first byte. */
enum { CONNECTION = 1, LISTENER = 2, FILE_FD = 4, DATAGRAM = 8, TWICE = 16, BLOCKING = 32 };
enum { FDS_MOST = 10, PACKET_MAX = 512, HEAD_MAX = 256 };

struct rig {
    struct loop *loop;
    struct scoreboard_slot slot;
    unsigned taken;
};

static struct rig rig;

static bool may_take(void *ctx)
{
    return true;
}

static bool taken(void *ctx, const struct parcel *p)
{
    int type;
    socklen_t len = sizeof type;
    rig.taken++;
    ASSERT(getsockopt(p->fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM);
    ASSERT(fcntl(p->fd, F_GETFL) & O_NONBLOCK);
    ASSERT(fcntl(p->fd, F_GETFD) & FD_CLOEXEC);
    ASSERT(p->bytes_len <= HANDOVER_BYTES_MAX && !(p->fresh && p->bytes_len > HANDOVER_FRESH_BYTES_MAX));
    ASSERT(p->peer.len <= sizeof p->peer.u);
    ASSERT(p->opened.ms > 0 && !mono_before(loop_now(rig.loop), p->opened));
    ASSERT(p->waiting_since.ms > 0 && !mono_before(loop_now(rig.loop), p->waiting_since));
    unsigned sum = 0;
    for (size_t i = 0; i < p->bytes_len; i++) /* all of it is there */
        sum += (unsigned char)p->bytes[i];
    ASSERT(sum <= 255 * p->bytes_len);
    close(p->fd);
    return true;
}

/* The head that handover_give() would write. */
static size_t true_head(char head[HEAD_MAX])
{
    int queue[2], pair[2];
    struct sock_address peer = {.len = sizeof(struct sockaddr_in)};
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, queue) == 0);
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    struct parcel p = {
        .fd = pair[0], .peer = peer, .opened = {5}, .waiting_since = {7}, .requests = 3};
    ASSERT(handover_is_queue(queue[0]) && !handover_is_queue(pair[0]));
    ASSERT(handover_give(queue[0], &p) == HANDOVER_GIVEN);
    ssize_t n = recv(queue[1], head, HEAD_MAX, 0);
    ASSERT(n > 0);
    for (int i = 0; i < 2; i++) {
        close(queue[i]);
        close(pair[i]);
    }
    return (size_t)n;
}

static size_t open_fds(unsigned which, int fds[FDS_MOST])
{
    size_t n = 0;
    unsigned nonblock = which & BLOCKING ? 0 : SOCK_NONBLOCK;
    for (unsigned i = 0; i <= (which & TWICE ? 1u : 0u); i++) {
        int pair[2];
        if (which & CONNECTION) {
            ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (int)nonblock, 0, pair) == 0);
            close(pair[1]);
            fds[n++] = pair[0];
        }
        if (which & LISTENER) {
            fds[n++] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            ASSERT(listen(fds[n - 1], 1) == 0);
        }
        if (which & FILE_FD)
            fds[n++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (which & DATAGRAM)
            fds[n++] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
    return n;
}

static void send_packet(int queue, const char *bytes, size_t len, const int *fds, size_t fds_len)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MOST * sizeof(int))];
    } control = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, len};
    struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fds_len > 0) {
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(fds_len * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds_len * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fds_len * sizeof(int));
    }
    ASSERT(sendmsg(queue, &m, MSG_NOSIGNAL) == (ssize_t)len);
}

static void prepare(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    rig.loop = loop_new();
    ASSERT(rig.loop);
}

/* A true head, the input's bytes over its beginning as far as they are not '^', and the others
 * behind. */
static size_t make_packet(char packet[PACKET_MAX], const uint8_t *data, size_t size)
{
    size_t head = true_head(packet), kept = data[0] < head ? data[0] : head;
    size_t len = size - 1 < PACKET_MAX ? size - 1 : PACKET_MAX;
    for (size_t i = 0; i < len; i++)
        if (i >= kept || data[1 + i] != '^')
            packet[i] = (char)data[1 + i];
    len = len > kept ? len : kept;
    uint32_t bytes_len = len > head ? (uint32_t)(len - head) : 0;
    if (data[0] & 0x80) /* or nothing with bytes in it would ever be sane */
        memcpy(packet + 8, &bytes_len, sizeof bytes_len);
    return len;
}

static void play(const uint8_t *data, size_t size)
{
    char packet[PACKET_MAX];
    int queue[2], fds[FDS_MOST];
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, queue) == 0);
    struct inbox *inbox = inbox_new(rig.loop, &(struct inbox_options){.queue_fd = queue[0],
                                                                      .give_fd = queue[1],
                                                                      .slot = &rig.slot,
                                                                      .may_take = may_take,
                                                                      .taken = taken});
    ASSERT(inbox);
    size_t len = make_packet(packet, data + 1, size - 1), fds_len = open_fds(data[0], fds);
    uint64_t refused = rig.slot.counters[COUNTER_accept_errors];
    rig.taken = 0;
    send_packet(queue[1], packet, len, fds, fds_len);
    for (size_t i = 0; i < fds_len; i++)
        close(fds[i]);
    inbox_start(inbox);
    loop_run_once(rig.loop, false);
    refused = rig.slot.counters[COUNTER_accept_errors] - refused;
    ASSERT(rig.taken + refused == 1); /* taken, or counted */
    close(queue[1]);
    inbox_empty(inbox);
    inbox_free(inbox);
    close(queue[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rig.loop)
        prepare();
    if (size < 3)
        return 0;
    int before = dup(0);
    play(data, size);
    int after = dup(0);
    ASSERT(before >= 0 && after == before + 1);
    close(before);
    close(after);
    return 0;
}
