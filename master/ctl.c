/* ctl.c: see ctl.h. */
#include "master/ctl.h"

#include "master/control.h"

#include <unistd.h>

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
