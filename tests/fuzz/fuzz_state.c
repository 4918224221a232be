/* fuzz_state.c: the state that a program takes over by. Whatever the bytes: no crash; what is read is
 * what is written again; and texts lie within the bytes. They are tried as they are, and behind a
 * good head, or nothing would get past that. */
#include "master/state.h"
#include "shared/check.h"

#include <stdint.h>
#include <stdlib.h>

enum { HEAD_LEN = 32 };

static void put_right(struct buf *bytes)
{
    uint64_t len = bytes->len - HEAD_LEN, hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = HEAD_LEN; i < bytes->len; i++)
        hash = (hash ^ (unsigned char)bytes->data[i]) * UINT64_C(0x100000001b3);
    memcpy(bytes->data + 16, &len, sizeof len);
    memcpy(bytes->data + 24, &hash, sizeof hash);
}

static void check_texts(const struct state *s, struct slice bytes)
{
    for (size_t i = 0; i < s->argument_len; i++)
        if (s->argument[i].text.ptr)
            ASSERT(s->argument[i].text.ptr >= bytes.ptr &&
                   s->argument[i].text.ptr + s->argument[i].text.len <= bytes.ptr + bytes.len);
}

/* What this program knows of it survives being written and read. */
static void check_round(const struct state *s)
{
    struct buf once = {0}, twice = {0}, error = {0};
    struct state again;
    state_encode(s, &once);
    ASSERT(once.failed || once.len <= state_room(s));
    ASSERT(once.failed || state_decode(buf_slice(&once), &again, &error));
    if (!once.failed) {
        state_encode(&again, &twice);
        ASSERT(twice.failed || slice_equals(buf_slice(&once), buf_slice(&twice)));
        ASSERT(again.strangers_len == 0);
        state_free(&again);
    }
    buf_free(&once);
    buf_free(&twice);
    buf_free(&error);
}

/* Whom children become is carried on as it was. */
static void check_identity(const struct state *s)
{
    const struct state_master *m = &s->master[0];
    struct state_master again = *m;
    struct identity identity;
    if (!state_identity(s, &identity))
        return;
    state_set_identity(&again, &identity);
    ASSERT(again.children == m->children && identity.wanted == (m->children == STATE_CHILDREN_BECOME));
    ASSERT(!identity.wanted || (again.uid == m->uid && again.gid == m->gid));
}

static void count(void *ctx, int fd)
{
    ASSERT(fd >= 0);
    ++*(size_t *)ctx;
}

static void try(struct slice bytes)
{
    struct buf error = {0};
    struct state s;
    size_t fds = 0;
    if (state_decode(bytes, &s, &error)) {
        state_each_fd(&s, count, &fds);
        ASSERT(fds >= s.strangers_len);
        check_texts(&s, bytes);
        check_round(&s);
        bool sound = state_is_sound(&s, &error);
        ASSERT(sound == (error.len == 0));
        if (sound)
            check_identity(&s);
    } else {
        ASSERT(error.len > 0);
    }
    state_free(&s);
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state nothing = {0};
    struct buf bytes = {0};
    try((struct slice){(const char *)data, size});
    state_encode(&nothing, &bytes);
    ASSERT(bytes.len == HEAD_LEN);
    buf_append(&bytes, data, size);
    put_right(&bytes);
    try(buf_slice(&bytes));
    buf_free(&bytes);
    return 0;
}
