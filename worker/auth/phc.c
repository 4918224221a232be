/* phc.c: see phc.h. */
#include "worker/auth/phc.h"

#include "shared/check.h"

#include <sodium.h>
#include <string.h>

enum {
    SALT_MIN = 8, /* libsodium's and RFC 9106's lower bounds */
    TAG_MIN = 16,
    UNPADDED = sodium_base64_VARIANT_ORIGINAL_NO_PADDING
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
                                             UNPADDED) == 0;
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

static char *put(char *at, struct slice text)
{
    return mempcpy(at, text.ptr, text.len);
}

/* Unpadded; *room* counts the NUL that it puts behind. */
static char *put_base64(char *at, size_t room, const unsigned char *bytes, size_t len)
{
    sodium_bin2base64(at, room, bytes, len, UNPADDED);
    return at + sodium_base64_ENCODED_LEN(len, UNPADDED) - 1;
}

size_t phc_format(char text_r[static PHC_TEXT_MAX + 1], uint64_t memory_kib, uint64_t passes,
                  const unsigned char salt[static PHC_SALT_LEN],
                  const unsigned char tag[static PHC_TAG_LEN])
{
    const char *end = text_r + PHC_TEXT_MAX + 1;
    ASSERT(memory_kib <= PHC_MEMORY_MAX_KIB && passes <= PHC_PASSES_MAX);
    char *at = put(text_r, SLICE("$argon2id$v=19$m="));
    at += str_u64(at, memory_kib);
    at = put(at, SLICE(",t="));
    at += str_u64(at, passes);
    at = put(at, SLICE(",p=1$"));
    at = put_base64(at, (size_t)(end - at), salt, PHC_SALT_LEN);
    at = put(at, SLICE("$"));
    at = put_base64(at, (size_t)(end - at), tag, PHC_TAG_LEN);
    return (size_t)(at - text_r);
}
