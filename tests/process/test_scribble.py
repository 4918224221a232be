"""A worker that writes into the shared memory what does not belong there: the master goes on, and so do the others."""

import os
import re
import signal
from pathlib import Path

from harness.wire import Wire
from process.test_notify import Manager


def shared(server, name):
    """Opens the memory of that name, which the master holds the descriptor of."""
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        if f"memfd:colmeia-{name} " in os.readlink(link):
            return os.open(link, os.O_RDWR)
    raise AssertionError(f"no {name}")


def scribble(server, name, start=0):
    """Sets every bit of it, from a byte on."""
    fd = shared(server, name)
    length = os.fstat(fd).st_size
    assert os.pwrite(fd, b"\xff" * (length - start), start) == length - start
    os.close(fd)


def mapped(pid, name):
    """[(what may be done with it, where it begins in the memory of that name)] of a process."""
    rows = [line.split(None, 5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return [(row[1], int(row[2], 16)) for row in rows if row[5:] and f"/memfd:colmeia-{name} " in row[5] + " "]


def test_no_worker_can_write_what_the_master_says(serve):
    """That the server is about to stop, who its workers are, and the keys of TLS tickets: a worker that tried would
    end, and none of the others would believe it."""
    server = serve(workers=2)
    for pid in server.workers():
        (first, at), (second, _) = mapped(pid, "scoreboard")
        assert (first, at, second) == ("r--s", 0, "rw-s")
        assert mapped(pid, "tls-keys") == [("r--s", 0)]
    assert mapped(server.process.pid, "scoreboard") == [("rw-s", 0)]
    assert mapped(server.process.pid, "tls-keys") == [("rw-s", 0)]


def test_tickets_of_nobody_come_back(serve):
    """Every ticket is written as somebody's who is no process at all, and everybody asks: there are hashes again."""
    server = serve(workers=2)
    with server.api() as api:
        assert api.sign_up("before").status_code == 201
        scribble(server, "tickets")
        assert api.sign_up("after").status_code == 201


def test_master_outlives_a_stray_write(tmp_path, serve):
    manager = Manager(tmp_path / "notify")
    server = serve(workers=2, env={"NOTIFY_SOCKET": manager.name})
    victim = min(server.workers())
    scribble(server, "scoreboard", start=4)  # what is before means by itself: we are about to stop
    scribble(server, "tickets")
    mark = manager.mark()
    assert re.search(r" conns \d+ ", manager.await_state("STATUS", after=mark)["STATUS"])
    os.kill(victim, signal.SIGKILL)
    server.await_workers(2, without=[victim])
    assert server.ask("status")["ok"]
    assert server.ask("metrics")["ok"]
    assert server.ask("why 0")["ok"]
    assert Wire(server.tcp()).get().status == 200
    server.stop()
