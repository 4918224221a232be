/* fuzz_form.c: worker/validate/form*.c and percent.c. The input's first line is the content type.
 * Every field is valid UTF-8, and there are no more than the limit of each kind. */
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
        ASSERT(form_field(form, f->name) != NULL);
    }
    ASSERT(len == form->len && len <= 2 * FORM_FIELDS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct form form;
    const char *error = NULL;
    struct slice body = {(const char *)data, size};
    arena_init(&a, NULL, 0, 64 << 20);
    struct slice type = slice_split(&body, '\n');
    switch (form_read(&a, type, body, &form, &error)) {
    case FORM_OK:
        check_fields(&form);
        break;
    case FORM_INVALID:
        ASSERT(error);
        break;
    case FORM_NO_MEMORY:
        UNREACHABLE();
    }
    arena_fini(&a);
    return 0;
}
