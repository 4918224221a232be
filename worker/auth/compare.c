/* compare.c: see compare.h. */
#include "worker/auth/compare.h"

#include "shared/fault.h"

#include <sodium.h>
#include <sys/mman.h>

/* crypto_pwhash_str_verify() calls a failed allocation a wrong password. Asked just before, so that
 * hardly anything can come between. */
static bool memory_is_to_be_had(uint64_t memory_kib)
{
    size_t len = (size_t)memory_kib * 1024;
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    munmap(p, len);
    return true;
}

/* Texts of other programs, with more lanes than crypto_pwhash() has. */
static enum password_result compare_foreign(const struct phc *phc, const char *text,
                                            struct slice password)
{
    if (!memory_is_to_be_had(phc->memory_kib))
        return PASSWORD_NO_MEMORY;
    bool same = crypto_pwhash_str_verify(text, password.ptr, password.len) == 0;
    return same ? PASSWORD_OK : PASSWORD_MISMATCH;
}

/* Ours, and the dummy: who is short of memory is never told that the password is wrong. */
enum password_result compare(const struct phc *phc, const char *text, struct slice password)
{
    unsigned char tag[PHC_TAG_MAX];
    if (phc->lanes != 1 || phc->salt_len != PHC_SALT_LEN)
        return compare_foreign(phc, text, password);
    if (FAULT_CALL(password_mmap, -1,
                   crypto_pwhash(tag, phc->tag_len, password.ptr, password.len, phc->salt,
                                 phc->passes, (size_t)phc->memory_kib * 1024,
                                 crypto_pwhash_ALG_ARGON2ID13)))
        return PASSWORD_NO_MEMORY;
    bool same = sodium_memcmp(tag, phc->tag, phc->tag_len) == 0;
    sodium_memzero(tag, sizeof tag);
    return same ? PASSWORD_OK : PASSWORD_MISMATCH;
}
