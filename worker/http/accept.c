/* accept.c: see accept.h. */
#include "worker/http/accept.h"

/* The parameters behind a coding: is there one that says q=0, q=0.0 …? */
static bool weighs_nothing(struct slice parameters)
{
    while (parameters.ptr) {
        struct slice p = slice_trim(slice_split(&parameters, ';'), " \t");
        struct slice value = p;
        struct slice name = slice_trim(slice_split(&value, '='), " \t");
        if (!value.ptr || !slice_equals_nocase(name, SLICE("q")))
            continue;
        value = slice_trim(value, " \t");
        bool zero = value.len > 0 && value.ptr[0] == '0';
        for (size_t i = 1; i < value.len; i++)
            zero &= value.ptr[i] == (i == 1 ? '.' : '0');
        return zero;
    }
    return false;
}

bool accept_gzip(struct slice accept_encoding)
{
    bool any = false;
    while (accept_encoding.ptr) {
        struct slice rest = slice_split(&accept_encoding, ',');
        struct slice coding = slice_trim(slice_split(&rest, ';'), " \t");
        bool taken = !weighs_nothing(rest);
        if (slice_equals_nocase(coding, SLICE("gzip")) ||
            slice_equals_nocase(coding, SLICE("x-gzip")))
            return taken;
        if (slice_equals(coding, SLICE("*")))
            any = taken;
    }
    return any;
}
