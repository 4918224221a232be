/* activation.c: see activation.h. */
#include "master/activation.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_FD = 3 }; /* SD_LISTEN_FDS_START */

static const char *const variables[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
                                        "LISTEN_PIDFDID"};

/* How many there are for this process; -1: that cannot be. */
static int count_ours(struct buf *errors)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t number;
    if (!pid || !fds || !slice_to_u64(slice_of(pid), INT32_MAX, &number) ||
        (pid_t)number != getpid())
        return 0;
    if (slice_to_u64(slice_of(fds), LISTENERS_MAX, &number))
        return (int)number;
    buf_printf(errors, "LISTEN_FDS=%s: not a number of sockets from 0 to %d\n", fds, LISTENERS_MAX);
    return -1;
}

/* What status says of where it comes from. */
static char *source_of(struct slice name)
{
    struct buf text = {0};
    buf_printf(&text, "systemd%s%.*s", name.len ? " " : "", SLICE_ARGS(name));
    buf_append_char(&text, '\0');
    if (!text.failed)
        return text.data;
    buf_free(&text);
    return NULL;
}

static void take_one(struct listeners *given, int fd, struct slice name, struct buf *errors)
{
    struct listener *item = &given->items[given->len];
    struct buf why = {0};
    if (listener_adopt(fd, item, &why) < 0) {
        buf_printf(errors, "descriptor %d that LISTEN_FDS gives%s%.*s%s: %.*s\n", fd,
                   name.len ? " (" : "", SLICE_ARGS(name), name.len ? ")" : "",
                   SLICE_ARGS(buf_text(&why)));
        buf_free(&why);
        return;
    }
    struct listener_note *note = &given->notes[given->len++];
    *note = (struct listener_note){.asked = strdup(item->name),
                                   .source = source_of(name),
                                   .twin = -1,
                                   .fate = LISTENER_KEPT};
    if (!note->asked || !note->source)
        buf_printf(errors, "cannot take the sockets that LISTEN_FDS gives: out of memory\n");
}

static void take_all(struct listeners *given, size_t len, struct buf *errors)
{
    const char *names = getenv("LISTEN_FDNAMES");
    struct slice rest = slice_of(names ? names : "");
    *given = (struct listeners){.items = calloc(len, sizeof given->items[0]),
                                .notes = calloc(len, sizeof given->notes[0])};
    if (!given->items || !given->notes) {
        buf_printf(errors, "cannot take the sockets that LISTEN_FDS gives: out of memory\n");
        return;
    }
    for (size_t i = 0; i < len; i++)
        take_one(given, FIRST_FD + (int)i, rest.ptr ? slice_split(&rest, ':') : rest, errors);
}

void activation_forget(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
}

enum exit_code activation_take(struct listeners *given, struct buf *errors)
{
    size_t before = errors->len;
    int len = count_ours(errors);
    *given = (struct listeners){0};
    if (len > 0)
        take_all(given, (size_t)len, errors);
    activation_forget();
    if (errors->len == before && !errors->failed)
        return EXIT_CODE_OK;
    listeners_drop(given);
    return EXIT_CODE_CONFIG;
}
