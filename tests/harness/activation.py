"""activation.py: what systemd does for a unit with sockets: they are made here and live on while servers come
and go; a server gets them as descriptors 3, 4, … with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES
(sd_listen_fds(3)).

    with Holder(web=tcp()) as holder:
        server = serve.make(bind=None, activation=holder).start()
        server.restart()"""

import os
import socket
import sys
from pathlib import Path

BACKLOG = 2048


def tcp(host="127.0.0.1", port=0, backlog=BACKLOG):
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    made.listen(backlog)
    return made


def unix(path):
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(BACKLOG)
    return made


class Holder:
    def __init__(self, pid="own", count=None, names=None, **sockets):
        """*pid*, *count*, *names*: what the variables say instead of the truth."""
        self.sockets = sockets
        self.said = [pid, str(len(sockets) if count is None else count),
                     ":".join(sockets) if names is None else names]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for held in self.sockets.values():
            held.close()

    def fds(self):
        return [held.fileno() for held in self.sockets.values()]

    def address(self, name):
        return "%s:%d" % self.sockets[name].getsockname()[:2]

    def prefix(self):
        """Before a server's argv: puts the descriptors in place and executes it."""
        return [sys.executable, "-IB", str(Path(__file__)), ",".join(map(str, self.fds())), *self.said]


def main():
    fds, pid, count, names, *argv = sys.argv[1:]
    # all out of the way before the first is put where another may still be
    copies = [os.dup2(int(fd), 100 + i) for i, fd in enumerate(filter(None, fds.split(",")))]
    os.closerange(3, 100)
    for i, copy in enumerate(copies):
        os.dup2(copy, 3 + i)
        os.close(copy)
    os.environ.update(LISTEN_PID=str(os.getpid()) if pid == "own" else pid, LISTEN_FDS=count, LISTEN_FDNAMES=names)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
