/* client_none.c: a build without libcurl (COLMEIA_CURL=OFF): the configuration refuses an upstream
 * before anybody gets here. */
#include "curl_build.h"

#if !COLMEIA_CURL

#include "worker/upstream/client.h"

#include "shared/check.h"

struct client *client_new(struct loop *l, const struct client_options *options, struct buf *error)
{
    buf_printf(error, "this program was built without libcurl");
    return NULL;
}

void client_free(struct client *c)
{
    ASSERT(!c);
}

struct caller *client_caller(struct client *c)
{
    UNREACHABLE();
}

unsigned client_calls(const struct client *c)
{
    UNREACHABLE();
}

#endif
