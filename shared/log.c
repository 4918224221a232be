/* log.c: see log.h. A line (line.h) is built in one buffer on the stack and handed to the kernel
 * once. */
#include "shared/log.h"

#include "shared/check.h"
#include "shared/log_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    ROLE_LEN = 31,
    FIELD_LEN = 128, /* of an access line's peer, method and request id */
    TAIL_LEN = 384   /* what follows the target of an access line, at most */
};

/* What stderr is decides how not to wait for it. */
enum sink { SINK_UNKNOWN, SINK_FILE, SINK_SOCKET, SINK_PIPE };

static struct {
    _Atomic(int) level;
    _Atomic(int) format;
    _Atomic(int) sink;
    _Atomic(bool) priority; /* <N> for the journal */
    _Atomic(uint64_t) dropped;
    char role[ROLE_LEN + 1]; /* written before threads start */
    char *kept; /* log_keep_errors(); set before threads start */
    size_t kept_cap;
    _Atomic(size_t) kept_len; /* asked for so far, kept or not */
} shared_state = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT, .role = "colmeia"};

static const struct {
    const char *text; /* five columns */
    const char *json;
    const char *priority; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_DEBUG] = {"DEBUG", "debug", "<7>"},
    [LOG_LEVEL_INFO] = {"INFO ", "info", "<6>"},
    [LOG_LEVEL_WARNING] = {"WARN ", "warning", "<4>"},
    [LOG_LEVEL_ERROR] = {"ERROR", "error", "<3>"},
    [LOG_AUDIT] = {"AUDIT", "audit", "<5>"}, /* a notice: normal, but to be noticed */
};

bool log_is_json(void)
{
    return atomic_load_explicit(&shared_state.format, memory_order_relaxed) == LOG_FORMAT_JSON;
}

/* Everything before the message. */
static void put_prefix(struct line *l, int level, int worker_slot, bool priority)
{
    bool json = log_is_json();
    if (priority)
        line_put_string(l, levels[level].priority);
    if (json)
        LINE_PUT(l, "{\"time\":\"");
    line_put_time(l);
    line_put_string(l, json ? "\",\"level\":\"" : " ");
    line_put_string(l, json ? levels[level].json : levels[level].text);
    line_put_string(l, json ? "\",\"role\":\"" : " [");
    if (worker_slot >= 0) {
        LINE_PUT(l, "worker ");
        line_put_u64(l, (uint64_t)worker_slot);
    } else {
        line_put_foreign(l, slice_of(shared_state.role), json ? STYLE_JSON : STYLE_BARE, FIELD_LEN);
    }
    line_put_string(l, json ? "\",\"pid\":" : " pid ");
    line_put_u64(l, (uint64_t)getpid());
    line_put_string(l, json ? "," : "] ");
}

/* ---- handing it over ------------------------------------------------------------------------ */

/* $JOURNAL_STREAM is "device:inode" of what the journal reads (systemd.exec(5)). */
static bool is_journal(const struct stat *st)
{
    const char *names = getenv("JOURNAL_STREAM");
    char ours[64];
    if (!names)
        return false;
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    return strcmp(names, ours) == 0;
}

static enum sink look_at_stderr(void)
{
    struct stat st;
    enum sink sink = SINK_PIPE;
    if (fstat(STDERR_FILENO, &st) == 0) {
        if (S_ISREG(st.st_mode))
            sink = SINK_FILE;
        else if (S_ISSOCK(st.st_mode))
            sink = SINK_SOCKET;
        atomic_store(&shared_state.priority, is_journal(&st));
    }
    atomic_store(&shared_state.sink, sink);
    return sink;
}

static ssize_t write_pipe(const struct line *l)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)l->text, .iov_len = l->len};
    /* Linux reports a pipe writable only when PIPE_BUF bytes fit (pipe(7)) */
    if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT))
        return -1;
    /* another process may have filled it since: Linux 6.4 can be told not to wait, an older one
     * waits for the reader's next page */
    ssize_t n = pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT);
    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return n;
    return write(STDERR_FILENO, l->text, l->len);
}

static ssize_t write_once(const struct line *l, enum sink sink)
{
    switch (sink) {
    case SINK_FILE:
        return write(STDERR_FILENO, l->text, l->len);
    case SINK_SOCKET:
        return send(STDERR_FILENO, l->text, l->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_PIPE:
        return write_pipe(l);
    case SINK_UNKNOWN:
        break;
    }
    UNREACHABLE();
}

static enum sink known_sink(void)
{
    enum sink sink = (enum sink)atomic_load_explicit(&shared_state.sink, memory_order_relaxed);
    return sink == SINK_UNKNOWN ? look_at_stderr() : sink;
}

/* The sink must be known before a line is begun: the journal's priority comes first. */
void log_prefix(struct line *l, int level, int worker_slot, bool to_stderr)
{
    known_sink();
    put_prefix(l, level, worker_slot,
               to_stderr && atomic_load_explicit(&shared_state.priority, memory_order_relaxed));
}

bool log_hand_over(const struct line *l)
{
    enum sink sink = known_sink();
    ssize_t n;
    do {
        n = write_once(l, sink);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)l->len)
        return true;
    atomic_fetch_add_explicit(&shared_state.dropped, 1, memory_order_relaxed);
    return false;
}

