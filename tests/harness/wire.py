"""wire.py: HTTP by hand over one connection, for what well-behaved clients never do."""

import os
import socket
from dataclasses import dataclass

PATIENCE_S = float(os.environ.get("COLMEIA_PATIENCE_S", "90"))


@dataclass
class Answer:
    version: str
    status: int
    reason: str
    headers: list      # [(name, value)] as received, in order
    body: bytes

    def header(self, name):
        """The value of the one header of that exact name, or None."""
        found = [v for n, v in self.headers if n == name]
        assert len(found) <= 1, self.headers
        return found[0] if found else None

    @property
    def names(self):
        return [n for n, _ in self.headers]


class Closed(Exception):
    """The server closed before a whole answer was there; .rest has what came."""

    def __init__(self, rest):
        super().__init__(f"closed after {rest!r}")
        self.rest = rest


class Wire:
    def __init__(self, address):
        """(host, port), or the path of a unix socket."""
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address, timeout=PATIENCE_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE_S)
            self.socket.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def send_end(self):
        """No more from us: the server reads end-of-file."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def ask(self, method="GET", target="/", headers=(), body=None, version="HTTP/1.1"):
        """Sends one request; Host, and Content-Length when there is a body, are added."""
        self.send(request(method, target, headers, body, version))
        return self

    def get(self, target="/"):
        return self.ask("GET", target).answer()

    def _more(self):
        got = self.socket.recv(65536)
        if not got:
            raise Closed(self.buffer)
        self.buffer += got

    def answer(self, head=False):
        """The next answer, whole; *head*: it has no body whatever its length says."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head_bytes, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *rows = head_bytes.decode("latin-1").split("\r\n")
        version, status, reason = first.split(" ", 2)
        headers = [tuple(row.split(": ", 1)) for row in rows]
        answer = Answer(version, int(status), reason, headers, b"")
        # a proxy in between may write names as it likes
        lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
        length = 0 if head or 100 <= answer.status < 200 else lengths[0]
        while len(self.buffer) < length:
            self._more()
        answer.body, self.buffer = self.buffer[:length], self.buffer[length:]
        return answer

    def rest(self):
        """Everything until the server closes (a reset counts as an error)."""
        try:
            while True:
                self._more()
        except Closed as closed:
            self.buffer = b""
            return closed.rest

    def is_closed(self):
        """Waits for the server to close; False when it sends something instead."""
        return self.rest() == b""


def request(method="GET", target="/", headers=(), body=None, version="HTTP/1.1"):
    rows = [f"{method} {target} {version}".encode()]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        rows.append(b"Host: test")
    rows += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        rows.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(rows) + b"\r\n\r\n" + (body or b"")
