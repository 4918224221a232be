/* fuzz_email.c: worker/validate/email*.c and idna*.c. What is stored is plain
 * and its own normal form. */
#include "worker/validate/email.h"

#include "shared/check.h"
#include "shared/utf8.h"

#include <stdint.h>

static bool has_empty_piece(struct slice part)
{
    while (part.ptr)
        if (slice_split(&part, '.').len == 0)
            return true;
    return false;
}

/* Labels of ASCII are as long as DNS allows (others grow on the wire). */
static void check_labels(struct slice domain)
{
    while (domain.ptr) {
        struct slice label = slice_split(&domain, '.');
        bool ascii = true;
        for (size_t i = 0; i < label.len; i++)
            ascii &= (unsigned char)label.ptr[i] < 0x80;
        ASSERT(!ascii || label.len <= 63);
    }
}

/* Two runs of dot-separated pieces around one '@', without anything that needs quotes (RFC 5322, atext);
 * the domain in lower case. */
static void check_form(struct slice stored)
{
    struct slice domain = stored, local = slice_split(&domain, '@');
    ASSERT(domain.ptr && !has_empty_piece(local) && !has_empty_piece(domain));
    check_labels(domain);
    for (size_t i = 0; i < stored.len; i++) {
        unsigned char c = (unsigned char)stored.ptr[i];
        ASSERT(c > ' ' && c != 0x7f && !strchr("\"(),:;<>[\\]", c));
    }
    for (size_t i = 0; i < domain.len; i++)
        ASSERT(domain.ptr[i] != '@' && (domain.ptr[i] < 'A' || domain.ptr[i] > 'Z'));
}

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
        check_form(stored);
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
