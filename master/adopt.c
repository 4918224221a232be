/* adopt.c: programs in their succession: what goes along when another one takes the place of this
 * one, and what is made of it there. The order of things is the supervisor's (transition.h), the way
 * upgrade.h's. */
#include "master/driver.h"

#include "master/state.h"
#include "master/upgrade.h"
#include "shared/check.h"
#include "shared/door.h"
#include "shared/log.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- what goes along ------------------------------------------------------------------------- */

static void save_master(const struct master *m, struct state_master *to)
{
    *to = (struct state_master){.pid = getpid(),
                                .version = SLICE(COLMEIA_VERSION),
                                .slots_len = (int64_t)m->supervisor->slots_len,
                                .started_ms = m->started.ms,
                                .started_wall_s = m->started_wall_s,
                                .loaded_wall_s = m->loaded_wall_s,
                                .ini = m->text.ini,
                                .env = m->text.env,
                                .next_ini = m->next.ini,
                                .next_env = m->next.env,
                                .key = secret_key(m->current->secret),
                                .previous_keys = secret_previous(m->current->secret),
                                .tls_certificate = tls_pair_certificate(m->current->tls),
                                .tls_key = tls_pair_key(m->current->tls),
                                .exe = m->other.fd,
                                .exe_path = slice_of(m->other.path),
                                .previous = -1,
                                .handover_take = m->estate.handover[0],
                                .handover_give = m->estate.handover[1],
                                .door = -1,
                                .reload_begun_ms = m->reload_begun.ms,
                                .reload_changed = m->receipt.changed,
                                .last_reload = buf_slice(&m->last_reload),
                                .last_reload_ok = m->last_reload_ok,
                                .last_reload_at_ms = m->last_reload_at.ms,
                                .binary_asked = slice_of(m->binary_asked),
                                .said_ready = m->announcer.said.ready,
                                .said_reloading = m->announcer.said.reloading,
                                .said_reloads = m->announcer.said.reloads};
}

/* There, a way back; on the way back, what was wrong there. */
static void save_way(const struct master *m, struct state_master *to)
{
    if (m->supervisor->transition.adopted) {
        to->reason = buf_slice(&m->why_back);
        to->details = buf_slice(&m->why_details);
        to->previous_path = slice_of(m->binary.path); /* to be named; there is no way there */
        to->next_ini = to->next_env = (struct slice){0};
    } else {
        to->previous = m->binary.fd;
        to->previous_path = slice_of(m->binary.path);
    }
}

static struct state_listener listener_record(const struct regime *r, const struct listeners *l,
                                             size_t i)
{
    const struct listener *from = &l->items[i];
    return (struct state_listener){.regime = r->generation,
                                   .fd = from->fd,
                                   .asked = slice_of(l->notes[i].asked),
                                   .fate = l->notes[i].fate,
                                   .backlog = from->backlog_asked,
                                   .path_dev = (int64_t)from->path_dev,
                                   .path_ino = (int64_t)from->path_ino,
                                   .activated = from->activated,
                                   .words = from->words,
                                   .source = slice_of(l->notes[i].source)};
}

/* A record of its own, so that a program without an admin child does not take these for its others. */
static void save_admin_door(struct state *s, const struct state_listener *l)
{
    *state_add_admin_door(s) = (struct state_admin_door){
        l->regime, l->fd, l->asked, l->fate, l->backlog, l->path_dev, l->path_ino};
}

static struct state_listener admin_door_of(const struct state_admin_door *d)
{
    return (struct state_listener){.regime = d->regime,
                                   .fd = d->fd,
                                   .asked = d->asked,
                                   .fate = d->fate,
                                   .backlog = d->backlog,
                                   .path_dev = d->path_dev,
                                   .path_ino = d->path_ino};
}

static void save_listeners(const struct regime *r, struct state *s)
{
    for (size_t i = 0; i < r->listeners.len; i++)
        *state_add_listener(s) = listener_record(r, &r->listeners, i);
    for (size_t i = 0; i < r->admin.len; i++) {
        struct state_listener door = listener_record(r, &r->admin, i);
        save_admin_door(s, &door);
    }
}

/* The one on trial, if any, has no worker and is opened there, or never. */
static void save_regimes(const struct master *m, struct state *s)
{
    for (const struct regime *r = m->regimes; r; r = r->next) {
        if (r == m->trial)
            continue;
        struct state_regime *to = state_add_regime(s);
        to->generation = r->generation;
        to->over = r->over;
        to->refusing = r->listeners.refusing;
        save_listeners(r, s);
    }
}

