/* lane.c: see client_internal.h. libcurl(3), libcurl-multi(3), libcurl-share(3). */
#include "curl_build.h"

#if COLMEIA_CURL

#include "worker/upstream/client_internal.h"

#include "shared/check.h"

#include <stdlib.h>

void transfer_link(struct transfer **list, struct transfer *t)
{
    t->previous = NULL;
    t->next = *list;
    if (t->next)
        t->next->previous = t;
    *list = t;
}

void transfer_unlink(struct transfer **list, struct transfer *t)
{
    if (t->next)
        t->next->previous = t->previous;
    if (t->previous)
        t->previous->next = t->next;
    else
        *list = t->next;
}

/* ---- transfers ------------------------------------------------------------------------------- */

static void transfer_free(struct transfer *t)
{
    if (t->easy)
        t->lane->client->curl->easy_cleanup(t->easy);
    free(t);
}

static void start_rest(struct lane *lane)
{
    struct ev_loop *ev = loop_ev(lane->client->loop);
    ev_timer_stop(ev, &lane->rest);
    ev_timer_set(&lane->rest, (double)lane->client->rest_ms / 1000, 0.);
    ev_timer_start(ev, &lane->rest);
}

static struct transfer *transfer_new(struct lane *lane)
{
    struct client *c = lane->client;
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->lane = lane;
    t->easy = c->curl->easy_init();
    if (t->easy && client_set_up(c, t))
        return t;
    transfer_free(t);
    return NULL;
}

void lane_keep(struct transfer *t)
{
    struct lane *lane = t->lane;
    if (lane->busy == 0)
        start_rest(lane);
    if (lane->idle_len >= lane->max) {
        transfer_free(t);
        return;
    }
    transfer_link(&lane->idle, t);
    lane->idle_len++;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static bool lane_open(struct lane *lane)
{
    const struct library *curl = lane->client->curl;
    if (lane->watched.multi)
        return true;
    CURLM *multi = curl->multi_init();
    if (!multi)
        return false;
    curl_watch(&lane->client->watches, &lane->watched, multi, client_collect);
    curl->multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl->multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)lane->max);
    curl->multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)lane->max);
    return true;
}

static void lane_close(struct lane *lane)
{
    CURLM *multi = lane->watched.multi;
    ASSERT(lane->busy == 0);
    ev_timer_stop(loop_ev(lane->client->loop), &lane->rest);
    if (!multi)
        return;
    curl_unwatch(&lane->watched);
    lane->client->curl->multi_cleanup(multi);
    while (lane->idle) {
        struct transfer *t = lane->idle;
        transfer_unlink(&lane->idle, t);
        transfer_free(t);
    }
    lane->idle_len = 0;
}

/* libcurl does not look at connections that it only keeps: those that the upstream has closed would
 * stay half open for as long as nobody calls. */
static void on_rest(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
    struct lane *lane = timer->data;
    loop_enter(lane->client->loop, "rest of the upstream's client");
    lane_close(lane);
}

bool lane_begin(struct transfer *t)
{
    struct lane *lane = t->lane;
    struct client *c = lane->client;
    if (c->curl->multi_add_handle(lane->watched.multi, t->easy) != CURLM_OK)
        return false;
    ev_timer_stop(loop_ev(c->loop), &lane->rest);
    lane->busy++;
    return true;
}

void lane_end(struct transfer *t)
{
    struct lane *lane = t->lane;
    struct client *c = lane->client;
    ASSERT(c->curl->multi_remove_handle(lane->watched.multi, t->easy) == CURLM_OK);
    ASSERT(lane->busy > 0);
    lane->busy--;
    lane_keep(t);
    if ((size_t)(lane - c->lanes) < c->first_free)
        c->first_free = (size_t)(lane - c->lanes);
}

/* ---- all of a client's ------------------------------------------------------------------------- */

/* The first with room; the last one when there is none. */
static struct lane *roomy(struct client *c)
{
    while (c->first_free + 1 < c->lanes_len && c->lanes[c->first_free].busy >= c->lanes[c->first_free].max)
        c->first_free++;
    return &c->lanes[c->first_free];
}

bool lanes_full(struct client *c)
{
    const struct lane *lane = roomy(c);
    return lane->busy >= lane->max;
}

struct transfer *lanes_take(struct client *c)
{
    struct lane *lane = roomy(c);
    if (!lane_open(lane))
        return NULL;
    struct transfer *t = lane->idle;
    if (!t)
        return transfer_new(lane);
    transfer_unlink(&lane->idle, t);
    lane->idle_len--;
    return t;
}

static bool make_share(struct client *c)
{
    c->share = c->curl->share_init();
    return c->share &&
           c->curl->share_setopt(c->share, CURLSHOPT_SHARE, (int)CURL_LOCK_DATA_DNS) == CURLSHE_OK &&
           c->curl->share_setopt(c->share, CURLSHOPT_SHARE, (int)CURL_LOCK_DATA_SSL_SESSION) ==
               CURLSHE_OK;
}

bool lanes_make(struct client *c, unsigned connections)
{
    c->lanes_len = (connections + LANE_CALLS - 1) / LANE_CALLS;
    c->lanes = calloc(c->lanes_len, sizeof *c->lanes);
    if (!c->lanes) {
        c->lanes_len = 0;
        return false;
    }
    for (size_t i = 0; i < c->lanes_len; i++) {
        struct lane *lane = &c->lanes[i];
        lane->client = c;
        lane->max = i + 1 < c->lanes_len ? LANE_CALLS : connections - LANE_CALLS * (unsigned)i;
        ev_init(&lane->rest, on_rest);
        lane->rest.data = lane;
    }
    return make_share(c);
}

void lanes_free(struct client *c)
{
    for (size_t i = 0; i < c->lanes_len; i++)
        lane_close(&c->lanes[i]);
    free(c->lanes);
    c->lanes = NULL;
    c->lanes_len = c->first_free = 0;
    if (c->share)
        ASSERT(c->curl->share_cleanup(c->share) == CURLSHE_OK);
    c->share = NULL;
}

#endif
