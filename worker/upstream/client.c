/* client.c: see client.h. A call has a transfer (an easy handle of libcurl) while it is under way;
 * transfers are kept for the next calls. libcurl(3), curl_multi_socket_action(3). */
#include "worker/upstream/client.h"

#include "shared/check.h"
#include "shared/log.h"
#include "version.h"
#include "worker/upstream/curl_watch.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRANSFERS_KEPT = 64, URL_MAX = 1024 };

struct transfer {
    struct client *client; /* borrowed */
    CURL *easy;            /* owned */
    struct call *call;     /* borrowed; NULL: it is kept for the next one */
    struct transfer *next; /* in the client's list of busy or of idle ones */
    struct transfer *previous;
    size_t head_bytes; /* received so far */
    bool too_long;
    bool no_memory;
    mono_ms began;
    struct curl_slist trace;       /* one header in front of the client's */
    char trace_text[sizeof "traceparent: " + CALL_TRACEPARENT_LEN];
    char error[CURL_ERROR_SIZE];
};

struct client {
    struct caller caller; /* first */
    struct loop *loop;
    const struct library *curl;
    CURLM *multi; /* NULL: resting */
    struct curl_watches watches;
    struct transfer *busy;
    struct transfer *idle;
    unsigned busy_len, idle_len;
    size_t body_bytes; /* of all busy ones */
    struct curl_slist *headers;
    char *base;
    char *ca_file;
    long max_connections;
    int64_t rest_ms;
    struct ev_timer rest;
};

/* ---- transfers ------------------------------------------------------------------------------- */

static void link_to(struct transfer **list, struct transfer *t)
{
    t->previous = NULL;
    t->next = *list;
    if (t->next)
        t->next->previous = t;
    *list = t;
}

static void unlink_from(struct transfer **list, struct transfer *t)
{
    if (t->next)
        t->next->previous = t->previous;
    if (t->previous)
        t->previous->next = t->next;
    else
        *list = t->next;
}

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
    struct buf *body = &t->call->body;
    t->too_long = body->len + len > CLIENT_BODY_MAX ||
                  t->client->body_bytes + len > CLIENT_BODIES_MAX;
    if (t->too_long)
        return 0;
    buf_append(body, bytes, len);
    t->no_memory = body->failed;
    if (t->no_memory)
        return 0;
    t->client->body_bytes += len;
    return len;
}

/* What all calls have in common. */
static bool set_up(struct client *c, struct transfer *t)
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
    SET(ERRORBUFFER, t->error);
    SET(HEADERFUNCTION, on_head);
    SET(HEADERDATA, t);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, t);
    SET(USERAGENT, "colmeia/" COLMEIA_VERSION);
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

static void transfer_free(struct client *c, struct transfer *t)
{
    if (t->easy)
        c->curl->easy_cleanup(t->easy);
    free(t);
}

/* A kept one, or new; NULL without memory. */
static struct transfer *take_transfer(struct client *c)
{
    struct transfer *t = c->idle;
    if (t) {
        unlink_from(&c->idle, t);
        c->idle_len--;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->client = c;
    t->easy = c->curl->easy_init();
    if (t->easy && set_up(c, t))
        return t;
    transfer_free(c, t);
    return NULL;
}

static void keep_transfer(struct client *c, struct transfer *t)
{
    t->call = NULL;
    if (c->idle_len >= TRANSFERS_KEPT) {
        transfer_free(c, t);
        return;
    }
    link_to(&c->idle, t);
    c->idle_len++;
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
        mono_diff_ms(loop_now(t->client->loop), t->began) >= t->call->timeout_ms)
        return CALL_TIMED_OUT;
    return CALL_FAILED;
}

static void describe(struct transfer *t, enum call_result result, CURLcode code)
{
    const char *text = t->error[0] ? t->error : t->client->curl->easy_strerror(code);
    if (result == CALL_TOO_LONG)
        text = "its answer is too long";
    if (result != CALL_ANSWERED)
        snprintf(t->call->error, CALL_ERROR_MAX, "%.*s", CALL_ERROR_MAX - 1, text);
}

static void start_rest(struct client *c);

/* Takes the transfer off its call, which is over. */
static void end(struct transfer *t, enum call_result result, enum task_outcome outcome)
{
    struct client *c = t->client;
    struct call *call = t->call;
    ASSERT(c->curl->multi_remove_handle(c->multi, t->easy) == CURLM_OK);
    unlink_from(&c->busy, t);
    c->busy_len--;
    c->body_bytes -= call->body.len;
    if (result != CALL_ANSWERED)
        buf_free(&call->body);
    call->result = result;
    call->transfer = NULL;
    keep_transfer(c, t);
    if (c->busy_len == 0)
        start_rest(c);
    task_complete(&call->task, outcome);
}

