/* driver.h: the running master's state, shared by the files that turn the supervisor's decisions
 * into deeds and what happens into its events: master.c (loop, signals, children), perform.c
 * (actions), reload.c (configurations), adopt.c (programs), watch.c (hearts, worn workers),
 * commands.c, answers.c and tell.c (control socket), announce.c (the service manager), trail.c (the
 * audit log). Inner header of these; nobody else includes it. */
#pragma once

#include "master/admin_child.h"
#include "master/binary.h"
#include "master/control.h"
#include "master/estate.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/regime.h"
#include "master/report.h"
#include "master/signals.h"
#include "master/supervisor.h"
#include "shared/audit.h"
#include "shared/bulletin.h"
#include "shared/identity.h"

#include <ev.h>

/* The master's end of one worker's channel. */
struct channel {
    ev_io io;
    struct master *master; /* borrowed */
    int slot;
    int fd; /* -1: none */
};

/* What the master knows of a slot's process beyond what the supervisor decides by. */
struct tenancy {
    struct regime *regime; /* it was forked under; NULL: none */
    mono_ms born;
    int64_t jitter_permille; /* of its recycling limits: 900 to 1100 */
    uint64_t taken;  /* connections it had taken over when it was told to leave */
    uint64_t layout; /* of the scoreboard that it writes into: ours, or nothing is known of it */
    bool adopted;    /* another program forked it */
    bool stray;      /* and that one is gone for good: it is to be replaced */
    unsigned fat;            /* samples in a row above max_memory */
};

/* Connections of the workers that a reload replaces. */
struct receipt {
    unsigned workers;
    uint64_t open; /* when they were told to leave */
    uint64_t moved;
    uint64_t cut;
    bool changed; /* the configuration's bytes */
};

/* answers.c: a call that is answered when something has happened. */
struct waiting {
    struct waiting *next;
    unsigned id;
    bool reload; /* number: that reload is over; else: all workers are ready */
    unsigned number;
};

struct files_watch;
struct state;

/* announce.c */
struct announcer {
    struct notify_socket socket;
    struct notify_said said;
    ev_timer timer;
    uint64_t requests; /* so far, at … */
    mono_ms counted_at;
    uint64_t rps;
};

/* admin.c: the master's ends of the admin children's channels: of the one that serves and of the one
 * that comes. */
enum { ADMIN_CHANNELS = 2 };
struct admin_channel {
    ev_io io;
    struct master *master; /* borrowed */
    pid_t pid;             /* 0: none */
};

struct admin {
    struct admin_child child;
    struct admin_channel channels[ADMIN_CHANNELS];
    struct bulletin *bulletin; /* NULL: nobody reads it */
    struct buf said;           /* where it is, as it was logged last */
    ev_timer timer;
};

/* tell.c: the last deaths, the latest first. */
struct deaths {
    size_t len;
    struct {
        int slot;
        mono_ms at;
        char text[BULLETIN_TEXT_MAX];
    } items[BULLETIN_DEATHS_MAX];
};

struct master {
    const struct master_options *options; /* borrowed */
    struct estate estate;
    struct identity identity; /* of the children */
    struct signals signals;
    struct ev_loop *loop;
    ev_io signals_io;
    ev_timer wake;
    ev_timer look; /* watch.c: once a second */
    struct supervisor *supervisor;
    struct channel *channels;  /* one per slot */
    struct tenancy *tenancies; /* one per slot */
    struct obituary buried;    /* of the process that ended last */
    struct obituary *last;     /* one per slot: of the last that died there unasked */
    struct obituary *latest;   /* the last of these; borrowed from *last* */
    struct sup_event *answers; /* to SPAWN, PREPARE, BIND, not yet told: at most one per slot + 2 */
    size_t answers_len;
    struct sup_actions out;
    bool done; /* SUP_EXIT came; with this code */
    enum exit_code code;

