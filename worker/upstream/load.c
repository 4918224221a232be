/* load.c: see client_internal.h. Loading takes some 25 ms, for which the loop is not held. */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/loop/executor.h"
#include "worker/upstream/client_internal.h"

#include <stdlib.h>

struct load {
    struct task task;      /* first */
    struct client *client; /* borrowed; NULL: it is gone */
    struct executor *thread;
    const struct library *library;
    struct buf error;
};

static void run(void *state, struct task *first)
{
    struct load *load = (struct load *)first;
    load->library = library_load(&load->error);
}

static void load_free(struct load *load)
{
    buf_free(&load->error);
    free(load);
}

static void on_done(struct task *task)
{
    struct load *load = (struct load *)task;
    struct client *c = load->client;
    if (c) {
        c->load = NULL;
        executor_free(load->thread, false); /* it has nothing to do any more */
        if (task->outcome == TASK_REFUSED)
            buf_printf(&load->error, "there is no thread to load libcurl on");
        client_on_loaded(c, load->library, buf_slice(&load->error));
    }
    load_free(load);
}

bool load_start(struct client *c)
{
    if (c->load)
        return true;
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return false;
    load->thread = executor_new(c->loop, &(struct executor_options){.name = "libcurl loader",
                                                                    .threads = 1,
                                                                    .max_queue = 1,
                                                                    .max_batch = 1,
                                                                    .run = run});
    if (!load->thread) {
        free(load);
        return false;
    }
    load->client = c;
    c->load = load;
    task_init(&load->task, c->loop, on_done);
    executor_submit(load->thread, &load->task);
    return true;
}

void load_forget(struct client *c)
{
    struct load *load = c->load;
    if (!load)
        return;
    c->load = NULL;
    load->client = NULL;
    executor_free(load->thread, false);
}

#endif
