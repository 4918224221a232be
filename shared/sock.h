/* sock.h: addresses as people type them, and listening sockets. Master, tests and (for names of
 * peers) workers. */
#pragma once

#include "shared/str.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <netinet/in.h>

/* Room for "[v6%scope]:port" or "unix:" and the longest path, with its NUL. */
enum { SOCK_NAME_MAX = 128 };

struct sock_address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* One listening socket. The master owns fd; workers share the open file description. */
struct listener {
    int fd;
    struct sock_address address; /* as bound: port 0 replaced by the real one */
    char name[SOCK_NAME_MAX];    /* "127.0.0.1:8000", "[::1]:8000", "unix:/run/x.sock" */
    int backlog_asked;
    int backlog_effective;       /* read back from the kernel; -1 where it does not say (unix) */
    dev_t path_dev;              /* what was bound at a unix path, so that nobody else's is unlinked */
    ino_t path_ino;              /* 0: none, or not ours any more */
    unsigned words;              /* how its connections begin: bits of door.h */
    bool activated;              /* a service manager's, which outlives us: never refused, shut or
                                    unlinked by us, and its queue waits for our next start */
};

/* Parses "HOST:PORT", "[V6]:PORT", ":PORT" (all IPv4 addresses), "PORT" (127.0.0.1), "unix:PATH"
 * (or "unix:@NAME", abstract). HOST is a numeric IPv4 address or "localhost" (127.0.0.1); V6 may
 * end in "%interface". False otherwise, with the reason (no line end) appended to error_r. */
bool sock_parse(struct slice text, struct sock_address *address_r, struct buf *error_r);
/* Writes the address as listener.name shows it; an unnamed unix socket (a client) is "unix". */
void sock_name(const struct sock_address *a, char name_r[static SOCK_NAME_MAX]);
bool sock_is_unix(const struct sock_address *a);

/* Makes room at the path of a unix address: what a dead server left there goes, anything else stays.
 * 0, EADDRINUSE (somebody listens there), ENOTSOCK (something else stands there), or another errno. */
int sock_clear_path(const struct sock_address *a);

/* Binds and listens: close-on-exec, non-blocking, SO_REUSEADDR, IPV6_V6ONLY for IPv6, TCP_NODELAY
 * inherited by accepted ones. A stale unix socket (nobody answers) is replaced; a live one, or a
 * file that is no socket, is an error. A unix socket gets mode 0666, as uvicorn and gunicorn do:
 * who may reach it is its directory's affair. 0, or -1 with one clear line (no line end) in
 * error_r. */
int listener_open(const struct sock_address *a, int backlog, struct listener *listener_r,
                  struct buf *error_r);
/* The same struct for a listening stream socket that somebody else has bound and gave us (activated):
 * *fd* becomes close-on-exec, non-blocking; its queue keeps its length. 0, or -1 with what is wrong
 * with it in error_r; then it is still the caller's. */
int listener_adopt(int fd, struct listener *listener_r, struct buf *error_r);
/* One that this process, as another program, has opened: 0, or -1 with errno (EINVAL: it does not
 * listen). What is bound at a unix path (path_dev, path_ino) the caller must know. */
int listener_inherit(int fd, int backlog, struct listener *listener_r);
/* Changes the length of the queue at once, for every process, and reads it back. 0, or -1 with
 * errno. */
int listener_set_backlog(struct listener *l, int backlog);
/* Closes, and unlinks a unix path when *unlink_path* and it is still the one bound here. Does not
 * shut down: other processes may still accept from it. Closing twice is harmless. */
void listener_close(struct listener *l, bool unlink_path);
/* Closes the door for every process that shares it: shutdown(2). The last step of a full stop; an
 * activated one stays open. */
void listener_shutdown(struct listener *l);
/* Lets the kernel refuse newcomers while what is queued can still be accepted (SO_BINDTOIFINDEX
 * with an index that does not exist; unix: unlink). 0, or -1 with errno: then accept until empty. Not
 * for activated ones. */
int listener_refuse_newcomers(struct listener *l);
