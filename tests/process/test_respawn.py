"""Workers that die: replaced, and nobody else's clients notice."""

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from harness.server import await_gone, await_true
from harness.wire import Closed, Wire


def owner(server, wire):
    """The pid of the worker that holds the other end of a connection."""
    mine, theirs = wire.socket.getsockname()[1], wire.socket.getpeername()[1]
    ends = f":{theirs:04X}", f":{mine:04X}"
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, _, _, _, _, inode = row.split()[:10]
        if local.endswith(ends[0]) and remote.endswith(ends[1]):
            break
    else:
        raise AssertionError("no such connection")
    for pid in server.workers():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return pid
            except FileNotFoundError:
                pass
    return None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_dead_worker_is_replaced(serve, number):
    server = serve(workers=3)
    before = server.workers()
    victim = sorted(before)[1]
    os.kill(victim, number)
    await_gone(victim)
    line = server.await_line(rf"worker \d+ \(pid {victim}, gen \d+\) killed by signal {int(number)}\b.*").group(0)
    assert "replaced at once" in line and re.search(r"after \d+\.\d s, \d+ requests", line), line
    after = server.await_workers(3, without=[victim])
    assert set(before) - {victim} < set(after), "the others are the same"


def kill_until_it_waits(server):
    """One worker, again and again, until it is tried again only after a second and more."""
    pids = set(server.workers())
    victim = pids.pop()
    while True:
        os.kill(victim, signal.SIGKILL)
        await_gone(victim)
        retries = [slot["retry_ms"] or 0 for slot in server.status()["slots"]]
        if max(retries) > 1000:
            return
        (victim,) = set(server.await_workers(2, without=[victim])) - pids


def test_a_reload_ends_the_waiting(serve):
    """Who waited for its next try is not wanted any more, and nobody says that it is."""
    server = serve(workers=2, config={"supervisor.settle": "50ms"})
    kill_until_it_waits(server)
    server.reload()
    server.await_status("two workers, ready", lambda s: [slot["state"] for slot in s["slots"]] == 2 * ["ready"])
    assert server.status()["workers"]["by_state"]["backoff"] == 0


def test_only_the_victims_connections_are_lost(serve):
    server = serve(workers=3)
    wires = []
    by_worker = {}
    while len([w for w in by_worker.values() if len(w) >= 3]) < 2:
        assert len(wires) < 600, "one worker got everything"
        wires.append(Wire(server.tcp()))
        assert wires[-1].get().status == 200
        by_worker.setdefault(owner(server, wires[-1]), []).append(wires[-1])
    victim = max(by_worker, key=lambda pid: len(by_worker[pid]))
    os.kill(victim, signal.SIGKILL)
    await_gone(victim)
    for pid, its in by_worker.items():
        for wire in its:
            if pid == victim:
                with pytest.raises((Closed, ConnectionError)):
                    wire.get()
            else:
                assert wire.get().status == 200
    server.await_workers(3, without=[victim])


def test_clients_under_load_lose_one_connection_each_at_most(serve):
    """Keep-alive clients that go on while each worker is killed once: what is lost was in flight at
    the victim; a new connection always works."""
    server = serve(workers=2)
    stop, trouble = threading.Event(), []
    good, lost = [0] * 8, [0] * 8

    def client(i):
        wire = Wire(server.tcp())
        try:
            while not stop.is_set():
                try:
                    assert wire.get().status == 200
                    good[i] += 1
                except (Closed, ConnectionError):
                    lost[i] += 1
                    wire = Wire(server.tcp())
                    assert wire.get().status == 200
        except Exception as e:        # the thread's end must be seen
            trouble.append(repr(e))

    def everybody_goes_on():
        before = list(good)
        await_true("progress of every client", lambda: trouble or all(g > b + 20 for g, b in zip(good, before)))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    killed = []
    for victim in list(server.workers()):
        everybody_goes_on()
        os.kill(victim, signal.SIGKILL)
        await_gone(victim)
        killed.append(victim)
        server.await_workers(2, without=killed)
    everybody_goes_on()
    stop.set()
    for thread in threads:
        thread.join()
    assert trouble == []
    assert sum(lost) >= 1 and max(lost) <= 2, lost


