/* notify.c: see notify.h. */
#include "master/notify.h"

#include "shared/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what is said ---------------------------------------------------------------------------- */

static bool is_due(mono_ms last, int64_t every_ms, mono_ms now)
{
    return !mono_is_set(last) || mono_diff_ms(now, last) >= every_ms;
}

/* A state that has not been told yet. True: there was one. RELOADING and its time belong into one
 * datagram (Type=notify-reload); a reload that begins as another ends has its own. READY ends it,
 * however it went: the server serves. */
static bool say_state(const struct notify_facts *f, struct notify_said *then, struct buf *out)
{
    bool serves = f->state == STATUS_READY || f->state == STATUS_DEGRADED;
    if (f->state == STATUS_STOPPING) {
        if (then->stopping)
            return false;
        then->stopping = true;
        buf_printf(out, "STOPPING=1\n");
    } else if (!then->ready) {
        if (f->state != STATUS_READY)
            return false;
        then->ready = true;
        then->reloads = f->reloads; /* what came before was a part of the start */
        buf_printf(out, "READY=1\n");
    } else if (f->reloads != then->reloads) {
        then->reloads = f->reloads;
        then->reloading = true;
        buf_printf(out, "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long)f->now_us);
    } else if (then->reloading && serves) {
        then->reloading = false;
        buf_printf(out, "READY=1\n");
    } else {
        return false;
    }
    then->extended_at = (mono_ms){0}; /* what is begun has its own time */
    return true;
}

/* The manager's own limits are for a server that hangs; the supervisor's see to that it does not. */
static void say_extend(const struct notify_facts *f, struct notify_said *then, struct buf *out)
{
    bool takes_time = !then->ready || then->reloading || then->stopping;
    if (!takes_time || !is_due(then->extended_at, NOTIFY_EXTEND_EVERY_MS, f->now))
        return;
    then->extended_at = f->now;
    buf_printf(out, "EXTEND_TIMEOUT_USEC=%lld\n", (long long)NOTIFY_EXTEND_MS * 1000);
}

static uint64_t hash_of(struct slice text)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return hash;
}

/* With a state at once, else when it is another and the last is old enough. */
static void say_status(const struct notify_facts *f, bool at_once, struct notify_said *then,
                       struct buf *out)
{
    uint64_t hash = hash_of(f->status);
    if (!at_once && (hash == then->status_hash ||
                     !is_due(then->status_at, NOTIFY_STATUS_EVERY_MS, f->now)))
        return;
    then->status_hash = hash;
    then->status_at = f->now;
    buf_printf(out, "STATUS=%.*s\n", SLICE_ARGS(f->status));
}

int64_t notify_every_ms(const struct notify_said *said)
{
    int64_t quarter = said->watchdog_ms / 4;
    return quarter == 0 || quarter > NOTIFY_STATUS_EVERY_MS ? NOTIFY_STATUS_EVERY_MS : quarter;
}

/* Well before it is due, twice: one may be late. */
static void say_alive(const struct notify_facts *f, struct notify_said *then, struct buf *out)
{
    if (then->watchdog_ms == 0 || !is_due(then->alive_at, then->watchdog_ms / 4, f->now))
        return;
    then->alive_at = f->now;
    buf_printf(out, "WATCHDOG=1\n");
}

bool notify_decide(const struct notify_said *said, const struct notify_facts *facts,
                   struct notify_said *then, struct buf *datagram)
{
    *then = *said;
    size_t before = datagram->len;
    bool changed = say_state(facts, then, datagram);
    say_extend(facts, then, datagram);
    say_status(facts, changed, then, datagram);
    say_alive(facts, then, datagram);
    return datagram->len > before && !datagram->failed;
}

/* ---- to whom --------------------------------------------------------------------------------- */

/* Not connected to it: the manager may make it anew. False: it is no address for us. */
static bool read_address(const char *name, struct notify_socket *s)
{
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof s->to.sun_path) {
        errno = EAFNOSUPPORT;
        return false;
    }
    s->to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(s->to.sun_path, name, len);
    s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (name[0] == '@')
        s->to.sun_path[0] = '\0'; /* abstract: unix(7); without a NUL at its end */
    else
        s->to_len++;
    return true;
}

static int64_t watchdog_ms_of(const char *usec, const char *pid)
{
    uint64_t us, whose;
    if (!usec || (pid && (!slice_to_u64(slice_of(pid), INT32_MAX, &whose) ||
                          (pid_t)whose != getpid())))
        return 0;
    if (slice_to_u64(slice_of(usec), INT64_MAX, &us) && us >= 4000)
        return (int64_t)(us / 1000);
    log_warning("WATCHDOG_USEC=%s makes no sense; ignored", usec);
    return 0;
}

void notify_open(struct notify_socket *s, struct notify_said *said)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *s = (struct notify_socket){.fd = -1};
    *said = (struct notify_said){0};
    if (name && name[0]) {
        s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0 || !read_address(name, s)) {
            log_warning("NOTIFY_SOCKET=%s: %s; the service manager is told nothing", name,
                        strerror(errno));
            notify_close(s);
        }
    }
    if (s->fd >= 0)
        said->watchdog_ms = watchdog_ms_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_close(struct notify_socket *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

bool notify_send(struct notify_socket *s, struct slice datagram)
{
    if (sendto(s->fd, datagram.ptr, datagram.len, MSG_NOSIGNAL | MSG_DONTWAIT,
               (struct sockaddr *)&s->to, s->to_len) >= 0)
        return true;
    if (!s->failed)
        log_warning("the service manager cannot be told: %s; trying again", strerror(errno));
    s->failed = true;
    return false;
}
