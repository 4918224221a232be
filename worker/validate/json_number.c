/* json_number.c: numbers in, and floats out as Python's repr has them. strtod and snprintf are used
 * in the C locale, which the server never leaves. */
#include "worker/validate/json_internal.h"

#include "shared/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* The end of a fraction or an exponent at p, or p when there is none that is complete: then the
 * number ends here, and what follows is somebody else's error. */
static const char *skip_fraction(const char *p, const char *end)
{
    return end - p >= 2 && p[0] == '.' && is_digit(p[1]) ? skip_digits(p + 1, end) : p;
}

static const char *skip_exponent(const char *p, const char *end)
{
    const char *digits = p + 1;
    if (p == end || (*p != 'e' && *p != 'E'))
        return p;
    if (digits < end && (*digits == '+' || *digits == '-'))
        digits++;
    return digits < end && is_digit(*digits) ? skip_digits(digits, end) : p;
}

static bool cut_word(struct json_reader *r, struct slice word)
{
    struct slice rest = {r->at, (size_t)(r->end - r->at)};
    if (!slice_starts_with(rest, word))
        return false;
    r->at += word.len;
    return true;
}

static bool read_constant(struct json_reader *r, struct json_value *value)
{
    value->type = JSON_FLOAT;
    if (cut_word(r, SLICE("NaN")))
        value->number = (double)NAN;
    else if (cut_word(r, SLICE("Infinity")))
        value->number = (double)INFINITY;
    else if (cut_word(r, SLICE("-Infinity")))
        value->number = -(double)INFINITY;
    else
        return false;
    return true;
}

static enum json_result make_int(struct slice text, struct json_value *value)
{
    size_t digits = text.len - (text.ptr[0] == '-');
    if (digits > JSON_DIGITS_MAX)
        return JSON_UNDECODABLE;
    value->type = JSON_INT;
    value->text = slice_equals(text, SLICE("-0")) ? SLICE("0") : text;
    return JSON_OK;
}

static enum json_result make_float(struct arena *a, struct slice text, struct json_value *value)
{
    char small[64];
    char *copy = small;
    if (text.len < sizeof small) {
        memcpy(small, text.ptr, text.len);
        small[text.len] = 0;
    } else if (!(copy = arena_dup(a, text.ptr, text.len))) {
        return JSON_NO_MEMORY;
    }
    value->type = JSON_FLOAT;
    value->number = strtod(copy, NULL); /* out of range: infinite, or 0 */
    return JSON_OK;
}

enum json_result json_read_number(struct json_reader *r, struct json_value *value)
{
    if (read_constant(r, value))
        return JSON_OK;
    const char *start = r->at;
    const char *p = start + (start < r->end && *start == '-');
    if (p == r->end || !is_digit(*p))
        return json_fail(r, "Expecting value", start);
    const char *int_end = *p == '0' ? p + 1 : skip_digits(p, r->end);
    r->at = skip_exponent(skip_fraction(int_end, r->end), r->end);
    struct slice text = {start, (size_t)(r->at - start)};
    return r->at == int_end ? make_int(text, value) : make_float(r->arena, text, value);
}

/* The digits of |number| (without point, zeros at the end cut) and the power of ten of the first:
 * d.ddd × 10^exponent. */
struct decimal {
    char digits[24];
    size_t len;
    int exponent;
};

static bool round_trips(double number, const struct decimal *d)
{
    char text[48];
    snprintf(text, sizeof text, "%.*se%d", (int)d->len, d->digits, d->exponent - (int)d->len + 1);
    return strtod(text, NULL) == number;
}

/* The nearest decimal of *precision* digits. */
static struct decimal decimal_of(double number, int precision)
{
    char text[40];
    struct decimal d = {.len = 0};
    snprintf(text, sizeof text, "%.*e", precision - 1, number);
    const char *p = text;
    for (; *p != 'e'; p++)
        if (is_digit(*p))
            d.digits[d.len++] = *p;
    d.exponent = (int)strtol(p + 1, NULL, 10);
    while (d.len > 1 && d.digits[d.len - 1] == '0')
        d.len--;
    return d;
}

/* The next decimal above of as many digits. A number that begins a power of two has half as much
 * room below it as above, so its shortest text need not be the nearest one. */
static struct decimal next_above(struct decimal d, size_t precision)
{
    while (d.len < precision)
        d.digits[d.len++] = '0';
    size_t i = d.len;
    while (i > 0 && d.digits[i - 1] == '9')
        d.digits[--i] = '0';
    if (i > 0) {
        d.digits[i - 1]++;
    } else {
        d.digits[0] = '1';
        d.exponent++;
    }
    return d;
}

/* The shortest decimal that reads back as number (> 0, finite). 15 digits always survive the way
 * through a normal double, so fewer need no trial there. */
static struct decimal shortest(double number)
{
    for (int precision = isnormal(number) ? 15 : 1; precision < 17; precision++) {
        struct decimal d = decimal_of(number, precision);
        if (round_trips(number, &d))
            return d;
        d = next_above(d, (size_t)precision);
        if (round_trips(number, &d))
            return d;
    }
    return decimal_of(number, 17);
}

static size_t put(char *out, size_t at, const char *bytes, size_t len)
{
    memcpy(out + at, bytes, len);
    return at + len;
}

static size_t put_zeros(char *out, size_t at, int count)
{
    for (int i = 0; i < count; i++)
        out[at++] = '0';
    return at;
}

/* 0.00012, 1200.0, 12.5 */
static size_t put_fixed(char *out, size_t at, const struct decimal *d)
{
    int before = d->exponent + 1; /* digits in front of the point */
    if (before <= 0) {
        at = put(out, at, "0.", 2);
        at = put_zeros(out, at, -before);
        return put(out, at, d->digits, d->len);
    }
    if ((size_t)before >= d->len) {
        at = put(out, at, d->digits, d->len);
        at = put_zeros(out, at, before - (int)d->len);
        return put(out, at, ".0", 2);
    }
    at = put(out, at, d->digits, (size_t)before);
    out[at++] = '.';
    return put(out, at, d->digits + before, d->len - (size_t)before);
}

/* 1.2e-05, 1e+22 */
static size_t put_scientific(char *out, size_t at, const struct decimal *d)
{
    out[at++] = d->digits[0];
    if (d->len > 1) {
        out[at++] = '.';
        at = put(out, at, d->digits + 1, d->len - 1);
    }
    return at + (size_t)snprintf(out + at, JSON_FLOAT_TEXT_MAX - at, "e%+03d", d->exponent);
}

size_t json_float_repr(char *out, double number)
{
    size_t at = 0;
    ASSERT(isfinite(number));
    if (signbit(number))
        out[at++] = '-';
    if (number == 0) {
        at = put(out, at, "0.0", 3);
    } else {
        struct decimal d = shortest(fabs(number));
        bool fixed = d.exponent >= -4 && d.exponent < 16;
        at = fixed ? put_fixed(out, at, &d) : put_scientific(out, at, &d);
    }
    out[at] = 0;
    return at;
}
