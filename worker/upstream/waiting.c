/* waiting.c: see client_internal.h. */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/upstream/client_internal.h"

#include <stdlib.h>

static struct call *leave(struct waiting *w)
{
    struct client *c = w->client;
    struct call *call = w->call;
    *(w->previous ? &w->previous->next : &c->waiting_first) = w->next;
    *(w->next ? &w->next->previous : &c->waiting_last) = w->previous;
    c->waiting_len--;
    call->transfer = NULL;
    call->task.on_cancel = NULL;
    free(w);
    return call;
}

static void on_cancel(struct task *task)
{
    struct call *call = leave(((struct call *)task)->transfer);
    call->result = CALL_CANCELLED;
    task_complete(&call->task, TASK_CANCELLED);
}

bool waiting_add(struct client *c, struct call *call)
{
    struct waiting *w = malloc(sizeof *w);
    if (!w)
        return false;
    *w = (struct waiting){.client = c, .call = call, .previous = c->waiting_last};
    *(w->previous ? &w->previous->next : &c->waiting_first) = w;
    c->waiting_last = w;
    c->waiting_len++;
    call->transfer = w;
    call->task.on_cancel = on_cancel;
    return true;
}

struct call *waiting_take(struct client *c)
{
    return c->waiting_first ? leave(c->waiting_first) : NULL;
}

#endif