static void save_tenancies(const struct master *m, struct state *s)
{
    for (size_t i = 0; i < s->slot_len; i++) {
        struct state_slot *to = &s->slot[i];
        const struct tenancy *from = &m->tenancies[to->index];
        to->channel = m->channels[to->index].fd;
        to->regime = from->regime ? from->regime->generation : 0;
        to->born_ms = from->born.ms;
        to->jitter_permille = from->jitter_permille;
        to->layout = (int64_t)from->layout;
    }
}

static void save_kept(const struct config *c, struct state *s)
{
    struct config_kept kept;
    for (size_t at = 0; config_kept_next(c, &at, &kept);)
        *state_add_kept(s) = (struct state_kept){kept.section, kept.key, kept.value};
}

static void collect(const struct master *m, struct state *s)
{
    *s = (struct state){0};
    state_add_master(s);
    if (s->failed)
        return; /* s->master is what others add to; and nobody will write half a state */
    save_master(m, s->master);
    save_way(m, s->master);
    state_set_identity(s->master, &m->identity);
    supervisor_save(m->supervisor, s);
    for (int i = 0; i < m->options->argc; i++)
        state_add_argument(s)->text = slice_of(m->options->argv[i]);
    save_kept(m->current->config, s);
    save_regimes(m, s);
    save_tenancies(m, s);
    estate_save(&m->estate, s);
    admin_save(m, s);
    commands_save(m, s);
}

/* ---- taking over ----------------------------------------------------------------------------- */

static enum exit_code refuse(const char *what)
{
    log_error("cannot take over: %s: %s", what, strerror(errno));
    return EXIT_CODE_INTERNAL;
}

static char *text_of(struct slice text)
{
    return text.ptr ? slice_strdup(text) : NULL;
}

static bool adopt_listener(struct listeners *l, const struct state_listener *from)
{
    struct listener *item = &l->items[l->len];
    if (listener_inherit(from->fd, (int)from->backlog, item) != 0)
        return false;
    item->activated = from->activated != 0;
    item->words = (unsigned)from->words & DOOR_WORDS_ALL;
    item->path_dev = (dev_t)from->path_dev;
    item->path_ino = (ino_t)from->path_ino;
    l->notes[l->len] = (struct listener_note){.asked = slice_strdup(from->asked),
                                              .source = text_of(from->source),
                                              .twin = -1,
                                              .fate = (enum listener_fate)from->fate};
    return l->notes[l->len++].asked;
}

static bool adopt_listeners(struct listeners *l, const struct state *s, int64_t generation)
{
    *l = (struct listeners){.items = calloc(s->listener_len + 1, sizeof l->items[0]),
                            .notes = calloc(s->listener_len + 1, sizeof l->notes[0])};
    if (!l->items || !l->notes)
        return false;
    for (size_t i = 0; i < s->listener_len; i++)
        if (s->listener[i].regime == generation && !adopt_listener(l, &s->listener[i]))
            return false;
    return true;
}

static bool adopt_admin_doors(struct listeners *l, const struct state *s, int64_t generation)
{
    *l = (struct listeners){.items = calloc(s->admin_door_len + 1, sizeof l->items[0]),
                            .notes = calloc(s->admin_door_len + 1, sizeof l->notes[0])};
    if (!l->items || !l->notes)
        return false;
    for (size_t i = 0; i < s->admin_door_len; i++) {
        struct state_listener door = admin_door_of(&s->admin_door[i]);
        if (door.regime == generation && !adopt_listener(l, &door))
            return false;
    }
    return true;
}

static bool adopt_regime(struct master *m, const struct state *s, const struct state_regime *from)
{
    struct regime *r = calloc(1, sizeof *r);
    if (!r)
        return false;
    r->generation = (unsigned)from->generation;
    r->over = from->over != 0;
    r->next = m->regimes;
    m->regimes = r;
    if (!adopt_listeners(&r->listeners, s, from->generation) ||
        !adopt_admin_doors(&r->admin, s, from->generation))
        return false;
    r->listeners.refusing = from->refusing != 0;
    if (r->over)
        return true;
    m->current = r;
    r->config = m->options->config;
    r->secret = secret_of(s->master[0].key, s->master[0].previous_keys);
    if (s->master[0].tls_certificate.ptr)
        r->tls = tls_pair_of(s->master[0].tls_certificate, s->master[0].tls_key);
    return r->secret && !r->tls == !s->master[0].tls_certificate.ptr;
}

enum exit_code adopt_regimes(struct master *m)
{
    const struct state *s = m->options->state;
    for (size_t i = 0; i < s->regime_len; i++)
        if (!adopt_regime(m, s, &s->regime[i]))
            return refuse("listeners");
    return EXIT_CODE_OK;
}

