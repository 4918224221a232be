"""load.py: clients that never retry, in a process of their own, so that they do not compete with the
test for Python's lock. Every request has an id; each ends as an answer or as a fault, and a test compares
what was sent, what was answered and what the server has logged.

    with Load(server, keepalive=14, connect=8, slow=5, pipelined=5) as load:
        load.await_progress(20)      # from now on, of each client
        …
    load.judge()                     # nothing was lost"""

import json
import re
import select
import signal
import subprocess
import sys
import threading
import time

from harness.wire import PATIENCE_S, Closed, Wire, request

KINDS = ["keepalive", "connect", "slow", "pipelined"]
# What one write of a pipelining client asks for, and the answers in their order.
PIPELINE = [("/", 200), ("/nope", 404), ("/users/?limit=1", 200), ("/users/x", 422)]
PASSWORD = "pw-of-the-load"
PIECE_S = 0.01      # a slow client's pause between two pieces of its body
ACCESS = re.compile(r'\[worker (\d+) pid (\d+)\] (\S+) "(\S+) (\S+)" (\d+) .*\bid=(\S+)$')


# ---- the test's side ----

class Load:
    def __init__(self, server, address=None, name="r", until_stop=False, **clients):
        """*until_stop*: a client leaves when it is told politely to, or refused: for a full stop."""
        self.server = server
        self.spec = {"address": address or server.tcp(), "name": name, "until_stop": until_stop,
                     "clients": {kind: clients.pop(kind, 0) for kind in KINDS}}
        assert not clients, clients
        self.report = None

    def __enter__(self):
        self.server.secrets.add(PASSWORD)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", "-m", "harness.load", json.dumps(self.spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        return self

    def __exit__(self, failed, *_):
        if failed:
            self.process.kill()
            self.process.communicate()
        else:
            self.stop()

    def _tell(self, word):
        self.process.stdin.write(word + "\n")
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert ready, f"the clients do not answer\n{self.server.log}"
        return json.loads(self.process.stdout.readline())

    def counts(self):
        """How many requests each client has had answered, and how many faults there were."""
        return self._tell("count")

    def await_progress(self, answers=10):
        """Waits until each client has had so many more answers; fails at the first fault."""
        before = self.counts()["answered"]
        end = time.monotonic() + PATIENCE_S
        while True:
            now = self.counts()
            if now["faults"]:
                raise AssertionError(self.stop()["faults"])
            if all(a >= b + answers for a, b in zip(now["answered"], before)):
                return
            assert time.monotonic() < end, f"no progress: {before}, {now}"
            time.sleep(0.01)

    def stop(self):
        """Every client ends after its present request; {"sent", "answered", "created": ids,
        "faults": [[id, kind of client, what]], "polite": connections that ended as announced}."""
        if self.report is None:
            self.report = self._tell("stop")
            assert self.process.wait(PATIENCE_S) == 0
        return self.report

    def await_end(self):
        """With until_stop: waits for the last client to leave by itself."""
        while not all(self.counts()["over"]):
            time.sleep(0.01)
        return self.stop()

    def judge(self, may_fail=0):
        """The three sets of ids are one. Stops the server, so that its log is whole. may_fail: so many
        requests had to be lost, because their worker was killed."""
        server, report = self.server, self.stop()
        sent, answered = set(report["sent"]), set(report["answered"])
        assert len(sent) == len(report["sent"]) and len(answered) == len(report["answered"]), "an id came twice"
        assert len(report["faults"]) <= may_fail, (len(report["faults"]), report["faults"][:10])
        lost = {fault[0] for fault in report["faults"]}
        assert sent - answered == lost, "every request is answered or at fault"
        prefix = self.spec["name"] + "-"
        if server.process.poll() is None:
            server.stop()
        server.await_end_of_log()
        logged = [row["id"] for row in access_rows(server) if row["id"].startswith(prefix)]
        assert len(set(logged)) == len(logged), "a request was answered twice"
        assert answered <= set(logged), f"answered, not logged: {sorted(answered - set(logged))[:10]}"
        assert set(logged) - answered <= lost, f"logged, not answered: {sorted(set(logged) - answered)[:10]}"
        assert len(answered) > 0
        return report


def access_rows(server):
    """The access log: [{"worker", "pid", "peer", "method", "target", "status", "id"}]."""
    names = ["worker", "pid", "peer", "method", "target", "status", "id"]
    rows = []
    for match in filter(None, map(ACCESS.search, server.log.splitlines())):
        row = dict(zip(names, match.groups()))
        rows.append({**row, "worker": int(row["worker"]), "pid": int(row["pid"]), "status": int(row["status"])})
    return rows


