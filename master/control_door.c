/* control_door.c: see control_door.h and control_default_path in control.h. unix(7). */
#include "master/control_door.h"

#include "master/control.h"
#include "shared/door.h"
#include "shared/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUEUE = CONTROL_CLIENTS_MAX, NAME_LEN = 32 };

/* ---- where ----------------------------------------------------------------------------------- */

/* The first TCP address of [server] bind, else the first. */
static bool name_from_config(const struct config *config, char name_r[static SOCK_NAME_MAX])
{
    struct buf ignored = {0};
    bool found = false;
    for (size_t i = 0; i < config->server_bind.len; i++) {
        struct sock_address address;
        unsigned words;
        if (!door_parse(slice_of(config->server_bind.items[i]), &address, &words, &ignored))
            continue;
        if (!found || !sock_is_unix(&address))
            sock_name(&address, name_r);
        found = true;
        if (!sock_is_unix(&address))
            break;
    }
    buf_free(&ignored);
    return found;
}

/* FNV-1a, 32 bits: the same name wherever it is computed. */
static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261U;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619U;
    return h;
}

/* The end of a unix listener's path for people, and a hash of all of it: paths that differ have
 * names that differ. */
static void name_after_path(const char *name, struct buf *out)
{
    const char *last = strrchr(name, '/');
    last = last ? last + 1 : name + strlen("unix:");
    for (size_t i = 0; last[i] && i < NAME_LEN; i++) {
        char c = last[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '.' || c == '-' || c == '_';
        buf_append_char(out, plain ? c : '_');
    }
    buf_printf(out, "-%08x", hash(name));
}

static bool in_runtime_directory(struct buf *path_r)
{
    const char *text = getenv("RUNTIME_DIRECTORY"); /* systemd.exec(5): several stand with ':' */
    if (!text || !text[0])
        return false;
    struct slice rest = slice_of(text);
    struct slice first = slice_split(&rest, ':');
    buf_printf(path_r, "%.*s/ctl.sock", SLICE_ARGS(first));
    return true;
}

static bool in_xdg_directory(const char *listener, struct buf *path_r)
{
    const char *directory = getenv("XDG_RUNTIME_DIR");
    if (!directory || directory[0] != '/') /* a relative one is to be ignored, says its standard */
        return false;
    buf_printf(path_r, "%s/colmeia-", directory);
    if (strncmp(listener, "unix:", 5) == 0)
        name_after_path(listener, path_r);
    else
        buf_append_slice(path_r, slice_of(strrchr(listener, ':') + 1));
    buf_append_slice(path_r, SLICE(".sock"));
    return true;
}

static bool beside_database(const struct config *config, struct buf *path_r)
{
    const char *file;
    if (config_database(config, &file) != CONFIG_DATABASE_FILE)
        return false;
    buf_printf(path_r, "%s.ctl.sock", file);
    return true;
}

bool control_default_path(const struct config *config, const char *first_listener_name,
                          struct buf *path_r)
{
    char name[SOCK_NAME_MAX];
    if (config && config->supervisor_control) {
        buf_append_slice(path_r, slice_of(config->supervisor_control));
        return config->supervisor_control[0] != '\0';
    }
    if (in_runtime_directory(path_r))
        return true;
    if (!config)
        return false;
    if (!first_listener_name && name_from_config(config, name))
        first_listener_name = name;
    if (first_listener_name && in_xdg_directory(first_listener_name, path_r))
        return true;
    return beside_database(config, path_r);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int fail(struct buf *error, const char *path, const char *why)
{
    buf_printf(error,
               "cannot open the control socket %s: %s; another place is chosen with --control "
               "PATH, none with --control \"\"",
               path, why);
    return -1;
}

static bool fill_address(const char *path, struct sock_address *a, struct buf *error)
{
    size_t len = strlen(path), max = sizeof a->u.un.sun_path - 1;
    *a = (struct sock_address){.len = sizeof a->u.un, .u.un.sun_family = AF_UNIX};
    if (len == 0 || len > max) {
        char why[80];
        snprintf(why, sizeof why, "a socket's path has 1 to %zu bytes, this one has %zu", max, len);
        fail(error, path, why);
        return false;
    }
    memcpy(a->u.un.sun_path, path, len);
    return true;
}

static int clear_path(const struct sock_address *a, const char *path, struct buf *error)
{
    int code = sock_clear_path(a);
    switch (code) {
    case 0:
        return 0;
    case ENOTSOCK:
        return fail(error, path, "something that is no socket stands there");
    case EADDRINUSE:
        return fail(error, path, "another server answers there");
    default:
        return fail(error, path, strerror(code));
    }
}

/* Linux makes the file with the mode of the socket, less the umask (unix_bind in
 * net/unix/af_unix.c): never for a moment is it open to others. An umask that takes from the owner
 * is set right afterwards. */
static int bind_private(struct listener *door, const char *path)
{
    struct stat st;
    if (fchmod(door->fd, 0600) != 0 ||
        FAULT_CALL(control_bind, -1,
                   bind(door->fd, &door->address.u.any, door->address.len)) != 0)
        return -1;
    if (lstat(path, &st) != 0)
        return -1;
    door->path_dev = st.st_dev;
    door->path_ino = st.st_ino;
    return (st.st_mode & 07777) == 0600 ? 0 : chmod(path, 0600);
}

int control_door_open(const char *path, struct listener *door_r, struct buf *error)
{
    struct listener door = {.backlog_asked = QUEUE, .backlog_effective = -1};
    if (!fill_address(path, &door.address, error) || clear_path(&door.address, path, error) != 0)
        return -1;
    door.fd = FAULT_CALL(control_socket, -1,
                         socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (door.fd < 0)
        return fail(error, path, strerror(errno));
    if (bind_private(&door, path) != 0 || listen(door.fd, QUEUE) != 0) {
        int code = errno;
        listener_close(&door, true);
        return fail(error, path, strerror(code));
    }
    sock_name(&door.address, door.name);
    *door_r = door;
    return 0;
}

struct control_caller control_door_caller(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return (struct control_caller){.uid = (uid_t)-1};
    return (struct control_caller){peer.uid, peer.pid};
}

/* Not whom our children have become ([server] user): an upgrade is done with the master's rights. */
bool control_door_admits(struct control_caller caller)
{
    return caller.uid == 0 || (caller.uid == geteuid() && caller.uid != (uid_t)-1);
}
