/* phc.h: the text a password hash is stored as, "$argon2id$v=19$m=65536,t=3,p=4$salt$tag" (RFC 9106
 * has the algorithm, the PHC string format the text), read strictly: whatever passes here is a text
 * that libsodium can verify with bounded memory. For password.c. Pure.
 *
 * Thread: any (password.c parses on the loop's and formats on its hashing threads). */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PHC_TEXT_MAX = 127, /* without NUL: crypto_pwhash_str_verify() reads a char[128] */
    PHC_SALT_LEN = 16,  /* of texts made here, as argon2-cffi's */
    PHC_TAG_LEN = 32,
    PHC_SALT_MAX = 64,            /* accepted */
    PHC_TAG_MAX = 96,
    PHC_MEMORY_MAX_KIB = 1 << 20, /* accepted: 1 GiB */
    PHC_PASSES_MAX = 100,
    PHC_LANES_MAX = 16
};

struct phc {
    uint64_t memory_kib; /* 8 * lanes to PHC_MEMORY_MAX_KIB */
    uint64_t passes;     /* 1 to PHC_PASSES_MAX */
    uint64_t lanes;      /* 1 to PHC_LANES_MAX */
    unsigned char salt[PHC_SALT_MAX];
    size_t salt_len;
    unsigned char tag[PHC_TAG_MAX];
    size_t tag_len; /* at least 16 */
};

/* False when it is anything else than a bounded argon2id text of version 19: argon2i, argon2d,
 * another algorithm, leading zeros, padding, bytes behind the tag. */
bool phc_parse(struct slice text, struct phc *phc_r);

/* Writes the text (NUL-terminated) of a tag with p=1; returns its length. memory_kib and passes are
 * within the bounds above. */
size_t phc_format(char text_r[static PHC_TEXT_MAX + 1], uint64_t memory_kib, uint64_t passes,
                  const unsigned char salt[static PHC_SALT_LEN],
                  const unsigned char tag[static PHC_TAG_LEN]);
