/* commands.c: what the control socket's calls mean to the running master: they become the same
 * requests as signals do, and are answered from what it knows. */
#include "master/driver.h"

#include "master/record.h"
#include "master/state.h"
#include "master/upgrade.h"
#include "shared/check.h"
#include "shared/debug.h"
#include "shared/jsonw.h"
#include "shared/log.h"
#include "shared/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- questions ------------------------------------------------------------------------------- */

static void do_status(struct master *m, const struct control_call *call)
{
    struct buf json = {0};
    tell_status(m, &json);
    answer(m, call->id, &json);
}

static void do_metrics(struct master *m, const struct control_call *call)
{
    struct buf json = {0};
    tell_metrics(m, &json);
    answer(m, call->id, &json);
}

static void do_why(struct master *m, const struct control_call *call)
{
    struct buf json = {0};
    if (tell_why(m, call->number, &json))
        answer(m, call->id, &json);
    else
        answer_text(m, call->id, false, SLICE("no worker has died there"));
}

/* ---- orders ---------------------------------------------------------------------------------- */

bool commands_stopping(const struct master *m)
{
    return m->supervisor->phase >= SUP_PHASE_DELAYING;
}

/* A dry run reads and judges here, and touches nothing. */
static void do_dry_run(struct master *m, const struct control_call *call)
{
    struct buf lines = {0};
    if (reload_would_change(m, &lines))
        answer_lines(m, call->id, true, SLICE(""), SLICE("changes"), buf_slice(&lines));
    else
        answer_lines(m, call->id, false, SLICE("this configuration would be refused"), SLICE("log"),
                     buf_slice(&lines));
    buf_free(&lines);
}

static bool ask_for_binary(struct master *m, const struct control_call *call)
{
    char *path = strdup(call->path);
    if (!path) {
        answer_text(m, call->id, false, SLICE("out of memory"));
        return false;
    }
    free(m->binary_asked);
    m->binary_asked = path;
    return true;
}

/* The reload that this request leads to: the one that begins now, or the next one. It is awaited
 * before it can be over. */
static void do_reload(struct master *m, const struct control_call *call)
{
    const struct sup_transition *t = &m->supervisor->transition;
    if (call->dry_run) {
        do_dry_run(m, call);
        return;
    }
    bool upgrade = call->command == CONTROL_UPGRADE;
    if (upgrade && call->path[0] && !ask_for_binary(m, call))
        return;
    unsigned number = t->reloads + 1;
    if (call->wait)
        answer_later(m, call->id, true, number);
    feed_request(m, SUP_REQUEST_RELOAD, -1, upgrade);
    if (call->wait)
        return;
    answer_text(m, call->id, true,
                t->reload_asked ? SLICE("a reload will begin once the present change is over")
                                : SLICE("reload begun; the log and ctl status tell how it ends"));
}

static void do_scale(struct master *m, const struct control_call *call)
{
    const struct supervisor *s = m->supervisor;
    if (call->how == CONTROL_SET && call->number > (int)s->settings.workers_max) {
        answer_text(m, call->id, false,
                    s->settings.workers_max == 1 ? SLICE("a database in memory serves one worker")
                                                 : SLICE("at most 256 workers"));
        return;
    }
    switch (call->how) {
    case CONTROL_SET:
        feed_request(m, SUP_REQUEST_SCALE, -1, call->number);
        break;
    case CONTROL_MORE:
        feed_request(m, SUP_REQUEST_SCALE_BY, -1, call->number);
        break;
    case CONTROL_LESS:
        feed_request(m, SUP_REQUEST_SCALE_BY, -1, -(int64_t)call->number);
        break;
    case CONTROL_RESET:
    case CONTROL_ALL:
    case CONTROL_NONE:
        feed_request(m, SUP_REQUEST_SCALE_RESET, -1, 0);
        break;
    }
    struct buf json = {0};
    buf_printf(&json, "{\"ok\":true,\"workers\":%u}", sup_target(s, &s->settings));
    answer(m, call->id, &json);
}

/* The slot of a worker that lives there; NULL after having answered that there is none. */
static const struct sup_slot *living(struct master *m, const struct control_call *call)
{
    const struct supervisor *s = m->supervisor;
    bool known = call->number >= 0 && (size_t)call->number + 1 < s->slots_len;
    if (known && s->slots[call->number].state == SLOT_READY)
        return &s->slots[call->number];
    struct buf text = {0};
    buf_printf(&text, "no worker %d is ready; see ctl status", call->number);
    answer_text(m, call->id, false, buf_slice(&text));
    buf_free(&text);
    return NULL;
}

static void do_recycle(struct master *m, const struct control_call *call)
{
    bool all = call->how == CONTROL_ALL;
    if (m->supervisor->settings.keeps_data) {
        answer_text(m, call->id, false,
                    SLICE("the database is in memory and would be lost with its worker"));
        return;
    }
    if (!all && !living(m, call))
        return;
    feed_request(m, SUP_REQUEST_RECYCLE, all ? -1 : call->number, 0);
    answer_text(m, call->id, true,
                all ? SLICE("all workers will be replaced, one after the other")
                    : SLICE("the worker will be replaced"));
}

