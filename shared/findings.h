/* findings.h: what `colmeia doctor` found: each a line with a level, what it is about, what was
 * seen and what to do. The master looks at the machine, its child at the database; both add to one
 * list. One thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stddef.h>

#define FINDING_LEVELS(X)                                                                          \
    X(OK, "ok")                                                                                    \
    X(WARN, "warn") /* works, but not as well as it could, or not for long */                      \
    X(FAIL, "FAIL") /* will not work, or is dangerous */

enum finding_level {
#define X(name, text) FINDING_##name,
    FINDING_LEVELS(X)
#undef X
        FINDING_LEVELS_LEN
};

struct finding {
    enum finding_level level;
    const char *about; /* static: "backlog" */
    struct buf what;
    struct buf remedy; /* empty: none is needed */
};

struct findings {
    struct finding *items; /* owned */
    size_t len;
    size_t cap;
    bool failed;    /* no memory: some are missing */
    size_t printed; /* so many were printed as text */
};

/* Adds one. *about* is static, the rest is printed; what has a remedy gets it with
 * findings_remedy(), called just behind. */
void findings_add(struct findings *f, enum finding_level level, const char *about,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
void findings_remedy(struct findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One for each line that is not empty. */
void findings_add_lines(struct findings *f, enum finding_level level, const char *about,
                        const struct buf *lines);
size_t findings_count(const struct findings *f, enum finding_level level);

/* Appends what was not printed yet, a line each: "warn  backlog: … — …". */
void findings_text(struct findings *f, struct buf *out);
/* Appends all as one JSON document and a line end: {"ok":9,"warn":1,"fail":0,"findings":[{"level":
 * "warn","about":"backlog","what":"…","remedy":"…"},…]}; a remedy that is not needed is null. */
void findings_json(const struct findings *f, struct buf *out);

void findings_free(struct findings *f);
