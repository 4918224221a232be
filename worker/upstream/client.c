/* client.c: see client.h. libcurl(3), curl_easy_setopt(3). */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/upstream/client_internal.h"

#include "shared/check.h"
#include "shared/log.h"
#include "shared/private.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what comes ------------------------------------------------------------------------------ */

static size_t on_head(char *bytes, size_t size, size_t len, void *ctx)
{
    struct transfer *t = ctx;
    t->head_bytes += len;
    t->too_long = t->head_bytes > CLIENT_HEAD_MAX;
    return t->too_long ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t len, void *ctx)
{
    struct transfer *t = ctx;
    struct client *c = t->lane->client;
    if (!t->call)
        return 0; /* it is leaving */
    struct buf *body = &t->call->body;
    t->too_long = body->len + len > CLIENT_BODY_MAX || c->body_bytes + len > CLIENT_BODIES_MAX;
    if (t->too_long)
        return 0;
    buf_append(body, bytes, len);
    t->no_memory = body->failed;
    if (t->no_memory)
        return 0;
    c->body_bytes += len;
    return len;
}

/* ---- the beginning --------------------------------------------------------------------------- */

bool client_set_up(struct client *c, struct transfer *t)
{
    const struct library *curl = c->curl;
    CURL *e = t->easy;
    CURLcode failed = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (failed == CURLE_OK)                                                                    \
            failed = curl->easy_setopt(e, CURLOPT_##option, value);                                \
    } while (0)
    SET(PRIVATE, t);
    SET(SHARE, c->share);
    SET(CURLU, c->base);
    SET(OPENSOCKETFUNCTION, curl_watches_open);
    SET(OPENSOCKETDATA, &c->watches);
    SET(CLOSESOCKETFUNCTION, curl_watches_close);
    SET(CLOSESOCKETDATA, &c->watches);
    SET(ERRORBUFFER, t->error);
    SET(HEADERFUNCTION, on_head);
    SET(HEADERDATA, t);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, t);
    SET(NOSIGNAL, 1L);
    /* else a call that ends while its name is looked up would wait for the thread that does so */
    SET(QUICK_EXIT, 1L);
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(MAXFILESIZE_LARGE, (curl_off_t)CLIENT_BODY_MAX);
    SET(PROXY, "");
    SET(NOPROXY, "*");
    if (c->ca_file)
        SET(CAINFO, c->ca_file);
#undef SET
    if (failed != CURLE_OK)
        log_error("libcurl refuses an option: %s", curl->easy_strerror(failed));
    return failed == CURLE_OK;
}

/* ---- the end of a call ----------------------------------------------------------------------- */

/* A silence of less than the call's time is the connection's: another try may help. */
static enum call_result result_of(const struct transfer *t, CURLcode code)
{
    if (code == CURLE_OK)
        return CALL_ANSWERED;
    if (t->too_long || code == CURLE_FILESIZE_EXCEEDED)
        return CALL_TOO_LONG;
    if (t->no_memory || code == CURLE_OUT_OF_MEMORY)
        return CALL_NO_MEMORY;
    if (code == CURLE_OPERATION_TIMEDOUT &&
        mono_diff_ms(loop_now(t->lane->client->loop), t->began) >= t->call->timeout_ms)
        return CALL_TIMED_OUT;
    return CALL_FAILED;
}

static void describe(struct transfer *t, enum call_result result, CURLcode code)
{
    const char *text = t->error[0] ? t->error : t->lane->client->curl->easy_strerror(code);
    if (result == CALL_TOO_LONG)
        text = "its answer is too long";
    if (result != CALL_ANSWERED)
        snprintf(t->call->error, CALL_ERROR_MAX, "%.*s", CALL_ERROR_MAX - 1, text);
}

/* Takes the call off its transfer: it is over. */
static void end(struct transfer *t, enum call_result result, enum task_outcome outcome)
{
    struct client *c = t->lane->client;
    struct call *call = t->call;
    transfer_unlink(&c->busy, t);
    c->busy_len--;
    c->body_bytes -= call->body.len;
    if (result != CALL_ANSWERED)
        buf_free(&call->body);
    call->result = result;
    call->transfer = NULL;
    t->call = NULL;
    task_complete(&call->task, outcome);
}

