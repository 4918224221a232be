/* log.h: lines for the operator on stderr: text or JSON, one write each and shorter than PIPE_BUF,
 * so that lines of several processes never mix. A line that cannot be written at once (blocked
 * pipe, full disk) is dropped and counted; the caller never waits, errno is kept, and the flags of
 * an inherited stderr are never changed. SIGPIPE is to be ignored by the process.
 * Say event, subject, cause, next step; never a password, token or key. Any thread.
 *
 * Text:  2026-11-20T20:13:37.123Z INFO  [worker 3 pid 4242] message
 *        2026-11-20T20:13:37.123Z INFO  [worker 3 pid 4242] 127.0.0.1:40312 "GET /users/1?x=1" 200
 *        64B 0.412ms id=6f1c…                                                (one line)
 *        DEBUG, INFO, WARN or ERROR in five columns. Control bytes and bytes that are no UTF-8 are
 *        written \xNN (\n, \r, \t by their letters); between quotes, " and \ get a backslash. The
 *        status of a request that nobody waited for is "-".
 * JSON:  {"time":"…","level":"info","role":"worker 3","pid":4242,"message":"…"}
 *        {"time":"…","level":"info","role":"worker 3","pid":4242,"event":"request","peer":"…",
 *        "method":"GET","target":"/users/1?x=1","status":200,"bytes":64,"duration_us":412,"id":"…"}
 *        (one line; "status":null when nobody waited; debug, info, warning or error).
 * What does not fit ends in "…" (the message, or the target of a request). */
#pragma once

#include "shared/clock.h"
#include "shared/str.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Process-wide. Call before threads start; the lines before it are INFO and text. Under the journal
 * ($JOURNAL_STREAM names stderr) lines get their <N> priority. */
void log_init(enum log_level level, enum log_format format);
/* Who speaks in every later line: "master", "worker 3", "migrate". Copied (31 bytes at most). */
void log_set_role(const char *role);
enum log_level log_level(void);
/* At run time; any thread. */
void log_set_level(enum log_level level);
/* From now on appends each ERROR message and a line end to *room* (cap bytes, zeroed, at least 1)
 * as far as it fits; it stays NUL-terminated. For shared memory that someone reads after our death. */
void log_keep_errors(char *room, size_t cap);
/* Lines dropped so far by this process, since it has its role. */
uint64_t log_dropped(void);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_level() == LOG_LEVEL_DEBUG)                                                        \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)
/* A line for each of *text*'s that is not empty. */
void log_lines(enum log_level level, struct slice text);
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

/* One answered (or cut) request. Slices are borrowed for the call; control bytes are escaped. */
struct log_access {
    struct slice peer;       /* "127.0.0.1:40312" or "unix" */
    struct slice method;
    struct slice target;     /* as received, query included */
    struct slice request_id;
    int status;              /* 0: the client left before an answer */
    int64_t duration_us;
    size_t body_bytes;
    int worker_slot;
};
/* Written at INFO whatever the level: [log] access decides whether it is called at all. */
void log_access(const struct log_access *a);
