/* fuzz_accept.c: worker/http/accept.c. Who names neither gzip nor everything does not take gzip. */
#include "worker/http/accept.h"

#include "shared/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

static bool names_gzip(const char *text)
{
    for (; *text; text++)
        if (*text == '*' || strncasecmp(text, "gzip", 4) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice header = {(const char *)data, size};
    char *text = slice_strdup(header);
    if (!text)
        return 0;
    bool whole = strlen(text) == size;
    ASSERT(!whole || names_gzip(text) || !accept_gzip(header));
    accept_gzip(header);
    free(text);
    return 0;
}
