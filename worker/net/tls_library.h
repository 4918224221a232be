/* tls_library.h: OpenSSL's libssl, loaded when a listener needs it: a worker without TLS has nothing of
 * it in memory. (libcrypto is there in any case: it signs tokens.) Functions are called as
 * ssl->read_ex(…). Loop thread, or a process without one. */
#pragma once

#include "shared/str.h"

#include <openssl/ssl.h>

/* Of libssl since 1.1.1, but for the MAC of 3.0; what ssl.h has as macros goes through CTX_ctrl. */
#define TLS_LIBRARY_FUNCTIONS(X)                                                                   \
    X(CTX_new)                                                                                     \
    X(CTX_free)                                                                                    \
    X(CTX_ctrl)                                                                                    \
    X(CTX_set_options)                                                                             \
    X(CTX_set_cipher_list)                                                                         \
    X(CTX_set_timeout)                                                                             \
    X(CTX_set_num_tickets)                                                                         \
    X(CTX_set_session_id_context)                                                                  \
    X(CTX_set_alpn_select_cb)                                                                      \
    X(CTX_set_tlsext_ticket_key_evp_cb)                                                            \
    X(CTX_use_certificate)                                                                         \
    X(CTX_use_PrivateKey)                                                                          \
    X(get_SSL_CTX)                                                                                 \
    X(get_error)                                                                                   \
    X(new)                                                                                         \
    X(free)                                                                                        \
    X(set_bio)                                                                                     \
    X(set_msg_callback)                                                                            \
    X(set_shutdown)                                                                                \
    X(ctrl)                                                                                        \
    X(set_accept_state)                                                                            \
    X(do_handshake)                                                                                \
    X(session_reused)                                                                              \
    X(has_pending)                                                                                 \
    X(read_ex)                                                                                     \
    X(write_ex)                                                                                    \
    X(shutdown)

struct tls_library {
#define X(name) __typeof__(SSL_##name) *name;
    TLS_LIBRARY_FUNCTIONS(X)
#undef X
    __typeof__(TLS_server_method) *server_method;
    __typeof__(SSL_CTX_set_ex_data) *context_set_data;
    __typeof__(SSL_CTX_get_ex_data) *context_get_data;
};

/* The loaded library; it stays. NULL with the reason in *error*. */
const struct tls_library *tls_library_load(struct buf *error);
