/* page.c: see page.h. Content Security Policy Level 3, 2.3 (nonces). */
#include "worker/admin/page.h"

#include "embedded_status_page.h"

#include <stdint.h>
#include <sys/random.h>

enum { NONCE_BYTES = 16 };

static bool make_nonce(char nonce_r[static 2 * NONCE_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[NONCE_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < NONCE_BYTES; i++) {
        nonce_r[2 * i] = digits[bytes[i] >> 4];
        nonce_r[2 * i + 1] = digits[bytes[i] & 15];
    }
    nonce_r[2 * NONCE_BYTES] = '\0';
    return true;
}

/* The page's "@NONCE@" are its places. */
static void write_page(struct buf *out, const char *nonce)
{
    static const char mark[] = "@NONCE@";
    struct slice rest = {(const char *)embedded_status_page, embedded_status_page_len};
    for (;;) {
        const char *at = memmem(rest.ptr, rest.len, mark, sizeof mark - 1);
        if (!at)
            break;
        buf_append(out, rest.ptr, (size_t)(at - rest.ptr));
        buf_append(out, nonce, 2 * NONCE_BYTES);
        rest.len -= (size_t)(at - rest.ptr) + sizeof mark - 1;
        rest.ptr = at + sizeof mark - 1;
    }
    buf_append_slice(out, rest);
}

bool page_write(struct arena *arena, struct buf *out, struct slice *policy_r)
{
    char nonce[2 * NONCE_BYTES + 1];
    struct buf policy = buf_in_arena(arena);
    if (!make_nonce(nonce))
        return false;
    write_page(out, nonce);
    buf_printf(&policy,
               "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
               "referrer-policy: no-referrer\r\n"
               "content-security-policy: default-src 'none'; connect-src 'self'; "
               "script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; base-uri 'none'; "
               "form-action 'none'; frame-ancestors 'none'\r\n",
               nonce, nonce);
    *policy_r = buf_slice(&policy);
    return !out->failed && !policy.failed;
}
