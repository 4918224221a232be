/* audit.c: see audit.h. */
#include "shared/audit.h"

#include "shared/fault.h"
#include "shared/log_internal.h"
#include "shared/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* As written; together with what is fixed they fit a line. */
enum { NAME_LEN = 288, FROM_LEN = 64, ID_LEN = 128, WHAT_LEN = 768, WHY_LEN = 256 };

enum place { PLACE_NOWHERE, PLACE_LOG, PLACE_SYSLOG, PLACE_FILE };

static struct {
    enum place place;
    int fd;     /* of PLACE_FILE */
    char *path; /* of PLACE_FILE; owned */
    uid_t uid;
    gid_t gid;
    bool torn;        /* the last line in the file has no end */
    uint64_t dropped; /* in all; */
    uint64_t unsaid;  /* and since a line last said so */
} trail = {.fd = -1};

static const char *const event_words[] = {
#define EVENT(name, word, when) [AUDIT_EVENT_##name] = word,
#define OUTCOME(name, word, meaning)
#include "shared/audit.def"
#undef EVENT
#undef OUTCOME
};

static const char *const outcome_words[] = {
#define EVENT(name, word, when)
#define OUTCOME(name, word, meaning) [AUDIT_##name] = word,
#include "shared/audit.def"
#undef EVENT
#undef OUTCOME
};

/* ---- a line ---------------------------------------------------------------------------------- */

static void put_name(struct line *l, const char *name, bool json)
{
    if (json)
        LINE_PUT(l, ",\"");
    else
        LINE_PUT(l, " ");
    line_put_string(l, name);
    line_put_string(l, json ? "\":" : "=");
}

static void put_text(struct line *l, const char *name, struct slice value, size_t limit, bool json)
{
    if (!value.ptr)
        return;
    put_name(l, name, json);
    LINE_PUT(l, "\"");
    line_put_foreign(l, value, json ? STYLE_JSON : STYLE_QUOTED, limit);
    LINE_PUT(l, "\"");
}

static void put_number(struct line *l, const char *name, uint64_t value, bool json)
{
    if (value == 0)
        return;
    put_name(l, name, json);
    line_put_u64(l, value);
}

static void build(struct line *l, const struct audit *a)
{
    bool json = log_is_json();
    log_prefix(l, LOG_AUDIT, -1, trail.place == PLACE_LOG);
    line_put_string(l, json ? "\"event\":\"" : "event=\"");
    line_put_string(l, event_words[a->event]);
    line_put_string(l, json ? "\",\"outcome\":\"" : "\" outcome=");
    line_put_string(l, outcome_words[a->outcome]);
    if (json)
        LINE_PUT(l, "\"");
    put_text(l, "who", a->who, NAME_LEN, json);
    put_text(l, "account", a->account, NAME_LEN, json);
    put_number(l, "account_id", a->account_id > 0 ? (uint64_t)a->account_id : 0, json);
    put_text(l, "from", a->from, FROM_LEN, json);
    put_text(l, "id", a->request_id, ID_LEN, json);
    put_text(l, "what", a->what, WHAT_LEN, json);
    put_text(l, "why", a->why, WHY_LEN, json);
    put_number(l, "count", a->count, json);
    line_put_string(l, json ? "}\n" : "\n");
}

/* ---- to its place ---------------------------------------------------------------------------- */

static ssize_t append(const char *bytes, size_t len)
{
    ssize_t n;
    do {
        n = FAULT_CALL(audit_write, -1, write(trail.fd, bytes, len));
    } while (n < 0 && errno == EINTR);
    return n;
}

/* What a full disk has cut short is ended before the next line. */
static bool append_line(const struct line *l)
{
    if (trail.torn && append("\n", 1) != 1)
        return false;
    ssize_t n = append(l->text, l->len);
    trail.torn = n > 0 && n < (ssize_t)l->len;
    return n == (ssize_t)l->len;
}

static bool deliver(const struct line *l)
{
    switch (trail.place) {
    case PLACE_LOG:
        return log_hand_over(l);
    case PLACE_FILE:
        return append_line(l);
    case PLACE_SYSLOG:
        syslog(LOG_AUTHPRIV | LOG_NOTICE, "%.*s", (int)l->len - 1, l->text);
        return true;
    case PLACE_NOWHERE:
        break;
    }
    return true;
}

static bool record(const struct audit *a)
{
    struct line l;
    l.len = 0;
    build(&l, a);
    return deliver(&l);
}

