/* keyring.h: keys that signed tokens before, one behind the other in a text: what the master reads, the
 * workers are given and an upgrade hands on. Each is preceded by its length, two bytes, high one first.
 * Pure. Any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>

enum {
    KEYRING_KEY_MAX_BYTES = 4096,
    KEYRING_KEYS_MAX = 8,
    KEYRING_MAX_BYTES = KEYRING_KEYS_MAX * (KEYRING_KEY_MAX_BYTES + 2)
};

/* Writes one key at *at*, where there is room for it and two bytes more. Returns its end. */
char *keyring_put(char *at, struct slice key);
/* Takes the next key off *rest*; borrowed from it. False: there is none, or what is there is no
 * keyring. An empty key never comes. */
bool keyring_next(struct slice *rest, struct slice *key_r);
/* Whether it is keys from the beginning to the end, and no more than KEYRING_KEYS_MAX. */
bool keyring_is_sound(struct slice keyring);
