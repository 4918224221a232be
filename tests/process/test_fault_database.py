"""What others do to the database of a running server: locked, overwritten with garbage, deleted, no longer
writable. Writes are 503 with Retry-After, reads go on where they can, those who look after the server
are told, and it recovers when the cause is gone."""

import json
import os
import sqlite3

import pytest

from harness.nth import JSON, Requests, account
from harness.server import await_true
from harness.wire import Wire

CONFIG = {"database.timeout": "500ms", "admin.bind": "unix:admin.sock", "log.level": "info"}


@pytest.fixture
def server(serve):
    server = serve(workers=1, config=CONFIG).await_served()
    server.requests = Requests(server)
    server.before = server.workers().keys()
    return server


def sign_up(server):
    """Its answer."""
    with Wire(server.tcp()) as wire:
        return wire.ask("POST", "/users/", JSON, account(server.requests.new_name())).answer()


def refused(server):
    answer = sign_up(server)
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1, answer
    return True


def ready(server):
    """What the admin child tells a balancer."""
    with Wire(str(server.directory / "admin.sock")) as wire:
        return json.loads(wire.get("/readyz").body)


def recovered(server):
    await_true("writes work again", lambda: sign_up(server).status == 201)
    assert server.requests.ask("user") == 200
    await_true("it is ready again", lambda: ready(server)["ready"])
    assert server.workers().keys() == server.before, "nobody died of it"


def test_locked_by_another_program(server, place):
    """BEGIN EXCLUSIVE in WAL mode keeps writers out, not readers."""
    other = sqlite3.connect(place / "database.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert refused(server)
    assert [server.requests.ask(kind) for kind in ("user", "list", "login", "refresh")] == [200] * 4
    server.await_line("another program keeps it locked|database is locked")
    other.execute("ROLLBACK")
    other.close()
    recovered(server)


def test_overwritten_with_garbage(serve, server, place):
    """Under everybody's feet, the log too: whatever is still known of it is told, or 503; nobody hangs or
    dies, and a start afterwards says what is wrong and leaves it as it is."""
    for name in ("database.db", "database.db-wal"):
        with open(place / name, "r+b") as file:
            file.write(b"\xff" * os.path.getsize(place / name))
    for _ in range(5):
        assert {server.requests.ask(kind) for kind in ("user", "list", "login", "refresh")} <= {200, 401, 404, 503}
        assert server.requests.ask("sign-up") in (201, 503) and server.requests.ask("root") == 200
    assert server.workers().keys() == server.before
    server.stop()
    garbage = (place / "database.db").read_bytes()
    assert b"\xff" * 4096 in garbage
    again = serve.make(workers=1, config=CONFIG)
    again.spawn()
    assert again.wait() == 6, again.log
    again.await_line(r"ERROR .*database\.db: the file is (not an SQLite database|damaged)")
    assert (place / "database.db").read_bytes() == garbage


def overwrite(place, contents):
    """{name: bytes} of files that stay the same files."""
    for name, data in contents.items():
        with open(place / name, "r+b") as file:
            file.write(data)
            file.truncate()


def readiness(server):
    """(status, reasons) of /readyz."""
    with Wire(str(server.directory / "admin.sock")) as wire:
        answer = wire.get("/readyz")
    return answer.status, json.loads(answer.body)["reasons"]


def test_readiness_while_it_is_garbage(server, place):
    """A balancer is told so, whether or not anybody asks for users; and when what was there is back."""
    await_true("it is ready", lambda: readiness(server) == (200, []))
    names = [f"database.db{end}" for end in ("", "-wal", "-shm")]
    good = {name: (place / name).read_bytes() for name in names}
    overwrite(place, {name: b"\xff" * len(data) for name, data in good.items()})
    await_true("it is noticed", lambda: readiness(server) == (503, ["the database does not answer"]))
    with Wire(str(server.directory / "admin.sock")) as wire:
        assert wire.get("/livez").status == 200
    assert server.requests.ask("root") == 200 and server.requests.ask("user") == 503
    overwrite(place, good)
    recovered(server)
    assert readiness(server) == (200, [])


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_deleted(server, place, how):
    """What is written would be lost: it is refused, until the file is back."""
    for name in ("database.db", "database.db-wal", "database.db-shm"):
        os.rename(place / name, place / f"kept-{name}")
    if how == "replaced":
        (place / "database.db").write_bytes(b"no database at all" * 1000)
    assert refused(server)
    server.await_line("was removed or replaced while it is open")
    assert server.requests.ask("root") == 200
    for name in ("database.db-wal", "database.db-shm", "database.db"):
        os.rename(place / f"kept-{name}", place / name)
    recovered(server)


def as_nobody(place):
    if os.geteuid() != 0:
        return []
    os.chmod(place, 0o777)
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def test_no_longer_writable(serve, place):
    """chmod under a running server: open descriptors go on; a worker that comes later cannot write,
    says so, and is tried again until it can."""
    prefix = as_nobody(place)
    server = serve.make(workers=1, config={**CONFIG, "supervisor.min_ready": "50ms"})
    server.start(prefix)
    server.await_served()
    server.requests = Requests(server)
    os.chmod(place / "database.db", 0o444)
    assert sign_up(server).status == 201, "it is open"
    (old,) = server.workers()
    os.kill(old, 9)
    server.await_line(r"\[worker 0 .*cannot (read and )?write it")
    os.chmod(place / "database.db", 0o644)
    server.ctl("retry")
    server.await_workers(1, without=[old])
    await_true("writes work again", lambda: sign_up(server).status == 201)
    await_true("it is ready again", lambda: ready(server)["ready"])


# ---- what the kernel does not have in memory, or cannot say ----

@pytest.mark.parametrize("error", ["EAGAIN", "EOPNOTSUPP"])
def test_reads_that_memory_cannot_answer(serve, faults, error):
    """They are answered all the same, by a thread."""
    faults.set("read_nowait", f"errno {error}")
    server = serve(workers=1, config={"log.level": "info"}, env=faults.env).await_served()
    server.requests = Requests(server)
    for i in range(10):
        assert sign_up(server).status == 201
        for kind in ("list", "user", "no user", "login", "refresh"):
            assert server.requests.ask(kind) == (404 if kind == "no user" else 200), kind
    totals = server.status()["totals"]
    assert totals["store_errors"] == 0
    assert totals["store_reads_nowait"] < totals["store_reads"]
    assert server.log.count("go to a thread: its file system cannot tell") == (error == "EOPNOTSUPP")
