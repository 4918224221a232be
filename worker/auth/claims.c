/* claims.c: see claims.h. */
#include "worker/auth/claims.h"

#include <string.h>

/* How far ahead an iat may lie: clocks are set back, and who logged in just before is not to wait
 * until the same second comes again. */
enum { IAT_LEEWAY_S = 60 };

bool claims_header_fits(const json_t *header)
{
    const json_t *kid = json_object_get(header, "kid");
    const char *alg = json_string_value(json_object_get(header, "alg"));
    /* libjwt compares alg without regard to case, PyJWT with */
    return alg && strcmp(alg, "HS256") == 0 && !json_object_get(header, "crit") &&
           !json_is_false(json_object_get(header, "b64")) && (!kid || json_is_string(kid));
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

/* int("…") of Python, ASCII digits only: blanks around, a sign, single underscores between digits.
 * What does not fit becomes the nearest that does. */
static bool text_number(struct slice s, int64_t *value_r)
{
    while (s.len && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    bool negative = s.len && s.ptr[0] == '-';
    size_t i = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+') ? 1 : 0;
    bool after_digit = false; /* the last byte was a digit */
    int64_t value = 0;
    for (; i < s.len; i++) {
        int64_t digit = s.ptr[i] - '0';
        if (s.ptr[i] == '_' && after_digit) {
            after_digit = false;
            continue;
        }
        if (digit < 0 || digit > 9)
            return false;
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
        after_digit = true;
    }
    *value_r = negative ? -value : value;
    return after_digit;
}

/* int(x) of Python for what JSON can hold, booleans excepted. */
static bool number(const json_t *v, int64_t *value_r)
{
    if (json_is_string(v))
        return text_number((struct slice){json_string_value(v), json_string_length(v)}, value_r);
    if (json_is_integer(v)) {
        *value_r = json_integer_value(v);
        return true;
    }
    if (!json_is_real(v))
        return false;
    double real = json_real_value(v); /* finite: JSON has no others */
    *value_r = real >= 0x1p63 ? INT64_MAX : real < -0x1p63 ? INT64_MIN : (int64_t)real;
    return true;
}

static struct slice text_of(const json_t *v)
{
    return (struct slice){json_string_value(v), json_string_length(v)};
}

/* A claim of our own: a positive integer if present. */
static bool own_number(const json_t *v, int64_t *value_r)
{
    if (!v)
        return true;
    *value_r = json_integer_value(v);
    return json_is_integer(v) && *value_r > 0;
}

/* False: the token is not, or not yet, good. *exp_s* is set when there is an exp. */
static bool times_fit(const json_t *payload, int64_t now_s, int64_t *exp_s)
{
    const json_t *exp = json_object_get(payload, "exp");
    const json_t *nbf = json_object_get(payload, "nbf");
    const json_t *iat = json_object_get(payload, "iat");
    int64_t nbf_s;
    if (nbf && (!number(nbf, &nbf_s) || nbf_s > now_s))
        return false;
    if (iat && (!json_is_integer(iat) || json_integer_value(iat) > now_s + IAT_LEEWAY_S))
        return false;
    return !exp || number(exp, exp_s);
}

enum token_result claims_read(const json_t *payload, int64_t now_s, struct token_claims *claims_r)
{
    struct token_claims c = {.exp_s = INT64_MAX};
    const json_t *sub = json_object_get(payload, "sub");
    const json_t *jti = json_object_get(payload, "jti");
    const json_t *pwv = json_object_get(payload, "pwv");
    if (!json_is_string(sub) || json_string_length(sub) == 0 || (jti && !json_is_string(jti)) ||
        (pwv && !json_is_string(pwv)) || json_object_get(payload, "aud"))
        return TOKEN_INVALID;
    if (!times_fit(payload, now_s, &c.exp_s) ||
        !own_number(json_object_get(payload, "uid"), &c.uid) ||
        !own_number(json_object_get(payload, "auth_time"), &c.auth_time_s))
        return TOKEN_INVALID;
    c.sub = text_of(sub);
    c.pwv = pwv ? text_of(pwv) : (struct slice){NULL, 0};
    *claims_r = c;
    return c.exp_s <= now_s ? TOKEN_EXPIRED : TOKEN_VALID;
}