def test_what_it_worked_on_is_in_the_obituary(serve):
    """A hash is going on in the victim."""
    server = serve(workers=1, config={"auth.hash_memory": "64m", "auth.hash_iterations": "100"})
    (pid,) = server.workers()
    wire = Wire(server.tcp())
    body = b"username=nobody@test.com&password=in-flight-pw"
    server.secrets.add("in-flight-pw")
    wire.ask("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded"),
                                     ("X-Request-Id", "the-one-in-flight")], body)
    await_true("a hashing thread at work", lambda: any(
        int(Path(f"/proc/{pid}/task/{t}/stat").read_text().rpartition(")")[2].split()[11]) > 5
        for t in os.listdir(f"/proc/{pid}/task") if t != str(pid)))
    os.kill(pid, signal.SIGKILL)
    line = server.await_line(rf"worker 0 \(pid {pid}, .*").group(0)
    assert "in POST /auth/token" in line and "the-one-in-flight" in line, line


BACK_OFF = r"exited with code 6 .*next try in (\d+) ms"


def spoil(place):
    """The database becomes something no worker can open; the function undoes it."""
    names = [n for n in os.listdir(place) if n.startswith("database.db") and not n.endswith(".lock")]
    for name in names:
        os.rename(place / name, place / f"away-{name}")
    (place / "database.db").mkdir()

    def mend():
        (place / "database.db").rmdir()
        for name in names:
            os.rename(place / f"away-{name}", place / name)
    return mend


def test_crash_loop_backs_off_and_recovers(serve, place):
    server = serve(workers=1).await_served()
    with server.api() as api:
        assert api.sign_up().status_code == 201
    (pid,) = server.workers()
    mend = spoil(place)
    os.kill(pid, signal.SIGKILL)
    server.await_line(rf"pid {pid}, .*replaced at once")
    for line in (1, 2, 3):      # lines that are alike are counted, not repeated
        told = server.await_line(rf"{BACK_OFF}(?: \((\d+) times in a row\))?", count=line)
        nominal = 100 * 2 ** (int(told[2] or 1) - 1)
        assert nominal * 0.8 <= int(told[1]) <= nominal * 1.2, told[0]
    mend()
    server.await_workers(1, without=[pid])
    with server.api() as api:
        assert api.get("/users/1").status_code == 200


def test_never_ready_gives_up_with_3(serve, place):
    """At first start five boot failures are enough; the cause stands above."""
    server = serve.make(workers=2, config={"supervisor.boot_timeout": "20s"})
    (place / "database.db-wal").mkdir()     # migrations, too, meet it: then it is 6
    server.spawn()
    assert server.wait() in (3, 6)
    assert "ready: " not in server.log


def test_workers_that_cannot_start_are_tried_one_at_a_time(serve, place):
    server = serve(workers=4).await_served()
    before = list(server.workers())
    mend = spoil(place)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.await_line("from now on one tries at a time")
    mend()
    server.await_workers(4, without=before)


def test_stop_during_back_off(serve, place):
    server = serve(workers=1).await_served()
    (pid,) = server.workers()
    mend = spoil(place)
    os.kill(pid, signal.SIGKILL)
    server.await_line(BACK_OFF, count=2)
    mend()
    server.stop()


def test_stopped_worker_does_not_stop_the_others(serve):
    server = serve(workers=2)
    stopped, _ = server.workers()
    os.kill(stopped, signal.SIGSTOP)
    try:
        served = 0
        for _ in range(50):
            with Wire(server.tcp()) as wire:
                wire.ask()
                wire.socket.settimeout(5)
                try:
                    served += wire.answer().status == 200
                except TimeoutError:
                    raise AssertionError("a connection went to the stopped worker") from None
        assert served == 50
    finally:
        os.kill(stopped, signal.SIGCONT)
