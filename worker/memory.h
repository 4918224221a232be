/* memory.h: how much freed memory a worker keeps. Under load the allocator would give pages back and
 * ask for them again with each batch of answers (a sixth of the processor's time of a long list), so
 * it keeps a few MiB; an idle worker gives all of it back. Thread: the loop's. */
#pragma once

#include <stdint.h>

struct memory {
    uint64_t requests;   /* answered, when it was last looked */
    unsigned idle_looks; /* without a request in between; MEMORY_GIVEN_BACK: until the next one */
};

enum { MEMORY_IDLE_LOOKS = 10, MEMORY_GIVEN_BACK = MEMORY_IDLE_LOOKS + 1 };

/* For the whole process, before it serves. */
void memory_keep(void);
/* About once a second. *requests*: answered so far. */
void memory_look(struct memory *m, uint64_t requests);
