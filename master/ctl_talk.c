/* ctl_talk.c: the conversation of "colmeia ctl" with the server: see ctl.h. unix(7). */
#include "master/ctl.h"

#include "master/ctl_print.h"
#include "shared/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20 }; /* of a server that is none */

/* ---- the conversation ------------------------------------------------------------------------ */

struct talk {
    const struct ctl *ctl;
    int fd;
    mono_ms deadline; /* {0}: none */
    struct buf in;
    FILE *out, *err;
    const char *trouble; /* of ours, not the server's; NULL: none */
};

static enum ctl_code give_up(struct talk *t, const char *why)
{
    t->trouble = why;
    return CTL_FAILED;
}

/* True when the socket can be used; false when time is up. */
static bool await(const struct talk *t, short events)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    for (;;) {
        int64_t left = mono_is_set(t->deadline) ? mono_diff_ms(t->deadline, clock_now()) : -1;
        if (mono_is_set(t->deadline) && left < 0)
            left = 0;
        int n = poll(&p, 1, (int)left);
        if (n >= 0 || errno != EINTR)
            return n != 0;
    }
}

/* A server that has hung up may have said why: that is read next. */
static enum ctl_code send_command(struct talk *t)
{
    struct buf line = {0};
    buf_printf(&line, "%.*s\n", SLICE_ARGS(buf_slice(&t->ctl->line)));
    enum ctl_code code = line.failed ? give_up(t, strerror(ENOMEM)) : CTL_DONE;
    while (line.len > 0 && code == CTL_DONE) {
        if (!await(t, POLLOUT)) {
            code = CTL_TIMEOUT;
            break;
        }
        ssize_t n = send(t->fd, line.data, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            buf_consume(&line, (size_t)n);
        else if (errno == EPIPE || errno == ECONNRESET)
            break;
        else if (errno != EAGAIN && errno != EINTR)
            code = give_up(t, strerror(errno));
    }
    buf_free(&line);
    return code;
}

/* The first line in t->in, once there is one: CTL_DONE; CTL_FAILED: the server left. */
static enum ctl_code receive_line(struct talk *t, struct slice *line_r)
{
    size_t scanned = 0;
    for (;;) {
        const char *end =
            t->in.len > scanned ? memchr(t->in.data + scanned, '\n', t->in.len - scanned) : NULL;
        if (end) {
            *line_r = (struct slice){t->in.data, (size_t)(end - t->in.data)};
            return CTL_DONE;
        }
        scanned = t->in.len;
        if (t->in.len > ANSWER_MAX)
            return give_up(t, "it is too long");
        if (!await(t, POLLIN))
            return CTL_TIMEOUT;
        char *room = buf_reserve(&t->in, 64 * 1024);
        if (!room)
            return give_up(t, strerror(ENOMEM));
        ssize_t n = recv(t->fd, room, 64 * 1024, MSG_DONTWAIT);
        if (n > 0)
            t->in.len += (size_t)n;
        else if (n == 0 || errno == ECONNRESET)
            return CTL_FAILED;
        else if (errno != EAGAIN && errno != EINTR)
            return give_up(t, strerror(errno));
    }
}

/* Writes and empties both. */
static enum ctl_code put(struct talk *t, struct buf *out, struct buf *error, enum ctl_code code)
{
    if (out->len > 0)
        fwrite(out->data, 1, out->len, t->out);
    if (error->len > 0)
        fwrite(error->data, 1, error->len, t->err);
    bool whole = !out->failed && !error->failed;
    bool written = fflush(t->out) == 0 && !ferror(t->out);
    if (!whole || !written)
        code = give_up(t, strerror(whole ? errno : ENOMEM));
    buf_free(out);
    buf_free(error);
    return code;
}

typedef enum ctl_code print_line(const struct ctl *ctl, struct slice line, struct buf *out,
                                 struct buf *error);

/* Receives and prints a line. *left_r: the server closed instead. */
static enum ctl_code take_line(struct talk *t, print_line *print, bool *left_r)
{
    struct slice line;
    struct buf out = {0}, error = {0};
    enum ctl_code code = receive_line(t, &line);
    *left_r = code == CTL_FAILED;
    if (code != CTL_DONE)
        return code;
    code = print(t->ctl, line, &out, &error);
    buf_consume(&t->in, line.len + 1);
    return put(t, &out, &error, code);
}

static void say_end(const struct talk *t, enum ctl_code code, bool left)
{
    if (code == CTL_TIMEOUT)
        fprintf(t->err, "colmeia: no answer within %lld ms\n", (long long)t->ctl->timeout_ms);
    else if (t->trouble)
        fprintf(t->err, "colmeia: the answer is lost: %s\n", t->trouble);
    else if (left)
        fprintf(t->err, "colmeia: the server closed the connection %s\n",
                t->in.len > 0 ? "in the middle of its answer" : "without an answer");
}

static enum ctl_code follow(struct talk *t)
{
    bool left = false;
    enum ctl_code code = CTL_DONE;
    t->deadline = (mono_ms){0};
    while (code == CTL_DONE)
        code = take_line(t, ctl_print_event, &left);
    if (left && !t->trouble)
        return CTL_DONE; /* it has stopped */
    say_end(t, code, left);
    return code;
}

static enum ctl_code converse(struct talk *t)
{
    bool left = false;
    enum ctl_code code = send_command(t);
    if (code == CTL_DONE)
        code = take_line(t, ctl_print_answer, &left);
    say_end(t, code, left);
    return code == CTL_DONE && t->ctl->call.follow ? follow(t) : code;
}

enum ctl_code ctl_talk(const struct ctl *ctl, int fd, FILE *out, FILE *err)
{
    struct talk t = {.ctl = ctl,
                     .fd = fd,
                     .deadline = mono_add(clock_now(), ctl->timeout_ms),
                     .out = out,
                     .err = err};
    enum ctl_code code = converse(&t);
    buf_free(&t.in);
    return code;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static const char *advice(int error)
{
    switch (error) {
    case ENOENT:
        return "there is no such socket; is the server running?";
    case ECONNREFUSED:
        return "no server answers there any more";
    case EACCES:
        return "permission denied; only root and the server's own user may";
    default:
        return strerror(error);
    }
}

static enum ctl_code no_connection(const char *path, const char *why, struct buf *error)
{
    buf_printf(error,
               "cannot connect to the control socket %s: %s (another one is named with --control "
               "PATH, or [supervisor] control in the configuration)",
               path, why);
    return CTL_NO_CONNECTION;
}

enum ctl_code ctl_connect(const char *path, int64_t timeout_ms, int *fd_r, struct buf *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (strlen(path) >= sizeof address.sun_path)
        return no_connection(path, "the path is too long for a socket", error);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return no_connection(path, strerror(errno), error);
    /* a connect(2) to a full queue waits that long: unix_stream_connect in net/unix/af_unix.c */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int code = 0;
    do { /* whoever was stopped and goes on is interrupted: signal(7) */
        code = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    } while (code == EINTR);
    if (code == 0) {
        *fd_r = fd;
        return CTL_DONE;
    }
    close(fd);
    if (code != EAGAIN)
        return no_connection(path, advice(code), error);
    buf_printf(error, "the server at %s takes no connection within %lld ms", path,
               (long long)timeout_ms);
    return CTL_TIMEOUT;
}
