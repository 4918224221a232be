"""The handover queue when it fails: whoever cannot be given away ends politely, what cannot be taken waits,
and what is lost all the same is counted and said."""

import os
import re
import resource
import signal

import pytest

from harness.faults import await_held, go_on
from harness.load import Load
from harness.server import FAST, await_gone, await_true, open_files
from harness.wire import Closed, Wire
from process.test_handover import ask

HOW = {"first": "once ", "middle": "skip 3 once ", "always": ""}


@pytest.mark.parametrize("error, how", [
    *[("ETOOMANYREFS", how) for how in HOW], *[("EAGAIN", how) for how in HOW], ("ENOBUFS", "middle"),
    ("EPIPE", "always"), ("EINTR", "first")])
def test_giving_fails(serve, faults, error, how):
    """No request is lost; those that were not given away are told so with their last answer."""
    server = serve(env=faults.env, config=FAST)
    idle = [Wire(server.tcp()) for _ in range(10)]
    assert [wire.get().status for wire in idle] == [200] * 10
    with Load(server, keepalive=6, connect=4, slow=3) as load:
        load.await_progress(2)
        faults.set("handover_give", f"{HOW[how]}errno {error}")
        server.send_signal(signal.SIGHUP)
        told = server.await_line(r"reload 1: 2 workers replaced, .* (\d+) connections moved, .* 0 cut")
        assert how == "always" or faults.is_struck("handover_give")
        load.await_progress(2)
    refused = len(re.findall("connections cannot be handed over: ", server.log))
    if error in ("EAGAIN", "EINTR"):
        assert refused == 0
    else:
        assert refused == (2 if how == "always" else 1)
    if how == "always":
        assert told[1] == "0" and all(wire.is_closed() for wire in idle), "idle ones end after a quiet time"
    else:
        assert int(told[1]) >= 5
    load.judge()


