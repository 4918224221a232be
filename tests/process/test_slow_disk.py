"""A database that is slow, or does not answer: what needs it waits as long as configured, what does not
keeps its pace."""

import json
import os
import re
import sqlite3
import threading
import time
from contextlib import contextmanager

import pytest

from harness.database import writer_locked_out
from harness.server import await_true, bearer
from harness.trace import thread_id, traced
from harness.wire import Wire

# What a store thread asks of the disk.
DISK = "fcntl,fdatasync,fsync,ftruncate,pread64,pwrite64"


def sign_up(name):
    return json.dumps({"username": name, "email": f"{name}@test.com", "password": "slow-disk-pw"}).encode()


def ask_sign_up(server, name):
    """A sign-up on its way, over a connection of its own."""
    return Wire(server.tcp()).ask("POST", "/users/", [("Content-Type", "application/json")], sign_up(name))


# A turn of the loop that is held for the length of a wait lets no more through than the one after it.
KEPT_PACE = 3


def started(serve, faults, timeout, **config):
    """One worker, both of whose store threads have been at work: pages that its reader does not have in its
    cache are not in the kernel's, either."""
    faults.set("read_nowait", "errno EAGAIN")
    settings = {"database.timeout": timeout, **{name.replace("__", "."): value for name, value in config.items()}}
    server = serve(workers=1, config=settings, env=faults.env)
    with server.api() as api:
        assert api.sign_up("first").status_code == 201
        assert api.get("/users/1").status_code == 200
    return server


def outdate_cache(server):
    """Nor are they in its cache: somebody has written."""
    with server.api() as api:
        name = f"outdated{time.monotonic_ns()}"
        assert api.sign_up(name).status_code == 201


@pytest.fixture
def server(serve, faults):
    return started(serve, faults, "1s")


@pytest.fixture
def patient(serve, faults):
    return started(serve, faults, "1h")


@contextmanager
def slow(server, thread, delay_ms, calls=DISK):
    """Each of these calls of that thread of the worker takes so much longer."""
    (pid,) = server.workers()
    with traced(thread_id(pid, thread), "-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter={delay_ms}ms",
                threads=False):
        yield


def answers_meanwhile(server, waiting):
    """Asks what needs no database until *waiting* has its answer: that, and how many came before."""
    done = []
    thread = threading.Thread(target=lambda: done.append(waiting.answer()))
    thread.start()
    quick = 0
    with Wire(server.tcp()) as wire:
        while thread.is_alive():
            assert wire.get("/").status == 200
            assert wire.ask("POST", "/auth/refresh_token").answer().status == 401
            quick += 1
    return done[0], quick


def judge_busy(answer):
    assert answer.status == 503 and json.loads(answer.body) == {"detail": "Service Unavailable"}
    assert int(answer.header("retry-after")) >= 1


def test_slow_reads_are_answered(patient):
    """200 ms more for each call: it takes a while, and others do not notice."""
    outdate_cache(patient)
    with slow(patient, "store reader", 200):
        answer, quick = answers_meanwhile(patient, Wire(patient.tcp()).ask("GET", "/users/1"))
    assert answer.status == 200 and quick > KEPT_PACE, quick


def test_slow_writes_are_answered(patient):
    with slow(patient, "store writer", 200):
        answer, quick = answers_meanwhile(patient, ask_sign_up(patient, "second"))
    assert answer.status == 201 and quick > KEPT_PACE, quick


def test_reads_from_memory_need_no_disk(server):
    """What was read before is answered at once, however slow the disk is."""
    with slow(server, "store reader", 5000):
        for _ in range(100):
            assert Wire(server.tcp()).get("/users/1").status == 200
    totals = server.status()["totals"]
    assert totals["store_errors"] == 0 and totals["store_reads_nowait"] >= 100


def test_reads_that_hang_are_503(server):
    outdate_cache(server)
    with slow(server, "store reader", 5000):
        waiting = [Wire(server.tcp()).ask("GET", target) for target in ("/users/1", "/users/", "/users/99")]
        answer, quick = answers_meanwhile(server, waiting[0])
        assert quick > KEPT_PACE, quick
        for each in [answer, *(w.answer() for w in waiting[1:])]:
            judge_busy(each)
        # the writer's thread is another one, but a sign-up looks first whether the name is taken
        judge_busy(ask_sign_up(server, "second").answer())
    await_true("reads work again", lambda: Wire(server.tcp()).get("/users/1").status == 200)