    /* reload.c */
    struct regime *regimes; /* all; list */
    struct regime *current;
    struct regime *forking;  /* of the worker that is being forked */
    struct regime *trial;    /* opened, not yet committed; NULL: none */
    struct config_text text; /* of *current* */
    struct config_text next; /* read for a reload */
    struct buf reload_error; /* why the present reload went back: lines */
    struct receipt receipt;
    mono_ms reload_begun;
    struct sup_settings trial_settings;
    struct buf last_reload; /* its line, for status */
    bool last_reload_ok;
    mono_ms last_reload_at;
    int64_t loaded_wall_s;     /* when *current* became that */
    struct files_watch *files; /* --reload; NULL: not asked */

    struct announcer announcer;
    struct admin admin;
    struct deaths deaths;
    /* adopt.c */
    struct binary binary; /* that runs; fd -1: no other can take over */
    struct binary other;  /* in an upgrade: the one to come; or the one before, for the way back */
    char *binary_asked;   /* path for the next reload; owned; NULL: where ours was started */
    bool exec_due;        /* the supervisor wants it, once all else is answered */
    int rehearsal_fd;     /* for the CHECK child; < 0: none, or why not: -errno */
    char *came_from;      /* version of the program before, in an upgrade; owned */
    struct buf why_back;  /* why the new program goes, or went; */
    struct buf why_details; /* its lines */

    /* watch.c */
    mono_ms looked_at;   /* the last look; later than due: the master itself was late */
    mono_ms grace_until; /* nobody is judged before */
    unsigned looks;

    /* commands.c */
    struct control *control;
    struct waiting *waiting; /* calls to be answered later; list */
    unsigned obeying;            /* id of the call that is being obeyed; 0: none */
    enum audit_outcome outcome;  /* of that one, so far */
    mono_ms started;
    int64_t started_wall_s;
};

/* master.c: applies an event and what follows from it. */
void feed(struct master *m, const struct sup_event *event);
void feed_request(struct master *m, enum sup_request request, int slot, int64_t value);
void channel_open(struct master *m, int slot, int fd);

/* admin.c: its life, from before the supervisor's to after it. */
void admin_begin(struct master *m);
void admin_end(struct master *m);
/* There is a new configuration. */
void admin_renew(struct master *m);
/* Puts up what is new. After each event, and once a second. */
void admin_tell(struct master *m);
/* False: it is no admin child. */
bool admin_reaped(struct master *m, pid_t pid, int status);
void admin_save(const struct master *m, struct state *state);
/* In a child. */
void admin_drop(struct master *m);

/* perform.c */
void drop_for_admin(void *ctx);
void perform(struct master *m, const struct sup_action *action);

void feed_later(struct master *m, const struct sup_event *answer);
void channel_close(struct channel *c);

/* reload.c: the supervisor's PREPARE, BIND, COMMIT, ROLLBACK, TOLD. */
void reload_prepare(struct master *m, const struct sup_action *a);
void reload_bind(struct master *m, const struct sup_action *a);
void reload_commit(struct master *m);
void reload_rollback(struct master *m);
void reload_told(struct master *m, const struct sup_action *a);
/* In the CHECK child: judges m->next. Returns an enum exit_code. */
int reload_check(struct master *m);
/* Why, in a line, and the lines of whoever failed (borrowed). */
void reload_say_failure(struct master *m, const struct sup_action *a, struct buf *out,
                        struct slice *details_r);
/* A process of *slot*'s regime was forked, or is gone. */
void reload_tenant(struct master *m, int slot, struct regime *regime);
void reload_tenant_gone(struct master *m, int slot);
void reload_set_title(const struct master *m);
void reload_close(struct master *m);
/* [run] --reload: looks at the files of the configuration. */
void reload_watch_start(struct master *m);
void reload_watch_stop(struct master *m);
/* What a reload would change, a line each. False: it would be refused, *lines* says why. */
bool reload_would_change(struct master *m, struct buf *lines);