static void send_to(struct master *m, size_t slot, enum message_type type, int64_t value)
{
    if (m->channels[slot].fd >= 0)
        message_send(m->channels[slot].fd, type, m->supervisor->slots[slot].generation, value);
}

static void do_dump(struct master *m, const struct control_call *call)
{
    if (!living(m, call))
        return;
    send_to(m, (size_t)call->number, MESSAGE_DUMP, 0);
    answer_text(m, call->id, true, SLICE("the worker writes into the log what it is doing"));
}

static void do_log_level(struct master *m, const struct control_call *call)
{
    log_set_level((enum log_level)call->number);
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        send_to(m, i, MESSAGE_LOG_LEVEL, call->number);
    answer_text(m, call->id, true, SLICE("log level set, until the next reload"));
}

static void do_debug(struct master *m, const struct control_call *call)
{
    debug_set(call->number);
    for (size_t i = 0; i < m->supervisor->slots_len; i++)
        send_to(m, i, MESSAGE_DEBUG, call->number);
    answer_text(m, call->id, true,
                call->number ? SLICE("debug mode on, until the next reload")
                             : SLICE("debug mode off, until the next reload"));
}

static void forget_address(struct throttle *t, int family, const uint8_t *bytes)
{
    struct throttle_address address = throttle_address_of(family, bytes);
    throttle_forget(t, throttle_key_address(t, address));
    throttle_forget(t, throttle_key_sign_up(t, address));
}

static bool forget_as_address(struct throttle *t, const char *text)
{
    uint8_t bytes[16];
    for (size_t i = 0; i < 2; i++) {
        int family = i == 0 ? AF_INET : AF_INET6;
        if (inet_pton(family, text, bytes) != 1)
            continue;
        forget_address(t, family, bytes);
        return true;
    }
    return false;
}

static void do_throttle(struct master *m, const struct control_call *call)
{
    struct throttle *t = m->estate.throttle;
    struct slice told;
    if (call->how == CONTROL_ALL) {
        throttle_forget_all(t);
        told = SLICE("all that was counted is forgotten");
    } else if (forget_as_address(t, call->path)) {
        told = SLICE("what the address as a whole was counted for is forgotten, and its sign-ups; an account "
                     "that has to wait there is cleared by its own name");
    } else {
        throttle_forget_account(t, slice_of(call->path));
        told = SLICE("what was counted for that account is forgotten, wherever it came from");
    }
    log_info("throttle: cleared %s, as asked for",
             call->how == CONTROL_ALL ? "for all" : "for an account or address");
    answer_text(m, call->id, true, told);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void do_stop(struct master *m, const struct control_call *call)
{
    answer_text(m, call->id, true, call->quick ? SLICE("stopping quickly") : SLICE("stopping"));
    feed_request(m, call->quick ? SUP_REQUEST_QUIT : SUP_REQUEST_STOP, -1, 0);
}

static void obey(struct master *m, const struct control_call *call)
{
    bool order = call->command != CONTROL_STATUS && call->command != CONTROL_TOP &&
                 call->command != CONTROL_METRICS && call->command != CONTROL_WHY &&
                 call->command != CONTROL_STOP;
    if (order && commands_stopping(m)) {
        answer_text(m, call->id, false, SLICE("the server is stopping"));
        return;
    }
    switch (call->command) {
    case CONTROL_STATUS:
    case CONTROL_TOP:
        do_status(m, call);
        return;
    case CONTROL_RELOAD:
    case CONTROL_UPGRADE:
        do_reload(m, call);
        return;
    case CONTROL_SCALE:
        do_scale(m, call);
        return;
    case CONTROL_RECYCLE:
        do_recycle(m, call);
        return;
    case CONTROL_DUMP:
        do_dump(m, call);
        return;
    case CONTROL_METRICS:
        do_metrics(m, call);
        return;
    case CONTROL_WHY:
        do_why(m, call);
        return;
    case CONTROL_LOG:
        do_log_level(m, call);
        return;
    case CONTROL_DEBUG:
        do_debug(m, call);
        return;
    case CONTROL_RETRY:
        feed_request(m, SUP_REQUEST_RETRY, -1, 0);
        answer_text(m, call->id, true, SLICE("whoever waited is tried again now"));
        return;
    case CONTROL_THROTTLE:
        do_throttle(m, call);
        return;
    case CONTROL_WAIT:
        answer_later(m, call->id, false, 0);
        answers_look(m);
        return;
    case CONTROL_STOP:
        do_stop(m, call);
        return;
    case CONTROL_EVENTS: /* answered by control.c */
    case CONTROL_COMMANDS:
        break;
    }
    UNREACHABLE();
}

static void on_call(void *ctx, const struct control_call *call)
{
    struct master *m = ctx;
    m->obeying = call->id;
    m->outcome = AUDIT_BEGUN;
    obey(m, call);
    m->obeying = 0;
    record_command(call, m->outcome);
}

static void on_gone(void *ctx, unsigned id)
{
    answers_gone(ctx, id);
}

static void on_report(void *ctx, enum log_level level, struct slice line)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct master *m = ctx;
    struct buf json = {0};
    struct jsonw w = jsonw_on(&json);
    if (!m->control)
        return;
    jsonw_object_open(&w);
    jsonw_name(&w, SLICE("at"));
    jsonw_i64(&w, clock_wall_s());
    jsonw_name(&w, SLICE("level"));
    jsonw_string(&w, slice_of(names[level]));
    jsonw_name(&w, SLICE("text"));
    jsonw_string(&w, line);
    jsonw_object_close(&w);
    if (!json.failed)
        control_event(m->control, buf_slice(&json));
    buf_free(&json);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void save_client(const struct master *m, const struct control_guest *guest,
                        struct state_client *to)
{
    to->fd = guest->fd;
    to->in = guest->in;
    to->out = guest->out;
    to->follows = guest->follows;
    to->eof = guest->eof;
    for (const struct waiting *w = m->waiting; w; w = w->next)
        if (w->id == guest->call && guest->call) {
            to->waits = w->reload ? STATE_WAITS_RELOAD : STATE_WAITS_READY;
            to->reload = w->number;
        }
}

static const char *first_name(const struct listeners *l)
{
    for (size_t i = 0; i < l->len; i++)
        if (!sock_is_unix(&l->items[i].address))
            return l->items[i].name;
    return l->len > 0 ? l->items[0].name : NULL;
}

void commands_save(const struct master *m, struct state *state)
{
    struct control_guest guest;
    if (!m->control)
        return;
    const struct listener *door = control_door(m->control);
    state->master[0].door = door->fd;
    state->master[0].door_dev = (int64_t)door->path_dev;
    state->master[0].door_ino = (int64_t)door->path_ino;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control_guest_at(m->control, i, &guest))
            save_client(m, &guest, state_add_client(state));
}

