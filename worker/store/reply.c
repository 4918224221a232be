/* reply.c: what a call's answer is made of (driver.h): copies of rows in its arena, or a list's text. */
#include "worker/store/driver.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 8 * 1024 }; /* at first: a page of a hundred accounts */

/* A copy at *at, which moves on; of {NULL, 0}, just that. */
static struct slice keep(char **at, struct slice text)
{
    if (!text.ptr)
        return text;
    struct slice copy = {*at, text.len};
    memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static bool no_more(struct store_call *call, enum store_result result)
{
    call->reply.result = result;
    return false;
}

/* Its end has room already: see store_call_end_text(). */
static bool add_text(struct store_call *call, const struct store_user *user)
{
    struct buf *text = &call->text;
    if (task_is_cancelled(&call->task))
        return no_more(call, STORE_BUSY);
    if (text->len == 0)
        buf_reserve(text, TEXT_BYTES);
    buf_append_slice(text, text->len == 0 ? call->form->open : call->form->between);
    call->form->row(text, user);
    buf_reserve(text, call->form->close.len);
    if (text->failed)
        return no_more(call, STORE_NO_MEMORY);
    if (text->len + call->form->close.len > call->text_max)
        return no_more(call, call->text_max < STORE_CALL_MAX_BYTES ? STORE_TOO_LARGE : STORE_NO_MEMORY);
    return true;
}

void store_call_begin_anew(struct store_call *call, size_t used_bytes)
{
    call->reply = (struct store_reply){.result = STORE_UNAVAILABLE};
    call->arena.used_bytes = used_bytes;
    buf_clear(&call->text);
}

bool store_call_add_user(struct store_call *call, size_t *capacity, const struct store_user *user)
{
    if (call->form)
        return add_text(call, user);
    /* the reply shows its rows as const; here they are made */
    struct store_user *rows = (struct store_user *)(uintptr_t)call->reply.users;
    if (call->reply.users_len == *capacity) {
        size_t wanted = *capacity == 0 ? 1 : *capacity < 32 ? 64 : *capacity * 2;
        struct store_user *more = arena_alloc(&call->arena, wanted * sizeof *more);
        if (!more)
            return no_more(call, STORE_NO_MEMORY);
        if (call->reply.users_len)
            memcpy(more, rows, call->reply.users_len * sizeof *more);
        call->reply.users = rows = more;
        *capacity = wanted;
    }
    char *text = arena_alloc(&call->arena, user->username.len + user->email.len + user->password.len);
    if (!text)
        return no_more(call, STORE_NO_MEMORY);
    struct store_user *copy = &rows[call->reply.users_len++];
    copy->id = user->id;
    copy->username = keep(&text, user->username);
    copy->email = keep(&text, user->email);
    copy->password = keep(&text, user->password);
    return true;
}

bool store_call_end_text(struct store_call *c)
{
    struct buf *text = &c->text;
    if (text->len == 0)
        buf_append_slice(text, c->form->open);
    buf_append_slice(text, c->form->close);
    if (text->failed)
        return false;
    char *fit = realloc(text->data, text->len);
    if (fit) {
        text->data = fit;
        text->cap = text->len;
    }
    return true;
}
