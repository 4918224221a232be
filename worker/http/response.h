/* response.h: the answer to a request: head and body in one writev. Header order and names are the
 * original's: date, server, then www-authenticate / allow / retry-after, then
 * content-length, content-type, location, connection. Loop thread. Exactly one response_… call
 * per request; it may free the request unless the caller holds it. Body and header values must stay
 * valid until the request goes: static, or in the request's arena. HEAD omits the body and keeps
 * its length. */
#pragma once

#include "worker/http/request.h"

/* Headers a response may add. Unset ones ({NULL, 0}) are not sent. */
struct response_headers {
    struct slice www_authenticate;
    struct slice allow;
    struct slice location;
    int retry_after_s; /* 0: none */
    struct slice lines; /* whole header lines, each with its CRLF, to stand after these */
};

/* content_type {NULL,0}: none is sent. *headers* may be NULL; it is read before the call returns.
 */
void response_send(struct request *r, int status, struct slice content_type, struct slice body,
                   const struct response_headers *headers);
/* application/json. */
void response_json(struct request *r, int status, struct slice json);
/* {"detail":"…"}; *detail* is plain text, escaped here. */
void response_detail(struct request *r, int status, struct slice detail,
                     const struct response_headers *headers);
/* The status's own detail out of status.def. */
void response_status(struct request *r, int status, const struct response_headers *headers);
/* 500 text/plain "Internal Server Error", as the original's unhandled error. */
void response_internal_error(struct request *r);
/* The reason phrase of status.def, "" when unknown. */
const char *response_reason(int status);
