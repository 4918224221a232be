/* tls_library.c: see tls_library.h. dlopen(3). */
#include "shared/tls_keys.h"
#include "tls_build.h"

#if COLMEIA_TLS

#include "worker/net/tls_library.h"

#include "shared/dynamic.h"

#include <dlfcn.h>

#define LIBRARY_FILE "libssl.so.3"

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
    if (!dynamic_find(file, LIBRARY_FILE, "SSL_" #name, &fresh.name, error))                       \
        return NULL;
    TLS_LIBRARY_FUNCTIONS(X)
#undef X
    if (!dynamic_find(file, LIBRARY_FILE, "SSL_CTX_set_ex_data", &fresh.context_set_data, error) ||
        !dynamic_find(file, LIBRARY_FILE, "SSL_CTX_get_ex_data", &fresh.context_get_data, error) ||
        !dynamic_find(file, LIBRARY_FILE, "TLS_server_method", &fresh.server_method, error))
        return NULL;
    library = fresh;
    return &library;
}

#endif
