/* fuzz_email.c: worker/validate/email*.c and idna*.c. What is stored is its own normal form. */
#include "worker/validate/email.h"

#include "shared/check.h"
#include "worker/validate/utf8.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct slice stored, again, reason;
    arena_init(&a, NULL, 0, 64 << 20);
    struct slice text = utf8_replace(&a, (struct slice){(const char *)data, size});
    ASSERT(text.ptr);
    switch (email_normalize(&a, text, &stored, &reason)) {
    case EMAIL_OK:
        ASSERT(utf8_is_valid(stored) && stored.len <= 254);
        ASSERT(email_normalize(&a, stored, &again, &reason) == EMAIL_OK);
        ASSERT(slice_equals(stored, again));
        break;
    case EMAIL_INVALID:
        ASSERT(reason.len && utf8_is_valid(reason));
        break;
    case EMAIL_NO_MEMORY:
        UNREACHABLE();
    }
    arena_fini(&a);
    return 0;
}