/* trail.c: whom children become ([server] user), and the audit log: at the start; on SIGUSR1; when there is
 * another configuration. */
enum exit_code trail_open(struct master *m);
void trail_reopen(struct master *m);
void trail_follow(struct master *m);

/* announce.c: tells the service manager what is new, if there is one. After each step: a reload that
 * fails at once is news, too. */
void announce(struct master *m);
void announce_start(struct master *m);
void announce_stop(struct master *m);
/* adopt.c: other programs. At the start: which one runs. */
void adopt_open(struct master *m);
void adopt_close(struct master *m);
/* Taking over, in the order of the start; what fails is on the log. */
enum exit_code adopt_regimes(struct master *m);
enum exit_code adopt_rest(struct master *m);
/* All is taken over: the way back is the supervisor's from now on. */
void adopt_done(struct master *m);
/* PREPARE: 1 if another program is to take over (*forced*: in any case), then judged and opened; 0; or
 * -1 with a line in *error*, or if the configuration is not *good*. */
int adopt_prepare(struct master *m, bool forced, bool good, struct buf *error);
/* A line if a reload would let another program take over. False: that one would be refused. */
bool adopt_would_change(const struct master *m, struct buf *lines, struct buf *error);
/* The CHECK child's part, before and after the fork, and in it. */
void adopt_before_check(struct master *m);
void adopt_after_check(struct master *m);
int adopt_check(struct master *m);
/* RETURN: why, from *a*. EXEC, RETURN: when their time has come. */
void adopt_note_return(struct master *m, const struct sup_action *a);
void adopt_exec(struct master *m);
/* The upgrade is over, however it ended. */
void adopt_over(struct master *m);
/* In a child. */
void adopt_drop(struct master *m, bool check);

/* watch.c */
void watch_start(struct master *m);
void watch_stop(struct master *m);

/* commands.c: the control socket's calls. */
void commands_open(struct master *m);
void commands_save(const struct master *m, struct state *state);
void commands_close(struct master *m);
void commands_drop(struct master *m);
/* Nothing new is begun. */
bool commands_stopping(const struct master *m);

/* answers.c: to a call: the JSON object (freed); {"ok":…,"text" or "error":…}; and the same with
 * an array of lines. */
void answer(struct master *m, unsigned id, struct buf *json);
void answer_text(struct master *m, unsigned id, bool ok, struct slice text);
void answer_lines(struct master *m, unsigned id, bool ok, struct slice text, struct slice name,
                  struct slice lines);
/* Once that reload is over; or (not *reload*) all workers are ready. */
void answer_later(struct master *m, unsigned id, bool reload, unsigned number);
/* The caller has left. */
void answers_gone(struct master *m, unsigned id);
/* Waiting calls that an event may have satisfied. */
void answers_look(struct master *m);
/* A transition ended with this line. */
void answers_told(struct master *m, unsigned number, bool ok, struct slice line,
                  struct slice details);
/* Nobody is to be answered any more. */
void answers_forget(struct master *m);
/* tell.c: the facts, and what they point to. */
struct tale {
    struct status_facts facts;
    struct buf death, reload;
    struct status_listener listeners[LISTENERS_MAX];
    struct status_death deaths[BULLETIN_DEATHS_MAX];
    int64_t *retry_ms;
    char hash[17];
};
void tell_gather(struct master *m, struct tale *tale_r);
void tell_free(struct tale *tale);
void tell_note_death(struct master *m, int slot);
/* JSON objects; false: no worker has died in that slot. */
void tell_status(struct master *m, struct buf *json);
void tell_metrics(struct master *m, struct buf *json);
bool tell_why(const struct master *m, int slot, struct buf *json);
bool tell_all_ready(const struct master *m);
unsigned tell_ready_workers(const struct master *m);
enum status_state tell_state(const struct master *m);
