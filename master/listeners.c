/* listeners.c: see listeners.h. */
#include "master/listeners.h"

#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_one(struct listeners *l, const char *text, int backlog, struct buf *error)
{
    struct sock_address address;
    if (!sock_parse(slice_of(text), &address, error))
        return -1;
    if (listener_open(&address, backlog, &l->items[l->len], error) < 0)
        return -1;
    l->len++;
    return 0;
}

int listeners_open(struct listeners *l, const struct config *config, struct buf *error)
{
    const struct config_list *bind = &config->server_bind;
    *l = (struct listeners){.items = calloc(bind->len, sizeof l->items[0])};
    if (!l->items) {
        buf_printf(error, "cannot listen: out of memory");
        return -1;
    }
    for (size_t i = 0; i < bind->len; i++) {
        if (open_one(l, bind->items[i], (int)config->server_backlog, error) == 0)
            continue;
        listeners_shut(l);
        return -1;
    }
    return 0;
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

void listeners_refuse(struct listeners *l)
{
    l->refusing = true;
    for (size_t i = 0; i < l->len; i++)
        if (listener_refuse_newcomers(&l->items[i]) < 0)
            log_debug("%s: newcomers cannot be refused (%s): accepting until none is left",
                      l->items[i].name, strerror(errno));
}

/* A path that listeners_refuse unlinked may be a successor's by now. */
void listeners_shut(struct listeners *l)
{
    for (size_t i = 0; i < l->len; i++) {
        listener_shutdown(&l->items[i]);
        listener_close(&l->items[i], !l->refusing);
    }
    free(l->items);
    *l = (struct listeners){.refusing = l->refusing};
}

void listeners_describe(const struct listeners *l, struct buf *out)
{
    for (size_t i = 0; i < l->len; i++)
        buf_printf(out, "%s%s%s", i ? ", " : "",
                   sock_is_unix(&l->items[i].address) ? "" : "http://", l->items[i].name);
}
