/* http_client.c: see http_client.h. */
#include "http_client.h"

#include "shared/check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct config client_limits(void)
{
    return (struct config){
        .limits_header_timeout = 600000,
        .limits_body_timeout = 600000,
        .limits_write_timeout = 600000,
        .limits_keepalive_timeout = 600000,
        .limits_max_target = 200,
        .limits_max_head = 1024,
        .limits_max_headers = 16,
        .limits_max_body = 512,
    };
}

bool client_receive(int fd, struct buf *out)
{
    for (;;) {
        char bytes[4096];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return n == 0 || errno != EAGAIN;
        buf_append(out, bytes, (size_t)n);
    }
}

struct answer {
    int status;
    struct slice body;
    bool close;
    bool has_length;
};

static void take_field(struct answer *a, struct slice line)
{
    struct slice value = line, name = slice_split(&value, ':');
    uint64_t len;
    ASSERT(value.ptr && value.len > 0 && value.ptr[0] == ' ');
    for (size_t i = 0; i < line.len; i++)
        ASSERT((unsigned char)line.ptr[i] >= ' ' && (unsigned char)line.ptr[i] < 0x7f);
    value = (struct slice){value.ptr + 1, value.len - 1};
    if (slice_equals(name, SLICE("content-length"))) {
        ASSERT(!a->has_length && slice_to_u64(value, 1 << 20, &len));
        a->has_length = true;
        a->body.len = len;
    }
    a->close |= slice_equals(name, SLICE("connection")) && slice_equals(value, SLICE("close"));
}

/* Cuts one answer off *rest; false: it is not whole. */
static bool take_answer(struct slice *rest, bool of_head, struct answer *a)
{
    const char *end = memmem(rest->ptr, rest->len, "\r\n\r\n", 4);
    *a = (struct answer){0};
    if (!end)
        return false;
    struct slice head = {rest->ptr, (size_t)(end + 2 - rest->ptr)};
    struct slice line = slice_split(&head, '\n');
    uint64_t status;
    ASSERT(slice_starts_with(line, SLICE("HTTP/1.1 ")) && line.len > 13);
    ASSERT(slice_to_u64((struct slice){line.ptr + 9, 3}, 599, &status) && line.ptr[12] == ' ');
    a->status = (int)status;
    while (head.len > 0) {
        line = slice_split(&head, '\n');
        ASSERT(line.len > 0 && line.ptr[line.len - 1] == '\r');
        take_field(a, (struct slice){line.ptr, line.len - 1});
    }
    size_t used = (size_t)(end + 4 - rest->ptr);
    bool bodiless = of_head || a->status < 200;
    ASSERT(a->has_length == (a->status >= 200));
    if (bodiless)
        a->body.len = 0;
    if (a->body.len > rest->len - used)
        return false;
    a->body.ptr = rest->ptr + used;
    *rest = (struct slice){a->body.ptr + a->body.len, rest->len - used - a->body.len};
    return true;
}

static void check_number(const struct answer *a, size_t number)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%zu", number);
    ASSERT(slice_equals(slice_trim(a->body, " "), (struct slice){text, (size_t)len}));
}

/* Returns how many requests were answered. */
static size_t check(struct slice answers, struct slice methods, bool *refused_r)
{
    size_t n = 0;
    bool last = false;
    struct answer a;
    *refused_r = false;
    while (answers.len > 0) {
        ASSERT(!last); /* nothing comes behind it */
        bool of_head = n < methods.len && methods.ptr[n] == 'H';
        if (!take_answer(&answers, of_head, &a))
            return n;
        if (a.status == 100)
            continue;
        last = a.close;
        if (n == methods.len) {
            ASSERT(last && a.status >= 400 && !*refused_r);
            *refused_r = true;
            continue;
        }
        if (!of_head)
            check_number(&a, n);
        n++;
    }
    return n;
}

void client_check_all(struct slice answers, struct slice methods)
{
    bool refused;
    ASSERT(check(answers, methods, &refused) == methods.len);
}

void client_check_some(struct slice answers, struct slice methods)
{
    bool refused;
    ASSERT(check(answers, methods, &refused) <= methods.len);
}