static struct regime *regime_of(const struct master *m, int64_t generation)
{
    struct regime *r = m->regimes;
    while (r && r->generation != generation)
        r = r->next;
    return r;
}

/* What a worker writes into another layout's scoreboard is not seen here: only what we know. */
static void introduce(struct master *m, const struct state_slot *from)
{
    struct scoreboard_slot *slot = &m->estate.scoreboard->slots[from->index];
    scoreboard_use(m->estate.scoreboard, (size_t)from->index);
    atomic_store(&slot->pid, (int32_t)from->pid);
    atomic_store(&slot->generation, (uint32_t)from->generation);
    atomic_store(&slot->started_ms, from->born_ms);
}

static void adopt_child(struct master *m, const struct state_slot *from, bool back)
{
    const struct state_supervisor *v = &m->options->state->supervisor[0];
    int slot = (int)from->index;
    if (from->pid == 0)
        return;
    reload_tenant(m, slot, regime_of(m, from->regime));
    struct tenancy *t = &m->tenancies[slot];
    t->born.ms = from->born_ms;
    t->jitter_permille = from->jitter_permille;
    t->layout = (uint64_t)from->layout;
    t->adopted = true;
    t->stray = back && from->born > v->exec_born;
    if (t->layout != scoreboard_layout())
        introduce(m, from);
    if (from->channel >= 0)
        channel_open(m, slot, from->channel);
}

static void adopt_times(struct master *m, const struct state_master *from)
{
    m->announcer.said.ready = from->said_ready != 0;
    m->announcer.said.reloading = from->said_reloading != 0;
    m->announcer.said.reloads = (unsigned)from->said_reloads;
    m->started.ms = from->started_ms;
    m->started_wall_s = from->started_wall_s;
    m->loaded_wall_s = from->loaded_wall_s;
    m->reload_begun.ms = from->reload_begun_ms;
    m->receipt.changed = from->reload_changed != 0;
    buf_append_slice(&m->last_reload, from->last_reload);
    m->last_reload_ok = from->last_reload_ok != 0;
    m->last_reload_at.ms = from->last_reload_at_ms;
}

/* When the other crashed, what is read here was written for it. */
static void adopt_binaries(struct master *m, const struct state_master *from)
{
    struct binary now = binary_of(from->exe, text_of(from->exe_path));
    struct binary before = binary_of(from->previous, text_of(from->previous_path));
    bool swapped = m->options->way_back && before.fd >= 0;
    m->binary = swapped ? before : now;
    m->other = swapped ? now : before;
    m->binary_asked = text_of(from->binary_asked);
    m->came_from = text_of(from->version);
}

enum exit_code adopt_rest(struct master *m)
{
    const struct state *s = m->options->state;
    const struct state_master *from = &s->master[0];
    bool back = m->options->way_back;
    if (from->pid != getpid())
        return refuse("it is another process");
    adopt_binaries(m, from);
    if (!m->binary.path)
        return refuse("its own program");
    if (!back && !config_text_make(m->options->flags, from->next_ini, from->next_env, &m->next))
        return refuse("the next configuration");
    adopt_times(m, from);
    for (size_t i = 0; i < s->slot_len; i++)
        adopt_child(m, &s->slot[i], back);
    if (back) {
        buf_append_slice(&m->why_back, slice_of(m->options->way_back));
        buf_append_slice(&m->why_details, from->details);
    }
    return EXIT_CODE_OK;
}

/* Keys and configurations live elsewhere now, where core dumps and children have no copy of them. */
static void wipe(struct slice text)
{
    if (text.ptr)
        explicit_bzero((char *)(uintptr_t)text.ptr, text.len);
}

static void wipe_secrets(const struct state *s)
{
    const struct state_master *from = &s->master[0];
    wipe(from->key);
    wipe(from->previous_keys);
    wipe(from->ini);
    wipe(from->env);
    wipe(from->next_ini);
    wipe(from->next_env);
    for (size_t i = 0; i < s->kept_len; i++)
        wipe(s->kept[i].value);
}

