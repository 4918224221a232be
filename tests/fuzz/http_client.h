/* http_client.h: the other end of a connection, for fuzz_session.c: what came back, and whether it
 * is what a client can live with. */
#pragma once

#include "shared/config.h"
#include "shared/str.h"

/* What the service under a fuzzer is configured with: small limits, and no deadline ever comes. */
struct config client_limits(void);

/* Reads what is there. True: the connection has ended. */
bool client_receive(int fd, struct buf *out);

/* *answers* is one answer for each request (a byte of *methods*: 'H' for HEAD), in order, perhaps
 * one more that refuses what follows, and that one says that it is the last. Interim answers may
 * stand between them. The body of an answer is its request's number, perhaps with blanks behind it.
 */
void client_check_all(struct slice answers, struct slice methods);
/* The same, but the connection may have ended anywhere. */
void client_check_some(struct slice answers, struct slice methods);
