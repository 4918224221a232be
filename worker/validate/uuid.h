/* uuid.h: UUIDs as pydantic reads them from text, with the words of the Rust crate behind it. Any
 * thread. */
#pragma once

#include "shared/str.h"

enum { UUID_TEXT_LEN = 36 };

/* 32 hexadecimal digits in any case, or the same in groups of 8-4-4-4-12, these also as {…} and
 * urn:uuid:…; of any version, and not trimmed. Writes the canonical spelling, lower case in groups, to
 * *canonical_r* (not terminated). False: what is wrong is appended to *error*. *text* is UTF-8. */
bool uuid_parse(struct slice text, char canonical_r[static UUID_TEXT_LEN], struct buf *error);
