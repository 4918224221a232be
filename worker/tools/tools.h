/* tools.h: one-shot roles, which need the store but serve nobody: the verbs of the command line,
 * and what the master does before the first worker and after the last. Each returns an enum
 * exit_code. They print as programs on a terminal do: what was asked for on standard output, what
 * went wrong on standard error, one line. */
#pragma once

#include "shared/entry.h"

/* ROLE_MIGRATE: argv[0] is upgrade (the default), current or history. */
int tools_migrate(const struct entry *entry);
/* ROLE_CHECKPOINT. */
int tools_checkpoint(const struct entry *entry);
/* ROLE_USER: argv is add|list|passwd|delete and what stands behind it. */
int tools_user(const struct entry *entry);
/* ROLE_BACKUP: argv is [--force] FILE. */
int tools_backup(const struct entry *entry);
/* ROLE_CALIBRATE: argv is [--quick] [--target 250ms]. Needs no database. */
int tools_calibrate(const struct entry *entry);
/* ROLE_DOCTOR: argv is [--json]. Adds to entry->findings, and prints what is not printed yet. */
int tools_doctor(const struct entry *entry);
