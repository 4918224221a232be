/* ctl.c: see ctl.h. */
#include "master/ctl.h"

#include "master/control.h"
#include "master/ctl_print.h"
#include "shared/clock.h"
#include "shared/config_internal.h" /* suggestion_offer, text_quote */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 10 * 1000,
    TIMEOUT_LONG_MS = 90 * 1000, /* what waits for workers */
    TIMEOUT_MAX_S = 24 * 3600
};

/* ---- words ----------------------------------------------------------------------------------- */

struct words {
    int argc; /* what is left */
    char **argv;
    struct ctl *ctl;
    struct buf *error;
};

static const char *const own_words[] = {"--help", "--json", "--timeout", "--control", "--binary"};
static const char *const switches[] = {
#define X(name, bit, word, field) word,
    COMMAND_SWITCHES(X)
#undef X
};
enum {
    OWN_WORDS = sizeof own_words / sizeof own_words[0],
    SWITCHES = sizeof switches / sizeof switches[0]
};

/* "--name=value" or "--name value"; true when it is this option. */
static bool takes(struct words *w, const char *name, const char **value_r)
{
    size_t len = strlen(name);
    if (strncmp(w->argv[0], name, len) != 0 || (w->argv[0][len] && w->argv[0][len] != '='))
        return false;
    if (w->argv[0][len] == '=') {
        *value_r = w->argv[0] + len + 1;
    } else if (w->argc > 1) {
        w->argc--;
        w->argv++;
        *value_r = w->argv[0];
    } else {
        *value_r = "";
    }
    if ((*value_r)[0] == '\0')
        buf_printf(w->error, "%s needs a value", name);
    return true;
}

static bool takes_timeout(struct words *w)
{
    const char *value;
    uint64_t s;
    if (!takes(w, "--timeout", &value))
        return false;
    if (slice_to_u64(slice_of(value), TIMEOUT_MAX_S, &s) && s > 0)
        w->ctl->timeout_ms = (int64_t)s * 1000;
    else if (w->error->len == 0)
        buf_printf(w->error, "--timeout is a number of seconds from 1 to %d", TIMEOUT_MAX_S);
    return true;
}

static bool is_switch(const char *word)
{
    for (size_t i = 0; i < SWITCHES; i++)
        if (strcmp(word, switches[i]) == 0)
            return true;
    return false;
}

static void refuse_option(struct words *w, struct slice name)
{
    struct suggestion s = {.word = name};
    for (size_t i = 0; i < OWN_WORDS; i++)
        suggestion_offer(&s, own_words[i]);
    for (size_t i = 0; i < SWITCHES; i++)
        suggestion_offer(&s, switches[i]);
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (config_options[i].flag[0])
            suggestion_offer(&s, config_options[i].flag);
    buf_printf(w->error, "unknown option ");
    text_quote(w->error, name);
    if (s.best)
        buf_printf(w->error, "; did you mean %s?", s.best);
}

static bool has_value(struct slice name)
{
    for (size_t i = 0; i < OPTIONS_LEN; i++)
        if (slice_equals(name, slice_of(config_options[i].flag)))
            return config_options[i].type != OPTION_BOOL;
    return true;
}

/* An option of the configuration, which tells where the socket is. */
static void take_config_option(struct words *w)
{
    struct config_flags *flags = &w->ctl->flags;
    struct slice rest = slice_of(w->argv[0]);
    struct slice name = slice_split(&rest, '=');
    struct buf one = {0}, ignored = {0};
    buf_printf(&one, "%.*s=1", SLICE_ARGS(name));
    char *word = one.failed ? w->argv[0] : one.data;
    bool known = config_flags_known(&(struct config_flags){.argc = 1, .argv = &word}, &ignored);
    buf_free(&one);
    buf_free(&ignored);
    if (!known) {
        refuse_option(w, name);
        return;
    }
    flags->argv[flags->argc++] = w->argv[0];
    if (rest.ptr || w->argc < 2 || !has_value(name))
        return;
    w->argc--;
    w->argv++;
    flags->argv[flags->argc++] = w->argv[0];
}

