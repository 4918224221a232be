/* worker.h: one serving process: builds the layers bottom-up, serves until told to leave, drains,
 * tears down in reverse. Called by worker_main() for ROLE_SERVE. */
#pragma once

#include "shared/entry.h"

/* Serves until the master says so (or is gone, or SIGTERM). Returns an enum exit_code. */
int worker_serve(const struct entry *entry);
