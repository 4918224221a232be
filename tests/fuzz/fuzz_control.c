/* fuzz_control.c: master/command.c, what the control socket does with a line: a good command has
 * numbers in their limits, a bad one an error of one line. And master/control_text.c: whatever goes
 * out is one line. */
#include "master/command.h"
#include "master/control_text.h"

#include "shared/check.h"
#include "shared/log.h"
#include "shared/scoreboard.h"

#include <stdint.h>

static void check_call(const struct control_call *call)
{
    ASSERT(call->command < CONTROL_COMMANDS);
    ASSERT(!call->follow || call->command == CONTROL_EVENTS);
    ASSERT(!call->quick || call->command == CONTROL_STOP);
    ASSERT(!call->dry_run || call->command == CONTROL_RELOAD);
    ASSERT(!call->wait || call->command == CONTROL_RELOAD || call->command == CONTROL_UPGRADE);
    ASSERT(memchr(call->path, '\0', sizeof call->path));
    ASSERT(!call->path[0] || (call->path[0] == '/' && call->command == CONTROL_UPGRADE));
    ASSERT(call->number >= 0);
    if (call->command == CONTROL_SCALE && call->how != CONTROL_RESET)
        ASSERT(call->number >= 1 && call->number <= SCOREBOARD_WORKERS_MAX);
    else if (call->command == CONTROL_LOG)
        ASSERT(call->number <= LOG_LEVEL_ERROR);
    else
        ASSERT(call->number < SCOREBOARD_SLOTS_MAX);
}

/* A path that came arrives again, written as the client writes it. */
static void check_path(const struct control_call *call)
{
    struct buf line = {0}, error = {0};
    struct control_call again;
    if (!call->path[0])
        return;
    buf_printf(&line, "%s --binary=", command_of(call->command)->name);
    command_write_path(&line, call->path);
    ASSERT(command_parse(buf_slice(&line), &again, &error) && strcmp(again.path, call->path) == 0);
    buf_free(&line);
    buf_free(&error);
}

static void check_clean(struct slice input)
{
    struct buf once = {0}, twice = {0};
    control_text_clean(&once, input);
    control_text_clean(&twice, buf_slice(&once));
    ASSERT(once.len == 0 || !memchr(once.data, '\n', once.len));
    ASSERT(once.len <= input.len);
    ASSERT(slice_equals(buf_slice(&once), buf_slice(&twice)));
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = {(const char *)data, size};
    struct control_call call;
    struct buf error = {0};
    if (command_parse(line, &call, &error)) {
        ASSERT(error.len == 0);
        check_call(&call);
        check_path(&call);
    } else {
        ASSERT(error.len > 0 && !memchr(error.data, '\n', error.len));
    }
    buf_free(&error);
    check_clean(line);
    return 0;
}