def unknown_ends(server):
    """[(event, account)] of the audit lines that say that nobody knows how it ended."""
    server.ctl("status")    # what was logged before is here by now
    return re.findall(r'event="([^"]+)" outcome=unknown .*account="([^"]+)"', server.log)


def test_write_that_hangs_is_503_and_may_still_come_to_be(serve, faults):
    """It is recorded as such, and a sign-up is counted as if it had."""
    server = started(serve, faults, "1s", auth__create_limit="3")
    with server.api() as api:
        token = api.login("first@test.com")
    with slow(server, "store writer", 3000, "fdatasync"):
        answer, quick = answers_meanwhile(server, ask_sign_up(server, "second"))
        judge_busy(answer)
        assert quick > KEPT_PACE, quick
        assert Wire(server.tcp()).get("/users/1").status == 200, "reads go on"
    await_true("the writer has ended", lambda: Wire(server.tcp()).get("/users/2").status == 200)
    with slow(server, "store writer", 3000, "fdatasync"):
        judge_busy(Wire(server.tcp()).ask("DELETE", "/users/1", list(bearer(token).items())).answer())
    await_true("the writer has ended", lambda: Wire(server.tcp()).get("/users/1").status == 404)
    assert ask_sign_up(server, "third").answer().status == 201
    assert ask_sign_up(server, "fourth").answer().status == 429
    assert unknown_ends(server) == [("account created", "second@test.com"), ("account deleted", "first@test.com")]


def test_write_whose_time_is_over_before_its_turn_never_comes_to_be(serve, faults, place):
    server = started(serve, faults, "1s", auth__create_limit="2")
    with slow(server, "store writer", 3000, "fcntl"):  # the turnstile before the lock
        answer, quick = answers_meanwhile(server, ask_sign_up(server, "second"))
        judge_busy(answer)
        assert quick > KEPT_PACE, quick
    assert ask_sign_up(server, "third").answer().status == 201
    assert unknown_ends(server) == []
    with sqlite3.connect(place / "database.db") as db:
        assert [name for (name,) in db.execute("SELECT username FROM users ORDER BY id")] == ["first", "third"]


def test_writer_that_is_locked_out(server, place):
    """It waits for its turn, in vain: 503, and nothing was written; reads and logins go on."""
    with writer_locked_out(place):
        waiting = [ask_sign_up(server, f"u{i}") for i in range(20)]
        answer, quick = answers_meanwhile(server, waiting[0])
        assert quick > KEPT_PACE, quick
        for each in [answer, *(w.answer() for w in waiting[1:])]:
            judge_busy(each)
        with server.api() as api:
            assert api.get("/users/1").status_code == 200
            api.login("first@test.com", "testtest-pw")
        assert "database lock" in server.log
    assert ask_sign_up(server, "late").answer().status == 201
    with sqlite3.connect(place / "database.db") as db:
        assert [name for (name,) in db.execute("SELECT username FROM users ORDER BY id")] == ["first", "late"]


def test_many_wait_for_a_disk_that_hangs(server):
    """Far more than it can take: all get their 503, memory is bounded, and it recovers."""
    (pid,) = server.workers()

    def peak_kib():
        rows = dict(row.split(":") for row in open(f"/proc/{pid}/status") if row.startswith("VmHWM"))
        return int(rows["VmHWM"].split()[0])

    before = peak_kib()
    outdate_cache(server)
    with slow(server, "store reader", 5000):
        waiting = [Wire(server.tcp()).ask("GET", "/users/?limit=100") for _ in range(1000)]
        answer, quick = answers_meanwhile(server, waiting[0])
        assert quick > KEPT_PACE, quick
        for each in [answer, *(w.answer() for w in waiting[1:])]:
            judge_busy(each)
    await_true("reads work again", lambda: Wire(server.tcp()).get("/users/1").status == 200)
    assert peak_kib() - before < 64 * 1024, "about 10 KiB a connection, and the sanitizer's share"
    assert server.workers().keys() == {pid}