static void close_on_exec(void *ctx, int fd)
{
    (void)ctx;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void adopt_done(struct master *m)
{
    const struct state *s = m->options->state;
    upgrade_net_down();
    state_each_fd(s, close_on_exec, NULL);
    for (size_t i = 0; i < s->strangers_len; i++)
        close(s->strangers[i]);
    wipe_secrets(s);
    prctl(PR_SET_NAME, "colmeia"); /* execveat(2) names a program after its descriptor */
    log_info("%s %s, with %zu workers", m->binary.path,
             m->options->way_back ? "is back" : "has taken over", s->slot_len);
}

/* ---- which program --------------------------------------------------------------------------- */

void adopt_open(struct master *m)
{
    binary_init(&m->binary);
    binary_init(&m->other);
    m->rehearsal_fd = -1;
    if (m->options->state || m->options->argc == 0)
        return;
    if (binary_self(&m->binary) != 0)
        log_warning("no other program can take over from this one: %s", strerror(errno));
}

/* Opens what stands at *path*, if it is wanted. */
static int prepare(struct master *m, const char *path, bool asked, struct buf *error)
{
    if (m->binary.fd < 0 && asked)
        buf_printf(error, "no other program can take over from this one");
    if (m->binary.fd < 0)
        return asked ? -1 : 0;
    if (!asked && !binary_differs(&m->binary, path))
        return 0;
    return binary_open(path, &m->other, error) ? 1 : -1;
}

/* A path that was named counts once. */
int adopt_prepare(struct master *m, bool forced, bool good, struct buf *error)
{
    char *named = m->binary_asked;
    m->binary_asked = NULL;
    binary_close(&m->other);
    int result = good ? prepare(m, named ? named : m->binary.path, forced || named, error) : -1;
    free(named);
    return result;
}

bool adopt_would_change(const struct master *m, struct buf *lines, struct buf *error)
{
    struct binary other;
    if (m->binary.fd < 0 || !binary_differs(&m->binary, m->binary.path))
        return true;
    if (!binary_open(m->binary.path, &other, error))
        return false;
    buf_printf(lines, "program: another file stands at %s and would take over\n", other.path);
    binary_close(&other);
    return true;
}

/* ---- rehearsal ------------------------------------------------------------------------------- */

void adopt_before_check(struct master *m)
{
    struct state s;
    if (m->other.fd < 0)
        return;
    collect(m, &s);
    m->rehearsal_fd = upgrade_write_state(&s);
    if (m->rehearsal_fd < 0)
        m->rehearsal_fd = -errno;
    state_free(&s);
}

void adopt_after_check(struct master *m)
{
    if (m->rehearsal_fd >= 0)
        close(m->rehearsal_fd);
    m->rehearsal_fd = -1;
}

int adopt_check(struct master *m)
{
    struct buf said = {0};
    bool good = m->rehearsal_fd >= 0 &&
                upgrade_rehearse(m->options->argv[0], m->other.path, m->other.fd, m->rehearsal_fd,
                                 &said);
    if (m->rehearsal_fd < 0)
        buf_printf(&said, "%s: cannot be rehearsed: %s", m->other.path, strerror(-m->rehearsal_fd));
    log_lines(good ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, buf_slice(&said));
    buf_free(&said);
    return good ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

/* ---- there and back -------------------------------------------------------------------------- */

void adopt_note_return(struct master *m, const struct sup_action *a)
{
    struct slice details = {0};
    buf_clear(&m->why_back);
    buf_clear(&m->why_details);
    reload_say_failure(m, a, &m->why_back, &details);
    buf_append_slice(&m->why_details, details);
}

void adopt_exec(struct master *m)
{
    enum sup_step step = m->supervisor->transition.step;
    struct state s;
    m->exec_due = false;
    if (step != SUP_STEP_EXEC && step != SUP_STEP_RETURN)
        return; /* a stop came first */
    collect(m, &s);
    log_info("reload %u: %s %s", m->supervisor->transition.reloads,
             step == SUP_STEP_EXEC ? "handing over to" : "going back to", m->other.path);
    int error = upgrade_exec(m->options->argv[0], m->other.fd, &s);
    state_free(&s);
    log_error("%s cannot be executed: %s", m->other.path, strerror(error));
    feed(m, &(struct sup_event){.type = SUP_EXEC_FAILED, .slot = -1, .status = error});
}

void adopt_over(struct master *m)
{
    binary_close(&m->other);
    estate_forget_foreign(&m->estate);
    buf_free(&m->why_back);
    buf_free(&m->why_details);
    free(m->came_from);
    m->came_from = NULL;
}

void adopt_drop(struct master *m, bool check)
{
    binary_close(&m->binary);
    estate_drop(&m->estate);
    if (check)
        return; /* it needs the rest */
    binary_close(&m->other);
    adopt_after_check(m);
}

void adopt_close(struct master *m)
{
    adopt_over(m);
    adopt_after_check(m);
    binary_close(&m->binary);
    free(m->binary_asked);
    m->binary_asked = NULL;
}
