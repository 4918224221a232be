/* admin.h: the admin child: serves [admin] bind for balancers, Prometheus and people, and nothing
 * of the API. It reads the scoreboard and the master's bulletin, which it can only read, has no
 * store, no key and no thread, and needs no worker. Called by worker_main() for ROLE_ADMIN.
 *
 *   GET /livez         200 as long as somebody is there to answer
 *   GET /readyz        200, or 503 with the reasons (readiness.h)
 *   GET /metrics       shared/metrics.h
 *   GET /status        for browsers a page (status.html), else as /status.json
 *   GET /status.json   what `colmeia ctl status --json` says */
#pragma once

#include "shared/entry.h"

/* Serves until SIGTERM, or until the master is gone. Returns an enum exit_code. */
int admin_serve(const struct entry *entry);
