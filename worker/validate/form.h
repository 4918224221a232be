/* form.h: the fields of a posted form: application/x-www-form-urlencoded, or
 * multipart/form-data as python-multipart reads it. Bodies are bounded and complete, so nothing
 * streams. Any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { FORM_FIELDS_MAX = 1000, FORM_FIELD_BYTES_MAX = 1024 * 1024 };

enum form_result {
    FORM_OK,
    FORM_INVALID, /* 400 with *error_r as its detail */
    FORM_NO_MEMORY
};

struct form_field {
    struct slice name;  /* decoded, valid UTF-8, in the arena or the body */
    struct slice value; /* likewise; of a file its file name, not what is in it */
    bool file;          /* a multipart part with a file name: no text, whatever field it names */
    struct form_field *next;
};

struct form {
    struct form_field *first; /* in the order sent; NULL when empty */
    size_t len;
};

/* Any other or no content type gives an empty form. */
enum form_result form_read(struct arena *a, struct slice content_type, struct slice body,
                           struct form *form_r, const char **error_r);

/* The last field of that name, or NULL. */
const struct form_field *form_field(const struct form *form, struct slice name);
