/* header.h: one header field. Apart from request.h because the parser, whose library has names of
 * its own for methods, needs it too. */
#pragma once

#include "shared/str.h"

struct header {
    struct slice name;  /* as received */
    struct slice value; /* without surrounding blanks */
};
