/* reload.c: configurations in their succession: read, judged by a child, opened beside the present
 * one, made current or forgotten; and the receipt. The order of things is the supervisor's
 * (transition.h). */
#include "master/driver.h"

#include "shared/check.h"
#include "shared/debug.h"
#include "shared/dynamic.h"
#include "shared/fault.h"
#include "shared/log.h"
#include "shared/title.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static bool database_in_memory(const struct config *config)
{
    const char *path;
    return config_database(config, &path) == CONFIG_DATABASE_MEMORY;
}

static void answer_bound(struct master *m, int status, const struct sup_settings *settings)
{
    feed_later(m, &(struct sup_event){
                      .type = SUP_BOUND, .slot = -1, .status = status, .settings = settings});
}

/* ---- reading, judging ------------------------------------------------------------------------ */

void reload_prepare(struct master *m, const struct sup_action *a)
{
    buf_clear(&m->reload_error);
    m->reload_begun = clock_now();
    FAULT_POINT(reload_prepare);
    m->receipt = (struct receipt){0};
    config_text_free(&m->next);
    bool read = false;
    if (database_in_memory(m->current->config))
        buf_printf(&m->reload_error,
                   "the database is in memory and would be lost with its worker\n");
    else
        read = config_read(m->options->flags, true, &m->next, &m->reload_error);
    m->receipt.changed = read && !config_text_equals(&m->text, &m->next);
    int other = adopt_prepare(m, a->value != 0, read, &m->reload_error);
    feed_later(m, &(struct sup_event){.type = SUP_PREPARED,
                                      .slot = -1,
                                      .status = other < 0 ? -1 : 0,
                                      .value = other > 0});
}

/* What is wrong with the bytes in m->next, if anything; the configuration otherwise. */
static struct config *judge(struct master *m, struct buf *errors)
{
    struct buf warnings = {0}, notes = {0};
    struct secret *secret = NULL;
    struct config *c = config_parse(m->options->flags, &m->next, errors, &warnings);
    if (c && secret_load(c, false, &secret, errors, &warnings, &notes) != EXIT_CODE_OK) {
        config_free(c);
        c = NULL;
    }
    log_lines(LOG_LEVEL_WARNING, buf_slice(&warnings));
    secret_free(secret);
    buf_free(&warnings);
    buf_free(&notes);
    return c;
}

