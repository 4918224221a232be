/* tls_library.c: see tls_library.h. dlopen(3). */
#include "shared/tls_keys.h"
#include "tls_build.h"

#if COLMEIA_TLS

#include "worker/net/tls_library.h"

#include <dlfcn.h>

#define LIBRARY_FILE "libssl.so.3"

static bool find(void *file, const char *name, void *function_r, struct buf *error)
{
    void *found = dlsym(file, name);
    if (!found)
        buf_printf(error, LIBRARY_FILE " has no %s", name);
    memcpy(function_r, &found, sizeof found); /* ISO C has no cast from object to function */
    return found;
}

const struct tls_library *tls_library_load(struct buf *error)
{
    static struct tls_library library;
    if (library.server_method)
        return &library;
    void *file = dlopen(LIBRARY_FILE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!file) {
        buf_printf(error, "%s; install libssl3 (Debian 13: libssl3t64)", dlerror());
        return NULL;
    }
    struct tls_library fresh;
#define X(name)                                                                                    \
    if (!find(file, "SSL_" #name, &fresh.name, error))                                             \
        return NULL;
    TLS_LIBRARY_FUNCTIONS(X)
#undef X
    if (!find(file, "SSL_CTX_set_ex_data", &fresh.context_set_data, error) ||
        !find(file, "SSL_CTX_get_ex_data", &fresh.context_get_data, error) ||
        !find(file, "TLS_server_method", &fresh.server_method, error))
        return NULL;
    library = fresh;
    return &library;
}

#endif
