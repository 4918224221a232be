/* form_internal.h: what form.c and form_multipart.c share. */
#pragma once

#include "worker/validate/form.h"

/* Appends a field whose name and value are decoded already. False without memory. */
bool form_add(struct arena *a, struct form *form, struct slice name, struct slice value, bool file);

/* The value of parameter *key* (lower case) of a header such as
 *     form-data; name="a;b"
 * quotes and escapes taken off: {NULL, 0} when it is not there. *failed_r is set without memory. */
struct slice form_option(struct arena *a, struct slice header, struct slice key, bool *failed_r);

/* The text of bytes: as UTF-8 when they are (and *latin1* does not say otherwise), else as Latin-1.
 * {NULL, 0} without memory. */
struct slice form_text(struct arena *a, struct slice bytes, bool latin1);

enum form_result form_read_multipart(struct arena *a, struct slice content_type, struct slice body,
                                     struct form *form, const char **error_r);
