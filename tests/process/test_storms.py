"""More orders than anybody gives, at any moment: the server serves on, and ends well."""

import os
import random
import re
import signal

import pytest

from harness.load import Load
from harness.server import FAST, await_true
from harness.wire import Wire

TOLD = r"reload (\d+): \d+ workers? replaced"


def test_thousand_hups(serve):
    """They become a few reloads; the last one begins after the last signal."""
    server = serve(workers=2, config=FAST)
    with Load(server, keepalive=6, connect=4, pipelined=2) as load:
        for _ in range(1000):
            server.send_signal(signal.SIGHUP)
        load.await_progress(5)
        server.configure(limits__max_body="1k")
        last = int(re.match(TOLD, server.reload())[1])
        load.await_progress(5)
    assert 2 <= last < 1000
    with Wire(server.tcp()) as wire:
        assert wire.ask("POST", "/users/", [("Content-Type", "application/json")], b" " * 2000).answer().status == 413
    assert server.status()["totals"]["connections_cut"] == 0
    load.judge()


def test_more_and_fewer(serve):
    """The kernel merges signals of a kind, so how many workers there will be is anybody's guess; that it
    is what the status says is not."""
    server = serve(workers=2, config=FAST)
    dice = random.Random(1)
    with Load(server, keepalive=6, connect=4, pipelined=2) as load:
        for _ in range(300):
            server.send_signal(dice.choice([signal.SIGTTIN, signal.SIGTTOU]))
        target = server.status()["workers"]["target"]
        server.ctl("wait", "ready")
        server.await_workers(target)
        load.await_progress(5)
    assert server.ctl("scale", "reset")["workers"] == 2
    server.await_workers(2)
    load.judge()


def test_everything_at_once(serve):
    """Reloads, scaling, recycling and questions in any order, each seed another one."""
    server = serve(workers=3, config=FAST).await_served()
    dice = random.Random(int(os.environ.get("COLMEIA_SEED", "7")))
    orders = [
        lambda: server.send_signal(signal.SIGHUP), lambda: server.send_signal(signal.SIGTTIN),
        lambda: server.send_signal(signal.SIGTTOU), lambda: server.send_signal(signal.SIGUSR1),
        lambda: server.ask("recycle all"), lambda: server.ask(f"scale {dice.randint(1, 5)}"),
        lambda: server.ask("retry"), server.status,
        lambda: server.ask(f"recycle {dice.choice(server.status()['slots'])['slot']}")]
    with Load(server, keepalive=6, connect=4, slow=2, pipelined=2) as load:
        for turn in range(80):
            dice.choice(orders)()
            if turn % 10 == 9:
                load.await_progress(1)
        server.ask("scale reset")
        server.ctl("wait", "ready")
        load.await_progress(5)
    server.await_status("all is quiet", lambda s: s["state"] == "ready" and len(s["slots"]) == 3)
    server.await_workers(3)
    load.judge()


POINTS = {
    "at once": lambda server: None,
    "checking": lambda server: server.await_line("checking the configuration"),
    "a child more": lambda server: await_true("a child more", lambda: len(server.children()) > 2 or done(server)),
    "a new worker": lambda server: await_true("a new one", lambda: generation(server, 2)),
    "new ones ready": lambda server: await_true("ready", lambda: generation(server, 2, "ready")),
    "old ones drain": lambda server: await_true("draining", lambda: generation(server, 1, "draining") or done(server)),
    "one has left": lambda server: server.await_line(r"worker \d+ .* left after"),
    "over": lambda server: server.await_line(TOLD),
}


def generation(server, number, state=""):
    return [t for t in server.children().values() if f" gen {number} " in t and state in t]


def done(server):
    return re.search(TOLD, server.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["TERM", "QUIT"])
@pytest.mark.parametrize("point", POINTS, ids=[n.replace(" ", "-") for n in POINTS])
def test_stop_right_after_hup(serve, point, number):
    """Whatever the reload is at: answered or refused, exit 0, nothing left over."""
    server = serve(workers=2, config=FAST)
    wires = [Wire(server.tcp()).ask() for _ in range(20)]
    server.send_signal(signal.SIGHUP)
    POINTS[point](server)
    server.send_signal(number)
    answers = [wire.answer() for wire in wires]
    assert [answer.status for answer in answers] == [200] * 20
    for wire in wires:
        wire.close()
    assert server.wait() == 0
    assert len(re.findall(r"reload 1(: \d| failed)", server.log)) <= 1


def test_stop_at_any_moment(serve):
    """A few hundred microseconds after the HUP, a little later each time; clients see no fault."""
    for step in range(12):
        server = serve(workers=2, config={**FAST, "supervisor.settle": "0s"})
        with Load(server, until_stop=True, name=f"s{step}", connect=6) as load:
            load.await_progress(2)
            server.send_signal(signal.SIGHUP)
            for _ in range(step):
                server.status()         # takes the master a moment, and us
            server.send_signal(signal.SIGTERM)
            load.await_end()
        assert server.wait() == 0, step
        load.judge()


def test_signals_before_it_is_ready(serve):
    """Wishes are remembered or forgotten; a stop is obeyed."""
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU):
        server = serve.make(workers=2, config=FAST)
        server.spawn()
        server.await_line(".")          # its signals are watched from now on
        server.send_signal(number)
        server.await_ready()
        with Wire(server.tcp()) as wire:
            assert wire.get().status == 200
        server.stop()


def test_usr1_is_harmless(serve):
    server = serve(workers=1)
    before = list(server.workers())
    server.send_signal(signal.SIGUSR1)
    server.await_line("SIGUSR1")
    assert list(server.workers()) == before


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_everything_at_once_again(serve, seed, monkeypatch):
    monkeypatch.setenv("COLMEIA_SEED", str(seed))
    test_everything_at_once(serve)
