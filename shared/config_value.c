/* config_value.c: values as people write them: parsed, checked against the option's check column,
 * and written again. Texts and lists are judged in config_text.c. */
#include "shared/check.h"
#include "shared/config_internal.h"

/* ---- numbers -------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                             {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit size_units[] = {
    {"g", 1024 * 1024 * 1024}, {"m", 1024 * 1024}, {"k", 1024}, {"", 1}, {NULL, 0}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the digits at the start of *s; what is too large becomes INT64_MAX, beyond every range.
 * With *underscores*, single ones may stand between digits. */
static bool take_digits(struct slice *s, bool underscores, int64_t *value_r)
{
    int64_t value = 0;
    size_t i = 0;
    for (; i < s->len; i++) {
        if (underscores && s->ptr[i] == '_' && i > 0 && s->ptr[i - 1] != '_' && i + 1 < s->len &&
            is_digit(s->ptr[i + 1]))
            continue;
        if (!is_digit(s->ptr[i]))
            break;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, s->ptr[i] - '0', &value))
            value = INT64_MAX;
    }
    *s = (struct slice){s->ptr + i, s->len - i};
    *value_r = value;
    return i > 0;
}

/* As pydantic reads an int from a string: sign, single underscores, a fraction of zeros. */
static bool parse_int(struct slice s, int64_t *value_r)
{
    s = slice_trim(s, " \t\n\r\f\v");
    bool negative = s.len > 0 && s.ptr[0] == '-';
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = (struct slice){s.ptr + 1, s.len - 1};
    if (!take_digits(&s, true, value_r))
        return false;
    if (s.len > 1 && s.ptr[0] == '.')
        s = slice_trim((struct slice){s.ptr + 1, s.len - 1}, "0");
    if (negative)
        *value_r = -*value_r;
    return s.len == 0;
}

/* Digits and a unit; a bare number counts *bare* each. */
static bool parse_scaled(struct slice s, const struct unit *units, int64_t bare, int64_t *value_r)
{
    int64_t factor = 0;
    if (!take_digits(&s, false, value_r))
        return false;
    if (s.len == 0)
        factor = bare;
    for (const struct unit *u = units; u->name && factor == 0; u++)
        if (slice_equals_nocase(s, slice_of(u->name)))
            factor = u->factor;
    if (factor == 0)
        return false;
    if (__builtin_mul_overflow(*value_r, factor, value_r))
        *value_r = INT64_MAX;
    return true;
}

static void format_scaled(int64_t value, const struct unit *units, struct buf *out)
{
    const struct unit *u = units;
    while (u->factor > 1 && value % u->factor != 0)
        u++;
    if (value == 0) /* every unit fits: "0s", "0" */
        for (u = units; strcmp(u->name, "s") != 0 && strcmp(u->name, "") != 0;)
            u++;
    buf_printf(out, "%lld%s", (long long)(value / u->factor), u->name);
}

/* The number that text means for a type; false when it means none. */
static bool parse_number(enum option_type type, struct slice text, int64_t *value_r)
{
    switch (type) {
    case OPTION_INT:
        return parse_int(text, value_r);
    case OPTION_WORKERS:
        *value_r = 0;
        return slice_equals_nocase(text, SLICE("auto")) || parse_int(text, value_r);
    case OPTION_DURATION:
        return parse_scaled(text, duration_units, 1000, value_r);
    case OPTION_SIZE:
        return parse_scaled(text, size_units, 1, value_r);
    case OPTION_BOOL:
    case OPTION_STRING:
    case OPTION_LIST:
    case OPTION_ENUM:
        break;
    }
    UNREACHABLE();
}

/* Whether value is within "min..max", in the type's own spelling. */
static bool in_range(const struct option *o, int64_t value)
{
    const char *dots = strstr(o->check, "..");
    int64_t min, max;
    ASSERT(dots);
    ASSERT(parse_number(o->type, (struct slice){o->check, (size_t)(dots - o->check)}, &min));
    ASSERT(parse_number(o->type, slice_of(dots + 2), &max));
    return value >= min && value <= max;
}

/* ---- messages ------------------------------------------------------------------------------- */

static const char *what_is_wrong(enum option_type type)
{
    switch (type) {
    case OPTION_INT:
        return "is not a whole number";
    case OPTION_DURATION:
        return "is not a duration; write it as 500ms, 30s, 5m, 1h or 30d";
    case OPTION_SIZE:
        return "is not a size; write it as 512, 64k, 1m or 2g";
    case OPTION_BOOL:
        return "is neither yes nor no";
    case OPTION_WORKERS:
        return "is neither a whole number nor auto";
    case OPTION_STRING:
    case OPTION_LIST:
    case OPTION_ENUM:
        break;
    }
    UNREACHABLE();
}

