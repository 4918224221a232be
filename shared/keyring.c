/* keyring.c: see keyring.h. */
#include "shared/keyring.h"

#include "shared/check.h"

#include <string.h>

enum { LENGTH_BYTES = 2 };

char *keyring_put(char *at, struct slice key)
{
    ASSERT(key.len > 0 && key.len <= KEYRING_KEY_MAX_BYTES);
    at[0] = (char)(key.len >> 8);
    at[1] = (char)(key.len & 0xff);
    memcpy(at + LENGTH_BYTES, key.ptr, key.len);
    return at + LENGTH_BYTES + key.len;
}

bool keyring_next(struct slice *rest, struct slice *key_r)
{
    if (rest->len < LENGTH_BYTES)
        return false;
    const unsigned char *at = (const unsigned char *)rest->ptr;
    size_t len = (size_t)at[0] << 8 | at[1];
    if (len == 0 || len > KEYRING_KEY_MAX_BYTES || len > rest->len - LENGTH_BYTES)
        return false;
    *key_r = (struct slice){rest->ptr + LENGTH_BYTES, len};
    *rest = (struct slice){key_r->ptr + len, rest->len - LENGTH_BYTES - len};
    return true;
}

bool keyring_is_sound(struct slice keyring)
{
    struct slice key;
    int keys = 0;
    while (keys < KEYRING_KEYS_MAX && keyring_next(&keyring, &key))
        keys++;
    return keyring.len == 0;
}
