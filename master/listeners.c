/* listeners.c: see listeners.h. */
#include "master/listeners.h"

#include "shared/fault.h"
#include "shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- opening --------------------------------------------------------------------------------- */

static bool is_taken(const struct listeners *l, int twin)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->notes[i].twin == twin)
            return true;
    return false;
}

/* The same door of the present configuration: by the words it was asked with (port 0 stays the port
 * it became), else by what they mean ("8000" is "127.0.0.1:8000"); -1: none. */
static int find_twin(const struct listeners *l, const struct listeners *current, const char *asked,
                     const struct sock_address *address)
{
    char name[SOCK_NAME_MAX];
    for (size_t i = 0; current && i < current->len; i++)
        if (strcmp(current->notes[i].asked, asked) == 0 && !is_taken(l, (int)i))
            return (int)i;
    sock_name(address, name);
    for (size_t i = 0; current && i < current->len; i++)
        if (strcmp(current->items[i].name, name) == 0 && !is_taken(l, (int)i))
            return (int)i;
    return -1;
}

static int share(const struct listener *twin, int backlog, struct listener *listener_r,
                 struct buf *error)
{
    *listener_r = *twin;
    listener_r->backlog_asked = backlog;
    listener_r->fd = FAULT_CALL(listener_share, -1, fcntl(twin->fd, F_DUPFD_CLOEXEC, 0));
    if (listener_r->fd < 0)
        buf_printf(error, "%s: cannot share it: %s", twin->name, strerror(errno));
    return listener_r->fd < 0 ? -1 : 0;
}

static int open_one(struct listeners *l, const char *asked, int backlog,
                    const struct listeners *current, struct buf *error)
{
    struct sock_address address;
    if (!sock_parse(slice_of(asked), &address, error))
        return -1;
    int twin = find_twin(l, current, asked, &address);
    struct listener *item = &l->items[l->len];
    struct listener_note *note = &l->notes[l->len];
    *note = (struct listener_note){.asked = strdup(asked), .twin = twin};
    int result = !note->asked ? -1
                 : twin >= 0  ? share(&current->items[twin], backlog, item, error)
                              : listener_open(&address, backlog, item, error);
    if (result == 0)
        l->len++;
    else
        free(note->asked);
    return result;
}

int listeners_open(struct listeners *l, const struct config *config,
                   const struct listeners *current, struct buf *error)
{
    const struct config_list *bind = &config->server_bind;
    *l = (struct listeners){.items = calloc(bind->len, sizeof l->items[0]),
                            .notes = calloc(bind->len, sizeof l->notes[0])};
    if (bind->len > LISTENERS_MAX)
        buf_printf(error, "cannot listen on %zu addresses: at most %d", bind->len, LISTENERS_MAX);
    if (!l->items || !l->notes)
        buf_printf(error, "cannot listen: out of memory");
    for (size_t i = 0; i < bind->len && error->len == 0; i++)
        if (open_one(l, bind->items[i], (int)config->server_backlog, current, error) < 0 &&
            error->len == 0)
            buf_printf(error, "cannot listen: out of memory");
    if (error->len == 0)
        return 0;
    listeners_take_back(l);
    listeners_shut(l);
    return -1;
}

void listeners_warn_capped(const struct listeners *l)
{
    for (size_t i = 0; i < l->len; i++) {
        const struct listener *x = &l->items[i];
        if (x->backlog_effective >= 0 && x->backlog_effective < x->backlog_asked)
            log_warning("%s: backlog %d was asked, the kernel allows %d; to raise it: "
                        "sysctl -w net.core.somaxconn=%d",
                        x->name, x->backlog_asked, x->backlog_effective, x->backlog_asked);
    }
}

/* ---- from one configuration to the next ------------------------------------------------------ */

static void end_one(struct listeners *l, size_t i)
{
    l->notes[i].fate = LISTENER_ENDING;
    if (listener_refuse_newcomers(&l->items[i]) < 0)
        log_debug("%s: newcomers cannot be refused (%s): accepting until none is left",
                  l->items[i].name, strerror(errno));
}

void listeners_hand_on(struct listeners *l, struct listeners *next)
{
    for (size_t i = 0; i < next->len; i++) {
        int twin = next->notes[i].twin;
        if (twin < 0)
            continue;
        l->notes[twin].fate = LISTENER_KEPT;
        if (next->items[i].backlog_asked != l->items[twin].backlog_asked &&
            listener_set_backlog(&next->items[i], next->items[i].backlog_asked) < 0)
            log_warning("%s: cannot change its backlog: %s", next->items[i].name, strerror(errno));
        next->notes[i].twin = -1;
    }
    for (size_t i = 0; i < l->len; i++)
        if (l->notes[i].fate == LISTENER_OURS)
            end_one(l, i);
}

void listeners_take_back(struct listeners *next)
{
    for (size_t i = 0; i < next->len; i++) {
        if (next->notes[i].twin >= 0)
            next->notes[i].fate = LISTENER_KEPT;
        else
            end_one(next, i);
    }
}

int64_t listeners_ending(const struct listeners *l)
{
    int64_t bits = 0;
    for (size_t i = 0; i < l->len; i++)
        if (l->notes[i].fate == LISTENER_ENDING)
            bits |= INT64_C(1) << i;
    return bits;
}

/* ---- the end --------------------------------------------------------------------------------- */

void listeners_refuse(struct listeners *l)
{
    l->refusing = true;
    for (size_t i = 0; i < l->len; i++)
        if (l->notes[i].fate == LISTENER_OURS)
            end_one(l, i);
}

/* A path that was unlinked when newcomers were refused may be a successor's by now. */
void listeners_shut(struct listeners *l)
{
    for (size_t i = 0; i < l->len; i++) {
        if (l->notes[i].fate != LISTENER_KEPT)
            listener_shutdown(&l->items[i]);
        listener_close(&l->items[i], l->notes[i].fate == LISTENER_OURS);
    }
    listeners_drop(l);
}

void listeners_drop(struct listeners *l)
{
    for (size_t i = 0; i < l->len; i++) {
        listener_close(&l->items[i], false);
        free(l->notes[i].asked);
    }
    free(l->items);
    free(l->notes);
    *l = (struct listeners){.refusing = l->refusing};
}

void listeners_describe(const struct listeners *l, struct buf *out)
{
    for (size_t i = 0; i < l->len; i++)
        buf_printf(out, "%s%s%s", i ? ", " : "",
                   sock_is_unix(&l->items[i].address) ? "" : "http://", l->items[i].name);
}