static void collect(struct transfer *t, CURLcode code)
{
    struct client *c = t->lane->client;
    long status = 0;
    if (!t->call) {
        transfer_unlink(&c->leaving, t);
        lane_end(t);
        return;
    }
    ASSERT(c->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    enum call_result result = result_of(t, code);
    t->call->status = (int)status;
    describe(t, result, code);
    end(t, result, TASK_RAN);
    lane_end(t);
}

void client_collect(struct curl_watched *m)
{
    const struct library *curl = m->home->curl;
    int left;
    CURLMsg *message;
    while ((message = curl->multi_info_read(m->multi, &left))) {
        struct transfer *t = NULL;
        ASSERT(message->msg == CURLMSG_DONE);
        ASSERT(curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK);
        collect(t, message->data.result);
    }
}

/* ---- taking leave ---------------------------------------------------------------------------- */

/* Closing its connection takes libcurl as long as making a call: a thousand that are cancelled at
 * once are over at once, but libcurl is told of a few in each turn. */
static void on_cancel(struct task *task)
{
    struct transfer *t = ((struct call *)task)->transfer;
    struct client *c = t->lane->client;
    end(t, CALL_CANCELLED, TASK_CANCELLED);
    transfer_link(&c->leaving, t);
    loop_hurry(c->loop);
}

static void take_leave(struct client *c)
{
    struct transfer *t = c->leaving;
    transfer_unlink(&c->leaving, t);
    lane_end(t);
}

/* ---- calls ------------------------------------------------------------------------------------ */

static struct curl_slist *headers_of(struct client *c, struct transfer *t)
{
    if (!t->call->traceparent)
        return c->headers;
    snprintf(t->trace_text, sizeof t->trace_text, "traceparent: %.*s", CALL_TRACEPARENT_LEN,
             t->call->traceparent);
    t->trace = (struct curl_slist){.data = t->trace_text, .next = c->headers};
    return &t->trace;
}

/* What differs from call to call. Connecting may take half of its time, so that another try has some. */
static bool prepare(struct client *c, struct transfer *t)
{
    const struct library *curl = c->curl;
    t->head_bytes = 0;
    t->too_long = t->no_memory = false;
    t->error[0] = 0;
    t->began = loop_now(c->loop);
    long timeout = (long)t->call->timeout_ms;
    return curl->easy_setopt(t->easy, CURLOPT_REQUEST_TARGET, t->call->path) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers_of(c, t)) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, timeout) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, timeout / 2 + 1) == CURLE_OK;
}

static void refuse(struct call *call)
{
    call->result = CALL_NO_MEMORY;
    task_complete(&call->task, TASK_RAN);
}

static void begin(struct client *c, struct call *call)
{
    if (c->leaving && lanes_full(c))
        take_leave(c);
    struct transfer *t = lanes_take(c);
    if (!t) {
        refuse(call);
        return;
    }
    t->call = call;
    if (!prepare(c, t) || !lane_begin(t)) {
        t->call = NULL;
        lane_keep(t);
        refuse(call);
        return;
    }
    transfer_link(&c->busy, t);
    c->busy_len++;
    call->transfer = t;
    call->task.on_cancel = on_cancel;
}

static void start(struct caller *caller, struct call *call)
{
    struct client *c = (struct client *)caller;
    LOOP_ASSERT_OWNER(c->loop);
    ASSERT(call->timeout_ms > 0 && call->timeout_ms < INT32_MAX);
    ASSERT(call->body.len == 0 && strlen(call->path) <= CALL_PATH_MAX);
    call->task.on_cancel = NULL;
    call->status = 0;
    call->error[0] = 0;
    task_begin(&call->task);
    if (c->curl && !c->waiting_first)
        begin(c, call);
    else if ((!c->curl && !load_start(c)) || !waiting_add(c, call))
        refuse(call);
}

/* ---- libcurl --------------------------------------------------------------------------------- */