/* Its place is reserved before it is copied, so that threads do not write over each other. */
static void keep_error(struct slice message)
{
    struct line l;
    l.len = 0;
    if (!shared_state.kept)
        return;
    line_put_foreign(&l, message, STYLE_BARE, sizeof l.text - 1);
    LINE_PUT(&l, "\n");
    size_t at = atomic_fetch_add_explicit(&shared_state.kept_len, l.len, memory_order_relaxed);
    size_t room = shared_state.kept_cap - 1; /* the last byte stays NUL */
    if (at < room)
        memcpy(shared_state.kept + at, l.text, l.len < room - at ? l.len : room - at);
}

/* ---- public --------------------------------------------------------------------------------- */

void log_init(enum log_level level, enum log_format format)
{
    int saved_errno = errno;
    atomic_store(&shared_state.level, (int)level);
    atomic_store(&shared_state.format, (int)format);
    look_at_stderr();
    errno = saved_errno;
}

void log_set_role(const char *role)
{
    size_t len = strnlen(role, ROLE_LEN);
    memcpy(shared_state.role, role, len);
    shared_state.role[len] = 0;
    atomic_store(&shared_state.dropped, 0); /* those before were another process's */
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&shared_state.level, (int)level, memory_order_relaxed);
}

void log_keep_errors(char *room, size_t cap)
{
    ASSERT(cap >= 1);
    shared_state.kept = room;
    shared_state.kept_cap = cap;
    atomic_store(&shared_state.kept_len, 0);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&shared_state.level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&shared_state.dropped, memory_order_relaxed);
}

void log_write(enum log_level level, const char *format, ...)
{
    int saved_errno = errno; /* also what %m shows */
    if (level < log_level())
        return;
    char message[PIPE_BUF];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n >= sizeof message)
        n = sizeof message - 1; /* longer than any line: it will be cut before its end */
    if (level == LOG_LEVEL_ERROR)
        keep_error((struct slice){message, (size_t)n});

    struct line l;
    l.len = 0;
    log_prefix(&l, level, -1, true);
    bool json = log_is_json();
    const char *end = json ? "\"}\n" : "\n";
    if (json)
        LINE_PUT(&l, "\"message\":\"");
    line_put_foreign(&l, (struct slice){message, (size_t)n}, json ? STYLE_JSON : STYLE_BARE,
                sizeof l.text - l.len - strlen(end));
    line_put_string(&l, end);
    log_hand_over(&l);
    errno = saved_errno;
}

void log_lines(enum log_level level, struct slice text)
{
    while (text.ptr) {
        struct slice line = slice_split(&text, '\n');
        if (line.len > 0)
            log_write(level, "%.*s", SLICE_ARGS(line));
    }
}

/* Microseconds as "0.412ms". */
static void put_ms(struct line *l, int64_t us)
{
    uint64_t value = us > 0 ? (uint64_t)us : 0;
    unsigned part = (unsigned)(value % 1000);
    line_put_u64(l, value / 1000);
    line_put(l,
        (char[]){'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
                 (char)('0' + part % 10)},
        4);
    LINE_PUT(l, "ms");
}

static void access_text(struct line *l, const struct log_access *a)
{
    line_put_foreign(l, a->peer, STYLE_BARE, FIELD_LEN);
    LINE_PUT(l, " \"");
    line_put_foreign(l, a->method, STYLE_QUOTED, FIELD_LEN);
    LINE_PUT(l, " ");
    line_put_foreign(l, a->target, STYLE_QUOTED, sizeof l->text - l->len - TAIL_LEN);
    LINE_PUT(l, "\" ");
    if (a->status > 0)
        line_put_u64(l, (uint64_t)a->status);
    else
        LINE_PUT(l, "-");
    LINE_PUT(l, " ");
    line_put_u64(l, a->body_bytes);
    LINE_PUT(l, "B ");
    put_ms(l, a->duration_us);
    LINE_PUT(l, " id=");
    line_put_foreign(l, a->request_id, STYLE_BARE, FIELD_LEN);
    LINE_PUT(l, "\n");
}

static void access_json(struct line *l, const struct log_access *a)
{
    LINE_PUT(l, "\"event\":\"request\",\"peer\":\"");
    line_put_foreign(l, a->peer, STYLE_JSON, FIELD_LEN);
    LINE_PUT(l, "\",\"method\":\"");
    line_put_foreign(l, a->method, STYLE_JSON, FIELD_LEN);
    LINE_PUT(l, "\",\"target\":\"");
    line_put_foreign(l, a->target, STYLE_JSON, sizeof l->text - l->len - TAIL_LEN);
    LINE_PUT(l, "\",\"status\":");
    if (a->status > 0)
        line_put_u64(l, (uint64_t)a->status);
    else
        LINE_PUT(l, "null");
    LINE_PUT(l, ",\"bytes\":");
    line_put_u64(l, a->body_bytes);
    LINE_PUT(l, ",\"duration_us\":");
    line_put_u64(l, a->duration_us > 0 ? (uint64_t)a->duration_us : 0);
    LINE_PUT(l, ",\"id\":\"");
    line_put_foreign(l, a->request_id, STYLE_JSON, FIELD_LEN);
    LINE_PUT(l, "\"}\n");
}

void log_access(const struct log_access *a)
{
    int saved_errno = errno;
    struct line l;
    l.len = 0;
    log_prefix(&l, LOG_LEVEL_INFO, a->worker_slot, true);
    if (log_is_json())
        access_json(&l, a);
    else
        access_text(&l, a);
    log_hand_over(&l);
    errno = saved_errno;
}