static void take_command_word(struct words *w)
{
    struct buf *line = &w->ctl->line;
    buf_printf(line, "%s%s", line->len ? " " : "", w->argv[0]);
}

/* The server may stand in another directory. */
static bool takes_binary(struct words *w)
{
    char directory[CONTROL_PATH_MAX];
    struct buf path = {0};
    const char *value;
    if (!takes(w, "--binary", &value))
        return false;
    if (value[0] != '/' && getcwd(directory, sizeof directory))
        buf_printf(&path, "%s/", directory);
    buf_append(&path, value, strlen(value) + 1);
    buf_printf(&w->ctl->line, "%s--binary=", w->ctl->line.len ? " " : "");
    command_write_path(&w->ctl->line, path.failed ? "" : path.data);
    buf_free(&path);
    return true;
}

static void take_one(struct words *w)
{
    struct ctl *ctl = w->ctl;
    const char *word = w->argv[0];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        ctl->help = true;
    else if (strcmp(word, "--json") == 0)
        ctl->json = true;
    else if (takes_timeout(w) || takes_binary(w) || takes(w, "--control", &ctl->control) ||
             takes(w, "--config", &ctl->flags.config_path) ||
             takes(w, "--env-file", &ctl->flags.env_path))
        ; /* taken */
    else if (strncmp(word, "--", 2) != 0 || is_switch(word))
        take_command_word(w);
    else
        take_config_option(w);
    w->argc--;
    w->argv++;
}

static bool waits(const struct control_call *call)
{
    return call->command == CONTROL_WAIT || call->wait;
}

bool ctl_parse(int argc, char **argv, char **environment, struct ctl *ctl_r, struct buf *error)
{
    *ctl_r = (struct ctl){.flags = {.environ = environment}};
    struct words w = {.argc = argc, .argv = argv, .ctl = ctl_r, .error = error};
    ctl_r->flags.argv = calloc((size_t)argc + 1, sizeof argv[0]);
    if (!ctl_r->flags.argv) {
        buf_printf(error, "out of memory");
        return false;
    }
    while (w.argc > 0 && error->len == 0)
        take_one(&w);
    if (error->len > 0 || ctl_r->help)
        return error->len == 0;
    if (ctl_r->line.len == 0) {
        buf_printf(error, "which command? as in: colmeia ctl status");
        return false;
    }
    if (!command_parse(buf_slice(&ctl_r->line), &ctl_r->call, error))
        return false;
    if (ctl_r->timeout_ms == 0)
        ctl_r->timeout_ms = waits(&ctl_r->call) ? TIMEOUT_LONG_MS : TIMEOUT_MS;
    return true;
}

void ctl_free(struct ctl *ctl)
{
    free(ctl->flags.argv);
    ctl->flags.argv = NULL;
    buf_free(&ctl->line);
}

void ctl_help(struct buf *out)
{
    buf_printf(out, "Usage: colmeia ctl [OPTIONS] COMMAND\n\n"
                    "Talks to the running server through its control socket.\n\nCommands:\n");
    for (enum control_command c = 0; c < CONTROL_COMMANDS; c++) {
        const struct command *command = command_of(c);
        buf_printf(out, "  %s%s%s\n        %s\n", command->name, command->usage[0] ? " " : "",
                   command->usage, command->help);
    }
    buf_printf(out,
               "\nOptions:\n"
               "  --control PATH    the socket (default: where the configuration says, so that\n"
               "                    --config, --env-file, --bind and the others help, too)\n"
               "  --json            the answer as it came: one line of JSON\n"
               "  --timeout S       seconds to wait for it (default: 10; 90 for wait ready and\n"
               "                    with --wait)\n"
               "\nExit codes:\n"
               "  0  done                 3  cannot connect\n"
               "  1  refused or failed    4  no answer in time\n"
               "  2  wrong usage\n");
}

/* ---- the conversation ------------------------------------------------------------------------ */

