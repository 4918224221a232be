/* rfc9112_internal.h: what the files of rfc9112.h share. Every function has the name of the rule it
 * reads. One that reads says how far the input matches, from *at* on, as the place behind it: NONE
 * when it does not, and then the verdict is set. */
#pragma once

#include "rfc9112.h"

#define NONE ((size_t)-1)

struct input {
    const char *bytes;
    size_t len;
};

/* -1 behind the end. */
int rfc_byte_at(const struct input *in, size_t at);

bool rfc_is_digit(int c);
bool rfc_is_alpha(int c);
bool rfc_is_one_of(int c, const char *set);
/* The value of a hexadecimal digit, or -1. */
int rfc_hexdig(int c);
bool rfc_is_tchar(int c);
/* VCHAR, obs-text, and the blanks that may stand between them. */
bool rfc_is_field_byte(int c);

/* The element of a comma-separated list that begins at *at*, blanks cut off; *at* moves behind its
 * comma. False: there is none. */
bool rfc_list_element(struct rfc_part list, size_t *at, struct rfc_part *element_r);

size_t rfc_bad(struct rfc_message *m, const char *why);
/* SHORT when the input ends there, else BAD. */
size_t rfc_wrong_at(struct rfc_message *m, const struct input *in, size_t at, const char *why);
size_t rfc_crlf(struct rfc_message *m, const struct input *in, size_t at, const char *why);
size_t rfc_field_line(struct rfc_message *m, const struct input *in, size_t at,
                      struct rfc_field *field_r);
/* How many fields have that name; the last one's value. */
size_t rfc_count(const struct rfc_message *m, const char *name, struct rfc_part *last_r);

/* False: nobody knows, or it is a trick. */
bool rfc_message_body_length(struct rfc_message *m);
size_t rfc_message_body(struct rfc_message *m, const struct input *in, size_t at);
size_t rfc_chunked_body(struct rfc_message *m, const struct input *in, size_t at);
