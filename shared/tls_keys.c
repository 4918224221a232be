/* tls_keys.c: see tls_keys.h. A ring with one place more than there are valid keys: the next one is
 * written where nobody looks, then the count that makes it the newest. */
#include "shared/tls_keys.h"

#include "shared/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum { PLACES = TLS_KEYS_VALID + 1 };

struct tls_keys {
    _Atomic(uint64_t) made; /* the newest is number made - 1 */
    _Atomic(int64_t) made_ms;
    struct tls_key places[PLACES]; /* number n is at n % PLACES */
};

static void hide(struct tls_keys *k)
{
    madvise(k, sizeof *k, MADV_DONTDUMP); /* an old kernel's refusal costs no correctness */
}

static bool make_key(struct tls_keys *k, mono_ms now)
{
    uint64_t made = atomic_load_explicit(&k->made, memory_order_relaxed);
    struct tls_key key;
    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        return false; /* never short up to 256 bytes; getrandom(2) */
    k->places[made % PLACES] = key;
    explicit_bzero(&key, sizeof key);
    atomic_store_explicit(&k->made_ms, now.ms, memory_order_relaxed);
    atomic_store_explicit(&k->made, made + 1, memory_order_release);
    return true;
}

struct tls_keys *tls_keys_make(int *fd_r)
{
    struct tls_keys *k = memory_new("colmeia-tls-keys", sizeof *k, fd_r);
    if (!k)
        return NULL;
    hide(k);
    if (make_key(k, clock_now()))
        return k;
    memory_undo(k, fd_r);
    return NULL;
}

struct tls_keys *tls_keys_map(int fd)
{
    struct tls_keys *k = memory_map_exact(fd, sizeof *k);
    if (!k)
        return NULL;
    if (atomic_load(&k->made) > 0) {
        hide(k);
        return k;
    }
    memory_free(k);
    errno = EINVAL;
    return NULL;
}

uint64_t tls_keys_layout(void)
{
    return 1 << 24 | PLACES << 16 | sizeof(struct tls_keys);
}

int tls_keys_protect(struct tls_keys *k)
{
    return mprotect(k, memory_len(k), PROT_READ);
}

void tls_keys_free(struct tls_keys *k)
{
    memory_free(k);
}

bool tls_keys_turn(struct tls_keys *k, mono_ms now, int64_t every_ms)
{
    mono_ms made = {atomic_load_explicit(&k->made_ms, memory_order_relaxed)};
    return mono_diff_ms(now, made) >= every_ms && make_key(k, now);
}

void tls_keys_newest(const struct tls_keys *k, struct tls_key *key_r)
{
    uint64_t made, after;
    do { /* a copy that took as long as the ring needs to come round is none */
        made = atomic_load_explicit(&k->made, memory_order_acquire);
        *key_r = k->places[(made - 1) % PLACES];
        after = atomic_load_explicit(&k->made, memory_order_acquire);
    } while (after - made >= TLS_KEYS_VALID);
}

int tls_keys_find(const struct tls_keys *k, const unsigned char name[static TLS_KEY_NAME_LEN],
                  struct tls_key *key_r)
{
    uint64_t made = atomic_load_explicit(&k->made, memory_order_acquire);
    for (uint64_t age = 0; age < TLS_KEYS_VALID && age < made; age++) {
        const struct tls_key *key = &k->places[(made - 1 - age) % PLACES];
        if (memcmp(key->name, name, TLS_KEY_NAME_LEN) != 0)
            continue;
        *key_r = *key;
        if (atomic_load_explicit(&k->made, memory_order_acquire) == made)
            return (int)age;
        explicit_bzero(key_r, sizeof *key_r);
        return tls_keys_find(k, name, key_r); /* there is a new one: its place may have been this */
    }
    return -1;
}