struct talk {
    const struct ctl *ctl;
    int fd;
    mono_ms deadline; /* {0}: none */
    struct buf in;
    FILE *out, *err;
};

/* True when the socket can be used; false when time is up. */
static bool await(const struct talk *t, short events)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    for (;;) {
        int64_t left = mono_is_set(t->deadline) ? mono_diff_ms(t->deadline, clock_now()) : -1;
        if (mono_is_set(t->deadline) && left < 0)
            left = 0;
        int n = poll(&p, 1, (int)left);
        if (n >= 0 || errno != EINTR)
            return n != 0;
    }
}

/* False when time is up. A server that has hung up may have said why: that is read next. */
static bool send_command(struct talk *t)
{
    struct buf line = {0};
    buf_printf(&line, "%.*s\n", SLICE_ARGS(buf_slice(&t->ctl->line)));
    bool in_time = true, open = !line.failed;
    while (line.len > 0 && open && (in_time = await(t, POLLOUT))) {
        ssize_t n = send(t->fd, line.data, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            buf_consume(&line, (size_t)n);
        open = n >= 0 || errno == EAGAIN || errno == EINTR;
    }
    buf_free(&line);
    return in_time;
}

/* The first line in t->in, once there is one: CTL_DONE; CTL_FAILED: the server left. */
static enum ctl_code receive_line(struct talk *t, struct slice *line_r)
{
    size_t scanned = 0;
    for (;;) {
        const char *end =
            t->in.len > scanned ? memchr(t->in.data + scanned, '\n', t->in.len - scanned) : NULL;
        if (end) {
            *line_r = (struct slice){t->in.data, (size_t)(end - t->in.data)};
            return CTL_DONE;
        }
        scanned = t->in.len;
        if (!await(t, POLLIN))
            return CTL_TIMEOUT;
        char *room = buf_reserve(&t->in, 64 * 1024);
        ssize_t n = room ? recv(t->fd, room, 64 * 1024, MSG_DONTWAIT) : 0;
        if (n > 0)
            t->in.len += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return CTL_FAILED;
    }
}

/* Writes and empties both. */
static enum ctl_code put(struct talk *t, struct buf *out, struct buf *error, enum ctl_code code)
{
    if (out->len > 0)
        fwrite(out->data, 1, out->len, t->out);
    if (error->len > 0)
        fwrite(error->data, 1, error->len, t->err);
    bool good = !out->failed && fflush(t->out) == 0 && !ferror(t->out);
    buf_free(out);
    buf_free(error);
    return good ? code : CTL_FAILED;
}

typedef enum ctl_code print_line(const struct ctl *ctl, struct slice line, struct buf *out,
                                 struct buf *error);

/* Receives and prints a line. *left_r: the server closed instead. */
static enum ctl_code take_line(struct talk *t, print_line *print, bool *left_r)
{
    struct slice line;
    struct buf out = {0}, error = {0};
    enum ctl_code code = receive_line(t, &line);
    *left_r = code == CTL_FAILED;
    if (code != CTL_DONE)
        return code;
    code = print(t->ctl, line, &out, &error);
    buf_consume(&t->in, line.len + 1);
    return put(t, &out, &error, code);
}

static enum ctl_code converse(struct talk *t)
{
    bool left = false;
    enum ctl_code code = send_command(t) ? take_line(t, ctl_print_answer, &left) : CTL_TIMEOUT;
    if (code == CTL_TIMEOUT)
        fprintf(t->err, "colmeia: no answer within %lld ms\n", (long long)t->ctl->timeout_ms);
    if (left)
        fprintf(t->err, "colmeia: the server closed the connection without an answer\n");
    if (code != CTL_DONE || !t->ctl->call.follow)
        return code;
    t->deadline = (mono_ms){0};
    while (code == CTL_DONE)
        code = take_line(t, ctl_print_event, &left);
    return left ? CTL_DONE : code;
}

enum ctl_code ctl_talk(const struct ctl *ctl, int fd, FILE *out, FILE *err)
{
    struct talk t = {.ctl = ctl,
                     .fd = fd,
                     .deadline = mono_add(clock_now(), ctl->timeout_ms),
                     .out = out,
                     .err = err};
    enum ctl_code code = converse(&t);
    buf_free(&t.in);
    return code;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static const char *advice(int error)
{
    switch (error) {
    case ENOENT:
        return "there is no such socket; is the server running?";
    case ECONNREFUSED:
        return "no server answers there any more";
    case EACCES:
        return "permission denied; only root and the server's own user may";
    default:
        return strerror(error);
    }
}

static enum ctl_code no_connection(const char *path, const char *why, struct buf *error)
{
    buf_printf(error,
               "cannot connect to the control socket %s: %s (another one is named with --control "
               "PATH, or [supervisor] control in the configuration)",
               path, why);
    return CTL_NO_CONNECTION;
}

enum ctl_code ctl_connect(const char *path, int64_t timeout_ms, int *fd_r, struct buf *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (strlen(path) >= sizeof address.sun_path)
        return no_connection(path, "the path is too long for a socket", error);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return no_connection(path, strerror(errno), error);
    /* a connect(2) to a full queue waits that long: unix_stream_connect in net/unix/af_unix.c */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        *fd_r = fd;
        return CTL_DONE;
    }
    int code = errno;
    close(fd);
    if (code != EAGAIN)
        return no_connection(path, advice(code), error);
    buf_printf(error, "the server at %s takes no connection within %lld ms", path,
               (long long)timeout_ms);
    return CTL_TIMEOUT;
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* With a configuration that is wrong, the running server is still to be reached where systemd says:
 * a reload of it shall be refused by the server, and noted there. */
static bool find_path(const struct ctl *ctl, struct buf *path, struct buf *errors)
{
    struct buf warnings = {0};
    if (ctl->control) {
        buf_append_slice(path, slice_of(ctl->control));
        return true;
    }
    struct config *config = config_load(&ctl->flags, errors, &warnings);
    bool found = control_default_path(config, NULL, path);
    config_free(config);
    buf_free(&warnings);
    return found;
}

static void print_error(struct buf *error)
{
    if (error->len > 0)
        fprintf(stderr, "colmeia: %.*s\n", SLICE_ARGS(buf_slice(error)));
    error->len = 0;
}

static enum ctl_code run(const struct ctl *ctl)
{
    struct buf path = {0}, error = {0};
    int fd = -1;
    enum ctl_code code = CTL_NO_CONNECTION;
    bool found = find_path(ctl, &path, &error);
    fwrite(error.data ? error.data : "", 1, error.len, stderr);
    error.len = 0;
    buf_append_char(&path, '\0');
    if (!found || path.failed)
        buf_printf(&error,
                   "the configuration names no control socket; name it with --control PATH");
    else
        code = ctl_connect(path.data, ctl->timeout_ms, &fd, &error);
    print_error(&error);
    if (fd >= 0) {
        code = ctl_talk(ctl, fd, stdout, stderr);
        close(fd);
    }
    buf_free(&path);
    buf_free(&error);
    return code;
}

static enum ctl_code print_help(void)
{
    struct buf out = {0};
    ctl_help(&out);
    bool good =
        !out.failed && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_free(&out);
    return good ? CTL_DONE : CTL_FAILED;
}

int ctl_main(int argc, char **argv, char **environment)
{
    struct ctl ctl;
    struct buf error = {0};
    enum ctl_code code;
    bool good = ctl_parse(argc, argv, environment, &ctl, &error) &&
                (ctl.help || config_flags_known(&ctl.flags, &error));
    if (!good) {
        error.len -= error.len > 0 && error.data[error.len - 1] == '\n';
        print_error(&error);
        fprintf(stderr, "Try \"colmeia ctl --help\".\n");
        code = CTL_USAGE;
    } else {
        code = ctl.help ? print_help() : run(&ctl);
    }
    ctl_free(&ctl);
    buf_free(&error);
    return (int)code;
}
