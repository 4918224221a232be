/* ctl.c: see ctl.h. */
#include "master/ctl.h"

#include "master/control.h"
#include "master/top.h"

#include <unistd.h>

/* Where systemd's unit has it (RuntimeDirectory=colmeia), for those who say nothing else. */
static const char system_path[] = "/run/colmeia/ctl.sock";

/* Where the server is looked for. */
struct place {
    struct buf path; /* NUL-terminated; "" when the configuration names none */
    bool named;      /* by somebody: it is nowhere else */
};

/* With a configuration that is wrong, the running server is still to be reached where systemd says:
 * a reload of it shall be refused by the server, and noted there. */
static void find_place(const struct ctl *ctl, struct place *p, struct buf *errors)
{
    struct buf warnings = {0};
    if (ctl->control) {
        buf_append_slice(&p->path, slice_of(ctl->control));
        p->named = true;
    } else {
        struct config *config = config_load(&ctl->flags, errors, &warnings);
        control_default_path(config, NULL, &p->path);
        p->named = config && config->supervisor_control;
        config_free(config);
        buf_free(&warnings);
    }
    buf_append_char(&p->path, '\0');
}

static void print_error(struct buf *error)
{
    if (error->failed)
        fprintf(stderr, "colmeia: out of memory\n");
    else if (error->len > 0)
        fprintf(stderr, "colmeia: %.*s\n", SLICE_ARGS(buf_text(error)));
    error->len = 0;
    error->failed = false;
}

static enum ctl_code connect_to(const struct ctl *ctl, const char *path, int *fd_r,
                                struct buf *error)
{
    if (path[0])
        return ctl_connect(path, ctl->timeout_ms, fd_r, error);
    buf_printf(error, "the configuration names no control socket; name it with --control PATH");
    return CTL_NO_CONNECTION;
}

/* Tries where the server should be and, if nobody named that place, where systemd's would be;
 * p->path is where it was found. */
static enum ctl_code reach(const struct ctl *ctl, struct place *p, int *fd_r, struct buf *error)
{
    if (p->path.failed) {
        buf_printf(error, "out of memory");
        return CTL_FAILED;
    }
    enum ctl_code code = connect_to(ctl, p->path.data, fd_r, error);
    if (code != CTL_NO_CONNECTION || p->named || access(system_path, F_OK) != 0)
        return code;
    p->path.len = error->len = 0;
    buf_append(&p->path, system_path, sizeof system_path);
    if (p->path.failed) {
        buf_printf(error, "out of memory");
        return CTL_FAILED;
    }
    return ctl_connect(p->path.data, ctl->timeout_ms, fd_r, error);
}

static enum ctl_code talk(const struct ctl *ctl, const char *path, int fd, struct buf *error)
{
    if (ctl->call.command == CONTROL_TOP && !ctl->json)
        return top_run(ctl, path, fd, error);
    enum ctl_code code = ctl_talk(ctl, fd, stdout, stderr);
    close(fd);
    return code;
}

static enum ctl_code run(const struct ctl *ctl)
{
    struct place place = {0};
    struct buf error = {0};
    int fd = -1;
    find_place(ctl, &place, &error);
    fwrite(error.data ? error.data : "", 1, error.len, stderr);
    error.len = 0;
    enum ctl_code code = reach(ctl, &place, &fd, &error);
    if (code == CTL_DONE)
        code = talk(ctl, place.path.data, fd, &error);
    print_error(&error);
    buf_free(&place.path);
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
    if (!good && (ctl.line.failed || !ctl.flags.argv || error.failed)) {
        error.failed = true;
        print_error(&error);
        code = CTL_FAILED;
    } else if (!good) {
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
