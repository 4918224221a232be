/* secret_weakness.c: what is no good as a key (secret.h). Pure. */
#include "master/secret.h"

#include <string.h>

/* Keys that stand in tutorials, documentation and default configurations. */
static const char *const published[] = {
    "your-very-secret-and-exclusive-key",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "your-secret-key-must-be-at-least-32-characters-long",
    "super-secret-key-that-should-be-changed-in-production",
    "change-this-to-a-long-random-string-in-production",
    "0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz123456",
    "secret",
    "secret_key",
    "secret-key",
    "secretkey",
    "supersecret",
    "super-secret",
    "your-secret-key",
    "your_secret_key",
    "your-secret-key-here",
    "my-secret-key",
    "mysecretkey",
    "changeme",
    "change-me",
    "change_me",
    "changethis",
    "change-this",
    "password",
    "test",
};

/* The whole is one short word over and over: "changemechangeme…", "0000…". */
static bool repeats_itself(struct slice key)
{
    for (size_t period = 1; period <= 16 && 2 * period <= key.len; period++)
        if (memcmp(key.ptr, key.ptr + period, key.len - period) == 0)
            return true;
    return false;
}

const char *secret_weakness(struct slice key)
{
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (slice_equals_nocase(key, slice_of(published[i])))
            return "an example that everybody knows";
    if (key.len < SECRET_MIN_BYTES)
        return "shorter than 32 bytes";
    if (repeats_itself(key))
        return "a short word repeated";
    return NULL;
}
