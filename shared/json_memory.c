/* json_memory.c: see json_memory.h. json_set_alloc_funcs(), jansson's manual. */
#include "shared/json_memory.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

static _Thread_local bool was_short;

static void *allocate(size_t len)
{
    void *memory = malloc(len);
    was_short |= !memory;
    return memory;
}

static void step_between(void)
{
    json_set_alloc_funcs(allocate, free);
}

void json_memory_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, step_between);
    was_short = false;
}

bool json_memory_was_short(void)
{
    return was_short;
}

struct json_t *json_memory_load(struct slice text, bool *was_short_r)
{
    json_memory_watch();
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    *was_short_r = was_short;
    if (!was_short)
        return json;
    json_decref(json);
    return NULL;
}
