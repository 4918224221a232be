"""System calls that fail at the n-th time, or for a while: no descriptors, no disk, interrupted, cut short;
at the start, over requests of each kind, over a reload. Nothing acknowledged is lost, the loop lives, the
log says what it was, and it recovers when the fault goes away."""

import re
import sqlite3

import pytest

from harness.failing import ALWAYS
from harness.nth import MASTER, MIGRATION, SOME_OR_ALL, WORKER, Requests, ask, judge_slots, start_and_stop
from harness.server import FAST, Server, await_true
from harness.wire import Wire

INTERRUPTED = "READ|WRITE|OPEN|SYNC|WAIT|SOCKET"
FAULTS = {      # what may really be
    "no descriptors": ("OPEN", {"error": "EMFILE"}),
    "none in the system": ("OPEN", {"error": "ENFILE"}),
    "disk full": ("WRITE|SYNC", {"error": "ENOSPC", "path": "/"}),     # of files: sockets have no disk
    "disk broken": ("WRITE|SYNC", {"error": "EIO", "path": "/"}),
    "disk unreadable": ("READ", {"error": "EIO", "path": "/"}),
    "files": ("FILE", {"error": "EIO"}),
    "sockets": ("SOCKET", {"error": "ENOMEM"}),
    "interrupted": (INTERRUPTED, {"error": "EINTR"}),
    "no threads": ("PROCESS", {"error": "EAGAIN"}),
}
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=[name.replace(" ", "-") for name in FAULTS])
WHO = {"master": MASTER, "migration": MIGRATION, "worker": WORKER}


@SOME_OR_ALL
@each_fault
def test_start(place, failing, fault, some):
    kinds, how = FAULTS[fault]
    for who, ordinal in WHO.items():
        n = 0
        while True:
            failing.start_anew()
            failing.arm(kinds, skip=n, ordinal=ordinal, **how)
            log = start_and_stop(place, failing)
            if who == "worker":
                assert "ready: 1 worker" in log, log
            if failing.struck == 0 or some:
                break
            n += 1


