/* log.c: see log.h. A line is built in one buffer on the stack, without snprintf(3) except for the
 * caller's own format, and handed to the kernel once. */
#include "shared/log.h"

#include "shared/check.h"
#include "shared/jsonw.h"

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
    LINE_LEN = PIPE_BUF - 1, /* line end included */
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
};

struct line {
    size_t len;
    char text[LINE_LEN];
};

/* How bytes that came from elsewhere are written. */
enum style {
    STYLE_BARE,   /* control bytes as \n \r \t \xNN */
    STYLE_QUOTED, /* the same, and a backslash before " and \ */
    STYLE_JSON    /* RFC 8259, section 7 */
};

/* ---- building a line ----------------------------------------------------------------------- */

/* Ours and short; that it fits is settled by the limits of the fields. */
static void put(struct line *l, const char *bytes, size_t len)
{
    ASSERT(len <= sizeof l->text - l->len);
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

#define PUT(line, literal) put((line), "" literal, sizeof(literal) - 1)

static void put_string(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static void put_u64(struct line *l, uint64_t value)
{
    char digits[20];
    put(l, digits, str_u64(digits, value));
}

/* Length of the UTF-8 sequence at p (RFC 3629, section 4), 0 when it is none. C1 controls count as
 * none: terminals obey them. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } rows[] = {
        {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (p[0] < rows[i].first_min || p[0] > rows[i].first_max)
            continue;
        if (left < rows[i].len || p[1] < rows[i].second_min || p[1] > rows[i].second_max)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].len;
    }
    return 0;
}

static bool is_plain(unsigned char c, enum style style)
{
    return c >= 0x20 && c < 0x7f && (style == STYLE_BARE || (c != '"' && c != '\\'));
}

/* Writes what stands for the byte c at out (8 bytes of room); returns the length. */
static size_t escape(unsigned char c, enum style style, char *out)
{
    static const char hex[] = "0123456789abcdef";
    if (style == STYLE_JSON && c < 0x7f) {
        struct buf b = {.data = out, .cap = 8};
        jsonw_escape(&b, (struct slice){(const char *)&c, 1});
        return b.len;
    }
    const char *letter = c ? strchr("\nn\rr\tt\"\"\\\\", c) : NULL;
    if (letter) {
        out[0] = '\\';
        out[1] = letter[1];
        return 2;
    }
    size_t n = 0;
    if (style == STYLE_JSON)
        out[n++] = '\\'; /* the text that a reader of the JSON gets is \xNN */
    out[n++] = '\\';
    out[n++] = 'x';
    out[n++] = hex[c >> 4];
    out[n++] = hex[c & 15];
    return n;
}

/* Length of the next piece of s (a run of plain bytes, or one character), and how it is written. */
static size_t next_piece(struct slice s, enum style style, char *scratch, struct slice *written_r)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = 0;
    while (n < s.len && is_plain(p[n], style))
        n++;
    if (n == 0 && p[0] >= 0x80)
        n = utf8_len(p, s.len);
    if (n > 0) {
        *written_r = (struct slice){s.ptr, n};
        return n;
    }
    *written_r = (struct slice){scratch, escape(p[0], style, scratch)};
    return 1;
}

/* Appends s, at most limit bytes of it as written, the last three being "…" when it is cut. */
static void put_foreign(struct line *l, struct slice s, enum style style, size_t limit)
{
    static const char ellipsis[] = "…";
    enum { ELLIPSIS_LEN = sizeof ellipsis - 1 };
    size_t start = l->len, cut_at = l->len; /* cut_at: where the ellipsis would still fit */
    ASSERT(limit >= ELLIPSIS_LEN && limit <= sizeof l->text - l->len);
    while (s.len) {
        char scratch[8];
        struct slice written;
        size_t taken = next_piece(s, style, scratch, &written);
        size_t left = limit - (l->len - start);
        if (l->len - start <= limit - ELLIPSIS_LEN)
            cut_at = l->len;
        if (written.len > left) {
            if (written.ptr == s.ptr && is_plain((unsigned char)*s.ptr, style)) {
                put(l, written.ptr, left); /* a run may be cut anywhere */
                if (left >= ELLIPSIS_LEN)
                    cut_at = l->len - ELLIPSIS_LEN;
            }
            l->len = cut_at;
            put(l, ellipsis, ELLIPSIS_LEN);
            return;
        }
        put(l, written.ptr, written.len);
        s.ptr += taken;
        s.len -= taken;
    }
}

/* "2026-11-20T20:13:37.123Z"; the part up to the second is kept per thread. */
static void put_time(struct line *l)
{
    static _Thread_local struct {
        int64_t second;
        char text[sizeof "2026-11-20T20:13:37"];
    } kept;
    int64_t now_ms = clock_wall_ms();
    int64_t second = now_ms / 1000;
    unsigned ms = (unsigned)(now_ms % 1000);
    if (second != kept.second || !kept.text[0]) {
        time_t t = (time_t)second;
        struct tm tm;
        if (!gmtime_r(&t, &tm) ||
            strftime(kept.text, sizeof kept.text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            memcpy(kept.text, "0000-00-00T00:00:00", sizeof kept.text);
        kept.second = second;
    }
    put_string(l, kept.text);
    put(l,
        (char[]){'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                 'Z'},
        5);
}

/* Everything before the message. worker_slot -1: the role that was set. */
static void put_prefix(struct line *l, enum log_level level, int worker_slot)
{
    bool json = atomic_load_explicit(&shared_state.format, memory_order_relaxed) == LOG_FORMAT_JSON;
    if (atomic_load_explicit(&shared_state.priority, memory_order_relaxed))
        put_string(l, levels[level].priority);
    if (json)
        PUT(l, "{\"time\":\"");
    put_time(l);
    put_string(l, json ? "\",\"level\":\"" : " ");
    put_string(l, json ? levels[level].json : levels[level].text);
    put_string(l, json ? "\",\"role\":\"" : " [");
    if (worker_slot >= 0) {
        PUT(l, "worker ");
        put_u64(l, (uint64_t)worker_slot);
    } else {
        put_foreign(l, slice_of(shared_state.role), json ? STYLE_JSON : STYLE_BARE, FIELD_LEN);
    }
    put_string(l, json ? "\",\"pid\":" : " pid ");
    put_u64(l, (uint64_t)getpid());
    put_string(l, json ? "," : "] ");
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

static void hand_over(const struct line *l, enum sink sink)
{
    ssize_t n;
    do {
        n = write_once(l, sink);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)l->len)
        atomic_fetch_add_explicit(&shared_state.dropped, 1, memory_order_relaxed);
}

/* The sink must be known before a line is begun: the journal's priority comes first. */
static enum sink known_sink(void)
{
    enum sink sink = (enum sink)atomic_load_explicit(&shared_state.sink, memory_order_relaxed);
    return sink == SINK_UNKNOWN ? look_at_stderr() : sink;
}

/* Its place is reserved before it is copied, so that threads do not write over each other. */
static void keep_error(struct slice message)
{
    struct line l;
    l.len = 0;
    if (!shared_state.kept)
        return;
    put_foreign(&l, message, STYLE_BARE, sizeof l.text - 1);
    PUT(&l, "\n");
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

    enum sink sink = known_sink();
    struct line l;
    l.len = 0;
    put_prefix(&l, level, -1);
    bool json = atomic_load_explicit(&shared_state.format, memory_order_relaxed) == LOG_FORMAT_JSON;
    const char *end = json ? "\"}\n" : "\n";
    if (json)
        PUT(&l, "\"message\":\"");
    put_foreign(&l, (struct slice){message, (size_t)n}, json ? STYLE_JSON : STYLE_BARE,
                sizeof l.text - l.len - strlen(end));
    put_string(&l, end);
    hand_over(&l, sink);
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
    put_u64(l, value / 1000);
    put(l,
        (char[]){'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
                 (char)('0' + part % 10)},
        4);
    PUT(l, "ms");
}

static void access_text(struct line *l, const struct log_access *a)
{
    put_foreign(l, a->peer, STYLE_BARE, FIELD_LEN);
    PUT(l, " \"");
    put_foreign(l, a->method, STYLE_QUOTED, FIELD_LEN);
    PUT(l, " ");
    put_foreign(l, a->target, STYLE_QUOTED, sizeof l->text - l->len - TAIL_LEN);
    PUT(l, "\" ");
    if (a->status > 0)
        put_u64(l, (uint64_t)a->status);
    else
        PUT(l, "-");
    PUT(l, " ");
    put_u64(l, a->body_bytes);
    PUT(l, "B ");
    put_ms(l, a->duration_us);
    PUT(l, " id=");
    put_foreign(l, a->request_id, STYLE_BARE, FIELD_LEN);
    PUT(l, "\n");
}

static void access_json(struct line *l, const struct log_access *a)
{
    PUT(l, "\"event\":\"request\",\"peer\":\"");
    put_foreign(l, a->peer, STYLE_JSON, FIELD_LEN);
    PUT(l, "\",\"method\":\"");
    put_foreign(l, a->method, STYLE_JSON, FIELD_LEN);
    PUT(l, "\",\"target\":\"");
    put_foreign(l, a->target, STYLE_JSON, sizeof l->text - l->len - TAIL_LEN);
    PUT(l, "\",\"status\":");
    if (a->status > 0)
        put_u64(l, (uint64_t)a->status);
    else
        PUT(l, "null");
    PUT(l, ",\"bytes\":");
    put_u64(l, a->body_bytes);
    PUT(l, ",\"duration_us\":");
    put_u64(l, a->duration_us > 0 ? (uint64_t)a->duration_us : 0);
    PUT(l, ",\"id\":\"");
    put_foreign(l, a->request_id, STYLE_JSON, FIELD_LEN);
    PUT(l, "\"}\n");
}

void log_access(const struct log_access *a)
{
    int saved_errno = errno;
    enum sink sink = known_sink();
    struct line l;
    l.len = 0;
    put_prefix(&l, LOG_LEVEL_INFO, a->worker_slot);
    if (atomic_load_explicit(&shared_state.format, memory_order_relaxed) == LOG_FORMAT_JSON)
        access_json(&l, a);
    else
        access_text(&l, a);
    hand_over(&l, sink);
    errno = saved_errno;
}
