"""Connections that outlive their worker: handed to another one, whatever state they are in. Their clients
notice nothing: the same connection, the next answer."""

import os
import signal
import socket
import sqlite3

import pytest

from harness.server import FAST, await_gone, await_true
from harness.wire import Wire, request
from process.test_stop import BODY, begin


def ask(server, wire, name):
    """One request on a connection; (pid of the worker that answered, what the server calls its peer)."""
    answer = wire.ask(headers=[("X-Request-Id", name)]).answer()
    assert (answer.status, answer.header("connection")) == (200, None), answer
    return logged(server, name)


def logged(server, name):
    found = server.await_line(rf"worker \d+ pid (\d+)\] (\S+) .*\bid={name}$")
    return int(found[1]), found[2]


def reload(server):
    assert "0 cut" in server.reload()


def fewer(server):
    """Scale down until the oldest worker is alone: the others leave."""
    (oldest, *rest) = server.slots()
    server.ctl("scale", "1")
    for slot in rest:
        await_gone(slot["pid"])
    return oldest["pid"]


def recycle(server):
    """Each worker is replaced, one after the other."""
    before = list(server.workers())
    server.ctl("recycle", "all")
    for pid in before:
        await_gone(pid)


CHANGES = {"reload": reload, "scale down": fewer, "recycle": recycle}
change = pytest.mark.parametrize("change", CHANGES.values(), ids=[n.replace(" ", "-") for n in CHANGES])


@change
def test_idle_connections_are_answered_by_another(serve, change):
    server = serve(workers=3, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(50)]
    first = [ask(server, wire, f"before-{i}") for i, wire in enumerate(wires)]
    ports = [wire.socket.getsockname() for wire in wires]
    change(server)
    living = set(server.workers())
    second = [ask(server, wire, f"after-{i}") for i, wire in enumerate(wires)]
    assert [w.socket.getsockname() for w in wires] == ports
    assert [peer for _, peer in second] == ["%s:%d" % port for port in ports], "the peer's address travels along"
    assert {pid for pid, _ in second} <= living
    moved = [a != b for (a, _), (b, _) in zip(first, second)]
    assert all(a in living for (a, _), m in zip(first, moved) if not m) and any(moved)
    totals = server.status()["totals"]
    assert totals["connections_handed_over"] == totals["connections_taken_over"] >= sum(moved)
    assert totals["connections_accepted"] == 50 and totals["connections_cut"] == 0


def test_receipt_counts_the_moved(serve):
    server = serve(workers=2, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(20)]
    for wire in wires:
        assert wire.get().status == 200
    receipt = server.reload()
    assert "2 workers replaced" in receipt and "20 connections moved, 0 finished, 0 cut" in receipt, receipt


@change
def test_fresh_connections(serve, change):
    """Connected, nothing said yet: some accepted, perhaps, some still in the kernel's queue."""
    server = serve(workers=3, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(50)]
    change(server)
    assert [wire.get().status for wire in wires] == [200] * 50
    assert [wire.get().status for wire in wires] == [200] * 50


@pytest.mark.parametrize("cut", [1, 10, 16, 30, -1])
def test_part_of_a_head_travels_along(serve, cut):
    server = serve(workers=2, config=FAST)
    whole = request("GET", "/users/?limit=1", [("X-Request-Id", "in-two-parts")])
    wires = [Wire(server.tcp()) for _ in range(4)]
    for i, wire in enumerate(wires):
        if i % 2:
            assert wire.get().status == 200
        wire.send(whole[:cut])
    server.await_status("the parts have arrived", lambda s: s["totals"]["bytes_in"] >= 4 * len(whole[:cut]))
    reload(server)
    for wire in wires:
        assert wire.send(whole[cut:]).answer().body == b'{"users":[]}'


def last_of_generation_1(server):
    """Waits until one old worker is left, which still has a request in flight."""
    def last():
        old = [(pid, title) for pid, title in server.children().items() if " gen 1 " in title]
        return old[0][0] if len(old) == 1 and "draining" in old[0][1] else None
    return await_true("one old worker is left", last)


def test_busy_connection_follows_when_it_is_answered(serve):
    """It is answered by the old worker, as if nothing was; then it belongs to a new one."""
    server = serve(workers=2, config=FAST)
    wire = begin(server)
    server.ctl("reload")
    old = last_of_generation_1(server)
    wire.send(BODY[20:])
    answer = wire.answer()
    assert (answer.status, answer.header("connection")) == (201, None)
    await_gone(old)
    assert ask(server, wire, "afterwards")[0] in server.workers()


def test_pipelined_requests_travel_along(serve):
    """The first is in flight when the reload begins; those behind it have been received already."""
    server = serve(workers=2, config=FAST)
    wire = begin(server)
    server.ctl("reload")
    old = last_of_generation_1(server)
    rest = [request(target=f"/users/{i}", headers=[("X-Request-Id", f"behind-{i}")]) for i in (1, 2)]
    wire.send(BODY[20:] + b"".join(rest) + request(target="/nope")[:20])
    assert [wire.answer().status for _ in range(3)] == [201, 200, 404]
    await_gone(old)
    assert wire.send(request(target="/nope")[20:]).answer().status == 404
    assert wire.get().status == 200


