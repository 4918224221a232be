/* listeners.c: see listeners.h. */
#include "master/listeners.h"

#include "shared/door.h"
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

/* systemd's "ListenStream=8000" is [::]:8000 and takes IPv4 as well: who asks for 0.0.0.0:8000 means
 * that. */
static bool covers(const struct listener *given, const struct sock_address *address)
{
    int v6only = 1;
    socklen_t len = sizeof v6only;
    const struct sockaddr_in6 *in6 = &given->address.u.in6;
    return given->activated && given->address.u.any.sa_family == AF_INET6 &&
           address->u.any.sa_family == AF_INET && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) &&
           address->u.in.sin_addr.s_addr == INADDR_ANY && in6->sin6_port == address->u.in.sin_port &&
           getsockopt(given->fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && v6only == 0;
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
    for (size_t i = 0; current && i < current->len; i++)
        if (covers(&current->items[i], address) && !is_taken(l, (int)i))
            return (int)i;
    return -1;
}

static int share(const struct listener *twin, int backlog, struct listener *listener_r,
                 struct buf *error)
{
    *listener_r = *twin;
    if (!twin->activated)
        listener_r->backlog_asked = backlog; /* else its queue is as long as its owner wants */
    listener_r->fd = FAULT_CALL(listener_share, -1, fcntl(twin->fd, F_DUPFD_CLOEXEC, 0));
    if (listener_r->fd < 0)
        buf_printf(error, "%s: cannot share it: %s", twin->name, strerror(errno));
    return listener_r->fd < 0 ? -1 : 0;
}

/* The note of the item that was just opened or shared. -1 without memory. */
static int note(struct listeners *l, const char *asked, int twin, const struct listeners *current)
{
    const char *source = twin >= 0 ? current->notes[twin].source : NULL;
    struct listener *item = &l->items[l->len];
    struct listener_note *n = &l->notes[l->len];
    *n = (struct listener_note){.asked = strdup(asked),
                                .source = source ? strdup(source) : NULL,
                                .twin = twin,
                                .fate = item->activated ? LISTENER_KEPT : LISTENER_OURS};
    l->len++;
    return n->asked && (n->source || !source) ? 0 : -1;
}

static int open_address(struct listeners *l, const char *asked, unsigned words, int backlog,
                        const struct sock_address *address, const struct listeners *current,
                        struct buf *error)
{
    int twin = find_twin(l, current, asked, address);
    struct listener *item = &l->items[l->len];
    int result = twin >= 0 ? share(&current->items[twin], backlog, item, error)
                           : listener_open(address, backlog, item, error);
    if (result < 0)
        return -1;
    item->words = words;
    return note(l, asked, twin, current);
}

static int open_one(struct listeners *l, const char *text, int backlog,
                    const struct listeners *current, struct buf *error)
{
    struct sock_address address;
    unsigned words;
    if (!door_parse(slice_of(text), &address, &words, error))
        return -1;
    char *asked = slice_strdup(door_address(slice_of(text)));
    int result =
        asked ? open_address(l, asked, words, backlog, &address, current, error) : -1;
    free(asked);
    return result;
}

/* What was given to us and nobody has asked for is served all the same, as plain HTTP: the words
 * stand behind its address in [server] bind, or nowhere. */
static int share_given(struct listeners *l, const struct listeners *current, struct buf *error)
{
    for (int i = 0; current && i < (int)current->len; i++) {
        struct listener *item = &l->items[l->len];
        if (!current->items[i].activated || is_taken(l, i))
            continue;
        if (share(&current->items[i], 0, item, error) < 0)
            return -1;
        item->words = 0;
        if (note(l, current->items[i].name, i, current) < 0)
            return -1;
    }
    return 0;
}

static size_t count_given(const struct listeners *current)
{
    size_t n = 0;
    for (size_t i = 0; current && i < current->len; i++)
        n += current->items[i].activated;
    return n;
}

int listeners_open(struct listeners *l, const struct config *config,
                   const struct listeners *current, struct buf *error)
{
    const struct config_list *bind = &config->server_bind;
    size_t given = count_given(current);
    size_t asked = given > 0 && config_bind_is_default(config) ? 0 : bind->len;
    *l = (struct listeners){.items = calloc(asked + given, sizeof l->items[0]),
                            .notes = calloc(asked + given, sizeof l->notes[0])};
    if (asked + given > LISTENERS_MAX)
        buf_printf(error, "cannot listen on %zu addresses: at most %d", asked + given,
                   LISTENERS_MAX);
    bool ok = l->items && l->notes;
    for (size_t i = 0; i < asked && ok && error->len == 0; i++)
        ok = open_one(l, bind->items[i], (int)config->server_backlog, current, error) == 0;
    if (ok && error->len == 0)
        ok = share_given(l, current, error) == 0;
    if (!ok && error->len == 0)
        buf_printf(error, "cannot listen: out of memory");
    if (error->len == 0)
        return 0;
    listeners_take_back(l);
    listeners_shut(l);
    return -1;
}

int listeners_open_list(struct listeners *l, const struct config_list *bind, int backlog,
                        const struct listeners *current, struct buf *error)
{
    *l = (struct listeners){.items = calloc(bind->len + 1, sizeof l->items[0]),
                            .notes = calloc(bind->len + 1, sizeof l->notes[0])};
    bool ok = l->items && l->notes;
    for (size_t i = 0; i < bind->len && ok; i++)
        ok = open_one(l, bind->items[i], backlog, current, error) == 0;
    if (ok)
        return 0;
    if (error->len == 0)
        buf_printf(error, "cannot listen: out of memory");
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
        free(l->notes[i].source);
    }
    free(l->items);
    free(l->notes);
    *l = (struct listeners){.refusing = l->refusing};
}

void listeners_describe(const struct listeners *l, struct buf *out)
{
    for (size_t i = 0; i < l->len; i++) {
        const struct listener *x = &l->items[i];
        buf_printf(out, "%s%s%s", i ? ", " : "",
                   sock_is_unix(&x->address)  ? ""
                   : x->words & DOOR_TLS ? "https://"
                                              : "http://",
                   x->name);
        door_say_words(x->words, out);
        buf_append_slice(out, x->activated ? SLICE(" (from systemd)") : SLICE(""));
    }
}
