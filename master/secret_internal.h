/* secret_internal.h: what the two files that find keys share: secret.c the one that signs, secret_previous.c
 * those before it. */
#pragma once

#include "master/secret.h"
#include "shared/keyring.h"

_Static_assert((int)KEYRING_KEY_MAX_BYTES == (int)SECRET_MAX_BYTES, "what is a key here is one there");

struct secret {
    size_t len;                       /* <= SECRET_MAX_BYTES */
    char bytes[SECRET_MAX_BYTES + 1]; /* one more: a file that is too long is noticed */
    size_t previous_len;
    char previous[KEYRING_MAX_BYTES]; /* keyring.h */
};

/* What a load is busy with. */
struct load {
    const struct config *config;
    struct secret *secret; /* owned until it is given away */
    bool create;
    struct buf *error, *warnings, *notes; /* borrowed */
};

/* Reads one key into l->secret and judges it. *option*: what errors are about. */
enum exit_code secret_from_text(struct load *l, const char *text, const char *option);
enum exit_code secret_from_file(struct load *l, const char *path, const char *option);
/* Adds the keys before it to l->secret, which may be NULL: then they are judged only. */
enum exit_code secret_find_previous(struct load *l);
