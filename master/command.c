/* command.c: see command.h. */
#include "master/command.h"

#include "shared/check.h"
#include "shared/config_internal.h" /* suggestion_offer, text_quote */
#include "shared/log.h"
#include "shared/scoreboard.h"

enum { ARGUMENTS_MAX = 2 };

#define COMMAND_ARGUMENTS(X)                                                                       \
    X(NONE)                                                                                        \
    X(SCALE)       /* N, +N, -N, reset */                                                          \
    X(SLOT)        /* N */                                                                         \
    X(SLOT_OR_ALL) /* N, all */                                                                    \
    X(LEVEL)       /* level, and one of log_level */                                               \
    X(ON_OFF)      /* on, off */                                                                   \
    X(BINARY)      /* perhaps --binary=PATH, as command_write_path writes it */                    \
    X(THROTTLE)    /* clear, and whom: as command_write_path writes it, or all */                  \
    X(READY)       /* ready */

enum argument {
#define X(name) ARGUMENT_##name,
    COMMAND_ARGUMENTS(X)
#undef X
};

static const struct row {
    struct command command;
    enum argument argument;
    unsigned switches;
} rows[CONTROL_COMMANDS] = {
#define COMMAND(name, word, argument, switches, usage, help)                                       \
    [CONTROL_##name] = {{word, usage, help}, ARGUMENT_##argument, switches},
#include "master/commands.def"
#undef COMMAND
};

static const char *const levels[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_ERROR] = "error",
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

struct words {
    struct slice items[ARGUMENTS_MAX];
    size_t len;
};

const struct command *command_of(enum control_command command)
{
    ASSERT(command < CONTROL_COMMANDS);
    return &rows[command].command;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static bool refuse_word(struct buf *error, const char *what, const struct suggestion *s)
{
    buf_printf(error, "%s ", what);
    text_quote(error, s->word);
    if (s->best)
        buf_printf(error, "; did you mean \"%s\"?", s->best);
    return false;
}

static bool refuse_usage(struct buf *error, const struct row *row)
{
    buf_printf(error, "write: %s %s", row->command.name, row->command.usage);
    return false;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_text(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((line.ptr[i] < ' ' || line.ptr[i] > '~') && line.ptr[i] != '\t')
            return false;
    return true;
}

/* {NULL, 0} at the end. */
static struct slice next_word(struct slice *rest)
{
    *rest = slice_trim(*rest, " \t");
    if (rest->len == 0)
        return (struct slice){NULL, 0};
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ' ' && rest->ptr[len] != '\t')
        len++;
    struct slice word = {rest->ptr, len};
    *rest = (struct slice){rest->ptr + len, rest->len - len};
    return word;
}

static const struct row *find_row(struct slice word, struct buf *error)
{
    struct suggestion s = {.word = word};
    for (size_t i = 0; i < CONTROL_COMMANDS; i++) {
        if (slice_equals(word, slice_of(rows[i].command.name)))
            return &rows[i];
        suggestion_offer(&s, rows[i].command.name);
    }
    refuse_word(error, "unknown command", &s);
    return NULL;
}

static bool take_switch(const struct row *row, struct slice word, struct control_call *call,
                        struct buf *error)
{
    struct suggestion s = {.word = word};
#define X(name, bit, text, field)                                                                  \
    if (row->switches & SWITCH_##name) {                                                           \
        if (slice_equals(word, SLICE(text))) {                                                     \
            call->field = true;                                                                    \
            return true;                                                                           \
        }                                                                                          \
        suggestion_offer(&s, text);                                                                \
    }
    COMMAND_SWITCHES(X)
#undef X
    buf_printf(error, "%s: ", row->command.name);
    return refuse_word(error, "unknown option", &s);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool take_number(const struct row *row, struct slice word, int min, int max,
                        struct control_call *call, struct buf *error)
{
    uint64_t number;
    if (slice_to_u64(word, (uint64_t)max, &number) && number >= (uint64_t)min) {
        call->number = (int)number;
        return true;
    }
    buf_printf(error, "%s: ", row->command.name);
    text_quote(error, word);
    buf_printf(error, " is no number from %d to %d; ", min, max);
    return refuse_usage(error, row);
}

static bool take_scale(const struct row *row, struct slice word, struct control_call *call,
                       struct buf *error)
{
    if (slice_equals(word, SLICE("reset"))) {
        call->how = CONTROL_RESET;
        return true;
    }
    call->how = word.ptr[0] == '+' ? CONTROL_MORE : word.ptr[0] == '-' ? CONTROL_LESS : CONTROL_SET;
    size_t sign = call->how != CONTROL_SET;
    return take_number(row, (struct slice){word.ptr + sign, word.len - sign}, 1,
                       SCOREBOARD_WORKERS_MAX, call, error);
}

static bool take_slot(const struct row *row, struct slice word, struct control_call *call,
                      struct buf *error)
{
    if (row->argument == ARGUMENT_SLOT_OR_ALL && slice_equals(word, SLICE("all"))) {
        call->how = CONTROL_ALL;
        return true;
    }
    call->how = CONTROL_SET;
    return take_number(row, word, 0, SCOREBOARD_SLOTS_MAX - 1, call, error);
}

static bool take_level(struct slice word, struct control_call *call, struct buf *error)
{
    struct suggestion s = {.word = word};
    for (int i = 0; i < LEVELS; i++) {
        call->number = i;
        if (slice_equals(word, slice_of(levels[i])))
            return true;
        suggestion_offer(&s, levels[i]);
    }
    return refuse_word(error, "unknown level", &s);
}

/* ---- a path ---------------------------------------------------------------------------------- */

static const char binary_option[] = "--binary=";

void command_write_path(struct buf *line, const char *path)
{
    for (; *path; path++) {
        if (*path > ' ' && *path <= '~' && *path != '%')
            buf_append_char(line, *path);
        else
            buf_printf(line, "%%%02x", (unsigned char)*path);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte of *rest; -1: there is none that could be. */
static int next_byte(struct slice *rest)
{
    int byte = (unsigned char)rest->ptr[0];
    size_t len = 1;
    if (byte == '%') {
        int high = rest->len > 2 ? hex_digit(rest->ptr[1]) : -1;
        int low = rest->len > 2 ? hex_digit(rest->ptr[2]) : -1;
        byte = high < 0 || low < 0 ? -1 : high * 16 + low;
        len = 3;
    }
    if (byte <= 0)
        return -1;
    *rest = (struct slice){rest->ptr + len, rest->len - len};
    return byte;
}

/* What command_write_path has written, into call->path. False: it has written nothing such. */
static bool take_bytes(struct slice rest, struct control_call *call)
{
    size_t len = 0;
    while (rest.len > 0 && len < sizeof call->path - 1) {
        int byte = next_byte(&rest);
        if (byte < 0)
            break;
        call->path[len++] = (char)byte;
    }
    call->path[len] = '\0';
    return rest.len == 0 && len > 0;
}

/* False: not this option. */
static bool take_binary(const struct row *row, struct slice word, struct control_call *call,
                        struct buf *error)
{
    struct slice rest = word;
    if (row->argument != ARGUMENT_BINARY || !slice_starts_with(word, slice_of(binary_option)))
        return false;
    rest.ptr += strlen(binary_option);
    rest.len -= strlen(binary_option);
    if (!take_bytes(rest, call) || call->path[0] != '/') {
        text_quote(error, word);
        buf_printf(error, " names no file; write: --binary=/an/absolute/path");
    }
    return true;
}

static bool take_throttle(const struct row *row, const struct words *words,
                          struct control_call *call, struct buf *error)
{
    if (!slice_equals(words->items[0], SLICE("clear")))
        return refuse_usage(error, row);
    call->how = slice_equals(words->items[1], SLICE("all")) ? CONTROL_ALL : CONTROL_SET;
    return call->how == CONTROL_ALL || take_bytes(words->items[1], call) || refuse_usage(error, row);
}

static size_t arguments_of(enum argument argument)
{
    return argument == ARGUMENT_NONE || argument == ARGUMENT_BINARY ? 0
           : argument == ARGUMENT_LEVEL || argument == ARGUMENT_THROTTLE    ? 2
                                                                            : 1;
}

static bool take_arguments(const struct row *row, const struct words *words,
                           struct control_call *call, struct buf *error)
{
    if (words->len < arguments_of(row->argument))
        return refuse_usage(error, row);
    struct slice word = words->items[0];
    switch (row->argument) {
    case ARGUMENT_NONE:
    case ARGUMENT_BINARY:
        return true;
    case ARGUMENT_SCALE:
        return take_scale(row, word, call, error);
    case ARGUMENT_SLOT:
    case ARGUMENT_SLOT_OR_ALL:
        return take_slot(row, word, call, error);
    case ARGUMENT_LEVEL:
        return slice_equals(word, SLICE("level")) ? take_level(words->items[1], call, error)
                                                  : refuse_usage(error, row);
    case ARGUMENT_ON_OFF:
        call->number = slice_equals(word, SLICE("on"));
        return call->number || slice_equals(word, SLICE("off")) || refuse_usage(error, row);
    case ARGUMENT_THROTTLE:
        return take_throttle(row, words, call, error);
    case ARGUMENT_READY:
        return slice_equals(word, SLICE("ready")) || refuse_usage(error, row);
    }
    UNREACHABLE();
}

/* ---- lines ----------------------------------------------------------------------------------- */

bool command_parse(struct slice line, struct control_call *call_r, struct buf *error)
{
    struct words words = {0};
    *call_r = (struct control_call){0};
    line = slice_trim(line, " \t\r");
    if (!is_text(line)) {
        buf_append_slice(error, SLICE("a command is plain ASCII text"));
        return false;
    }
    struct slice word = next_word(&line);
    if (!word.ptr) {
        buf_append_slice(error, SLICE("the line is empty; write a command, as status"));
        return false;
    }
    const struct row *row = find_row(word, error);
    if (!row)
        return false;
    call_r->command = (enum control_command)(row - rows);
    while ((word = next_word(&line)).ptr) {
        if (take_binary(row, word, call_r, error)) {
            if (error->len > 0)
                return false;
        } else if (slice_starts_with(word, SLICE("--"))) {
            if (!take_switch(row, word, call_r, error))
                return false;
        } else if (words.len == arguments_of(row->argument)) {
            text_quote(error, word);
            buf_printf(error, " is too much for \"%s\"", row->command.name);
            return false;
        } else {
            words.items[words.len++] = word;
        }
    }
    return take_arguments(row, &words, call_r, error);
}