static bool number(const struct option *o, struct slice text, int64_t *value_r, struct buf *why)
{
    if (!parse_number(o->type, text, value_r))
        return text_refuse(why, text, what_is_wrong(o->type));
    if (o->type == OPTION_WORKERS && slice_equals_nocase(text, SLICE("auto")))
        return true;
    if (in_range(o, *value_r))
        return true;
    const char *dots = strstr(o->check, "..");
    text_refuse(why, text, "is out of range: ");
    buf_printf(why, "%.*s to %s%s", (int)(dots - o->check), o->check, dots + 2,
               o->type == OPTION_WORKERS ? ", or auto" : "");
    return false;
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool boolean(struct slice text, int64_t *value_r, struct buf *why)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_equals_nocase(text, slice_of(words[i]))) {
            *value_r = i % 2;
            return true;
        }
    }
    return text_refuse(why, text, what_is_wrong(OPTION_BOOL));
}

/* The n-th word of "a|b|c", copied to word_r; false when there are fewer. */
static bool nth_word(const char *words, int64_t n, char word_r[static 32])
{
    struct slice rest = slice_of(words), word = {NULL, 0};
    for (int64_t i = 0; i <= n; i++) {
        if (!rest.ptr)
            return false;
        word = slice_split(&rest, '|');
    }
    ASSERT(word.len < 32);
    memcpy(word_r, word.ptr, word.len);
    word_r[word.len] = 0;
    return true;
}

static bool one_of(const char *words, struct slice text, int64_t *value_r, struct buf *why)
{
    char word[32];
    for (int64_t i = 0; nth_word(words, i, word); i++) {
        if (slice_equals_nocase(text, slice_of(word))) {
            *value_r = i;
            return true;
        }
    }
    text_refuse(why, text, "is none of ");
    int64_t nearest = -1;
    struct suggestion s = {.word = text};
    for (int64_t i = 0; nth_word(words, i, word); i++) {
        buf_printf(why, "%s%s", i ? ", " : "", word);
        size_t before = s.distance;
        const char *best = s.best;
        suggestion_offer(&s, word);
        if (s.best != best || s.distance != before)
            nearest = i;
    }
    if (nearest >= 0 && nth_word(words, nearest, word))
        buf_printf(why, "; did you mean \"%s\"?", word);
    return false;
}

/* ---- public --------------------------------------------------------------------------------- */

bool option_parse(const struct option *o, struct slice text, struct arena *arena,
                  struct option_value *value_r, struct buf *why)
{
    *value_r = (struct option_value){0};
    switch (o->type) {
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_WORKERS:
        return number(o, text, &value_r->number, why);
    case OPTION_BOOL:
        return boolean(text, &value_r->number, why);
    case OPTION_ENUM:
        return one_of(o->check, text, &value_r->number, why);
    case OPTION_STRING:
        value_r->string = slice_dup(arena, text).ptr;
        return value_r->string ? text_obeys(o, value_r->string, why) : text_no_memory(why);
    case OPTION_LIST:
        return text_list(o, text, arena, &value_r->list, why);
    }
    UNREACHABLE();
}

void option_store(struct config *c, const struct option *o, const struct option_value *value)
{
    char *field = (char *)c + o->offset;
    switch (o->type) {
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_WORKERS:
        memcpy(field, &value->number, sizeof(int64_t));
        return;
    case OPTION_BOOL:
        memcpy(field, &(bool){value->number != 0}, sizeof(bool));
        return;
    case OPTION_ENUM:
        memcpy(field, &(int){(int)value->number}, sizeof(int));
        return;
    case OPTION_STRING:
        memcpy(field, &value->string, sizeof value->string);
        return;
    case OPTION_LIST:
        memcpy(field, &value->list, sizeof value->list);
        return;
    }
    UNREACHABLE();
}

struct option_value option_load(const struct config *c, const struct option *o)
{
    const char *field = (const char *)c + o->offset;
    struct option_value v = {0};
    switch (o->type) {
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_WORKERS:
        memcpy(&v.number, field, sizeof v.number);
        return v;
    case OPTION_BOOL:
        v.number = *(const bool *)field;
        return v;
    case OPTION_ENUM:
        v.number = *(const int *)field;
        return v;
    case OPTION_STRING:
        memcpy(&v.string, field, sizeof v.string);
        return v;
    case OPTION_LIST:
        memcpy(&v.list, field, sizeof v.list);
        return v;
    }
    UNREACHABLE();
}

void option_format(const struct option *o, const struct option_value *value, struct buf *out)
{
    char word[32];
    switch (o->type) {
    case OPTION_WORKERS:
        if (value->number == 0) {
            buf_append_slice(out, SLICE("auto"));
            return;
        }
        __attribute__((fallthrough));
    case OPTION_INT:
        buf_printf(out, "%lld", (long long)value->number);
        return;
    case OPTION_DURATION:
        format_scaled(value->number, duration_units, out);
        return;
    case OPTION_SIZE:
        format_scaled(value->number, size_units, out);
        return;
    case OPTION_BOOL:
        buf_printf(out, "%s", value->number ? "yes" : "no");
        return;
    case OPTION_ENUM:
        ASSERT(nth_word(o->check, value->number, word));
        buf_printf(out, "%s", word);
        return;
    case OPTION_STRING:
        buf_append_slice(out, slice_of(value->string));
        return;
    case OPTION_LIST:
        for (size_t i = 0; i < value->list.len; i++)
            buf_printf(out, "%s%s", i ? ", " : "", value->list.items[i]);
        return;
    }
    UNREACHABLE();
}
