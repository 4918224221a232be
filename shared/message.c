/* message.c: see message.h. */
#include "shared/message.h"

#include "shared/check.h"
#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int message_send(int fd, enum message_type type, unsigned generation, int64_t value)
{
    struct message m = {.type = type, .generation = generation, .pid = getpid(), .value = value};
    ssize_t n;
    do {
        n = FAULT_CALL(message_send, -1, send(fd, &m, sizeof m, MSG_DONTWAIT | MSG_NOSIGNAL));
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof m ? 0 : -1;
}

enum message_result message_receive(int fd, struct message *message_r)
{
    struct message m;
    ssize_t n;
    do {
        n = recv(fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? MESSAGE_NONE : MESSAGE_CLOSED;
    if (n == 0)
        return MESSAGE_CLOSED;
    if (n != (ssize_t)sizeof m || m.type == 0 || m.type >= MESSAGE_TYPE_END)
        return MESSAGE_BAD;
    *message_r = m;
    return MESSAGE_OK;
}

bool message_receive_all(int fd, void (*take)(void *ctx, const struct message *), void *ctx)
{
    for (;;) {
        struct message m;
        switch (message_receive(fd, &m)) {
        case MESSAGE_OK:
            take(ctx, &m);
            continue;
        case MESSAGE_NONE:
            return true;
        case MESSAGE_BAD:
            log_warning("a malformed message came from the master; ignored");
            continue;
        case MESSAGE_CLOSED:
            return false;
        }
        UNREACHABLE();
    }
}
