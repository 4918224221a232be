/* sock.c: see sock.h. ip(7), ipv6(7), unix(7), tcp(7). */
#include "shared/sock.h"

#include "shared/check.h"
#include "shared/fault.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.1 */
#endif

enum { UN_PATH_AT = offsetof(struct sockaddr_un, sun_path) };

/* ---- addresses ------------------------------------------------------------------------------ */

static bool refuse(struct buf *error_r, struct slice text, const char *why)
{
    buf_printf(error_r, "\"%.*s\" is no address to listen on: %s", SLICE_ARGS(text), why);
    return false;
}

static bool parse_port(struct slice s, in_port_t *port_r)
{
    uint64_t port;
    if (!slice_to_u64(s, 65535, &port))
        return false;
    *port_r = htons((uint16_t)port);
    return true;
}

/* PATH, or @NAME for an abstract one, whose length is part of its name (unix(7)). */
static bool parse_unix(struct slice text, struct slice path, struct sock_address *a,
                       struct buf *error_r)
{
    struct sockaddr_un *un = &a->u.un;
    bool abstract = path.len > 0 && path.ptr[0] == '@';
    if (path.len <= (size_t)abstract)
        return refuse(error_r, text, "write unix:PATH");
    if (path.len >= sizeof un->sun_path) {
        buf_printf(error_r,
                   "\"%.*s\" is no address to listen on: a socket's path has at most %zu bytes, "
                   "this one has %zu",
                   SLICE_ARGS(text), sizeof un->sun_path - 1, path.len);
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.ptr, path.len);
    if (abstract)
        un->sun_path[0] = 0;
    a->len = (socklen_t)(UN_PATH_AT + path.len + !abstract);
    return true;
}

/* V6 or V6%interface. */
static bool parse_v6_host(struct slice host, struct sockaddr_in6 *in6)
{
    char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];
    struct slice rest = host;
    struct slice address = slice_split(&rest, '%');
    if (address.len >= sizeof text || rest.len >= sizeof scope || (rest.ptr && rest.len == 0))
        return false;
    memcpy(text, address.ptr, address.len);
    text[address.len] = 0;
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
        return false;
    if (rest.ptr) {
        uint64_t index;
        memcpy(scope, rest.ptr, rest.len);
        scope[rest.len] = 0;
        if (!slice_to_u64(rest, UINT32_MAX, &index))
            index = if_nametoindex(scope);
        if (index == 0)
            return false;
        in6->sin6_scope_id = (uint32_t)index;
    }
    return true;
}

static bool parse_v6(struct slice text, struct sock_address *a, struct buf *error_r)
{
    struct sockaddr_in6 *in6 = &a->u.in6;
    const char *close = memchr(text.ptr, ']', text.len);
    if (!close)
        return refuse(error_r, text, "the ] of [V6]:PORT is missing");
    struct slice host = {text.ptr + 1, (size_t)(close - text.ptr) - 1};
    struct slice rest = {close + 1, text.len - host.len - 2};
    in6->sin6_family = AF_INET6;
    if (!parse_v6_host(host, in6))
        return refuse(error_r, text,
                      "between [ and ] stands a numeric IPv6 address, as in [::1]:8000");
    if (rest.len == 0 || rest.ptr[0] != ':')
        return refuse(error_r, text, "the port is missing, as in [::1]:8000");
    if (!parse_port((struct slice){rest.ptr + 1, rest.len - 1}, &in6->sin6_port))
        return refuse(error_r, text, "the port is a number from 0 to 65535");
    a->len = sizeof *in6;
    return true;
}

static bool parse_v4_host(struct slice host, struct in_addr *in)
{
    char text[INET_ADDRSTRLEN];
    if (slice_equals_nocase(host, SLICE("localhost"))) {
        in->s_addr = htonl(INADDR_LOOPBACK);
        return true;
    }
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    return inet_pton(AF_INET, text, in) == 1;
}

