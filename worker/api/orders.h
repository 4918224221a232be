/* orders.h: the second API: the items of an order, gathered from an upstream that knows them by its
 * packages. This header is how the worker sets it up (api.orders), and what its parts share. Loop
 * thread. */
#pragma once

#include "shared/arena.h"
#include "shared/config.h"
#include "worker/upstream/client.h"
#include "worker/upstream/fanout.h"

enum {
    ORDER_PACKAGES_MAX = 1000,
    ORDER_PACKAGE_ID_MAX = 128,
    ORDER_BYTES_MAX = 8 * 1024 * 1024 /* of all answers of one order */
};

/* What [orders] says: the client, and on top of it the fan-outs, for so many calls at once. NULL with
 * the reason in *error*; orders_fanouts: NULL without memory. */
struct client *orders_client(struct loop *l, const struct config *config, unsigned max_calls,
                             struct buf *error);
struct fanouts *orders_fanouts(struct loop *l, const struct config *config, unsigned max_calls,
                               struct client *client, struct scoreboard_slot *slot);

/* ---- what the upstream sends (order_json.c) -------------------------------------------------- */

struct order_packages {
    struct slice *ids; /* in the arena */
    size_t len;
};

/* {"packages":[{"uuid":"…"},…],…}. Ids are any text of 1 to ORDER_PACKAGE_ID_MAX bytes. */
enum fanout_verdict order_read_packages(struct arena *a, struct slice json,
                                        struct order_packages *packages_r);
/* [{"product":{"code":"…","description":"…",…},"quantity":1},…] as the API's items, without the
 * brackets around them; nothing when there is none. */
enum fanout_verdict order_write_items(struct slice json, struct buf *out);
/* "/maestro/v1/orders/ORDER" and behind it "/packages/PACKAGE/items", if there is one ({NULL, 0}:
 * none), percent-encoded. ORDER is a UUID, PACKAGE has at most ORDER_PACKAGE_ID_MAX bytes. NULL without
 * memory. */
const char *order_path(struct arena *a, struct slice order, struct slice package);
