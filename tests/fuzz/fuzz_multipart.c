/* fuzz_multipart.c: worker/validate/form_multipart.c. The first line is the boundary. Behind an 'f'
 * the other lines are "name=value" and a form is made of them, which must be read as it was made;
 * else they are the body. Everything is tried a second time with the form called Latin-1. */
#include "worker/validate/form.h"

#include "shared/check.h"
#include "shared/utf8.h"

#include <stdint.h>

static void check_fields(const struct form *form)
{
    size_t len = 0;
    for (const struct form_field *f = form->first; f; f = f->next, len++) {
        ASSERT(f->name.ptr && utf8_is_valid(f->name));
        ASSERT(f->value.ptr && utf8_is_valid(f->value));
    }
    ASSERT(len == form->len && len <= 2 * FORM_FIELDS_MAX);
}

static enum form_result read(struct arena *a, struct slice boundary, const char *more,
                             struct slice body, struct form *form)
{
    struct buf type = buf_in_arena(a);
    const char *error = NULL;
    buf_printf(&type, "multipart/form-data%s%.*s%s", boundary.len ? "; boundary=" : "",
               SLICE_ARGS(boundary), more);
    enum form_result result = form_read(a, buf_slice(&type), body, form, &error);
    ASSERT(result != FORM_NO_MEMORY && (result == FORM_OK) == (error == NULL));
    if (result == FORM_OK)
        check_fields(form);
    return result;
}

/* A name needs no escapes. */
static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] < 'a' || name.ptr[i] > 'z')
            return false;
    return name.len > 0;
}

/* The next line that can be a field: true, and its parts. */
static bool next_field(struct slice *lines, struct slice *name_r, struct slice *value_r)
{
    while (lines->ptr) {
        *value_r = slice_split(lines, '\n');
        *name_r = slice_split(value_r, '=');
        if (value_r->ptr && is_name(*name_r) && utf8_is_valid(*value_r))
            return true;
    }
    return false;
}

static void check_made(struct arena *a, struct slice lines)
{
    const struct slice boundary = SLICE("xYz");
    struct slice name, value, rest = lines;
    struct buf body = buf_in_arena(a);
    struct form form;
    while (next_field(&rest, &name, &value))
        buf_printf(&body, "--xYz\r\nContent-Disposition: form-data; name=\"%.*s\"\r\n\r\n%.*s\r\n",
                   SLICE_ARGS(name), (int)value.len, value.ptr);
    if (memmem(lines.ptr, lines.len, "\0", 1) || body.len == 0)
        return; /* printf's own end of a text */
    buf_append(&body, "--xYz--\r\n", 9);
    ASSERT(read(a, boundary, "", buf_slice(&body), &form) == FORM_OK);
    const struct form_field *f = form.first;
    for (rest = lines; next_field(&rest, &name, &value); f = f->next) {
        ASSERT(f && slice_equals(f->name, name) && slice_equals(f->value, value) && !f->file);
        ASSERT(form_field(&form, name) != NULL);
    }
    ASSERT(!f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct form form;
    struct slice rest = {(const char *)data, size};
    if (size == 0)
        return 0;
    arena_init(&a, NULL, 0, 256 << 20);
    if (data[0] == 'f') {
        check_made(&a, (struct slice){rest.ptr + 1, rest.len - 1});
    } else {
        struct slice boundary = slice_split(&rest, '\n');
        read(&a, boundary, "", rest, &form);
        read(&a, boundary, "; charset=latin-1", rest, &form);
    }
    arena_fini(&a);
    return 0;
}