def test_a_stop_as_the_last_one_is_given_away(serve, faults):
    """The worker that gave it takes it back before it leaves, for those who could have taken it leave, too."""
    server = serve(workers=1, env=faults.env, config=FAST)
    (old,) = server.workers()
    body = b'{"username": "ana", "email": "ana@test.com", "password": "pw-4711"}'
    with Wire(server.tcp()) as wire:
        wire.send(b"POST /users/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body[:9])
        server.await_status("it is read", lambda s: s["busy"] == 1)
        server.send_signal(signal.SIGHUP)
        await_true("the old one leaves", lambda: "draining" in server.children().get(old, ""))
        (new,) = set(server.workers()) - {old}
        os.kill(new, signal.SIGSTOP)
        await_held(new)
        faults.set("handover_give", "once signal STOP")
        wire.send(body[9:])
        assert wire.answer().status == 201
        await_held(old)
        server.send_signal(signal.SIGTERM)
        assert server.status()["state"] == "stopping"
        go_on(old)
        answer = wire.get()
        assert (answer.status, answer.header("connection")) == (200, "close") and wire.is_closed()
        go_on(new)
    assert server.wait() == 0, server.log


@pytest.mark.parametrize("error", ["ETOOMANYREFS", "EPIPE"])
def test_fresh_connections_that_cannot_be_given_away(serve, faults, error):
    """They have time for their first request, and are answered once."""
    server = serve(env=faults.env, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(20)]
    server.await_status("all are accepted", lambda s: s["connections"] == 20)
    faults.set("handover_give", f"errno {error}")
    server.send_signal(signal.SIGHUP)
    server.await_line("connections cannot be handed over")
    await_true("all old ones have been told", lambda: all(
        "draining" in title for title in server.children().values() if " gen 1 " in title))
    for wire in wires:
        answer = wire.ask().answer()
        assert (answer.status, answer.header("connection")) == (200, "close") and wire.is_closed()
    server.await_line(r"reload 1: 2 workers replaced, .* 0 cut")


def test_epoll_does_not_forget(serve, faults):
    """The old worker goes on to hear of connections that others have by now; it disturbs nobody."""
    server = serve(env=faults.env, config=FAST)
    faults.set("forget_fd", "errno ENOMEM")
    with Load(server, keepalive=4, connect=4, slow=4) as load:
        load.await_progress(2)
        server.send_signal(signal.SIGHUP)
        told = server.await_line(r"reload 1: 2 workers replaced, .* (\d+) connections moved, .* 0 cut")
        load.await_progress(2)
    assert int(told[1]) > 0 and "may disturb this worker: epoll_ctl: Cannot allocate memory" in server.log
    load.judge()


LATER = {"first": "once", "middle": "skip 5 once", "always": "skip 2"}


@pytest.mark.parametrize("error, how", [
    *[(error, how) for error in ("ENOMEM", "EAGAIN") for how in LATER], ("ENOBUFS", "always"), ("EINTR", "first")])
def test_taking_fails(serve, faults, error, how):
    """For a moment: what is in the queue waits, and is answered."""
    server = serve(env=faults.env, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(30)]
    assert [wire.get().status for wire in wires] == [200] * 30
    faults.set("handover_take", f"{LATER[how]} errno {error}")
    server.send_signal(signal.SIGHUP)
    server.await_line(r"reload 1: 2 workers replaced, .* (\d+) connections moved, .* 0 cut")
    for wire in wires:
        wire.ask()
    if how != "always":
        faults.await_struck("handover_take")
    faults.clear("handover_take")
    assert [wire.answer().status for wire in wires] == [200] * 30
    totals = server.status()["totals"]
    # or more: an old worker that has not been told yet may have taken some, and given them again
    assert totals["connections_handed_over"] == totals["connections_taken_over"] >= 30


def soft_limit(pid, soft):
    """Descriptors that a process may have from now on; the limit before."""
    before, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    return before


def one_will_leave(server):
    """({"taker", "giver"} slots, connections of both, those of the giver)."""
    taker, giver = server.slots()
    wires, theirs = [], []
    while len(theirs) < 10 or len(wires) < 40:      # who takes how many is the kernel's affair, too
        assert len(wires) < 400, "one worker takes nobody"
        wires.append(Wire(server.tcp()))
        if ask(server, wires[-1], f"q-{len(wires)}")[0] == giver["pid"]:
            theirs.append(wires[-1])
    return taker["pid"], giver["pid"], wires, theirs


def test_receiver_short_of_descriptors(serve):
    """It takes what it can own; the others stay in the queue until it can have more, and nobody is lost."""
    server = serve(config=FAST)
    taker, giver, wires, _ = one_will_leave(server)
    before = soft_limit(taker, max(open_files(taker)) + 2)
    server.ctl("scale", "1")
    await_gone(giver)
    server.await_line("handed over connections are left to other workers: Too many open files")
    for wire in wires:
        wire.ask()
    soft_limit(taker, before)
    assert [wire.answer().status for wire in wires] == [200] * 40
    totals = server.status()["totals"]
    assert totals["connections_handed_over"] == totals["connections_taken_over"] > 0
    assert totals["accept_errors"] == 0 and "was lost" not in server.log


def test_descriptor_taken_away_at_the_last_moment(serve, faults):
    """Between making room and taking: the kernel drops that one connection. It is counted and said, its
    client sees the end, and the others are answered."""
    server = serve(config=FAST, env=faults.env)
    taker, giver, wires, theirs = one_will_leave(server)
    faults.set("handover_take", "once signal STOP")
    server.ctl("scale", "1")
    faults.await_struck("handover_take")
    await_held(taker)
    taken = open_files(taker)
    before = soft_limit(taker, next(fd for fd in range(len(taken) + 1) if fd not in taken))
    go_on(taker)
    server.await_line(r"worker \d+ pid \d+\] handover queue: a connection was lost: no descriptor was free")
    soft_limit(taker, before)
    await_gone(giver)
    lost = []
    for wire in wires:
        try:
            assert wire.get().status == 200
        except (Closed, ConnectionError):
            lost.append(wire)
    assert len(lost) == 1 and lost[0] in theirs
    assert server.status()["totals"]["accept_errors"] == 1


def test_killed_in_the_middle_of_giving(serve, faults):
    """What it had given lives on; the rest died with it, and a reload is not held up by that."""
    server = serve(config=FAST, env=faults.env).await_served()
    wires = [Wire(server.tcp()) for _ in range(40)]
    owners = [ask(server, wire, f"k-{i}")[0] for i, wire in enumerate(wires)]
    faults.set("handover_give", "skip 4 once signal KILL")
    told = server.ctl("reload", "--wait")["text"]
    assert faults.is_struck("handover_give")
    dead, cut = map(int, re.search(r"\(pid (\d+)\) killed by signal 9 .*connections cut: (\d+)", server.log).groups())
    alive = {}
    for wire, owner in zip(wires, owners):
        try:
            alive[wire] = wire.get().status == 200
        except (Closed, ConnectionError):
            alive[wire] = False
    assert all(alive[w] for w, owner in zip(wires, owners) if owner != dead)
    lost = [wire for wire in wires if not alive[wire]]
    assert cut == len(lost) > 0 and f"{cut} cut" in told, (cut, len(lost), told)
