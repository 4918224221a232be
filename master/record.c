/* record.c: see record.h. */
#include "master/record.h"

#include "master/signals.h"

#include <stdio.h>
#include <string.h>

enum { WHO_MAX = 48 };

static struct slice who_is(uid_t uid, pid_t pid, char room_r[static WHO_MAX])
{
    snprintf(room_r, WHO_MAX, "uid %lld pid %lld", (long long)(int)uid, (long long)pid);
    return slice_of(room_r);
}

static void record(struct slice who, const char *from, struct slice what, enum audit_outcome outcome)
{
    audit_write(&(struct audit){.event = AUDIT_EVENT_control,
                                .outcome = outcome,
                                .who = who,
                                .from = slice_of(from),
                                .what = what});
}

void record_stranger(struct control_caller caller)
{
    char room[WHO_MAX];
    record(who_is(caller.uid, caller.pid, room), "control socket", (struct slice){NULL, 0},
           AUDIT_DENIED);
}

/* "ctl top" asks every second. */
static bool is_question(const struct control_call *call)
{
    switch (call->command) {
    case CONTROL_STATUS:
    case CONTROL_TOP:
    case CONTROL_METRICS:
    case CONTROL_EVENTS:
    case CONTROL_WHY:
    case CONTROL_WAIT:
        return true;
    case CONTROL_RELOAD:
        return call->dry_run;
    case CONTROL_UPGRADE:
    case CONTROL_SCALE:
    case CONTROL_RECYCLE:
    case CONTROL_DUMP:
    case CONTROL_LOG:
    case CONTROL_DEBUG:
    case CONTROL_RETRY:
    case CONTROL_THROTTLE:
    case CONTROL_STOP:
    case CONTROL_COMMANDS:
        break;
    }
    return false;
}

void record_command(const struct control_call *call, enum audit_outcome outcome)
{
    char room[WHO_MAX];
    if (!is_question(call))
        record(who_is(call->caller.uid, call->caller.pid, room), "control socket", call->line, outcome);
}

void record_signal(const struct signal_report *report)
{
    char room[WHO_MAX], what[32];
    if (report->meaning == SIGNAL_NONE || report->meaning == SIGNAL_CHILD)
        return;
    snprintf(what, sizeof what, "SIG%s", sigabbrev_np(report->number));
    record(report->sender ? who_is(report->sender_uid, report->sender, room) : SLICE("the kernel"),
           "signal", slice_of(what), AUDIT_BEGUN);
}