def stored(place):
    with sqlite3.connect(f"file:{place}/database.db?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name for (name,) in db.execute("SELECT username FROM users")}


@SOME_OR_ALL
def test_requests(serve, place, failing, some):
    """Once each: an answer, 503, or a closed connection; the next is served by the same worker."""
    server = serve(env=failing.env, workers=1, config={"auth.throttle": "no"}).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    acknowledged = {"first"}
    for fault, (kinds, how) in FAULTS.items():
        for kind in ("root", "list", "sign-up", "login", "refresh", "page") if some else requests.kinds:
            good = requests.ask(kind)
            count = failing.count(kinds, lambda: requests.ask(kind), pid=pid, path=how.get("path", ""))
            for n in range(0, count, 5 if some else 1):
                with failing.at(kinds, skip=n, pid=pid, **how):
                    got = requests.ask(kind)
                assert got in (good, 500, 503, "closed"), (fault, kind, n, failing.last, got)
                if kind == "sign-up" and got == 201:
                    acknowledged.add(f"n{requests.made}")
                await_true(f"{kind} is served again ({fault} {n} {failing.last})", lambda: requests.ask(kind) == good)
    judge_slots(server)
    assert list(server.workers()) == [pid]
    assert acknowledged <= stored(place)


LASTING = {     # what fails, whether reads go on, what the log says
    "fsync": ("SYNC", {"error": "EIO"}, True, "writes fail: .*: input/output error"),
    "write": ("WRITE", {"error": "EIO"}, True, "writes fail: .*: input/output error"),
    "full": ("WRITE", {"error": "ENOSPC"}, True, "writes fail: .*(the disk is full|No space left)"),
    "read": ("READ", {"error": "EIO"}, False, "fail: .*(kernel log|Input/output error)"),
}


@pytest.mark.parametrize("what", LASTING)
def test_disk_fails_for_a_while(serve, place, failing, what):
    kinds, how, reads, line = LASTING[what]
    server = serve(env=failing.env, workers=1, config={"log.level": "info"}).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    assert requests.ask("sign-up") == 201
    with failing.at(kinds, pid=pid, path="database.db", times=ALWAYS, **how):
        assert [requests.ask("sign-up") for _ in range(3)] == [503, 503, 503]
        assert requests.ask("root") == 200
        if reads:
            assert [requests.ask(kind) for kind in ("user", "list", "login", "refresh")] == [200] * 4
    server.await_line(line)
    await_true("writes work again", lambda: requests.ask("sign-up") == 201)
    server.await_line("work again")
    assert list(server.workers()) == [pid]
    assert stored(place) == {"first", "n1", f"n{requests.made}"}


def test_out_of_descriptors_for_a_while(serve, failing):
    """Connections that are there are served; newcomers wait; the log says so."""
    server = serve(env=failing.env, workers=1).await_served()
    (pid,) = server.workers()
    with Wire(server.tcp()) as old:
        assert old.get().status == 200
        with failing.at("OPEN", pid=pid, error="EMFILE", times=ALWAYS):
            new = Wire(server.tcp()).ask()
            server.await_line("cannot accept connections: Too many open files; next try in")
            assert old.get("/users/").status == 200
        assert new.answer().status == 200
        new.close()
    assert list(server.workers()) == [pid]


@pytest.mark.parametrize("error", ["ENOMEM", "ENOSPC"])
def test_kernel_has_no_room_to_watch(serve, failing, error):
    """epoll_ctl(2) fails for a while: the connection is closed, the next one served; the master
    obeys its signals afterwards."""
    server = serve(env=failing.env, workers=1).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    with failing.at("SOCKET", pid=pid, error=error, path="eventpoll", times=ALWAYS):
        assert requests.ask("root") in ("closed", 200)
    assert requests.ask("root") == 200
    assert list(server.workers()) == [pid]


@pytest.mark.parametrize("who", ["master", "worker"])
def test_kernel_has_no_room_at_the_start(place, failing, who):
    """The first times: signals, the control socket, channels, listeners are watched again."""
    failing.arm("SOCKET", error="ENOMEM", ordinal=WHO[who], path="eventpoll", skip=1 if who == "worker" else 0, times=4)
    log = start_and_stop(place, failing)
    assert failing.struck == (4 if who == "master" else 1) and "ready: 1 worker" in log, log
    assert re.search("no room|cannot accept|out of memory", log), log


@pytest.mark.parametrize("bytes_at_most", [1, 7])
def test_everything_comes_in_pieces(serve, place, failing, bytes_at_most):
    """Reads and writes that do less than they were asked for: nobody notices."""
    for ordinal in (MASTER, MIGRATION):
        failing.start_anew()
        failing.arm("READ|WRITE", short=bytes_at_most, times=ALWAYS, ordinal=ordinal)
        assert "ready: 1 worker" in start_and_stop(place, failing)
    failing.start_anew()
    server = serve(env=failing.env, workers=1).await_served()
    (pid,) = server.workers()
    requests = Requests(server)
    good = {kind: requests.ask(kind) for kind in requests.kinds if kind != "too long"}
    with failing.at("READ|WRITE", short=bytes_at_most, times=ALWAYS, pid=pid):
        assert {kind: requests.ask(kind) for kind in good} == good
        assert failing.struck > 1000
    assert "n1" in stored(place)


@SOME_OR_ALL
def test_reload(serve, failing, some):
    """Done, or refused with the reason; the old worker serves on, and the next reload is done."""
    server = serve(env=failing.env, workers=1, config=FAST).await_served()
    requests = Requests(server)
    for fault in ("no descriptors", "disk unreadable", "files", "sockets", "interrupted", "no threads"):
        kinds, how = FAULTS[fault]
        count = failing.count(kinds, server.reload, pid=server.process.pid, path=how.get("path", ""))
        for n in range(0, count, max(1, count // 2) if some else 1):
            with failing.at(kinds, skip=n, pid=server.process.pid, **how):
                told = ask(server, "reload --wait")
            assert told is None or told["ok"] or told["error"], (fault, n, failing.last, told)
            assert requests.ask("root") == 200, (fault, n, failing.last, told)
            await_true(f"a reload works again ({fault} {n} {failing.last})",
                       lambda: (ask(server, "reload --wait") or {}).get("ok"))
            server.await_workers(1)
