/* bearer.c: see bearer.h. */
#include "worker/auth/bearer.h"

bool bearer_token(struct slice authorization, struct slice *token_r)
{
    struct slice rest = authorization;
    if (rest.len == 0)
        return false;
    /* only a space ends the scheme: after "Bearer<tab>x" the original sees one long scheme */
    struct slice scheme = slice_split(&rest, ' ');
    if (!slice_equals_nocase(scheme, SLICE("Bearer")))
        return false;
    *token_r = rest.len ? slice_trim(rest, " \t") : SLICE("");
    return true;
}
