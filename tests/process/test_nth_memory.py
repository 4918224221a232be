"""Memory that runs out at the n-th call, for every n, libraries' calls too: at the start, over one request
of each kind, over a reload, over the commands of the control socket. Sanitizers look on: what is leaked or
touched on the way out is a failure."""

from harness.failing import ALWAYS
from harness.nth import MASTER, MIGRATION, SOME_OR_ALL, WORKER, Requests, ask, judge_slots, start_and_stop
from harness.server import FAST, Server, await_true
from harness.wire import Wire

import pytest

WHO = {"master": MASTER, "migration": MIGRATION, "worker": WORKER}
# Where the quick set looks: all about the event loop is in the master's last ones.
FEW = {"master": lambda n: [*range(n - 50, n - 22, 6), *range(n - 22, n, 3)], "migration": lambda n: range(7, n, n // 4),
       "worker": lambda n: [8, 9, *range(3, n, n // 5)]}


def calls_of_a_start(place, failing, ordinal):
    failing.start_anew()
    failing.arm("MEMORY", skip=ALWAYS, ordinal=ordinal)
    server = Server(place, env=failing.env, workers=1).start()
    count = failing.seen
    failing.disarm()
    server.finish()
    return count


@SOME_OR_ALL
@pytest.mark.parametrize("who", WHO)
def test_start(place, failing, who, some):
    """Either it starts all the same, or it says why not and leaves with a code that makes a service manager
    try again. A worker that could not is replaced. The next start is as good as any."""
    count = calls_of_a_start(place, failing, WHO[who])
    assert count > 200
    for n in FEW[who](count) if some else range(count):
        failing.start_anew()
        failing.arm("MEMORY", skip=n, ordinal=WHO[who])
        log = start_and_stop(place, failing)
        if who == "worker" and failing.struck:
            assert "ready: 1 worker" in log, log
    failing.start_anew()
    assert "ready: 1 worker" in start_and_stop(place, failing)


@SOME_OR_ALL
def test_requests(serve, failing, some):
    """503, or a closed connection, or the answer; the worker lives, and the next request is served."""
    server = serve(env=failing.env, workers=1, config={"auth.throttle": "no"}).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    for kind in requests.kinds:
        good = requests.ask(kind)
        assert good != "closed"
        requests.ask(kind)
        count = failing.count("MEMORY", lambda: requests.ask(kind), pid=pid)
        for n in range(0, count + 1, 4 if some else 1):
            with failing.at("MEMORY", skip=n, pid=pid):
                got = requests.ask(kind)
            assert got in (good, 500, 503, "closed"), (kind, n, failing.last, got)
            assert requests.ask(kind) == good, (kind, n, failing.last)
    judge_slots(server)
    assert list(server.workers()) == [pid]


def test_nothing_is_left_for_a_while(serve, failing):
    """No call at all succeeds: those who ask meanwhile get an answer or a closed connection, those who
    were connected before stay, and when there is memory again all is well."""
    server = serve(env=failing.env, workers=1).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    with failing.at("MEMORY", pid=pid, times=ALWAYS):
        for kind in requests.kinds:
            assert requests.ask(kind) in (503, "closed"), kind
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
        with failing.at("MEMORY", pid=pid, times=ALWAYS):
            wire.ask()
            await_true("something failed", lambda: failing.struck or wire.answer().status == 200)
    assert [requests.ask(kind) for kind in ("root", "user", "sign-up", "login")] == [200, 200, 201, 200]
    judge_slots(server)
    assert list(server.workers()) == [pid]


@SOME_OR_ALL
def test_reload(serve, failing, some):
    """In the master: it is done, or refused with a reason, or the caller is not told; the old worker has
    served on, and the next reload is done and says so."""
    server = serve(env=failing.env, workers=1, config=FAST).await_served()
    with Wire(server.tcp()) as wire:
        ask(server, "reload --wait")
        count = failing.count("MEMORY", lambda: ask(server, "reload --wait"), pid=server.process.pid)
        for n in range(0, count + 1, 5 if some else 1):
            before = server.workers()
            with failing.at("MEMORY", skip=n, pid=server.process.pid):
                told = ask(server, "reload --wait")
            if told and not told["ok"]:
                assert told["error"], (n, told)
                if told["error"].startswith("reload "):
                    assert server.workers().keys() == before.keys(), (n, told)
            server.await_workers(1)
            assert wire.get("/").status == 200
            again = ask(server, "reload --wait")
            assert again["ok"] and "1 worker replaced" in again["text"], (n, failing.last, again)
            assert server.status()["last_reload"]["text"] == again["text"]


@SOME_OR_ALL
def test_reload_whose_worker_is_short(serve, failing, some):
    """In the new worker: the reload is refused, or done; the old one serves on till then, and a connection
    that the new one has no memory for (one of its last calls) waits until it has."""
    server = serve(env=failing.env, workers=1, config=FAST).await_served()
    with Wire(server.tcp()) as wire:
        first = failing.begun + 1     # after the child that judges
        count = failing.count("MEMORY", lambda: server.reload(), ordinal=first)
        assert count > 500
        for n in [*range(2, count - 8, count // 6), *range(count - 8, count)] if some else range(2, count):
            with failing.at("MEMORY", skip=n, ordinal=failing.begun + 1):
                told = ask(server, "reload --wait")
                assert failing.struck or n > count * 0.9     # not all of them are always made
            assert told["ok"] or told["error"].startswith("reload "), told
            assert wire.get("/").status == 200
        assert server.reload()


COMMANDS = ["status", "metrics", "top", "events", "retry", "why 0", "dump 0", "debug on", "log level debug", "wait ready",
            "reload --dry-run", "scale +0", "nonsense"]


def test_commands(serve, failing):
    """The answer, or "out of memory", or a closed connection; then the answer."""
    server = serve(env=failing.env, workers=1).await_served()
    for command in COMMANDS:
        good = ask(server, command)
        count = failing.count("MEMORY", lambda: ask(server, command), pid=server.process.pid)
        for n in range(count + 1):
            with failing.at("MEMORY", skip=n, pid=server.process.pid):
                told = ask(server, command)
            assert told is None or told["ok"] == good["ok"] or told["error"], (command, n, told)
            assert ask(server, command).keys() == good.keys(), (command, n)
    assert len(server.workers()) == 1