static bool parse_v4(struct slice text, struct sock_address *a, struct buf *error_r)
{
    struct sockaddr_in *in = &a->u.in;
    struct slice port = text;
    struct slice host = slice_split(&port, ':');
    in->sin_family = AF_INET;
    if (port.ptr && memchr(port.ptr, ':', port.len))
        return refuse(error_r, text, "an IPv6 address needs brackets, as in [::1]:8000");
    if (!port.ptr &&
        parse_port(host, &in->sin_port)) /* a port alone: loopback, as --port means it */
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (!port.ptr)
        return refuse(error_r, text, "write HOST:PORT, [V6]:PORT, :PORT or unix:PATH");
    else if (!parse_port(port, &in->sin_port))
        return refuse(error_r, text, "the port is a number from 0 to 65535");
    else if (host.len == 0)
        in->sin_addr.s_addr = htonl(INADDR_ANY);
    else if (!parse_v4_host(host, &in->sin_addr))
        return refuse(error_r, text, "the host is a numeric address or localhost");
    a->len = sizeof *in;
    return true;
}

bool sock_parse(struct slice text, struct sock_address *address_r, struct buf *error_r)
{
    memset(address_r, 0, sizeof *address_r);
    if (text.len == 0)
        return refuse(error_r, SLICE(""), "it is empty");
    if (memchr(text.ptr, 0, text.len))
        return refuse(error_r, SLICE("?"), "it holds a NUL byte");
    if (slice_starts_with(text, SLICE("unix:")))
        return parse_unix(text, (struct slice){text.ptr + 5, text.len - 5}, address_r, error_r);
    if (text.ptr[0] == '[')
        return parse_v6(text, address_r, error_r);
    return parse_v4(text, address_r, error_r);
}

bool sock_is_unix(const struct sock_address *a)
{
    return a->u.any.sa_family == AF_UNIX;
}

/* The path of a unix socket that stands in the file system, else NULL. */
static const char *unix_path(const struct sock_address *a)
{
    return sock_is_unix(a) && a->len > UN_PATH_AT && a->u.un.sun_path[0] ? a->u.un.sun_path : NULL;
}

static void name_unix(const struct sock_address *a, char name_r[static SOCK_NAME_MAX])
{
    size_t len = a->len > UN_PATH_AT ? a->len - UN_PATH_AT : 0;
    if (len > sizeof a->u.un.sun_path)
        len = sizeof a->u.un.sun_path;
    if (len > 0 && a->u.un.sun_path[0])
        len = strnlen(a->u.un.sun_path, len);
    if (len == 0) {
        memcpy(name_r, "unix", sizeof "unix");
        return;
    }
    memcpy(name_r, "unix:", 5);
    for (size_t i = 0; i < len; i++) {
        char c = a->u.un.sun_path[i];
        name_r[5 + i] = (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
    }
    if (!a->u.un.sun_path[0])
        name_r[5] = '@';
    name_r[5 + len] = 0;
}

void sock_name(const struct sock_address *a, char name_r[static SOCK_NAME_MAX])
{
    char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE];
    const struct sockaddr_in6 *in6 = &a->u.in6;
    switch (a->u.any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->u.in.sin_addr, host, sizeof host);
        snprintf(name_r, SOCK_NAME_MAX, "%s:%u", host, ntohs(a->u.in.sin_port));
        return;
    case AF_INET6:
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        if (in6->sin6_scope_id == 0)
            snprintf(name_r, SOCK_NAME_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
        else if (if_indextoname(in6->sin6_scope_id, scope))
            snprintf(name_r, SOCK_NAME_MAX, "[%s%%%s]:%u", host, scope, ntohs(in6->sin6_port));
        else
            snprintf(name_r, SOCK_NAME_MAX, "[%s%%%u]:%u", host, in6->sin6_scope_id,
                     ntohs(in6->sin6_port));
        return;
    case AF_UNIX:
        name_unix(a, name_r);
        return;
    default:
        memcpy(name_r, "?", 2);
    }
}