int reload_check(struct master *m)
{
    struct buf errors = {0};
    struct scoreboard_slot *slot = &m->estate.scoreboard->slots[supervisor_job_slot(m->supervisor)];
    log_keep_errors(slot->last_words, sizeof slot->last_words);
    FAULT_POINT(reload_judge);
    if (m->other.fd >= 0)
        return adopt_check(m); /* it is the other program that must like it */
    struct config *c = judge(m, &errors);
    struct tls_pair *tls = NULL;
    bool good = c && dynamic_probe_for(c, &errors) == EXIT_CODE_OK &&
                tls_pair_load(c, &tls, &errors) == EXIT_CODE_OK;
    log_lines(LOG_LEVEL_ERROR, buf_slice(&errors));
    buf_free(&errors);
    if (tls) /* this is a child already */
        good = worker_main(&(struct entry){.role = ROLE_CHECK,
                                           .slot = -1,
                                           .channel_fd = -1,
                                           .config = c,
                                           .tls_certificate = tls_pair_certificate(tls),
                                           .tls_key = tls_pair_key(tls)}) == EXIT_CODE_OK;
    tls_pair_free(tls);
    config_free(c);
    return good ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

/* ---- opening beside -------------------------------------------------------------------------- */

static void keep_what_needs_a_restart(struct master *m, struct config *next)
{
    struct buf lines = {0};
    config_compare(m->current->config, next, true, &lines);
    struct slice rest = buf_slice(&lines);
    while (rest.ptr && rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        if (memmem(line.ptr, line.len, "restart", 7))
            log_warning("reload: %.*s", SLICE_ARGS(line));
        else if (line.len > 0)
            log_info("reload: %.*s", SLICE_ARGS(line));
    }
    buf_free(&lines);
}

void reload_bind(struct master *m, const struct sup_action *a)
{
    struct buf warnings = {0};
    FAULT_POINT(reload_bind);
    struct config *next = config_parse(m->options->flags, &m->next, &m->reload_error, &warnings);
    buf_free(&warnings); /* the child has said them */
    if (next) {
        keep_what_needs_a_restart(m, next);
        /* before the workers, which may not make a file everywhere */
        if (audit_can_start(next->log_audit, m->identity.uid, m->identity.gid, &m->reload_error))
            regime_open(next, a->generation, &m->current->listeners, &m->current->admin, &m->trial,
                    &m->reload_error);
        if (!m->trial)
            config_free(next);
    }
    if (!m->trial) {
        answer_bound(m, -1, NULL);
        return;
    }
    m->trial->owns_config = true;
    m->trial->next = m->regimes;
    m->regimes = m->trial;
    m->trial_settings = m->options->settings_of(next);
    FAULT_POINT(reload_bound);
    answer_bound(m, 0, &m->trial_settings);
}

/* ---- regimes and their workers --------------------------------------------------------------- */

/* One that is over goes with its last worker. */
static void release(struct master *m, struct regime *r)
{
    if (!r->over || r->users > 0)
        return;
    struct regime **at = &m->regimes;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    regime_free(r);
}

static void leave_regime(struct master *m, struct tenancy *t)
{
    struct regime *r = t->regime;
    t->regime = NULL;
    if (!r)
        return;
    r->users--;
    release(m, r);
}

void reload_tenant(struct master *m, int slot, struct regime *regime)
{
    struct tenancy *t = &m->tenancies[slot];
    leave_regime(m, t);
    uint64_t random = clock_now_us() * 6364136223846793005u;
    *t = (struct tenancy){.regime = regime,
                          .born = clock_now(),
                          .layout = scoreboard_layout(),
                          .jitter_permille = 900 + (int64_t)((random >> 33) % 201)};
    if (regime)
        regime->users++;
}

void reload_tenant_gone(struct master *m, int slot)
{
    const struct scoreboard_slot *from = &m->estate.scoreboard->slots[slot];
    const struct sup_transition *t = &m->supervisor->transition;
    if (m->supervisor->slots[slot].retiring)
        FAULT_POINT(reload_left);
    if (m->supervisor->slots[slot].retiring && t->kind == SUP_KIND_RELOAD && !t->failed) {
        m->receipt.workers++;
        /* what it took over while it was leaving has been counted where that came from */
        m->receipt.moved +=
            atomic_load(&from->counters[COUNTER_connections_handed_over]) + m->tenancies[slot].taken -
            atomic_load(&from->counters[COUNTER_connections_taken_over]);
        m->receipt.cut +=
            atomic_load(&from->counters[COUNTER_connections_cut]) + m->buried.torn;
    }
    leave_regime(m, &m->tenancies[slot]);
}

void reload_set_title(const struct master *m)
{
    struct buf where = {0};
    listeners_describe(&m->current->listeners, &where);
    title_set("master %.*s", SLICE_ARGS(buf_slice(&where)));
    buf_free(&where);
}

/* ---- commit and rollback --------------------------------------------------------------------- */

static void note_leaving(struct master *m, size_t i)
{
    const struct scoreboard_slot *from = &m->estate.scoreboard->slots[i];
    m->receipt.open += atomic_load(&from->connections);
    m->tenancies[i].taken = atomic_load(&from->counters[COUNTER_connections_taken_over]);
}

void reload_commit(struct master *m)
{
    struct regime *old = m->current;
    FAULT_POINT(reload_commit);
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        if (m->tenancies[i].regime == old)
            note_leaving(m, i);
    regime_hand_on(old, m->trial);
    m->current = m->trial;
    m->trial = NULL;
    config_text_free(&m->text);
    m->text = m->next;
    m->next = (struct config_text){0};
    old->over = true;
    release(m, old);
    log_init((enum log_level)m->current->config->log_level,
             (enum log_format)m->current->config->log_format);
    debug_set(m->current->config->debug_enabled);
    trail_follow(m);
    m->loaded_wall_s = clock_wall_s();
    reload_set_title(m);
    admin_renew(m);
    FAULT_POINT(reload_committed);
}

void reload_rollback(struct master *m)
{
    FAULT_POINT(reload_rollback);
    config_text_free(&m->next);
    if (!m->trial)
        return;
    regime_take_back(m->trial);
    m->trial->over = true;
    struct regime *trial = m->trial;
    m->trial = NULL;
    release(m, trial);
}

void reload_close(struct master *m)
{
    while (m->regimes) {
        struct regime *next = m->regimes->next;
        regime_free(m->regimes);
        m->regimes = next;
    }
    m->current = m->trial = NULL;
    config_text_free(&m->text);
    config_text_free(&m->next);
    buf_free(&m->reload_error);
    buf_free(&m->last_reload);
}

/* ---- the receipt ----------------------------------------------------------------------------- */

static void say_success(struct master *m, const struct sup_action *a, struct buf *out)
{
    const struct receipt *r = &m->receipt;
    uint64_t gone = r->moved + r->cut;
    int64_t ms = mono_diff_ms(clock_now(), m->reload_begun);
    buf_printf(out, "reload %u: %u worker%s replaced, configuration %s, ", a->count, r->workers,
               r->workers == 1 ? "" : "s", r->changed ? "changed" : "unchanged");
    if (m->came_from)
        buf_printf(out, "program %s (was %s), ", COLMEIA_VERSION, m->came_from);
    buf_printf(out, "%llu connections moved, %llu finished, %llu cut, %lld.%lld s",
               (unsigned long long)r->moved,
               (unsigned long long)(r->open > gone ? r->open - gone : 0),
               (unsigned long long)r->cut, (long long)(ms / 1000), (long long)(ms % 1000 / 100));
}

static void say_candidate(struct master *m, const struct sup_action *a, struct buf *out)
{
    const struct obituary *o = &m->last[a->lost];
    char how[REPORT_PHRASE_MAX];
    if (a->unborn) {
        buf_printf(out, "worker %d could not be started: %s", a->lost, strerror(a->status));
        return;
    }
    report_status(a->status, how);
    buf_printf(out, "worker %d (pid %d) %s", a->lost, (int)o->pid, how);
}

/* Why, in a line; the lines of whoever failed are the details. */
void reload_say_failure(struct master *m, const struct sup_action *a, struct buf *out,
                        struct slice *details_r)
{
    char how[REPORT_PHRASE_MAX];
    struct obituary *judge_died = &m->last[supervisor_job_slot(m->supervisor)];
    *details_r = buf_slice(&m->reload_error);
    switch (a->failure) {
    case SUP_FAILURE_NONE:
        break;
    case SUP_FAILURE_UNREADABLE:
    case SUP_FAILURE_BIND: {
        struct slice rest = buf_slice(&m->reload_error);
        struct slice first = slice_split(&rest, '\n');
        buf_printf(out, "%.*s", SLICE_ARGS(first));
        break;
    }
    case SUP_FAILURE_CHECK: {
        *details_r = slice_of(judge_died->words);
        struct slice rest = *details_r, first = slice_split(&rest, '\n');
        if (a->unborn) {
            buf_printf(out, "the check of the configuration could not be started: %s",
                       strerror(a->status));
            break;
        }
        report_status(a->status, how);
        if (WIFEXITED(a->status) && first.len > 0)
            buf_printf(out, "%.*s", SLICE_ARGS(first));
        else
            buf_printf(out, "the check of the configuration %s", how);
        break;
    }
    case SUP_FAILURE_EXEC:
        buf_printf(out, "%s cannot be executed: %s", m->other.path, strerror(a->status));
        break;
    case SUP_FAILURE_PROGRAM:
        *details_r = buf_slice(&m->why_details);
        buf_printf(out, "rolled back from %s: %.*s", m->other.path ? m->other.path : m->came_from,
                   SLICE_ARGS(buf_text(&m->why_back)));
        break;
    case SUP_FAILURE_WORKER:
        *details_r = slice_of(m->last[a->lost].words);
        say_candidate(m, a, out);
        break;
    case SUP_FAILURE_STOP:
        buf_printf(out, "the server is stopping");
        break;
    }
}

static void told_reload(struct master *m, const struct sup_action *a)
{
    struct slice details = {0};
    bool ok = a->failure == SUP_FAILURE_NONE;
    buf_clear(&m->last_reload);
    if (ok) {
        say_success(m, a, &m->last_reload);
        log_info("%.*s", SLICE_ARGS(buf_text(&m->last_reload)));
    } else {
        buf_printf(&m->last_reload, "reload %u failed: ", a->count);
        reload_say_failure(m, a, &m->last_reload, &details);
        log_error("%.*s; the old workers go on with the old configuration",
                  SLICE_ARGS(buf_text(&m->last_reload)));
    }
    m->last_reload_ok = ok;
    m->last_reload_at = clock_now();
    scoreboard_count(m->estate.scoreboard, ok ? COUNTER_reloads_ok : COUNTER_reloads_failed);
    if (ok)
        scoreboard_note(m->estate.scoreboard, TIMED_reload,
                        mono_diff_ms(m->last_reload_at, m->reload_begun) * 1000);
    report_event(ok ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, buf_slice(&m->last_reload));
    answers_told(m, a->count, ok, buf_slice(&m->last_reload), details);
    adopt_over(m);
}

void reload_told(struct master *m, const struct sup_action *a)
{
    if (a->kind == SUP_KIND_RELOAD) {
        FAULT_POINT(reload_told);
        told_reload(m, a);
        return;
    }
    const char *what = a->kind == SUP_KIND_HUNG ? "a worker that hung" : "a worker";
    if (a->failure == SUP_FAILURE_WORKER) {
        struct buf why = {0};
        say_candidate(m, a, &why);
        log_warning("%s could not be replaced: %.*s", what, SLICE_ARGS(buf_text(&why)));
        buf_free(&why);
    } else if (a->failure == SUP_FAILURE_NONE)
        log_info("%s was replaced", what);
}

bool reload_would_change(struct master *m, struct buf *lines)
{
    struct buf errors = {0};
    struct config_text kept = m->next;
    bool good = false;
    if (config_read(m->options->flags, true, &m->next, &errors)) {
        struct config *next = judge(m, &errors);
        good = next;
        if (next)
            config_compare(m->current->config, next, false, lines);
        good = good && adopt_would_change(m, lines, &errors);
        config_free(next);
    }
    config_text_free(&m->next);
    m->next = kept;
    if (!good) {
        buf_clear(lines);
        buf_append_slice(lines, buf_slice(&errors));
    }
    buf_free(&errors);
    return good;
}
