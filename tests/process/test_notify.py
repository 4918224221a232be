"""sd_notify: what a service manager hears, in which order and from whom."""

import os
import re
import select
import signal
import socket
import struct
import time

import pytest

from harness.server import FAST, PATIENCE_S, await_true
from harness.wire import Wire
from process.test_stop import BODY, begin

STATES = ["READY", "RELOADING", "STOPPING"]


class Manager:
    """Listens at a path, or an abstract name."""

    def __init__(self, name):
        self.name = str(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.name.replace("@", "\0", 1))
        self.heard = []     # (pid, {name: value}) of each datagram

    def hears(self, within_s=PATIENCE_S):
        """Takes the next datagram; False: none comes."""
        ready, _, _ = select.select([self.socket], [], [], within_s)
        if not ready:
            return False
        data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        (pid, _, _) = struct.unpack("3i", ancillary[0][2])
        assert data.endswith(b"\n")
        self.heard.append((pid, dict(line.split("=", 1) for line in data.decode().splitlines())))
        return True

    def await_state(self, name, after=0):
        """Waits for a datagram with it; that datagram."""
        at = after
        while True:
            while at >= len(self.heard):
                assert self.hears(), f"{name} is not told: {self.heard}"
            if name in self.heard[at][1]:
                return self.heard[at][1]
            at += 1

    def states(self):
        """All that was told of states, in its order."""
        while self.hears(0):
            pass
        return [state for _, told in self.heard for state in STATES if state in told]

    def mark(self):
        self.states()
        return len(self.heard)


@pytest.fixture(params=["path", "abstract"])
def manager(request, place):
    name = place / "notify" if request.param == "path" else f"@colmeia-{os.getpid()}-{place.name}"
    manager = Manager(name)
    yield manager
    manager.socket.close()


def told_by(manager, serve, **options):
    return serve.make(env={"NOTIFY_SOCKET": manager.name}, **options)


def test_order(serve, manager):
    """Start, reload, a reload that fails, stop: each is told once, by the master alone."""
    server = told_by(manager, serve, workers=3, config=FAST).start()
    ready = manager.await_state("READY")
    assert re.match(r"ready 3/3 gen 1 conns 0 rps \d+ queue 0/\d+$", ready["STATUS"])
    assert "EXTEND_TIMEOUT_USEC" in manager.heard[0][1] and "migrating 0/3 " in manager.heard[0][1]["STATUS"]

    mark, before_us = manager.mark(), time.monotonic_ns() // 1000
    server.reload()
    after_us = time.monotonic_ns() // 1000
    reloading = manager.await_state("RELOADING", mark)
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= after_us
    assert re.match(r"ready 3/3 gen 2 .* last reload ok$", manager.await_state("READY", mark)["STATUS"])

    mark = manager.mark()
    server.configure(server__bind="unix:nowhere/x.sock")
    server.ctl("reload", "--wait", code=1)
    manager.await_state("RELOADING", mark)
    assert re.match(r"ready 3/3 gen 2 .* last reload failed$", manager.await_state("READY", mark)["STATUS"])

    mark = manager.mark()
    server.configure(no__key="1")
    server.ctl("reload", "--wait", code=1)
    manager.await_state("RELOADING", mark)
    manager.await_state("READY", mark)

    mark = manager.mark()
    wire = begin(server)
    server.send_signal(signal.SIGTERM)
    stopping = manager.await_state("STOPPING", mark)
    assert stopping["STATUS"].startswith("stopping ") and int(stopping["EXTEND_TIMEOUT_USEC"]) > 0
    wire.send(BODY[20:])
    assert wire.answer().status == 201
    assert server.wait() == 0
    assert manager.states() == ["READY", *["RELOADING", "READY"] * 3, "STOPPING"]
    assert {pid for pid, _ in manager.heard} == {server.process.pid}


def test_ready_means_all_workers(serve, place):
    """Not the first of them: none is READY while one has not finished its start."""
    manager = Manager(place / "notify")
    server = told_by(manager, serve, workers=4).spawn()
    ready = manager.await_state("READY")
    assert ready["STATUS"].startswith("ready 4/4 ")
    assert len(server.workers()) == 4
    assert manager.states() == ["READY"]


def test_storm_of_reloads(serve, place):
    """The last word is READY, and each RELOADING has a time of its own."""
    manager = Manager(place / "notify")
    server = told_by(manager, serve, workers=1, config=FAST).start()
    for _ in range(5):
        server.send_signal(signal.SIGHUP)
        server.reload()
    # a HUP that was read after the call may have led to one more
    await_true("the last word is READY", lambda: server.status()["state"] == "ready" and manager.states()[-1] == "READY")
    assert manager.states().count("RELOADING") >= 5
    times = [int(told["MONOTONIC_USEC"]) for _, told in manager.heard if "RELOADING" in told]
    assert times == sorted(set(times))


def test_failed_start_is_never_ready(serve, place):
    manager = Manager(place / "notify")
    server = told_by(manager, serve, workers=1, config={"database.url": "sqlite:///broken.db"})
    (place / "broken.db").write_bytes(b"this is no database" * 100)
    server.spawn()
    assert server.wait() not in (0, None)
    assert "READY" not in manager.states()


def test_watchdog_is_the_masters_own(serve, place):
    """As long as its loop turns, and not when it stands still, whatever the workers do."""
    manager = Manager(place / "notify")
    server = serve.make(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"}).start()
    manager.await_state("READY")
    for _ in range(3):
        mark = manager.mark()
        manager.await_state("WATCHDOG", mark)
    server.send_signal(signal.SIGSTOP)
    manager.mark()
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert not manager.hears(1.5)
    server.send_signal(signal.SIGCONT)
    manager.await_state("WATCHDOG", manager.mark())


def test_watchdog_of_another_process(serve, place):
    manager = Manager(place / "notify")
    serve.make(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"}).start().stop()
    manager.states()
    assert not any("WATCHDOG" in told for _, told in manager.heard)


def test_manager_that_does_not_read(serve, place):
    """It is not waited for; what it did not take it is told later, as it is by then."""
    manager = Manager(place / "notify")
    stuffing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stuffing.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            stuffing.sendto(b"STUFF=1\n", manager.name)
    server = told_by(manager, serve, workers=1, config=FAST).start()
    server.reload()
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert server.log.count("the service manager cannot be told") == 1
    assert manager.await_state("READY")["STATUS"].startswith("ready 1/1 gen 2 ")


def test_no_manager(serve, place):
    """An address that is none, and one where nobody listens: said once, and the server serves."""
    server = serve(directory=place, env={"NOTIFY_SOCKET": "vsock:2:9"}, workers=1)
    server.await_line("NOTIFY_SOCKET=vsock:2:9: .*told nothing")
    server.stop()
    (place / "two").mkdir()
    server = serve(directory=place / "two", env={"NOTIFY_SOCKET": str(place / "nobody")}, workers=1)
    server.stop()
    assert server.log.count("the service manager cannot be told") == 1
