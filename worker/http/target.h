/* target.h: a request target taken apart as the original's server does it. Pure; any thread. */
#pragma once

#include "shared/arena.h"
#include "shared/str.h"

#include <stdbool.h>

struct target {
    struct slice authority; /* of absolute-form: "host:port"; {NULL, 0} in other forms */
    struct slice raw_path; /* percent-encoded, up to '?'; into the target */
    struct slice path;  /* decoded; raw_path itself when nothing was encoded, else in the arena */
    struct slice query; /* raw; {NULL, 0} without a '?' */
};

/* The same without path: nothing is decoded. For any target. */
void target_parts(struct slice target, struct target *target_r);
/* Splits a target that the parser let through. Of absolute-form ("http://host/path") the path is
 * "/" when there is none. Percent-decoding happens once; "%zz" stays as it is; bytes that are no
 * UTF-8 become U+FFFD as in Python's unquote(). False without memory. */
bool target_split(struct arena *a, struct slice target, struct target *target_r);
