/* library.c: see library.h. dlopen(3). */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/upstream/library.h"

#include "shared/dynamic.h"
#include "worker/upstream/curl_memory.h"

#include <dlfcn.h>

static bool find(void *file, const char *name, void *function_r, struct buf *error)
{
    bool found = dynamic_find(file, CURL_FILE, name, function_r, error);
    if (!found)
        buf_printf(error, "; a newer one is needed");
    return found;
}

const struct library *library_load(struct buf *error)
{
    static struct library library;
    if (library.global_init_mem)
        return &library;
    void *file = dlopen(CURL_FILE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!file) {
        buf_printf(error, "%s; " CURL_REMEDY, dlerror());
        return NULL;
    }
    struct library fresh;
#define X(name)                                                                                    \
    if (!find(file, "curl_" #name, &fresh.name, error))                                            \
        return NULL;
    LIBRARY_FUNCTIONS(X)
#undef X
    CURLcode code = fresh.global_init_mem(CURL_GLOBAL_ALL, curl_memory_malloc, curl_memory_free,
                                         curl_memory_realloc, curl_memory_strdup,
                                         curl_memory_calloc);
    if (code != CURLE_OK) {
        buf_printf(error, "libcurl cannot start: %s", fresh.easy_strerror(code));
        return NULL;
    }
    library = fresh;
    return &library;
}

#endif
