/* conn_internal.h: what conn.c (plain bytes) and conn_tls.c (sealed ones) call of each other. Inner
 * header of worker/net. Loop thread. */
#pragma once

#include "worker/net/conn.h"
#include "worker/net/tls.h"

/* In conn.c. Shows plain bytes to the owner, behind those that are kept; what it does not take is kept.
 * False: the connection is gone. */
bool conn_show(struct conn *c, const char *bytes, size_t len);
/* The other side will send nothing more: the next read finds the end. Kept bytes come before it. */
void conn_note_end(struct conn *c);
/* Output waits; *progress*: for a new while. */
void conn_block(struct conn *c, bool progress);
/* Closes, and tells the owner. */
void conn_end(struct conn *c, enum conn_end why);
/* Every byte is either taken or kept. The connection may be gone after it. */
void conn_rest(struct conn *c);

/* In conn_tls.c. Bytes from the socket. False: the connection is gone, or will be. */
bool conn_take_sealed(struct conn *c, const char *bytes, size_t len);
/* conn_write() of *total* bytes. */
ssize_t conn_write_sealed(struct conn *c, const struct iovec *pieces, int count, size_t total);
/* There may be room for what waits: as tls_flush(). */
int conn_flush(struct conn *c);
/* The last that is sent. False: it waits. */
bool conn_say_end(struct conn *c);