/* ---- listeners ------------------------------------------------------------------------------ */

/* What the operator can do about an error of socket(2), bind(2) or listen(2). */
static const char *advice(int error, bool is_unix)
{
    switch (error) {
    case EADDRINUSE:
        return "address already in use; stop the other program or choose another --bind";
    case EADDRNOTAVAIL:
        return "this machine has no such address; `ip address` shows those it has";
    case EACCES:
    case EPERM:
        return is_unix
                   ? "permission denied; the socket's directory must be writable for this user"
                   : "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, or choose a "
                     "higher one";
    case ENOENT:
        return "its directory does not exist; make it or choose another --bind";
    case EROFS:
        return "the file system is read-only; choose another --bind";
    case EAFNOSUPPORT:
        return "this machine does not support that kind of address; choose another --bind";
    case EMFILE:
    case ENFILE:
        return "no file descriptors left; raise the limit (ulimit -n, LimitNOFILE=)";
    default:
        return NULL;
    }
}

static int fail(struct buf *error_r, const struct sock_address *a, int error)
{
    char name[SOCK_NAME_MAX];
    const char *what = advice(error, sock_is_unix(a));
    sock_name(a, name);
    buf_printf(error_r, "cannot listen on %s: %s", name, what ? what : strerror(error));
    return -1;
}

static int fail_with(struct buf *error_r, const struct sock_address *a, const char *what)
{
    char name[SOCK_NAME_MAX];
    sock_name(a, name);
    buf_printf(error_r, "cannot listen on %s: %s", name, what);
    return -1;
}

/* errno of a connect(2) that does not wait; 0 when somebody listens. */
static int knock(const struct sock_address *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, &a->u.any, a->len) == 0 ? 0 : errno;
    close(fd);
    return error;
}

int sock_clear_path(const struct sock_address *a)
{
    const char *path = a->u.un.sun_path;
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return ENOTSOCK;
    int error = knock(a);
    switch (error) {
    case 0:
    case EAGAIN:     /* its queue is full */
    case EPROTOTYPE: /* a living datagram socket */
        return EADDRINUSE;
    case ECONNREFUSED:
        return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
    default:
        return error;
    }
}

static int clear_path(const struct sock_address *a, struct buf *error_r)
{
    int error = sock_clear_path(a);
    if (error == ENOTSOCK)
        return fail_with(error_r, a,
                         "something that is no socket stands there; remove it or choose "
                         "another --bind");
    return error ? fail(error_r, a, error) : 0;
}

static int set_on(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on);
}

static int set_options(int fd, const struct sock_address *a)
{
    if (sock_is_unix(a))
        return 0;
    if (set_on(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || set_on(fd, IPPROTO_TCP, TCP_NODELAY) != 0)
        return -1;
    return a->u.any.sa_family == AF_INET6 ? set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) : 0;
}

/* Binds, and remembers what a unix socket made in the file system. */
static int bind_it(struct listener *l, const struct sock_address *a)
{
    const char *path = unix_path(a);
    struct stat st;
    if (FAULT_CALL(listener_bind, -1, bind(l->fd, &a->u.any, a->len)) != 0)
        return -1;
    if (!path)
        return 0;
    if (lstat(path, &st) == 0) {
        l->path_dev = st.st_dev;
        l->path_ino = st.st_ino;
    }
    return chmod(path, 0666);
}

static int backlog_of(int fd, const struct sock_address *a)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (sock_is_unix(a) || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return -1;
    return (int)info.tcpi_sacked; /* of a listener: the limit of its queue */
}

