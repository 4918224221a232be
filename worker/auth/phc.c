/* phc.c: see phc.h. */
#include "worker/auth/phc.h"

#include "shared/check.h"

#include <sodium.h>
#include <stdio.h>

enum {
    SALT_MIN = 8, /* libsodium's and RFC 9106's lower bounds */
    TAG_MIN = 16
};

static bool skip(struct slice *rest, struct slice literal)
{
    if (!slice_starts_with(*rest, literal))
        return false;
    rest->ptr += literal.len;
    rest->len -= literal.len;
    return true;
}

/* A number as libsodium writes and reads it: no sign, no leading zero. */
static bool number(struct slice *rest, uint64_t max, uint64_t *value_r)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] >= '0' && rest->ptr[len] <= '9')
        len++;
    if (len == 0 || rest->ptr[0] == '0')
        return false;
    if (!slice_to_u64((struct slice){rest->ptr, len}, max, value_r))
        return false;
    rest->ptr += len;
    rest->len -= len;
    return true;
}

/* Unpadded base64, canonical (no stray bits in the last letter). libsodium 1.0.18 takes some bytes above
 * ASCII for letters. */
static bool base64(struct slice text, unsigned char *bytes_r, size_t cap, size_t *len_r)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    return text.len > 0 && sodium_base642bin(bytes_r, cap, text.ptr, text.len, NULL, len_r, NULL,
                                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0;
}

bool phc_parse(struct slice text, struct phc *phc_r)
{
    struct phc p = {0};
    struct slice rest = text;
    if (text.len > PHC_TEXT_MAX || !skip(&rest, SLICE("$argon2id$v=19$m=")) ||
        !number(&rest, PHC_MEMORY_MAX_KIB, &p.memory_kib) || !skip(&rest, SLICE(",t=")) ||
        !number(&rest, PHC_PASSES_MAX, &p.passes) || !skip(&rest, SLICE(",p=")) ||
        !number(&rest, PHC_LANES_MAX, &p.lanes) || !skip(&rest, SLICE("$")))
        return false;
    if (p.memory_kib < 8 * p.lanes || rest.len == 0)
        return false;
    struct slice salt = slice_split(&rest, '$');
    if (!base64(salt, p.salt, sizeof p.salt, &p.salt_len) || p.salt_len < SALT_MIN)
        return false;
    if (!rest.ptr || !base64(rest, p.tag, sizeof p.tag, &p.tag_len) ||
        p.tag_len < TAG_MIN)
        return false;
    *phc_r = p;
    return true;
}

size_t phc_format(char text_r[static PHC_TEXT_MAX + 1], uint64_t memory_kib, uint64_t passes,
                  const unsigned char salt[static PHC_SALT_LEN],
                  const unsigned char tag[static PHC_TAG_LEN])
{
    const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    char salt64[sodium_base64_ENCODED_LEN(PHC_SALT_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
    char tag64[sodium_base64_ENCODED_LEN(PHC_TAG_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];
    sodium_bin2base64(salt64, sizeof salt64, salt, PHC_SALT_LEN, variant);
    sodium_bin2base64(tag64, sizeof tag64, tag, PHC_TAG_LEN, variant);
    int len = snprintf(text_r, PHC_TEXT_MAX + 1, "$argon2id$v=19$m=%llu,t=%llu,p=1$%s$%s",
                       (unsigned long long)memory_kib, (unsigned long long)passes, salt64, tag64);
    ASSERT(len > 0 && len <= PHC_TEXT_MAX);
    return (size_t)len;
}