static void collect(void *ctx)
{
    struct client *c = ctx;
    int left;
    CURLMsg *m;
    while ((m = c->curl->multi_info_read(c->multi, &left))) {
        struct transfer *t = NULL;
        long status = 0;
        CURLcode code = m->data.result;
        ASSERT(m->msg == CURLMSG_DONE);
        ASSERT(c->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK);
        ASSERT(c->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
        enum call_result result = result_of(t, code);
        t->call->status = (int)status;
        describe(t, result, code);
        end(t, result, TASK_RAN);
    }
}

static void on_cancel(struct task *task)
{
    struct call *call = (struct call *)task;
    end(call->transfer, CALL_CANCELLED, TASK_CANCELLED);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static bool open_multi(struct client *c)
{
    if (c->multi)
        return true;
    c->multi = c->curl->multi_init();
    if (!c->multi)
        return false;
    curl_watches_start(&c->watches, c->multi);
    c->curl->multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    c->curl->multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, c->max_connections);
    c->curl->multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->max_connections);
    return true;
}

static void close_multi(struct client *c)
{
    ASSERT(c->busy_len == 0);
    if (!c->multi)
        return;
    curl_watches_stop(&c->watches);
    c->curl->multi_cleanup(c->multi);
    c->multi = NULL;
    while (c->idle) {
        struct transfer *t = c->idle;
        unlink_from(&c->idle, t);
        transfer_free(c, t);
    }
    c->idle_len = 0;
}

/* libcurl does not look at connections that it only keeps: those that the upstream has closed would
 * stay half open for as long as nobody calls. */
static void on_rest(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct client *c = timer->data;
    loop_enter(c->loop, "rest of the upstream's client");
    close_multi(c);
}

static void start_rest(struct client *c)
{
    ev_timer_stop(loop_ev(c->loop), &c->rest);
    ev_timer_set(&c->rest, (double)c->rest_ms / 1000, 0.);
    ev_timer_start(loop_ev(c->loop), &c->rest);
}

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
    char url[URL_MAX];
    int n = snprintf(url, sizeof url, "%s%s", c->base, t->call->path);
    ASSERT(n > 0 && n < URL_MAX);
    t->head_bytes = 0;
    t->too_long = t->no_memory = false;
    t->error[0] = 0;
    t->began = loop_now(c->loop);
    long timeout = (long)t->call->timeout_ms;
    return curl->easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers_of(c, t)) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, timeout) == CURLE_OK &&
           curl->easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, timeout / 2 + 1) == CURLE_OK;
}

static void refuse(struct call *call)
{
    call->result = CALL_NO_MEMORY;
    task_complete(&call->task, TASK_RAN);
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
    struct transfer *t = open_multi(c) ? take_transfer(c) : NULL;
    if (!t) {
        refuse(call);
        return;
    }
    t->call = call;
    if (!prepare(c, t) || c->curl->multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        keep_transfer(c, t);
        refuse(call);
        return;
    }
    ev_timer_stop(loop_ev(c->loop), &c->rest);
    link_to(&c->busy, t);
    c->busy_len++;
    call->transfer = t;
    call->task.on_cancel = on_cancel;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool copy_options(struct client *c, const struct client_options *o)
{
    c->base = strdup(o->base);
    c->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
    c->max_connections = (long)o->max_connections;
    c->rest_ms = o->rest_ms ? o->rest_ms : CLIENT_REST_MS;
    for (size_t i = 0; i < o->headers_len; i++) {
        struct curl_slist *longer = c->curl->slist_append(c->headers, o->headers[i]);
        if (!longer)
            return false;
        c->headers = longer;
    }
    return c->base && (!o->ca_file || c->ca_file);
}

struct client *client_new(struct loop *l, const struct client_options *options, struct buf *error)
{
    LOOP_ASSERT_OWNER(l);
    ASSERT(strlen(options->base) + CALL_PATH_MAX < URL_MAX);
    const struct library *curl = library_load(error);
    if (!curl)
        return NULL;
    struct client *c = calloc(1, sizeof *c);
    if (!c) {
        buf_printf(error, "out of memory");
        return NULL;
    }
    c->caller.start = start;
    c->loop = l;
    c->curl = curl;
    ev_init(&c->rest, on_rest);
    c->rest.data = c;
    curl_watches_init(&c->watches, l, curl, collect, c);
    if (copy_options(c, options) && open_multi(c))
        return c;
    buf_printf(error, "out of memory");
    client_free(c);
    return NULL;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    LOOP_ASSERT_OWNER(c->loop);
    while (c->busy)
        end(c->busy, CALL_CANCELLED, TASK_CANCELLED);
    ev_timer_stop(loop_ev(c->loop), &c->rest);
    close_multi(c);
    curl_watches_fini(&c->watches);
    for (struct curl_slist *h = c->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    c->curl->slist_free_all(c->headers);
    free(c->ca_file);
    free(c->base);
    free(c);
}

struct caller *client_caller(struct client *c)
{
    return &c->caller;
}

unsigned client_calls(const struct client *c)
{
    return c->busy_len;
}
