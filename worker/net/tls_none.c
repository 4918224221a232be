/* tls_none.c: tls.h in a build without TLS: there is no context, so that nobody asks for more. */
#include "tls_build.h"
#include "worker/net/tls.h"
#include "worker/net/tls_facts.h"

#if !COLMEIA_TLS

#include "shared/check.h"

struct tls_context *tls_context_new(const struct tls_options *options, struct buf *errors)
{
    buf_printf(errors, "[tls]: this program was built without TLS\n");
    return NULL;
}

void tls_context_free(struct tls_context *c)
{
    ASSERT(!c);
}

bool tls_context_is_valid(const struct tls_context *c, struct buf *why)
{
    UNREACHABLE();
}

bool tls_facts_read(const struct tls_context *c, struct tls_facts *facts_r)
{
    UNREACHABLE();
}

struct tls *tls_new(struct tls_context *c, int fd)
{
    return NULL;
}

void tls_free(struct tls *t)
{
    ASSERT(!t);
}

enum tls_result tls_take(struct tls *t, const char *raw, size_t raw_len, struct slice *plain_r)
{
    UNREACHABLE();
}

void tls_wipe_plain(struct tls_context *c, struct slice plain)
{
    UNREACHABLE();
}

struct tls_context *tls_context_of(const struct tls *t)
{
    UNREACHABLE();
}

bool tls_is_ready(const struct tls *t)
{
    UNREACHABLE();
}

int tls_flush(struct tls *t)
{
    UNREACHABLE();
}

ssize_t tls_give(struct tls *t, const struct iovec *pieces, int count, size_t skip)
{
    UNREACHABLE();
}

void tls_owe(struct tls *t, size_t bytes)
{
    UNREACHABLE();
}

size_t tls_owed(struct tls *t)
{
    UNREACHABLE();
}

void tls_end(struct tls *t)
{
    UNREACHABLE();
}

#endif
