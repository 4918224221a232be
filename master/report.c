/* report.c: see report.h. */
#include "master/report.h"

#include "master/spawn.h"
#include "shared/check.h"
#include "shared/log.h"

#include <execinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PHRASE_MAX = REPORT_PHRASE_MAX, LINE_CAP = 4096 };

/* ---- obituary -------------------------------------------------------------------------------- */

/* Bytes of shared memory that its writer left in the middle of something: NUL-terminated and
 * printable afterwards. */
static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strnlen(from, cap - 1);
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
    to[len] = '\0';
}

/* Oldest first. */
static void take_recent(struct obituary *o, const struct scoreboard_slot *slot)
{
    uint32_t next = atomic_load(&slot->recent_next);
    o->recent_len = next < SCOREBOARD_RECENT_MAX ? next : SCOREBOARD_RECENT_MAX;
    for (unsigned i = 0; i < o->recent_len; i++) {
        const struct scoreboard_recent *from =
            &slot->recent[(next - o->recent_len + i) % SCOREBOARD_RECENT_MAX];
        struct scoreboard_recent *to = &o->recent[i];
        *to = *from;
        copy_text(to->route, sizeof to->route, from->route);
        copy_text(to->request_id, sizeof to->request_id, from->request_id);
    }
}

static int by_age(const void *a, const void *b)
{
    const struct obituary_flight *x = a, *y = b;
    return (x->age_ms < y->age_ms) - (x->age_ms > y->age_ms);
}

static void take_flights(struct obituary *o, const struct scoreboard_slot *slot, mono_ms now)
{
    uint32_t used = atomic_load(&slot->flights_used);
    o->flights_len = 0;
    for (uint32_t i = 0; i < used && i < SCOREBOARD_FLIGHTS_MAX; i++) {
        const struct scoreboard_flight *from = &slot->flights[i];
        int64_t began_ms = atomic_load(&from->began_ms);
        if (began_ms == 0)
            continue;
        struct obituary_flight *to = &o->flights[o->flights_len++];
        to->age_ms = mono_diff_ms(now, (mono_ms){began_ms});
        copy_text(to->route, sizeof to->route, from->route);
        copy_text(to->request_id, sizeof to->request_id, from->request_id);
    }
    qsort(o->flights, o->flights_len, sizeof o->flights[0], by_age);
}

static void take_stack(struct obituary *o, const struct scoreboard_slot *slot)
{
    uint32_t len = atomic_load(&slot->stack_len);
    o->stack_len = len < SCOREBOARD_STACK_MAX ? len : SCOREBOARD_STACK_MAX;
    for (unsigned i = 0; i < o->stack_len; i++)
        o->stack[i] = (void *)(uintptr_t)atomic_load(&slot->stack[i]);
}

void obituary_take(struct obituary *o, const struct scoreboard_slot *slot, int status, mono_ms now)
{
    o->status = status;
    o->at = now;
    memcpy(o->words, slot->last_words, sizeof o->words);
    o->words[sizeof o->words - 1] = '\0';
    take_recent(o, slot);
    take_flights(o, slot, now);
    take_stack(o, slot);
    o->pid = atomic_load(&slot->pid);
    o->generation = atomic_load(&slot->generation);
    o->uptime_ms = mono_diff_ms(now, (mono_ms){atomic_load(&slot->started_ms)});
    o->requests = atomic_load(&slot->counters[COUNTER_requests]);
    o->torn = WIFSIGNALED(status) ? atomic_load(&slot->connections) : 0;
    o->working = atomic_load(&slot->busy) > 0 && slot->request_id[0] != '\0';
    copy_text(o->route, sizeof o->route, slot->route);
    copy_text(o->request_id, sizeof o->request_id, slot->request_id);
}

/* ---- phrases --------------------------------------------------------------------------------- */

static const char *exit_code_text(int code)
{
    switch ((enum exit_code)code) {
#define EXIT_CODE(name, number, word, meaning)                                                     \
    case EXIT_CODE_##name:                                                                         \
        return word;
#include "shared/exit_codes.def"
#undef EXIT_CODE
    }
    return "unknown reason";
}

void report_status(int status, char out[static REPORT_PHRASE_MAX])
{
    if (WIFEXITED(status)) {
        snprintf(out, PHRASE_MAX, "exited with code %d (%s)", WEXITSTATUS(status),
                 exit_code_text(WEXITSTATUS(status)));
        return;
    }
    const char *name = sigabbrev_np(WTERMSIG(status));
    const char *text = sigdescr_np(WTERMSIG(status));
    snprintf(out, PHRASE_MAX, "killed by signal %d (SIG%s, %s)%s", WTERMSIG(status),
             name ? name : "?", text ? text : "?", WCOREDUMP(status) ? ", core dumped" : "");
}

