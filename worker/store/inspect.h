/* inspect.h: looks through a whole database file for damage. Blocks, for as long as it takes to
 * read it; one-shot children. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

/* SQLite's quick_check through a read-only connection, beside running servers. True: nothing is
 * wrong; else one clause in *error* that says what is and what to do. */
bool inspect_database(const char *path, int64_t busy_timeout_ms, struct buf *error);

/* The version of the library in use: "3.40.1". */
const char *inspect_library(void);
