"""SIGKILL at the n-th call that touches the database, for every n of a few group commits and their
checkpoints: whoever was told 201 is there, and the file is whole. Processes die, not the machine: what
the kernel has been told stays."""

import itertools
import sqlite3
import threading

import pytest

from harness.nth import JSON, account
from harness.server import FAST, Server, await_gone, await_true
from harness.wire import Closed, Wire

CLIENTS = 5
ENOUGH = 60             # sign-ups of one client: by then somebody was struck, or the n is beyond all
PAD = "n" * 3000        # the log grows fast enough that the writer checkpoints
TOUCHES = "WRITE|SYNC|FILE|LOCK"
names = itertools.count()


class Storm:
    """Clients that sign up, each over a connection of its own, until they are cut off."""

    def __init__(self, server):
        self.address = server.tcp()
        self.acknowledged, self.refused = [], []
        self.threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def client(self):
        try:
            with Wire(self.address) as wire:
                for _ in range(ENOUGH):
                    name = f"u{next(names)}"
                    status = wire.ask("POST", "/users/", JSON, account(name, PAD)).answer().status
                    (self.acknowledged if status == 201 else self.refused).append(name + PAD)
        except (Closed, OSError):
            pass

    def join(self):
        for thread in self.threads:
            thread.join()
        return self


def judge(place, acknowledged):
    """Readers look at the file as it is, beside whoever has it open."""
    db = sqlite3.connect(f"file:{place}/database.db?mode=ro", uri=True)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {name for (name,) in db.execute("SELECT username FROM users")}
    finally:
        db.close()
    assert acknowledged - stored == set(), "acknowledged, but lost"


SOME = [0, 1, 2, 5, 9, 23]
MANY = pytest.mark.parametrize("some", [True, pytest.param(False, marks=pytest.mark.long)], ids=["some", "all"])


@MANY
def test_worker_is_killed(serve, place, failing, some):
    """Its writer, at each step; the next worker goes on at once, and knows everyone."""
    server = serve(env=failing.env, workers=1, config=FAST).await_served()
    acknowledged = set()
    with server.api() as api:
        assert api.sign_up("first").status_code == 201
    for n in SOME if some else range(100):
        (pid,) = server.workers()
        failing.arm(TOUCHES, kill="kill", skip=n, pid=pid, thread="store writer", path="database.db")
        storm = Storm(server).join()
        assert failing.struck == 1, f"{n}: only {failing.seen} such calls"
        failing.disarm()
        await_gone(pid)
        acknowledged |= set(storm.acknowledged)
        assert not storm.refused
        server.await_workers(1, without=[pid])
        judge(place, acknowledged)
        with server.api() as api:
            assert api.sign_up(f"after {n}", f"after{n}@test.com").status_code == 201
    assert acknowledged


@MANY
def test_everything_is_killed(place, failing, some):
    """Master and workers with one blow; the next start finds everyone."""
    acknowledged = set()
    for n in SOME[1::2] if some else range(100):
        failing.start_anew()
        server = Server(place, env=failing.env, workers=2, config=FAST)
        try:
            server.start()
            pids = [server.process.pid, *server.workers()]
            failing.arm(TOUCHES, kill="kill-all", skip=n, thread="store writer", path="database.db")
            acknowledged |= set(Storm(server).join().acknowledged)
            assert failing.struck == 1, f"{n}: only {failing.seen} such calls"
            for pid in pids:
                await_true(f"{pid} is gone", lambda p=pid: server.process.poll() is not None and p not in server.children())
            server.await_end_of_log()
        finally:
            failing.disarm()
            server.kill()
        judge(place, acknowledged)
    server = Server(place, workers=1)
    try:
        server.start()
        with server.api() as api:
            listed = {user["username"] for user in api.get("/users/?limit=1000000").json()["users"]}
        assert acknowledged <= listed
    finally:
        server.finish()
        server.kill()
