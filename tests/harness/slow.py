"""slow.py: clients that keep a server waiting, thousands of them in a process of their own. They do what they do in
rounds, when the test says so: nothing here depends on the clock.

    with Slow(server, head=100, idle=50) as slow:
        slow.round()        # each has sent, or read, one byte more: {"open": 150, "closed": {}}
        slow.begin_round()  # … and the test goes on meanwhile, until
        slow.is_busy()      # is false
        slow.await_end()    # all have been closed by the server: {"head": {"408": 100}, "idle": {"": 50}}"""

import json
import re
import select
import selectors
import socket
import subprocess
import sys
from collections import Counter

from harness.wire import PATIENCE_S, request

# What each kind begins with, and what it sends in each round. None: it reads a byte instead.
KINDS = {
    "silent": (b"", b""),                                                          # has only connected
    "idle": (request(target="/healthcheck"), b""),                                 # was answered once
    "head": (b"GET / HTTP/1.1\r\nHost: t\r\nX-Slow: ", b"a"),
    "fields": (b"GET / HTTP/1.1\r\nHost: t\r\n", b"X: y\r\n"),
    "body": (request("POST", "/users/", [("Content-Length", "60000")]), b"a"),
    "chunks": (request("POST", "/users/", [("Transfer-Encoding", "chunked")]), b"1\r\na\r\n"),
    "reader": (request(target="/openapi.json") * 16, None),
    "range": (request(target="/openapi.json", headers=[("Range", "bytes=" + ",".join(f"{i}-" for i in range(900)))]),
              None),
}
SMALL_WINDOW = 2048


# ---- the test's side ----

class Slow:
    def __init__(self, server, **clients):
        assert set(clients) <= set(KINDS), clients
        self.spec = {"address": server.tcp(), "clients": clients}

    def __enter__(self):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", "-m", "harness.slow", json.dumps(self.spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._answer()      # all are connected
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def _answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert ready, "the slow clients do not answer"
        return json.loads(self.process.stdout.readline())

    def begin_round(self):
        self.process.stdin.write("round\n")

    def is_busy(self):
        return not select.select([self.process.stdout], [], [], 0)[0]

    def end_round(self):
        return self._answer()

    def round(self):
        self.begin_round()
        return self.end_round()

    def await_end(self):
        """Waits until the server has closed all of them: {kind: {status of the last answer, or "": how many}}."""
        self.process.stdin.write("end\n")
        return self._answer()


# ---- the clients' side ----

class Client:
    def __init__(self, kind, address):
        self.kind, self.received, self.open = kind, b"", True
        self.socket = socket.socket()
        if KINDS[kind][1] is None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        self.socket.sendall(KINDS[kind][0])
        if kind == "idle":
            self.received = self.socket.recv(65536)
        self.socket.setblocking(False)

    def turn(self):
        step = KINDS[self.kind][1]
        try:
            if step is None:
                self.read(1)
            elif step:
                self.socket.send(step)
        except BlockingIOError:
            pass
        except ConnectionError:
            self.open = False

    def read(self, limit=65536):
        """Until nothing is there."""
        try:
            got = self.socket.recv(limit)
        except BlockingIOError:
            return
        except ConnectionError:
            got = b""
        self.received = (self.received + got)[-4096:]
        self.open = bool(got)

    def last_status(self):
        found = re.findall(rb"HTTP/1\.1 (\d{3}) ", self.received)
        return found[-1].decode() if found else ""


def await_end(clients):
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            waiting.register(client.socket, selectors.EVENT_READ, client)
        while waiting.get_map():
            for key, _ in waiting.select(PATIENCE_S) or sys.exit("they are not closed"):
                key.data.read()
                if not key.data.open:
                    waiting.unregister(key.fileobj)


def main():
    spec = json.loads(sys.argv[1])
    clients = [Client(kind, tuple(spec["address"])) for kind, count in spec["clients"].items() for _ in range(count)]
    print(json.dumps("connected"), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            await_end(clients)
            ends = {kind: Counter(c.last_status() for c in clients if c.kind == kind) for kind in spec["clients"]}
            print(json.dumps(ends), flush=True)
            continue
        for client in clients:
            if client.open:
                client.turn()
        print(json.dumps({"open": sum(c.open for c in clients)}), flush=True)


if __name__ == "__main__":
    main()
