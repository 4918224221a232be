"""A 201 means that it is on disk: whatever is killed, whenever."""

import os
import random
import signal
import sqlite3
import threading

import httpx
import pytest

from harness.server import await_gone, await_true
from harness.trace import traced

THREADS = 6


def sign_up_until(server, stop, acknowledged, prefix):
    """One client that signs up names of its own until told; keeps those that were acknowledged."""
    number = 0
    try:
        with server.api() as api:
            while not stop.is_set():
                name = f"{prefix}-{number}"
                number += 1
                if api.sign_up(name, password="durable-pw").status_code == 201:
                    acknowledged.append(name)
    except httpx.TransportError:
        pass        # killed in mid-answer: not acknowledged


def storm(server, kill, enough):
    """Clients sign up; once *enough* were acknowledged, kill() is called. The acknowledged names."""
    stop, acknowledged = threading.Event(), []
    threads = [threading.Thread(target=sign_up_until, args=(server, stop, acknowledged, f"t{i}"))
               for i in range(THREADS)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < enough and any(t.is_alive() for t in threads):
        threads[0].join(0.001)
    kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert len(acknowledged) >= enough
    return acknowledged


def everything_is_there(place, acknowledged):
    db = sqlite3.connect(place / "database.db")
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {name for (name,) in db.execute("SELECT username FROM users")}
    finally:
        db.close()
    assert set(acknowledged) - stored == set(), "acknowledged, but lost"


def kill_all(server):
    """Master and workers, all at once, in an order of chance."""
    pids = [server.process.pid, *server.workers()]
    random.shuffle(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.wait()
    for pid in pids[1:]:
        await_gone(pid)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_killed_all_at_once(serve, place, durability):
    """Processes, not the machine: what the kernel has survives with either durability."""
    acknowledged = []
    for turn in range(3):
        server = serve(workers=3, config={"database.durability": durability})
        acknowledged += [f"{name}" for name in storm(server, lambda: kill_all(server), random.randrange(20, 80))]
        # the names of the next turn must differ
        server = serve(workers=3)
        with server.api() as api:
            stored = {u["username"] for u in api.get("/users/?limit=100000").json()["users"]}
            assert set(acknowledged) <= stored
        server.stop()
        everything_is_there(place, acknowledged)
        db = sqlite3.connect(place / "database.db")
        db.execute("UPDATE users SET username = ? || username, email = ? || email", (f"{turn}.", f"{turn}."))
        db.commit()
        db.close()
        acknowledged = [f"{turn}.{name}" for name in acknowledged]


def test_one_worker_after_the_other_is_killed(serve, place):
    """The writer lock of a dead worker is free at once; the others go on."""
    server = serve(workers=3).await_served()
    stop, acknowledged = threading.Event(), []

    def kill():
        for pid in list(server.workers()):
            enough = len(acknowledged) + 5
            await_true("accounts signed up", lambda: len(acknowledged) >= enough)
            os.kill(pid, signal.SIGKILL)
            await_gone(pid)
            server.await_workers(3, without=[pid])

    def client(prefix):
        while not stop.is_set():
            before = len(acknowledged)
            sign_up_until(server, stop, acknowledged, f"{prefix}-{before}")

    threads = [threading.Thread(target=client, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    kill()
    stop.set()
    for thread in threads:
        thread.join()
    server.stop()
    assert len(acknowledged) >= 15
    everything_is_there(place, acknowledged)


def test_killed_during_a_clean_stop(serve, place):
    """The checkpoint at the end may be cut short."""
    server = serve(workers=2)
    acknowledged = storm(server, lambda: server.send_signal(signal.SIGTERM), 40)
    server.send_signal(signal.SIGKILL)
    server.wait()
    # workers leave by themselves; the next start finds everything
    second = serve(workers=2)
    with second.api() as api:
        stored = {u["username"] for u in api.get("/users/?limit=100000").json()["users"]}
    assert set(acknowledged) <= stored
    second.stop()
    everything_is_there(place, acknowledged)


def test_full_durability_syncs_before_it_answers(serve, place):
    """Seen by strace: an fsync or fdatasync of the WAL lies between reading a sign-up and its 201."""
    server = serve(workers=1)
    (pid,) = server.workers()
    trace = place / "trace"
    with traced(pid, "-y", "-e", "trace=fsync,fdatasync,writev,sendmsg,sendto,write", "-s", "40", output=trace):
        with server.api() as api:
            for i in range(3):
                assert api.sign_up(f"u{i}").status_code == 201
    events = []
    for line in trace.read_text().splitlines():
        if "sync(" in line and "database.db-wal" in line:
            events.append("sync")
        elif "HTTP/1.1 201" in line:
            events.append("201")
    assert events.count("201") == 3
    for i, event in enumerate(events):
        if event == "201":
            assert "sync" in events[:i] and events[i - 1] == "sync", events


def test_writes_are_grouped(serve, place):
    """Many sign-ups at the same time share commits: fewer syncs of the WAL than acknowledgements."""
    server = serve(workers=1)
    (pid,) = server.workers()
    trace = place / "trace"
    with traced(pid, "-y", "-e", "trace=fsync,fdatasync", "-e", "inject=fdatasync,fsync:delay_enter=20000",
                output=trace):
        apis = [server.api() for _ in range(24)]
        answers = [None] * len(apis)

        def one(i):
            answers[i] = apis[i].sign_up(f"u{i}").status_code
        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(apis))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [201] * len(apis)
    syncs = len([line for line in trace.read_text().splitlines() if "database.db-wal" in line])
    assert 0 < syncs < len(apis), syncs


@pytest.mark.long
def test_killed_again_and_again(serve, place):
    for turn in range(300):
        server = serve(workers=3)
        acknowledged = storm(server, lambda: kill_all(server), random.randrange(1, 300))
        everything_is_there(place, acknowledged)
        db = sqlite3.connect(place / "database.db")
        db.execute("DELETE FROM users")
        db.commit()
        db.close()
