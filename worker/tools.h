/* tools.h: one-shot roles, which need the store or the API but serve nobody. */
#pragma once

#include "shared/entry.h"

/* ROLE_MIGRATE: argv[0] is upgrade (the default), current or history. Returns an enum exit_code. */
int tools_migrate(const struct entry *entry);
/* ROLE_CHECKPOINT. */
int tools_checkpoint(const struct entry *entry);