static void adopt_client(struct master *m, const struct state_client *from)
{
    unsigned id = control_admit(m->control,
                                &(struct control_guest){.fd = from->fd,
                                                        .in = from->in,
                                                        .out = from->out,
                                                        .follows = from->follows != 0,
                                                        .eof = from->eof != 0,
                                                        .call = from->waits != STATE_WAITS_NOT});
    if (id)
        answer_later(m, id, from->waits == STATE_WAITS_RELOAD, (unsigned)from->reload);
}

/* Nobody shall wait at a door behind which nobody is: back to the program before, which is; or, if there
 * is no way, they hear that it is closed. */
static void give_up_control(const struct state *state, const struct buf *error)
{
    log_error("cannot take over: the control socket: %.*s", SLICE_ARGS(buf_text(error)));
    upgrade_fall_back("it could not take over the control socket");
    close((int)state->master[0].door);
    for (size_t i = 0; i < state->client_len; i++)
        if (state->client[i].fd >= 0)
            close((int)state->client[i].fd);
}

/* Who waits for the end of this very reload asked another program for it. */
static void adopt_control(struct master *m, const struct state *state)
{
    struct listener door;
    struct buf error = {0};
    if (listener_inherit(state->master[0].door, 0, &door) == 0) {
        door.path_dev = (dev_t)state->master[0].door_dev;
        door.path_ino = (ino_t)state->master[0].door_ino;
        m->control = control_adopt(
            &(struct control_options){.loop = m->loop, .ctx = m, .call = on_call, .gone = on_gone},
            &door, &error);
    } else {
        buf_printf(&error, "%s", strerror(errno));
    }
    if (!m->control)
        give_up_control(state, &error);
    for (size_t i = 0; m->control && i < state->client_len; i++)
        if (state->client[i].fd >= 0)
            adopt_client(m, &state->client[i]);
    buf_free(&error);
    report_set_sink(on_report, m);
}

/* A server that cannot be talked to serves all the same. */
void commands_open(struct master *m)
{
    struct buf path = {0}, error = {0};
    if (m->options->state && m->options->state->master[0].door >= 0) {
        adopt_control(m, m->options->state);
        return;
    }
    if (control_default_path(m->current->config, first_name(&m->current->listeners), &path)) {
        buf_append_char(&path, '\0');
        if (!path.failed)
            m->control = control_open(
                &(struct control_options){
                    .loop = m->loop, .path = path.data, .ctx = m, .call = on_call, .gone = on_gone},
                &error);
        if (m->control)
            log_debug("control socket: %s", path.data);
        else
            log_warning("no control socket: %.*s", SLICE_ARGS(buf_text(&error)));
    }
    buf_free(&path);
    buf_free(&error);
    report_set_sink(on_report, m);
}

void commands_drop(struct master *m)
{
    control_drop(m->control);
    m->control = NULL;
    answers_forget(m);
}

void commands_close(struct master *m)
{
    control_close(m->control);
    m->control = NULL;
    answers_forget(m);
}
