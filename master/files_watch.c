/* files_watch.c: for development (--reload): when the configuration's files or the program change,
 * reload. Their directories are watched, because editors and linkers replace files (inotify(7)). */
#include "master/driver.h"

#include "shared/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { QUIET_MS = 100 }; /* an editor's several changes are one */

struct files_watch {
    ev_io io;
    ev_timer quiet;
    int fd;
};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_ours(const struct master *m, const char *name)
{
    return strcmp(name, base_of(m->text.ini_path)) == 0 ||
           strcmp(name, base_of(m->text.env_path)) == 0 ||
           (m->binary.path && strcmp(name, base_of(m->binary.path)) == 0);
}

static void on_change(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)revents;
    struct master *m = io->data;
    _Alignas(struct inotify_event) char events[4096];
    ssize_t n = read(io->fd, events, sizeof events);
    bool ours = false;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(events + at);
        ours |= e->len > 0 && is_ours(m, e->name);
        at += (ssize_t)(sizeof *e + e->len);
    }
    if (!ours)
        return;
    ev_timer_stop(loop, &m->files->quiet);
    ev_timer_set(&m->files->quiet, QUIET_MS / 1000., 0.);
    ev_timer_start(loop, &m->files->quiet);
}

static void on_quiet(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = timer->data;
    log_info("files have changed");
    feed_request(m, SUP_REQUEST_RELOAD, -1, 0);
}

static void watch_directory_of(int fd, const char *path)
{
    char *directory = strdup(path);
    if (!directory)
        return;
    char *slash = strrchr(directory, '/');
    if (slash == directory)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    const char *where = slash ? directory : ".";
    if (inotify_add_watch(fd, where, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE) < 0)
        log_debug("cannot watch %s: %s", where, strerror(errno));
    free(directory);
}

void reload_watch_start(struct master *m)
{
    if (!m->options->watch_files)
        return;
    m->files = calloc(1, sizeof *m->files);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (!m->files || fd < 0) {
        log_warning("cannot watch the configuration's files: %s", strerror(errno));
        free(m->files);
        m->files = NULL;
        return;
    }
    m->files->fd = fd;
    watch_directory_of(fd, m->text.ini_path);
    watch_directory_of(fd, m->text.env_path);
    if (m->binary.path)
        watch_directory_of(fd, m->binary.path);
    ev_io_init(&m->files->io, on_change, fd, EV_READ);
    m->files->io.data = m;
    ev_io_start(m->loop, &m->files->io);
    ev_init(&m->files->quiet, on_quiet);
    m->files->quiet.data = m;
}

void reload_watch_stop(struct master *m)
{
    if (!m->files)
        return;
    ev_io_stop(m->loop, &m->files->io);
    ev_timer_stop(m->loop, &m->files->quiet);
    close(m->files->fd);
    free(m->files);
    m->files = NULL;
}