static void say_life(const struct obituary *o, char out[static PHRASE_MAX])
{
    int n = snprintf(out, PHRASE_MAX, "after %.1f s, %llu requests", (double)o->uptime_ms / 1000,
                     (unsigned long long)o->requests);
    if (o->working)
        snprintf(out + n, PHRASE_MAX - (size_t)n, ", in %s, request %s",
                 o->route[0] ? o->route : "no route yet", o->request_id);
}

static void say_next(int64_t delay_ms, char out[static PHRASE_MAX])
{
    if (delay_ms == SUP_RETRY_AFTER_RELOAD)
        snprintf(out, PHRASE_MAX, "waits for a new configuration");
    else if (delay_ms == SUP_NO_RETRY)
        snprintf(out, PHRASE_MAX, "not replaced");
    else if (delay_ms == 0)
        snprintf(out, PHRASE_MAX, "replaced at once");
    else
        snprintf(out, PHRASE_MAX, "next try in %lld ms", (long long)delay_ms);
}

static void say_count(unsigned count, char out[static PHRASE_MAX])
{
    out[0] = '\0';
    if (count > 1)
        snprintf(out, PHRASE_MAX, " (%u times in a row)", count);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct {
    void (*call)(void *ctx, enum log_level level, struct slice line);
    void *ctx;
} sink;

void report_set_sink(void (*call)(void *ctx, enum log_level level, struct slice line), void *ctx)
{
    sink.call = call;
    sink.ctx = ctx;
}

void report_event(enum log_level level, struct slice line)
{
    if (sink.call)
        sink.call(sink.ctx, level, line);
}

__attribute__((format(printf, 2, 3))) static void emit(enum log_level level, const char *format,
                                                       ...)
{
    char line[LINE_CAP]; /* not on the heap: how somebody died is also said without memory */
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    ASSERT(n >= 0);
    log_write(level, "%s", line);
    report_event(level, slice_of(line));
}

void report_obituary(const struct obituary *o, int slot, struct buf *out)
{
    char how[PHRASE_MAX], life[PHRASE_MAX];
    report_status(o->status, how);
    say_life(o, life);
    buf_printf(out, "worker %d (pid %d, gen %u) %s %s", slot, (int)o->pid, o->generation, how,
               life);
}

/* Our own frames are named by our title, which stands where the program's path was. */
char **report_frames(const struct obituary *o)
{
    char **names = o->stack_len ? backtrace_symbols(o->stack, (int)o->stack_len) : NULL;
    for (unsigned i = 0; names && i < o->stack_len; i++) {
        char *place = strncmp(names[i], "colmeia: ", 9) == 0 ? strrchr(names[i], '(') : NULL;
        if (place)
            memmove(names[i] + strlen("colmeia"), place, strlen(place) + 1);
    }
    return names;
}

/* Where it hung, for those who have the binary. */
static void log_stack(const struct obituary *o)
{
    char **names = report_frames(o);
    for (unsigned i = 0; names && i < o->stack_len; i++)
        emit(LOG_LEVEL_ERROR, "  #%u %s", i, names[i]);
    free(names);
}

static void log_died(const struct sup_action *a, const struct obituary *o, const char *who)
{
    char how[PHRASE_MAX], life[PHRASE_MAX], next[PHRASE_MAX], count[PHRASE_MAX];
    report_status(a->status, how);
    say_life(o, life);
    say_next(a->value, next);
    say_count(a->count, count);
    log_stack(o);
    emit(LOG_LEVEL_ERROR, "%s (pid %d, gen %u) %s %s; %s%s", who, (int)o->pid, o->generation, how,
         life, next, count);
}

static void log_left(const struct sup_action *a, const struct obituary *o, const char *who)
{
    log_stack(o);
    char how[PHRASE_MAX], life[PHRASE_MAX];
    report_status(a->status, how);
    say_life(o, life);
    if (a->status == 0)
        emit(LOG_LEVEL_INFO, "%s (pid %d) left %s", who, (int)o->pid, life);
    else
        emit(LOG_LEVEL_WARNING, "%s (pid %d) %s %s; connections cut: %lld", who, (int)o->pid, how,
             life, (long long)a->value + o->torn);
}

static void log_spawn_failed(const struct sup_action *a, const char *who)
{
    char next[PHRASE_MAX], count[PHRASE_MAX];
    say_next(a->value, next);
    say_count(a->count, count);
    emit(LOG_LEVEL_ERROR, "%s: cannot start a process: %s; %s%s", who, strerror(a->status), next,
         count);
}

static void log_all_ready(const struct sup_action *a, const struct listeners *listeners)
{
    struct buf where = {0};
    listeners_describe(listeners, &where);
    emit(LOG_LEVEL_INFO, "ready: %lld worker%s on %.*s", (long long)a->value,
         a->value == 1 ? "" : "s", SLICE_ARGS(buf_text(&where)));
    buf_free(&where);
}

static void log_job_failed(const struct sup_action *a, const char *what, const char *next)
{
    char how[PHRASE_MAX];
    report_status(a->status, how);
    emit(LOG_LEVEL_ERROR, "%s %s; %s", what, how, next);
}

static bool all_activated(const struct listeners *l)
{
    size_t n = 0;
    while (n < l->len && l->items[n].activated)
        n++;
    return n == l->len;
}

void report_log(const struct sup_action *a, const struct obituary *last,
                const struct listeners *listeners)
{
    char who[SPAWN_NAME_MAX];
    spawn_name(a->role, a->role == ROLE_SERVE ? a->slot : -1, who);
    long long value = (long long)a->value;
    switch (a->log) {
    case SUP_LOG_DIED:
        log_died(a, last, who);
        return;
    case SUP_LOG_LEFT:
        log_left(a, last, who);
        return;
    case SUP_LOG_SPAWN_FAILED:
        log_spawn_failed(a, who);
        return;
    case SUP_LOG_JOB_SPAWN_FAILED:
        emit(LOG_LEVEL_ERROR, "%s: cannot start a process: %s", who, strerror(a->status));
        return;
    case SUP_LOG_BOOT_TIMEOUT:
        emit(LOG_LEVEL_ERROR, "%s (pid %d) was not ready after %lld ms; it is killed", who,
             (int)a->pid, value);
        return;
    case SUP_LOG_ALL_READY:
        log_all_ready(a, listeners);
        return;
    case SUP_LOG_ONE_AT_A_TIME:
        emit(LOG_LEVEL_WARNING, "%lld workers fail repeatedly; from now on one tries at a time",
             value);
        return;
    case SUP_LOG_STOP:
        emit(LOG_LEVEL_INFO, "stopping: newcomers %s, requests in flight have %lld ms",
             all_activated(listeners) ? "wait for the next start" : "are refused", value);
        return;
    case SUP_LOG_STOP_DELAY:
        emit(LOG_LEVEL_INFO, "stopping in %lld ms; until then health checks say so and all goes on",
             value);
        return;
    case SUP_LOG_CHECKING:
        emit(LOG_LEVEL_INFO, "reload %u: checking the configuration", a->count);
        return;
    case SUP_LOG_REQUEST_REFUSED:
        emit(LOG_LEVEL_WARNING, "the server is stopping: nothing else is begun");
        return;
    case SUP_LOG_SCALED:
        emit(LOG_LEVEL_INFO, "%lld worker%s wanted from now on (%u configured)", value,
             value == 1 ? "" : "s", a->count);
        return;
    case SUP_LOG_ABORTED:
        emit(LOG_LEVEL_ERROR, "%s (pid %d) hangs; it gets SIGABRT", who, (int)a->pid);
        return;
    case SUP_LOG_STOP_QUICK:
        emit(LOG_LEVEL_WARNING, "stopping quickly: requests in flight have %lld ms", value);
        return;
    case SUP_LOG_GRACE_OVER:
        emit(LOG_LEVEL_WARNING, "%s (pid %d) still works after %lld ms; it is told to cut", who,
             (int)a->pid, value);
        return;
    case SUP_LOG_KILL:
        emit(LOG_LEVEL_ERROR, "%s (pid %d) did not leave in time; it is killed", who, (int)a->pid);
        return;
    case SUP_LOG_BOOT_FAILURES:
        emit(
            LOG_LEVEL_ERROR,
            "%lld boot failures and no worker ready; giving up (see the lines above for the cause)",
            value);
        return;
    case SUP_LOG_NEVER_READY:
        emit(LOG_LEVEL_ERROR, "no worker was ready after %lld ms (boot_timeout); giving up", value);
        return;
    case SUP_LOG_NONE_READY:
        emit(LOG_LEVEL_ERROR, "no worker has been ready for %lld ms; giving up", value);
        return;
    case SUP_LOG_CONFIG_REFUSED:
        emit(LOG_LEVEL_ERROR, "a worker refused its configuration (see the line above); giving up");
        return;
    case SUP_LOG_MIGRATION_FAILED:
        log_job_failed(a, "the database migration", "no worker was started");
        return;
    case SUP_LOG_CHECKPOINT_FAILED:
        log_job_failed(a, "the last checkpoint", "nothing is lost: the next start reads the WAL");
        return;
    }
    UNREACHABLE();
}
