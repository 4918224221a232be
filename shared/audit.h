/* audit.h: who did what, when, from where, and with what outcome: the record that is kept for the day
 * on which somebody asks. One line per event, in [log] format, shorter than PIPE_BUF, whatever the log
 * level is; to the log as a kind of its own (AUDIT), or to a file ([log] audit). The caller never
 * waits: what cannot be written (a full disk, a blocked pipe) is counted, and the next line that can
 * be is preceded by one that says how many are missing. E-mail addresses are in it; a password, token,
 * hash or key must never be. One thread of a process: a worker's loop, the master, a verb.
 *
 * Text:  2026-11-20T20:13:37.123Z AUDIT [worker 3 pid 4242] event="login" outcome=failed
 *        who="ana@example.com" from="203.0.113.9:40312" id="6f1c…" why="wrong address or password"
 * JSON:  {"time":"…","level":"audit","role":"worker 3","pid":4242,"event":"login","outcome":"failed",…}
 *        (one line each). What is not known is left out; what does not fit ends in "…". */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum audit_event {
#define EVENT(name, word, when) AUDIT_EVENT_##name,
#define OUTCOME(name, word, meaning)
#include "shared/audit.def"
#undef EVENT
#undef OUTCOME
};

enum audit_outcome {
#define EVENT(name, word, when)
#define OUTCOME(name, word, meaning) AUDIT_##name,
#include "shared/audit.def"
#undef EVENT
#undef OUTCOME
};

/* Slices are borrowed for the call; {NULL, 0}: not known. */
struct audit {
    enum audit_event event;
    enum audit_outcome outcome;
    struct slice who;        /* "ana@example.com" as given or proved; "uid 0 pid 4711" */
    struct slice account;    /* whose account it is about, if that is another fact */
    int64_t account_id;      /* 0: none */
    struct slice from;       /* client's address, behind trusted proxies; "control socket", … */
    struct slice request_id;
    struct slice what;       /* method and path; the command */
    struct slice why;        /* what was wrong */
    uint64_t count;          /* of lines lost */
};

void audit_write(const struct audit *a);

/* Where an event of the API came from: of struct request, peer and id. */
struct audit_origin {
    struct slice from;
    struct slice request_id;
};
/* A login, however it ended: OK, FAILED, or THROTTLED, ABANDONED, UNAVAILABLE (no password was looked
 * at). *email* as it was given, *account_id* 0 unless it is proved to be that account. */
void audit_login(struct audit_origin origin, enum audit_outcome outcome, struct slice email,
                 int64_t account_id);

/* *where* is [log] audit: "on", to the log; "off"; else the path of a file, which is made (0600) if
 * need be and appended to. A file that root makes belongs to *uid* and *gid* from then on (-1: stays
 * root's). False with errno (regular.h's) and a line in *error*, and nothing changed, when the file
 * cannot be opened or is none: a link, a device, one with several names or of a foreign owner. Starts
 * with "off"; children inherit it by the fork. */
bool audit_start(const char *where, uid_t uid, gid_t gid, struct buf *error);
/* Could audit_start() succeed? A file is made. */
bool audit_can_start(const char *where, uid_t uid, gid_t gid, struct buf *error);
/* For verbs, whose standard error is somebody's terminal: what would go there goes to syslog(3),
 * facility authpriv. */
void audit_use_syslog(void);
/* The file may have been moved away (logrotate): opens it anew; where that fails the old one stays, and
 * the log says so. Nothing to do without a file. */
void audit_reopen(void);
/* In a forked child: what our parent lost is its own to tell. */
void audit_after_fork(void);
/* Before the process ends. */
void audit_stop(void);
bool audit_has_file(void);
/* Lines lost so far by this process. */
uint64_t audit_dropped(void);