# ---- the clients' side ----

class Faulty(Exception):
    """What a client saw and must never see."""


class Client(threading.Thread):
    def __init__(self, kind, number, spec, stop):
        super().__init__(daemon=True)
        self.kind, self.number, self.spec, self.stopping = kind, number, spec, stop
        self.wire = None
        self.serial = 0
        self.sent, self.answered, self.created, self.faults = [], [], [], []
        self.polite = 0
        self.over = False

    def run(self):
        turn = getattr(self, self.kind)
        while not self.stopping.is_set() and not self.over:
            self.pending = []
            try:
                turn()
            except Exception as e:      # whatever it is: nothing may get lost
                self.fail(e)
        if self.wire:
            self.wire.close()
        self.over = True

    def fail(self, e):
        """Everything that is still without an answer is lost. A client that is refused while the server
        stops has lost nothing: it had not asked."""
        what = f"early end of file, {e.rest!r}" if isinstance(e, Closed) else repr(e)
        if isinstance(e, ConnectionRefusedError) and self.spec["until_stop"]:
            self.over = True
        else:
            self.faults += [[i, self.kind, what] for i in self.pending or [f"connect {self.number}"]]
        self.sent += self.pending
        if self.wire:
            self.wire.close()
        self.wire = None

    def connect_first(self):
        if self.wire is None:
            address = self.spec["address"]
            self.wire = Wire(tuple(address) if isinstance(address, list) else address)

    def new_id(self):
        self.serial += 1
        return f"{self.spec['name']}-{self.number}-{self.serial}"

    def take(self, expected):
        """The answer to the oldest request that waits for one."""
        answer = self.wire.answer()
        if answer.status != expected:
            raise Faulty(f"{answer.status} instead of {expected}: {answer.body[:200]!r}")
        done = self.pending.pop(0)
        self.sent.append(done)
        self.answered.append(done)
        if any(name.lower() == "connection" and value == "close" for name, value in answer.headers):
            self.end_politely()

    def end_politely(self):
        """The server has said so: nothing may come any more, and no reset."""
        if self.pending:
            raise Faulty("the server takes no more of this connection")
        if not self.wire.is_closed():
            raise Faulty("more than the last answer")
        self.wire.close()
        self.wire = None
        self.polite += 1
        self.over = self.spec["until_stop"]

    def prepare(self, target, headers=(), method="GET", body=None):
        """Marks a request as sent, before its first byte is: its bytes."""
        self.pending.append(self.new_id())
        return request(method, target, [("X-Request-Id", self.pending[-1]), *headers], body)

    # one turn of each kind of client

    def keepalive(self):
        self.connect_first()
        self.wire.send(self.prepare("/users/?limit=1"))
        self.take(200)

    def connect(self):
        self.connect_first()
        self.wire.send(self.prepare("/", [("Connection", "close")]))
        self.take(200)
        if self.wire:
            raise Faulty("the answer does not end the connection")
        self.polite -= 1     # this one was the client's wish
        self.over = False

    def slow(self):
        """A new account, its name is the id; the body comes in pieces."""
        self.connect_first()
        name = f"{self.spec['name']}-{self.number}-{self.serial + 1}"
        body = json.dumps({"username": name, "email": f"{name}@test.com", "password": PASSWORD}).encode()
        data = self.prepare("/users/", [("Content-Type", "application/json")], "POST", body)
        edge = len(data) - len(body)
        for piece in [data[:edge], *(data[i:i + 30] for i in range(edge, len(data), 30))]:
            self.wire.send(piece)
            time.sleep(PIECE_S)
        self.take(201)
        self.created.append(name)

    def pipelined(self):
        self.connect_first()
        self.wire.send(b"".join(self.prepare(target) for target, _ in PIPELINE))
        for _, status in PIPELINE:
            self.take(status)


def main():
    spec = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    kinds = [kind for kind in KINDS for _ in range(spec["clients"][kind])]
    clients = [Client(kind, i, spec, stop) for i, kind in enumerate(kinds)]
    for client in clients:
        client.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            stop.set()
            for client in clients:
                client.join()
            told = {name: sum((getattr(c, name) for c in clients), []) for name in
                    ["sent", "answered", "created", "faults"]}
            print(json.dumps({**told, "polite": sum(c.polite for c in clients)}), flush=True)
            return
        print(json.dumps({"answered": [len(c.answered) for c in clients], "over": [c.over for c in clients],
                          "faults": sum(len(c.faults) for c in clients)}), flush=True)


if __name__ == "__main__":
    main()
