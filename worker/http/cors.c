/* cors.c: see cors.h. */
#include "worker/http/cors.h"

#include <string.h>

#define ALLOW_ORIGIN "access-control-allow-origin: "
#define EXPOSE "access-control-expose-headers: retry-after, www-authenticate\r\n"

_Static_assert(sizeof ALLOW_ORIGIN + 2 + sizeof EXPOSE <= CORS_LINES_MAX, "room for the lines");

static size_t count(const struct request *r, struct slice name)
{
    size_t n = 0;
    for (size_t i = 0; i < r->headers_len; i++)
        n += slice_equals_nocase(r->headers[i].name, name);
    return n;
}

struct slice cors_origin(const struct config_list *allowed, const struct request *r)
{
    if (allowed->len == 0 || count(r, SLICE("origin")) != 1)
        return (struct slice){NULL, 0};
    struct slice origin = request_header(r, SLICE("origin"));
    for (size_t i = 0; i < allowed->len; i++)
        if (slice_equals(origin, slice_of(allowed->items[i])))
            return slice_of(allowed->items[i]);
    return (struct slice){NULL, 0};
}

static char *put(char *at, struct slice text)
{
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

char *cors_put(char *at, struct slice origin)
{
    at = put(at, SLICE(ALLOW_ORIGIN));
    at = put(at, origin);
    return put(at, SLICE("\r\n" EXPOSE));
}

bool cors_is_preflight(const struct request *r)
{
    return r->method == HTTP_OPTIONS && request_header(r, SLICE("origin")).ptr &&
           request_header(r, SLICE("access-control-request-method")).ptr;
}

void cors_preflight(struct buf *lines, const char *methods, int64_t max_age_ms)
{
    buf_printf(lines,
               "access-control-allow-methods: %s\r\n"
               "access-control-allow-headers: authorization, content-type\r\n"
               "access-control-max-age: %lld\r\n",
               methods, (long long)(max_age_ms / 1000));
}