static void on_flush(struct loop_flush *flush)
{
    struct client *c = (struct client *)((char *)flush - offsetof(struct client, flush));
    if (!c->leaving && !c->waiting_first)
        return;
    loop_enter(c->loop, "more work of the upstream's client");
    for (unsigned i = 0; i < CLIENT_LEAVES && c->leaving; i++)
        take_leave(c);
    for (unsigned i = 0; i < CLIENT_BEGINS && c->waiting_first; i++)
        begin(c, waiting_take(c));
    if (c->leaving || c->waiting_first)
        loop_hurry(c->loop);
}

static bool set_base(struct client *c)
{
    c->base = c->curl->url();
    return c->base && c->curl->url_set(c->base, CURLUPART_URL, c->base_text, 0) == CURLUE_OK;
}

static void put_away(struct client *c)
{
    lanes_free(c);
    curl_watches_fini(&c->watches);
    c->curl->url_cleanup(c->base);
    c->base = NULL;
    c->curl = NULL;
}

static void fail_waiting(struct client *c, struct slice why)
{
    struct call *call;
    log_error("libcurl cannot be used: %.*s; calls of the upstream fail", SLICE_ARGS(why));
    while ((call = waiting_take(c))) {
        call->result = CALL_FAILED;
        snprintf(call->error, CALL_ERROR_MAX, "%.*s", (int)(why.len < CALL_ERROR_MAX ? why.len : CALL_ERROR_MAX - 1),
                 why.ptr);
        task_complete(&call->task, TASK_RAN);
    }
}

void client_on_loaded(struct client *c, const struct library *curl, struct slice why)
{
    if (!curl) {
        fail_waiting(c, why); /* the next call tries again */
        return;
    }
    c->curl = curl;
    if (!curl_watches_init(&c->watches, c->loop, curl) || !set_base(c) ||
        !lanes_make(c, c->max_connections)) {
        put_away(c);
        fail_waiting(c, SLICE("no memory, or no descriptor"));
        return;
    }
    loop_add_flush(c->loop, &c->flush); /* behind the watches': so it is called before them */
    loop_hurry(c->loop);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool add_header(struct client *c, const char *header)
{
    size_t len = strlen(header) + 1;
    struct curl_slist *h = calloc(1, sizeof *h), **end = &c->headers;
    if (!h || !(h->data = private_new(len))) { /* it may be a key */
        free(h);
        return false;
    }
    memcpy(h->data, header, len);
    while (*end)
        end = &(*end)->next;
    *end = h;
    return true;
}

static void free_headers(struct client *c)
{
    for (struct curl_slist *h = c->headers, *next; h; h = next) {
        next = h->next;
        private_free(h->data, strlen(h->data) + 1);
        free(h);
    }
}

static bool copy_options(struct client *c, const struct client_options *o)
{
    c->base_text = strdup(o->base);
    c->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
    c->max_connections = o->max_connections;
    c->rest_ms = o->rest_ms ? o->rest_ms : CLIENT_REST_MS;
    /* as an option libcurl would write it twice for each call */
    bool good = c->base_text && (!o->ca_file || c->ca_file) &&
                add_header(c, "User-Agent: colmeia/" COLMEIA_VERSION);
    for (size_t i = 0; good && i < o->headers_len; i++)
        good = add_header(c, o->headers[i]);
    return good;
}

struct client *client_new(struct loop *l, const struct client_options *options, struct buf *error)
{
    LOOP_ASSERT_OWNER(l);
    struct client *c = calloc(1, sizeof *c);
    if (c) {
        c->caller.start = start;
        c->loop = l;
        c->watches.set = -1;
        c->flush.call = on_flush;
        if (copy_options(c, options))
            return c;
        client_free(c);
    }
    buf_printf(error, "out of memory");
    return NULL;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    LOOP_ASSERT_OWNER(c->loop);
    while (c->waiting_first)
        task_cancel(&c->waiting_first->call->task);
    load_forget(c);
    while (c->busy)
        task_cancel(&c->busy->call->task);
    while (c->leaving)
        take_leave(c);
    loop_remove_flush(c->loop, &c->flush);
    if (c->curl)
        put_away(c);
    free_headers(c);
    free(c->ca_file);
    free(c->base_text);
    free(c);
}

struct caller *client_caller(struct client *c)
{
    return &c->caller;
}

unsigned client_calls(const struct client *c)
{
    return c->busy_len + c->waiting_len;
}

#endif
