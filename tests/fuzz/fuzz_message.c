/* fuzz_message.c: shared/message.c: what comes through the channel between master and worker. The
 * input is packets, a byte of length before each; only whole records of a known type may come out,
 * and all of them, in order. */
#include "shared/message.h"

#include "shared/check.h"
#include "shared/log.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKETS_MAX = 16, HANGUP_MS = 10000 };

struct stream {
    struct message good[PACKETS_MAX]; /* what must come out */
    size_t good_len, taken;
};

static bool is_good(const uint8_t *packet, size_t len)
{
    uint32_t type;
    if (len != sizeof(struct message))
        return false;
    memcpy(&type, packet, sizeof type);
    return type >= MESSAGE_READY && type < MESSAGE_TYPE_END;
}

/* Sends all packets; an empty one means the end. */
static void send_all(int fd, const uint8_t *data, size_t size, struct stream *s)
{
    for (size_t n = 0; size > 0 && n < PACKETS_MAX; n++) {
        size_t len = data[0] < size ? data[0] : size - 1;
        if (len == 0)
            return;
        ASSERT(send(fd, data + 1, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len);
        if (is_good(data + 1, len))
            memcpy(&s->good[s->good_len++], data + 1, len);
        data += 1 + len;
        size -= 1 + len;
    }
}

static void take(void *ctx, const struct message *m)
{
    struct stream *s = ctx;
    ASSERT(s->taken < s->good_len);
    ASSERT(memcmp(m, &s->good[s->taken], sizeof *m) == 0);
    s->taken++;
}

static void try_ours(int pair[2], const uint8_t *data)
{
    struct message m;
    enum message_type type = (enum message_type)(1 + data[0] % (MESSAGE_TYPE_END - 1));
    ASSERT(message_send(pair[0], type, data[0], -data[0]) == 0);
    ASSERT(message_receive(pair[1], &m) == MESSAGE_OK);
    ASSERT(m.type == type && m.generation == data[0] && m.value == -data[0] && m.pid == getpid());
    ASSERT(message_receive(pair[1], &m) == MESSAGE_NONE);
}

/* The other end is closed only when nobody else holds it: who looks through /proc/PID/fd (lsof, ss -p)
 * does so for a moment, and close(2) returns before. */
static void await_end(int fd)
{
    struct pollfd hangup = {.fd = fd};
    int ready;
    do {
        ready = poll(&hangup, 1, HANGUP_MS);
    } while (ready < 0 && errno == EINTR);
    ASSERT(ready == 1 && hangup.revents & POLLHUP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream s = {0};
    int pair[2];
    if (size == 0)
        return 0;
    log_set_level(LOG_LEVEL_ERROR);
    ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    try_ours(pair, data);
    send_all(pair[0], data, size, &s);
    ASSERT(message_receive_all(pair[1], take, &s));
    ASSERT(s.taken == s.good_len);
    close(pair[0]);
    await_end(pair[1]);
    ASSERT(!message_receive_all(pair[1], take, &s) && s.taken == s.good_len);
    close(pair[1]);
    ASSERT(message_send(-1, MESSAGE_READY, 1, 0) < 0 && errno == EBADF);
    return 0;
}
