/* fuzz_hash.c: worker/auth/phc.c. What it takes is bounded, says the same when it is written again,
 * and libsodium can read it; and what libsodium's form says within the bounds, it takes: behind an
 * 'f' the input is not the text but the numbers of one. */
#include "worker/auth/phc.h"

#include "shared/check.h"

#include <sodium.h>
#include <stdint.h>
#include <stdio.h>

enum { VARIANT = sodium_base64_VARIANT_ORIGINAL_NO_PADDING };

static void check_taken(struct slice text, const struct phc *p)
{
    char salt[sodium_base64_ENCODED_LEN(PHC_SALT_MAX, VARIANT)], again[PHC_TEXT_MAX + 1];
    char room[crypto_pwhash_STRBYTES] = {0};
    ASSERT(text.len <= PHC_TEXT_MAX && p->lanes >= 1 && p->lanes <= PHC_LANES_MAX);
    ASSERT(p->memory_kib >= 8 * p->lanes && p->memory_kib <= PHC_MEMORY_MAX_KIB);
    ASSERT(p->passes >= 1 && p->passes <= PHC_PASSES_MAX);
    ASSERT(p->salt_len >= 8 && p->salt_len <= PHC_SALT_MAX);
    sodium_bin2base64(salt, sizeof salt, p->salt, p->salt_len, VARIANT);
    int len = snprintf(again, sizeof again, "$argon2id$v=19$m=%llu,t=%llu,p=%llu$%s$",
                       (unsigned long long)p->memory_kib, (unsigned long long)p->passes,
                       (unsigned long long)p->lanes, salt);
    ASSERT(len > 0 && slice_starts_with(text, (struct slice){again, (size_t)len}));
    memcpy(room, text.ptr, text.len);
    ASSERT(crypto_pwhash_argon2id_str_needs_rehash(room, p->passes, p->memory_kib * 1024) >= 0);
}

/* Numbers out of six bytes, salt and tag out of the rest. */
static void try_form(const uint8_t *data, size_t size)
{
    unsigned char bytes[PHC_SALT_LEN + PHC_TAG_LEN] = {0};
    char text[PHC_TEXT_MAX + 1];
    struct phc p;
    if (size < 4)
        return;
    uint64_t memory = 8 + ((uint64_t)data[0] << 12 | (uint64_t)data[1] << 4 | data[2] % 16);
    uint64_t passes = 1 + data[3] % PHC_PASSES_MAX;
    if (memory > PHC_MEMORY_MAX_KIB)
        return;
    memcpy(bytes, data + 4, size - 4 < sizeof bytes ? size - 4 : sizeof bytes);
    size_t len = phc_format(text, memory, passes, bytes, bytes + PHC_SALT_LEN);
    ASSERT(strlen(text) == len);
    ASSERT(phc_parse((struct slice){text, len}, &p));
    ASSERT(p.memory_kib == memory && p.passes == passes && p.lanes == 1);
    ASSERT(p.salt_len == PHC_SALT_LEN && memcmp(p.salt, bytes, PHC_SALT_LEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct phc p;
    if (size > 0 && data[0] == 'f')
        try_form(data + 1, size - 1);
    else if (phc_parse(text, &p))
        check_taken(text, &p);
    return 0;
}