void audit_write(const struct audit *a)
{
    int saved_errno = errno;
    if (trail.place == PLACE_NOWHERE)
        return;
    bool told = trail.unsaid == 0 || record(&(struct audit){.event = AUDIT_EVENT_lost,
                                                            .outcome = AUDIT_FAILED,
                                                            .count = trail.unsaid});
    if (told)
        trail.unsaid = 0;
    if (!told || !record(a)) {
        trail.dropped++;
        trail.unsaid++;
    }
    errno = saved_errno;
}

void audit_login(struct audit_origin origin, enum audit_outcome outcome, struct slice email,
                 int64_t account_id)
{
    static const char *const why[] = {
        [AUDIT_FAILED] = "wrong address or password",
        [AUDIT_THROTTLED] = "too many failures",
        [AUDIT_BEGUN] = NULL,
    };
    audit_write(&(struct audit){.event = AUDIT_EVENT_login,
                                .outcome = outcome,
                                .who = email,
                                .account_id = account_id,
                                .from = origin.from,
                                .request_id = origin.request_id,
                                .why = slice_of(why[outcome])});
}

/* ---- the file -------------------------------------------------------------------------------- */

/* errno stays. */
static int refuse(int fd, const char *path, const char *why, struct buf *error)
{
    int saved = errno;
    buf_printf(error, "[log] audit: cannot write to %s: %s", path, why);
    if (fd >= 0)
        close(fd);
    errno = saved;
    return -1;
}

/* Only what was just made is given away: of a file that is there, its name may have been put there by
 * somebody who wants to own it. */
static int make_file(const char *path, uid_t uid, gid_t gid, struct buf *error)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return errno == EEXIST ? -1 : refuse(-1, path, strerror(errno), error);
    if (geteuid() == 0 && uid != (uid_t)-1 && fchown(fd, uid, gid) != 0)
        return refuse(fd, path, strerror(errno), error);
    return fd;
}

static int open_file(const char *path, uid_t uid, gid_t gid, struct buf *error)
{
    int fd = make_file(path, uid, gid, error);
    if (fd >= 0 || error->len > 0)
        return fd;
    fd = regular_open_own(path, O_WRONLY | O_APPEND, uid);
    return fd >= 0 ? fd : refuse(-1, path, regular_why_not(errno), error);
}

static bool is_path(const char *where)
{
    return where && strcmp(where, "on") != 0 && strcmp(where, "off") != 0;
}

static bool start_file(const char *path, uid_t uid, gid_t gid, struct buf *error)
{
    char *copy = strdup(path);
    int fd = copy ? open_file(path, uid, gid, error) : refuse(-1, path, "out of memory", error);
    if (fd < 0) {
        free(copy);
        return false;
    }
    audit_stop();
    trail.place = PLACE_FILE;
    trail.fd = fd;
    trail.path = copy;
    trail.uid = uid;
    trail.gid = gid;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

bool audit_start(const char *where, uid_t uid, gid_t gid, struct buf *error)
{
    if (is_path(where))
        return start_file(where, uid, gid, error);
    audit_stop();
    trail.place = where && strcmp(where, "on") == 0 ? PLACE_LOG : PLACE_NOWHERE;
    return true;
}

bool audit_can_start(const char *where, uid_t uid, gid_t gid, struct buf *error)
{
    if (!is_path(where))
        return true;
    int fd = open_file(where, uid, gid, error);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void audit_use_syslog(void)
{
    if (trail.place != PLACE_LOG)
        return;
    openlog("colmeia", LOG_PID, LOG_AUTHPRIV);
    trail.place = PLACE_SYSLOG;
}

void audit_reopen(void)
{
    struct buf error = {0};
    if (trail.place != PLACE_FILE)
        return;
    int fd = open_file(trail.path, trail.uid, trail.gid, &error);
    if (fd >= 0) {
        close(trail.fd);
        trail.fd = fd;
        trail.torn = false;
    } else {
        log_error("%.*s; the file that was open stays in use", SLICE_ARGS(buf_slice(&error)));
    }
    buf_free(&error);
}

void audit_stop(void)
{
    if (trail.fd >= 0)
        close(trail.fd);
    free(trail.path);
    trail.fd = -1;
    trail.path = NULL;
    trail.torn = false;
    trail.place = PLACE_NOWHERE;
}

void audit_after_fork(void)
{
    trail.torn = false;
    trail.dropped = trail.unsaid = 0;
}

bool audit_has_file(void)
{
    return trail.place == PLACE_FILE;
}

uint64_t audit_dropped(void)
{
    return trail.dropped;
}
