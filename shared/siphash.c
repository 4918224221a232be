/* siphash.c: see siphash.h. The steps and constants are those of the paper, sections 2.1 to 2.4. */
#include "shared/siphash.h"

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void round_once(uint64_t v[static 4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void compress(struct siphash *s, uint64_t word)
{
    s->v[3] ^= word;
    round_once(s->v);
    round_once(s->v);
    s->v[0] ^= word;
}

void siphash_begin(struct siphash *s, const struct siphash_key *key)
{
    *s = (struct siphash){
        .v = {key->low ^ UINT64_C(0x736f6d6570736575), key->high ^ UINT64_C(0x646f72616e646f6d),
              key->low ^ UINT64_C(0x6c7967656e657261), key->high ^ UINT64_C(0x7465646279746573)}};
}

void siphash_add(struct siphash *s, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++) {
        s->tail |= (uint64_t)p[i] << (s->len % 8 * 8);
        if (++s->len % 8 == 0) {
            compress(s, s->tail);
            s->tail = 0;
        }
    }
}

uint64_t siphash_end(struct siphash *s)
{
    compress(s, s->tail | (uint64_t)(s->len & 0xff) << 56);
    s->v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        round_once(s->v);
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}