def test_slow_reader_gets_all_of_its_answer(serve, place):
    """An answer that does not fit into the socket's buffers when the reload begins."""
    first = serve(workers=1)
    first.stop()
    with sqlite3.connect(place / "database.db") as db:
        db.executemany("INSERT INTO users (username, password, email) VALUES (?, 'x', ?)",
                       ((f"user-{i}", f"user-{i}@test.com") for i in range(160000)))
    db.close()
    server = serve(workers=1, config=FAST)
    wire = Wire(server.tcp())
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    (old,) = server.workers()
    wire.ask(target="/users/?limit=160000")
    sent = server.await_status("the answer has begun", lambda s: s["totals"]["bytes_out"])
    server.ctl("reload")
    server.await_workers(1, without=[old])
    body = wire.answer().body
    assert sent < len(body), "nothing was left to be sent"
    assert body.count(b'"username"') == 160000 and body.endswith(b"}]}")
    await_gone(old)
    assert wire.get().status == 200


def test_unix_socket_connections_are_handed_over(serve, place):
    server = serve(bind="unix:http.sock", workers=2, config=FAST)
    wires = [Wire(str(place / "http.sock")) for _ in range(20)]
    for wire in wires[:10]:
        assert wire.get().status == 200
    reload(server)
    assert [wire.get().status for wire in wires] == [200] * 20


def test_deadlines_are_not_renewed(serve):
    """Half a head, and reload after reload: header_timeout is counted from its first byte."""
    server = serve(workers=1, config={**FAST, "limits.header_timeout": "2s"})
    wire = Wire(server.tcp()).send(b"GET / HTTP/1.1\r\nHo")
    wire.socket.setblocking(False)

    def reload_and_look():
        reload(server)
        try:
            return wire.socket.recv(4096)
        except BlockingIOError:
            return None
    assert b" 408 " in await_true("the deadline has passed", reload_and_look)


def test_idle_deadline_is_not_renewed(serve):
    server = serve(workers=1, config={**FAST, "limits.keepalive_timeout": "2s"})
    wire = Wire(server.tcp())
    assert wire.get().status == 200
    wire.socket.setblocking(False)

    def reload_and_look():
        reload(server)
        try:
            return wire.socket.recv(4096) == b""
        except BlockingIOError:
            return False
    assert await_true("the connection was closed", reload_and_look)


def wires_with_some_of(server, pid):
    """Connections, forty and as many more as it takes until *pid* has some (who accepts is the kernel's
    choice); and the owner of each."""
    wires, owners = [], []
    while not wires or (pid not in owners and len(wires) < 400):
        more = [Wire(server.tcp()) for _ in range(40)]
        owners += [ask(server, wire, f"q-{len(wires) + i}")[0] for i, wire in enumerate(more)]
        wires += more
    assert pid in owners, "otherwise there is nothing to hand over"
    return wires, owners


def test_connections_wait_in_the_queue_for_a_stopped_worker(serve):
    """The only one who could take them is stopped: they wait, and are answered when it goes on."""
    server = serve(workers=2, config=FAST).await_served()
    taker, giver = server.slots()
    wires, _ = wires_with_some_of(server, giver["pid"])
    os.kill(taker["pid"], signal.SIGSTOP)
    try:
        server.ctl("scale", "1")
        await_gone(giver["pid"])
        for wire in wires:
            wire.ask()
    finally:
        os.kill(taker["pid"], signal.SIGCONT)
    assert {wire.answer().status for wire in wires} == {200}
    assert server.status()["totals"]["connections_cut"] == 0


def test_queue_outlives_a_killed_worker(serve):
    """What is in the queue belongs to nobody: whoever is killed cannot take it along."""
    server = serve(workers=2, config=FAST).await_served()
    taker, giver = server.slots()
    wires, owners = wires_with_some_of(server, giver["pid"])
    os.kill(taker["pid"], signal.SIGSTOP)
    server.ctl("scale", "1")
    await_gone(giver["pid"])
    os.kill(taker["pid"], signal.SIGKILL)
    await_gone(taker["pid"])
    for wire, owner in zip(wires, owners):
        if owner == giver["pid"]:
            assert wire.get().status == 200


def test_queue_that_nobody_empties_ends_politely(serve):
    """More than the queue holds, and nobody to take it: the rest waits with its worker, is answered there,
    and told that this was the last answer."""
    server = serve(workers=2, config={**FAST, "limits.keepalive_timeout": "30s"})
    taker, giver = server.slots()
    os.kill(taker["pid"], signal.SIGSTOP)
    wires = []
    try:
        for i in range(600):
            wires.append(Wire(server.tcp()))
            assert wires[-1].get().status == 200
        server.ctl("scale", "1")
        await_true("one of them draining", lambda: any("draining" in t for t in server.children().values()))
        answers = []
        for wire in wires:
            wire.ask()
    finally:
        os.kill(taker["pid"], signal.SIGCONT)
    answers = [wire.answer() for wire in wires]
    assert [a.status for a in answers] == [200] * 600
    for wire, answer in zip(wires, answers):
        if answer.header("connection") == "close":
            assert wire.is_closed()
        else:
            assert wire.get().status == 200
    await_gone(giver["pid"])
    assert server.status()["totals"]["connections_cut"] == 0
