"""`colmeia ctl` in trouble of its own: calls that fail at the n-th time, a server that answers piecemeal or
hangs up in the middle, nobody who reads. A line that says why and a code of its own, in time; never half an
answer for a whole one."""

import re
import socket
import subprocess
import threading

import pytest

from harness.failing import ALWAYS, Failing
from harness.nth import SOME_OR_ALL
from harness.server import BINARY, clean_environment, run_verb, without_aslr

CODES = {1, 3, 4, 70}     # 70: before it came to be ctl
COMMANDS = {
    "status": ["status"],
    "json": ["--json", "status"],
    "top": ["top", "--count", "1"],
    "events": ["events"],
    "metrics": ["metrics"],
    "why": ["why", "0"],
    "dry run": ["reload", "--dry-run"],
}
FAULTS = {
    "memory": ("MEMORY", {"error": "ENOMEM"}),
    "descriptors": ("OPEN", {"error": "EMFILE"}),
    "sockets": ("SOCKET", {"error": "ENOMEM"}),
    "reading": ("READ", {"error": "ECONNRESET", "path": "socket:"}),
    "writing": ("WRITE", {"error": "ENOBUFS"}),
    "interrupted": ("READ|WRITE|OPEN|WAIT|SOCKET", {"error": "EINTR"}),
    "short": ("READ|WRITE", {"short": 1, "times": ALWAYS}),
}


@pytest.fixture
def client(place):
    """Calls of `colmeia ctl` that fail, not the server's."""
    (place / "client").mkdir()
    return Failing(place / "client")


def shape(text):
    """What is the same each time that all is well."""
    return [re.findall(r"[a-z_]{4,}", line) for line in text.splitlines() if "slow" not in line]


def run(place, client, words):
    return run_verb(place, "ctl", "--config", "colmeia.ini", *words, env=client.env)


def judge(done, good, what):
    what = (*what, done.returncode, done.stdout, done.stderr)
    if done.returncode == 0:
        assert good.returncode == 0 and shape(done.stdout) == shape(good.stdout), what
    else:
        assert done.returncode in CODES, what
        assert re.search(r"^colmeia: .|: .*(memory|open files|cannot)", done.stderr, re.MULTILINE), what


@SOME_OR_ALL
@pytest.mark.parametrize("fault", FAULTS)
def test_calls(serve, place, client, fault, some):
    serve(workers=1).await_served()
    kinds, how = FAULTS[fault]
    swept = 0
    for name, words in COMMANDS.items():
        if some and name not in ("status", "top"):
            continue
        good = run(place, client, words)
        client.start_anew()
        count = client.count(kinds, lambda w=words: run(place, client, w), path=how.get("path", ""))
        assert good.returncode == (1 if name == "why" else 0) and count > 0, (name, good)
        if "times" in how:
            count = 1
        for n in range(count) if not some else {count // 3, count - 1 - count // 6}:
            client.start_anew()
            with client.at(kinds, skip=n, **how):
                done = run(place, client, words)
                last, struck = client.last, client.struck
            judge(done, good, (name, fault, n, last, struck))
        swept += count
    print(f"ctl, {fault}: {swept} calls")


# ---- a server that behaves badly ----

class Fake:
    """Takes one connection at the control socket and does with it what it is told."""

    def __init__(self, place, conduct):
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(place / "ctl.sock"))
        self.door.listen()
        self.thread = threading.Thread(target=self.serve, args=(conduct,))
        self.thread.start()

    def serve(self, conduct):
        client, _ = self.door.accept()
        with client:
            conduct(client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.door.close()


def hears(client):
    while not client.recv(4096).endswith(b"\n"):
        pass


def cut(client):
    hears(client)
    client.sendall(b'{"ok":true,"status":{"version":"1')


def reset(client):
    """Gone with the command unread: the client may be told so by ECONNRESET or by EPIPE."""


def silent(client):
    hears(client)


def late(client):
    """Byte by byte, the last ones together."""
    hears(client)
    answer = b'{"ok":true,"text":"done at last"}\n'
    for i in range(len(answer) - 3):
        client.sendall(answer[i:i + 1])
    client.sendall(answer[-3:])


def garbage(client):
    hears(client)
    client.sendall(b"\x1b[2J\x00\xff\n")


def endless(client):
    """No line end, until the client has had enough."""
    hears(client)
    try:
        while True:
            client.sendall(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass


CONDUCTS = {
    cut: (1, "", r"^colmeia: the server closed the connection in the middle of its answer$"),
    reset: (1, "", r"^colmeia: the server closed the connection without an answer$"),
    silent: (1, "", r"^colmeia: the server closed the connection without an answer$"),
    late: (0, "done at last\n", r"^$"),
    garbage: (1, "", r"^colmeia: the answer is no JSON object: \?\[2J"),
    endless: (1, "", r"^colmeia: the answer is lost: it is too long$"),
}


@pytest.mark.parametrize("conduct", CONDUCTS, ids=[c.__name__ for c in CONDUCTS])
def test_bad_server(place, conduct):
    code, out, error = CONDUCTS[conduct]
    with Fake(place, conduct):
        done = run_verb(place, "ctl", "--control", "ctl.sock", "retry")
    assert (done.returncode, done.stdout) == (code, out), done
    assert re.search(error, done.stderr) and done.stderr.count("\n") <= 1, done


def test_nobody_reads_the_answer(serve, place):
    """A pipe without a reader, with SIGPIPE ignored as Python's children have it."""
    serve(workers=1).await_served()
    process = subprocess.Popen(without_aslr([str(BINARY), "ctl", "--control", "ctl.sock", "status"]), cwd=place,
                               env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               restore_signals=False)
    process.stdout.close()
    assert process.stderr.read() == b"colmeia: the answer is lost: Broken pipe\n"
    assert process.wait() == 1
