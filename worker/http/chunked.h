/* chunked.h: the chunked transfer coding (RFC 9112, 7.1), read strictly: every line ends in CR LF,
 * sizes are plain hexadecimal, extensions and trailers are read away but must look like such. Not
 * llhttp's: in trailers and at the end that one takes a bare LF for a line end. Pure; any thread. */
#pragma once

#include "worker/http/input.h"

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a body was read. {0} before its first byte. */
struct chunked {
    uint64_t left; /* of the present chunk; while its size is read, what it is so far */
    uint8_t state; /* enum in chunked.c */
};

/* Reads on: up to the end of the body, or of the bytes, or of a chunk's bytes that are there.
 * *taken_r: the bytes read; *data_r: those at their end that belong to the body (perhaps none).
 * INPUT_MORE: call again with what follows; INPUT_COMPLETE: the body has ended behind them, nothing
 * is read any more; INPUT_MALFORMED: it is no chunked body. */
enum http_input chunked_read(struct chunked *c, const char *bytes, size_t len, size_t *taken_r,
                             struct slice *data_r);
/* So many bytes of the present chunk are still to come; 0 between chunks. */
uint64_t chunked_expects(const struct chunked *c);
/* The last chunk is over: what follows are trailers. */
bool chunked_is_trailing(const struct chunked *c);