int listener_open(const struct sock_address *a, int backlog, struct listener *listener_r,
                  struct buf *error_r)
{
    const char *path = unix_path(a);
    struct listener l = {.address = *a, .backlog_asked = backlog};
    if (path && clear_path(a, error_r) != 0)
        return -1;
    l.fd = FAULT_CALL(listener_socket, -1,
                      socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (l.fd < 0)
        return fail(error_r, a, errno);
    l.address.len = sizeof l.address.u;
    if (set_options(l.fd, a) != 0 || bind_it(&l, a) != 0 ||
        FAULT_CALL(listener_listen, -1, listen(l.fd, backlog)) != 0 ||
        getsockname(l.fd, &l.address.u.any, &l.address.len) != 0) {
        int error = errno;
        listener_close(&l, true);
        return fail(error_r, a, error);
    }
    l.backlog_effective = backlog_of(l.fd, a);
    sock_name(&l.address, l.name);
    *listener_r = l;
    return 0;
}

int listener_inherit(int fd, int backlog, struct listener *listener_r)
{
    struct listener l = {.fd = fd, .backlog_asked = backlog, .address.len = sizeof l.address.u};
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 ||
        getsockname(fd, &l.address.u.any, &l.address.len) != 0)
        return -1;
    if (!listens) {
        errno = EINVAL;
        return -1;
    }
    l.backlog_effective = backlog_of(fd, &l.address);
    sock_name(&l.address, l.name);
    *listener_r = l;
    return 0;
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* NULL: it will do. */
static const char *why_not_adopted(int fd)
{
    int domain = option_of(fd, SO_DOMAIN);
    if (domain < 0)
        return errno == EBADF ? "there is no such descriptor" : "it is no socket";
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
        return "it is neither an IPv4, an IPv6 nor a unix socket";
    if (option_of(fd, SO_TYPE) != SOCK_STREAM)
        return "it is no stream socket; the socket unit needs ListenStream=";
    if (option_of(fd, SO_ACCEPTCONN) != 1)
        return "it does not listen; the socket unit needs Accept=no";
    return NULL;
}

int listener_adopt(int fd, struct listener *listener_r, struct buf *error_r)
{
    struct listener l = {.fd = fd, .activated = true, .address.len = sizeof l.address.u};
    const char *why = why_not_adopted(fd);
    if (!why && (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ||
                 fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                 getsockname(fd, &l.address.u.any, &l.address.len) != 0 ||
                 (!sock_is_unix(&l.address) && set_on(fd, IPPROTO_TCP, TCP_NODELAY) != 0)))
        why = strerror(errno);
    if (why) {
        buf_printf(error_r, "%s", why);
        return -1;
    }
    l.backlog_effective = l.backlog_asked = backlog_of(fd, &l.address);
    sock_name(&l.address, l.name);
    *listener_r = l;
    return 0;
}

int listener_set_backlog(struct listener *l, int backlog)
{
    if (listen(l->fd, backlog) != 0)
        return -1;
    l->backlog_asked = backlog;
    l->backlog_effective = backlog_of(l->fd, &l->address);
    return 0;
}

/* Removes the path if it is still the socket that was bound here. */
static int unlink_own(struct listener *l)
{
    const char *path = unix_path(&l->address);
    struct stat st;
    if (!path || l->path_ino == 0)
        return 0;
    bool ours = lstat(path, &st) == 0 && st.st_dev == l->path_dev && st.st_ino == l->path_ino;
    if (ours && unlink(path) != 0)
        return -1;
    l->path_ino = 0;
    return 0;
}

void listener_close(struct listener *l, bool unlink_path)
{
    if (unlink_path)
        unlink_own(l);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->path_ino = 0; /* without the socket its number may be given to another's */
}

void listener_shutdown(struct listener *l)
{
    if (!l->activated)
        shutdown(l->fd, SHUT_RDWR);
}

int listener_refuse_newcomers(struct listener *l)
{
    int nowhere = INT_MAX; /* no interface has this index */
    if (unix_path(&l->address))
        return unlink_own(l);
    if (sock_is_unix(&l->address)) {
        errno = EOPNOTSUPP; /* an abstract name lasts as long as its socket */
        return -1;
    }
    return setsockopt(l->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof nowhere);
}
