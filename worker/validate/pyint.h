/* pyint.h: text to integer by pydantic's rules: whitespace around, a sign, leading
 * zeros, single underscores between digits, a fraction of zeros. Pure; any thread. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { PYINT_DIGITS_MAX = 4300 };

enum pyint_result {
    PYINT_OK,
    PYINT_MALFORMED,
    PYINT_TOO_LONG /* more than PYINT_DIGITS_MAX digits, with nothing before them but a minus */
};

struct pyint {
    int64_t value; /* clamped to the int64 range */
    bool overflow; /* it was clamped: the number lies outside int64 */
};

/* text is valid UTF-8. *value_r is set only on PYINT_OK. */
enum pyint_result pyint_parse(struct slice text, struct pyint *value_r);
