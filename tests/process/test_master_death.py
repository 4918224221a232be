"""The master is killed: its workers finish what is in flight and leave; the port is free at once."""

import os
import signal

import pytest

from harness.server import await_gone
from harness.wire import Closed, Wire
from process.test_stop import BODY, begin


def kill_master(server):
    pids = list(server.workers())
    server.send_signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    return pids


def test_workers_finish_and_leave(serve):
    server = serve(workers=2)
    wire = begin(server)
    pids = kill_master(server)
    wire.send(BODY[20:])
    answer = wire.answer()
    assert (answer.status, answer.header("connection")) == (201, "close")
    for pid in pids:
        await_gone(pid)


def test_idle_workers_leave(serve):
    server = serve(workers=3)
    wires = [Wire(server.tcp()) for _ in range(10)]
    for wire in wires:
        assert wire.get().status == 200
    for pid in kill_master(server):
        await_gone(pid)
    assert all(wire.is_closed() for wire in wires)


def test_port_can_be_bound_again_at_once(serve):
    """While a worker of the dead master still has a request in flight."""
    first = serve(workers=2)
    wire = begin(first)
    pids = kill_master(first)
    first.await_line(r"master is gone|without a master|orphan")
    second = serve(workers=1, bind="%s:%d" % first.tcp())
    with Wire(second.tcp()) as other:
        assert other.get().status == 200
    wire.send(BODY[20:])
    assert wire.answer().status == 201
    for pid in pids:
        await_gone(pid)
    with second.api() as api:
        assert api.get("/users/1").json()["username"] == "ana"


def test_orphans_do_not_outlive_graceful_timeout(serve):
    server = serve(workers=1, config={"supervisor.graceful_timeout": "100ms"})
    wire = begin(server)
    for pid in kill_master(server):
        await_gone(pid)
    try:
        wire.rest()
    except ConnectionError:
        pass


def test_unix_socket_can_be_bound_again(serve, place):
    first = serve(bind="unix:http.sock")
    for pid in kill_master(first):
        await_gone(pid)
    assert (place / "http.sock").exists(), "nobody was left to remove it"
    serve(bind="unix:http.sock")
    with Wire(str(place / "http.sock")) as wire:
        assert wire.get().status == 200


def test_killed_together_with_its_workers(serve):
    server = serve(workers=2)
    pids = list(server.workers())
    for pid in [server.process.pid, *pids]:
        os.kill(pid, signal.SIGKILL)
    server.wait()
    for pid in pids:
        await_gone(pid)
    second = serve(workers=2, bind="%s:%d" % server.tcp())
    with Wire(second.tcp()) as wire:
        assert wire.get().status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: t\r\n"])
def test_half_a_request_does_not_hold_an_orphan(serve, sent):
    """What never completes is cut at graceful_timeout, or closed at once when nothing was said."""
    server = serve(workers=1, config={"supervisor.graceful_timeout": "200ms"})
    wire = Wire(server.tcp()).send(sent)
    for pid in kill_master(server):
        await_gone(pid)
    try:
        wire.answer()
    except (Closed, ConnectionError):
        pass
