"""Stopping: graceful, quick, interrupted; what is in flight, what is queued, who is cut."""

import os
import signal
import socket
import sqlite3

import pytest

from harness.server import await_gone, await_true
from harness.wire import Wire

BODY = b'{"username":"ana","email":"ana@test.com","password":"pw-in-flight"}'
HEAD = (b"POST /users/ HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(BODY))


def begin(server):
    """A request in flight: the server has its head and half of its body."""
    wire = Wire(server.tcp())
    wire.send(HEAD)
    assert wire.answer().status == 100
    wire.send(BODY[:20])
    return wire


def refused(address):
    try:
        socket.create_connection(address, timeout=10).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop_answers_what_is_in_flight(serve, number):
    server = serve()
    wire = begin(server)
    server.send_signal(number)
    server.await_line("stopping: ")
    await_true("newcomers are refused while the old request goes on", lambda: refused(server.tcp()))
    wire.send(BODY[20:])
    answer = wire.answer()
    assert (answer.status, answer.header("connection")) == (201, "close")
    assert answer.names[-1] == "connection"
    assert wire.is_closed()
    assert server.wait() == 0


def test_graceful_stop_of_an_idle_server(serve):
    server = serve(workers=3)
    pids = list(server.workers())
    server.stop()
    for pid in pids:
        await_gone(pid)
    assert len([line for line in server.log.splitlines() if " left after " in line]) == 3


def test_idle_keepalive_connections_are_closed(serve):
    server = serve()
    wires = [Wire(server.tcp()) for _ in range(20)]
    for wire in wires[:10]:
        assert wire.get().status == 200
    server.send_signal(signal.SIGTERM)
    assert all(wire.is_closed() for wire in wires)
    assert server.wait() == 0


def test_healthcheck_while_stopping(serve):
    """On a connection that had begun its request when the stop began."""
    server = serve(workers=1)
    wire = Wire(server.tcp())
    wire.send(b"GET /healthcheck HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
    assert wire.answer().status == 100
    server.send_signal(signal.SIGTERM)
    await_true("newcomers are refused", lambda: refused(server.tcp()))
    wire.send(b"x")
    answer = wire.answer()
    assert (answer.status, answer.body) == (503, b'{"status":"stopping"}')
    assert server.wait() == 0


def test_accepted_by_the_kernel_is_answered(serve):
    """Connections that wait in the listen queue of a stopped worker when the stop begins."""
    server = serve(workers=1)
    (pid,) = server.workers()
    os.kill(pid, signal.SIGSTOP)
    wires = [Wire(server.tcp()).ask(target="/") for _ in range(30)]
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    os.kill(pid, signal.SIGCONT)
    assert [wire.answer().status for wire in wires] == [200] * 30
    assert server.wait() == 0


def test_second_interrupt_is_quick(serve):
    server = serve()
    wire = begin(server)
    server.send_signal(signal.SIGINT)
    server.await_line("stopping: ")
    server.send_signal(signal.SIGINT)
    server.await_line("stopping quickly")
    wire.rest()
    assert server.wait() == 5, "something was cut"


def test_quit_is_quick_and_tells_of_the_cut(serve):
    server = serve()
    wire = begin(server)
    server.send_signal(signal.SIGQUIT)
    server.await_line("stopping quickly")
    server.await_line(r"1 connections? (were|was) cut|connections cut: 1")
    wire.rest()
    assert server.wait() == 5


def test_quit_without_work_is_clean(serve):
    serve().stop(signal.SIGQUIT)


def test_graceful_timeout_cuts(serve):
    server = serve(config={"supervisor.graceful_timeout": "100ms"})
    wires = [begin(server) for _ in range(3)]
    server.stop(signal.SIGTERM, code=5)
    for wire in wires:
        wire.rest()


def test_graceful_timeout_does_not_cut_who_is_ready_in_time(serve):
    """Only one of two is late."""
    server = serve(workers=1, config={"supervisor.graceful_timeout": "3s"})
    late, in_time = begin(server), begin(server)
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    in_time.send(BODY[20:])
    assert in_time.answer().status == 201
    server.await_line(r"1 connections? (were|was) cut|connections cut: 1")
    late.rest()
    assert server.wait() == 5


def test_clean_stop_truncates_the_wal(serve, place):
    server = serve()
    with server.api() as api:
        assert api.sign_up().status_code == 201
    wal = place / "database.db-wal"
    assert wal.stat().st_size > 0, "otherwise there is nothing to truncate"
    server.stop()
    assert not wal.exists() or wal.stat().st_size == 0
    with sqlite3.connect(place / "database.db") as db:
        assert db.execute("SELECT username FROM users").fetchall() == [("Teste",)]


def test_stop_while_starting(serve):
    """Stop signals are obeyed in every state."""
    server = serve.make(workers=4)
    server.spawn()
    server.await_line(".")      # it has begun to speak, so its signals are watched or soon will be
    server.send_signal(signal.SIGTERM)
    assert server.wait() in (0, -signal.SIGTERM)


def test_hangup_and_user_signals_do_not_kill_a_worker(serve):
    server = serve(workers=1)
    (pid,) = server.workers()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(pid, number)
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert list(server.workers()) == [pid]


def test_term_to_a_worker_drains_it_and_it_is_replaced(serve):
    server = serve(workers=1)
    (pid,) = server.workers()
    wire = begin(server)
    os.kill(pid, signal.SIGTERM)
    wire.send(BODY[20:])
    assert wire.answer().status == 201
    await_gone(pid)
    (new,) = server.await_workers(1, without=[pid])
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200


def test_ctrl_c_on_a_terminal_cuts_nothing(serve):
    """The terminal sends SIGINT to its whole foreground process group: only the master obeys."""
    server = serve.make()
    leader = server.start_on_terminal()
    wire = begin(server)
    os.write(leader, b"\x03")
    server.await_line("stopping: ")
    wire.send(BODY[20:])
    assert wire.answer().status == 201
    assert server.wait() == 0
    assert "cut" not in server.log
    os.close(leader)
