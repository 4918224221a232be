"""Reload: a new generation beside the old one, which takes over when all of it has proved itself; and under
load nobody notices. Reloads that fail are in test_reload_fails.py."""

import os
import re
import signal
import socket

import pytest

from harness.load import Load, access_rows
from harness.server import FAST, await_gone, await_true, open_files
from harness.wire import Wire
from process.test_stop import BODY, begin, refused

RECEIPT = r"reload (\d+): (\d+) workers? replaced, .*, (\d+) connections moved, (\d+) finished, (\d+) cut, \d+\.\d s"
LONGER = "supervisor.settle"


# ---- what it does ----

def test_hup_replaces_all_workers(serve):
    server = serve(workers=3, config=FAST)
    before = server.workers()
    address = server.tcp()
    server.send_signal(signal.SIGHUP)
    told = server.await_line(RECEIPT)
    assert (told[1], told[2], told[5]) == ("1", "3", "0")
    after = server.workers()
    assert len(after) == 3 and not set(before) & set(after)
    assert all(" gen 2 " in title for title in after.values()), after
    status = server.status()
    assert (status["state"], status["generation"]) == ("ready", 2)
    assert (status["last_reload"]["number"], status["last_reload"]["result"]) == (1, "ok")
    assert [x["address"] for x in status["listeners"]] == ["%s:%d" % address]
    with Wire(address) as wire:
        assert wire.get().status == 200


def test_ctl_reload_waits_for_the_end(serve):
    server = serve(workers=2, config=FAST)
    before = set(server.workers())
    assert re.fullmatch(RECEIPT, server.reload())
    assert not before & set(server.children()), "it returned before the old ones had gone"


def body_of(size):
    return b'{"x":"' + b"x" * (size - 8) + b'"}'


def posts(server, size):
    with Wire(server.tcp()) as wire:
        return wire.ask("POST", "/users/", [("Content-Type", "application/json")], body_of(size)).answer().status


def test_ini_is_read_again(serve):
    server = serve(workers=None, config={**FAST, "server.workers": "1", "limits.max_body": "1k"})
    assert (posts(server, 1000), posts(server, 2000)) == (422, 413)
    before = server.status()["config"]["hash"]
    server.configure(limits__max_body="4k", server__workers="3")
    assert "configuration changed" in server.reload()
    assert (posts(server, 2000), posts(server, 5000)) == (422, 413)
    assert len(server.workers()) == 3 and server.status()["workers"]["configured"] == 3
    assert server.status()["config"]["hash"] != before
    assert "configuration unchanged" in server.reload()


def test_env_file_is_read_again(serve, place):
    server = serve(workers=1, config=FAST)
    assert posts(server, 2000) == 422
    (place / ".env").write_text("COLMEIA_LIMITS_MAX_BODY=1k\n")
    server.reload()
    assert posts(server, 2000) == 413
    (place / ".env").unlink()
    server.reload()
    assert posts(server, 2000) == 422


def test_key_file_is_read_again(serve, place):
    """Tokens of the old key end with the old workers."""
    for name, byte in ("one", b"1"), ("two", b"2"):
        (place / name).write_bytes(byte * 20 + os.urandom(20).hex().encode())
    server = serve(workers=1, config={**FAST, "auth.secret_key_file": "one"})
    with server.api() as api:
        assert api.sign_up().status_code == 201
        old = api.login()
        server.configure(auth__secret_key_file="two")
        server.reload()
        assert api.post("/auth/refresh_token", headers={"authorization": f"Bearer {old}"}).status_code == 401
        new = api.login()
        assert api.post("/auth/refresh_token", headers={"authorization": f"Bearer {new}"}).status_code == 200


def test_what_needs_a_restart_is_named_and_the_rest_applied(serve, place):
    server = serve(workers=1, config=FAST)
    with server.api() as api:
        assert api.sign_up().status_code == 201
        server.configure(database__url="sqlite:///other.db", limits__max_body="1k")
        server.reload()
        line = server.await_line(r"WARN .*database\.url.*restart").group(0)
        assert "other.db" in line, line
        assert api.get("/users/1").status_code == 200, "the old database"
    assert not (place / "other.db").exists()
    assert posts(server, 2000) == 413


def test_value_shadowed_by_the_command_line_is_named(serve):
    server = serve(workers=2, config={**FAST, "server.workers": "2"})
    server.configure(server__workers="3")
    server.reload()
    assert len(server.workers()) == 2
    server.await_line(RECEIPT)
    assert re.search(r"server\.workers.*(command line|--workers)", server.log), server.log


def test_log_level_and_format(serve):
    server = serve(workers=1, config={**FAST, "log.level": "info"})
    server.configure(log__format="json", log__level="debug")
    server.reload()
    server.reload()
    server.await_line(r'^\{.*reload 2: ')


def test_dry_run_changes_nothing(serve):
    server = serve(workers=1, config=FAST)
    before, hash_before = list(server.workers()), server.status()["config"]["hash"]
    server.configure(limits__max_body="1k", database__url="sqlite:///other.db")
    changes = server.ctl("reload", "--dry-run")["changes"]
    assert len(changes) == 2 and any("limits.max_body: 64k -> 1k" in c for c in changes), changes
    assert any("database.url" in c and "restart" in c for c in changes), changes
    server.configure(limits__max_body="much")
    refusal = server.ctl("reload", "--dry-run", code=1)
    assert re.search(r"colmeia\.ini:\d+: .*much", "\n".join(refusal["log"])), refusal
    assert list(server.workers()) == before
    assert (server.status()["config"]["hash"], server.status()["last_reload"]) == (hash_before, None)


@pytest.mark.parametrize("key", ["auth.secret_key_file", "auth.previous_secret_key_files", "colmeia.ini",
                                 ".env"])
def test_dry_run_waits_for_no_fifo(serve, place, key):
    """The master itself reads for it: what it would wait for is refused, and it goes on."""
    server = serve(workers=1, config=FAST)
    fifo = place / (key if key.endswith((".ini", ".env")) else "fifo")
    if fifo.name == "fifo":
        server.configure(**{key.replace(".", "__"): "fifo"})
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo, 0o600)
    refusal = server.ctl("reload", "--dry-run", code=1)
    assert re.search(rf"{fifo.name}: .*not? (a )?regular file", "\n".join(refusal["log"])), refusal
    assert server.status()["state"] == "ready"
    assert server.ctl("reload", "--wait", code=1)["error"]


def test_hups_meanwhile_become_one(serve):
    """While the first reload settles there come more: one reload follows, not more."""
    server = serve(workers=1, config={**FAST, LONGER: "500ms"})
    server.send_signal(signal.SIGHUP)
    server.await_status("reloading", lambda s: s["state"] == "reloading")
    for i in range(5):
        server.send_signal(signal.SIGHUP)
        server.status()         # it has been looked at: signals of a kind are not queued by the kernel
    server.await_line(RECEIPT, count=2)
    assert server.reload().startswith("reload 3: ")


def test_two_callers_wait_for_their_own_reload(serve):
    """Who asks during a reload waits for the next one, which reads what is there then."""
    server = serve(workers=1, config={**FAST, LONGER: "500ms"})
    server.send_signal(signal.SIGHUP)
    server.await_status("reloading", lambda s: s["state"] == "reloading")
    server.configure(limits__max_body="1k")
    assert server.reload().startswith("reload 2: ")
    assert posts(server, 2000) == 413


def committed(server, generation=2):
    """The new workers have taken over; the old ones drain."""
    server.await_status("the takeover", lambda s: s["generation"] == generation)


def test_slow_request_does_not_hold_the_new_ones(serve):
    """The old worker stays for it as long as it may; everybody else is served by the new ones."""
    server = serve(workers=1, config=FAST)
    (old,) = server.workers()
    wire = begin(server)
    server.send_signal(signal.SIGHUP)
    server.await_workers(1, without=[old])
    for _ in range(20):
        with Wire(server.tcp()) as other:
            assert other.get().status == 200
    assert old in server.children()
    wire.send(BODY[20:])
    assert wire.answer().status == 201
    assert server.await_line(RECEIPT)[5] == "0"


def test_what_exceeds_graceful_timeout_is_cut_and_counted(serve):
    server = serve(workers=1, config={**FAST, "supervisor.graceful_timeout": "200ms"})
    wire = begin(server)
    told = re.fullmatch(RECEIPT, server.reload())
    assert told[5] == "1", told[0]
    wire.rest()
    assert server.status()["totals"]["connections_cut"] == 1


def test_counters_never_go_backwards(serve):
    server = serve(workers=2, config=FAST)
    last = 0
    for turn in range(1, 5):
        with Wire(server.tcp()) as wire:
            for _ in range(10):
                assert wire.get().status == 200
        server.reload()
        last = server.status()["totals"]["requests"]
        assert last == 10 * turn


# ---- listeners ----

def test_address_comes_and_goes(serve, place):
    server = serve(workers=2, bind=["127.0.0.1:0", "unix:one.sock"], config=FAST)
    kept = (place / "one.sock").stat()
    server.configure(server__bind=["unix:one.sock", "unix:two.sock"])
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
        server.reload()
        assert wire.get().status == 200, "its connections stay"
    assert refused(server.tcp())
    now = (place / "one.sock").stat()
    assert (now.st_dev, now.st_ino) == (kept.st_dev, kept.st_ino), "the socket file is the same"
    for name in "one.sock", "two.sock":
        with Wire(str(place / name)) as wire:
            assert wire.get().status == 200
    server.configure(server__bind=["unix:two.sock"])
    server.reload()
    assert not (place / "one.sock").exists() and (place / "two.sock").exists()
    server.configure(server__bind=["unix:two.sock", "127.0.0.1:0"])
    server.reload()
    (port,) = [x["address"].rpartition(":")[2] for x in server.status()["listeners"] if ":0" not in x["address"]
               and not x["address"].startswith("unix:")]
    with Wire(("127.0.0.1", int(port))) as wire:
        assert wire.get().status == 200
    server.stop()
    assert not (place / "two.sock").exists()


def test_unix_path_of_a_failed_reload_goes(serve, place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(workers=1, config=FAST)
        server.configure(server__bind=["127.0.0.1:0", "unix:new.sock", "127.0.0.1:%d" % taken.getsockname()[1]])
        server.ctl("reload", "--wait", code=1)
    assert not (place / "new.sock").exists()


def test_queued_connections_of_a_removed_address_are_served(serve):
    """The kernel had accepted them before the address went."""
    server = serve(workers=1, bind=["127.0.0.1:0", "127.0.0.1:0"], config=FAST)
    (old,) = server.workers()
    os.kill(old, signal.SIGSTOP)
    try:
        wires = [Wire(server.tcp(1)).ask() for _ in range(50)]
        server.configure(server__bind=["127.0.0.1:0"])
        server.ctl("reload")
        committed(server)
        await_true("newcomers are refused", lambda: refused(server.tcp(1)))
    finally:
        os.kill(old, signal.SIGCONT)
    assert [wire.answer().status for wire in wires] == [200] * 50
    await_gone(old)
    with Wire(server.tcp(0)) as wire:
        assert wire.get().status == 200


def test_backlog_can_be_changed(serve):
    server = serve(workers=1, config=FAST)
    server.configure(server__backlog="7")
    server.reload()
    (listener,) = server.status()["listeners"]
    assert (listener["limit"], listener["limit_asked"]) == (7, 7)


@pytest.mark.parametrize("when", ["fresh", "queued"])
def test_connections_of_many_across_reload(serve, when):
    """200 of them, behind stopped workers or before anybody had a look at them."""
    server = serve(workers=2, config=FAST)
    old = list(server.workers())
    stopped = old if when == "queued" else []
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        wires = [Wire(server.tcp()).ask() if when == "queued" else Wire(server.tcp()) for _ in range(200)]
        server.ctl("reload")
        committed(server)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    if when == "fresh":
        for wire in wires:
            wire.ask()
    assert [wire.answer().status for wire in wires] == [200] * 200
    server.await_line(RECEIPT)


# ---- the development flag ----

def test_reload_flag_watches_the_files(serve, place):
    server = serve(workers=1, config=FAST, args=["--reload"])
    server.configure(limits__max_body="1k")
    server.await_line(RECEIPT)
    assert posts(server, 2000) == 413
    (place / "new.ini").write_text("[limits]\nmax_body = much\n")
    os.rename(place / "new.ini", place / "colmeia.ini")      # as editors do
    server.await_line(r"reload 2 failed: .*colmeia\.ini:2: ")
    server.configure(limits__max_body="4k")
    server.await_line(RECEIPT, count=2)
    (place / ".env").write_text("COLMEIA_LIMITS_MAX_BODY=1k\n")
    server.await_line(RECEIPT, count=3)
    assert posts(server, 2000) == 413


# ---- under load ----

BUSY = dict(keepalive=14, connect=8, slow=5, pipelined=5)


def idle_connections(server, count):
    """{wire: pid that answered on it}."""
    wires = [Wire(server.tcp()) for _ in range(count)]
    for i, wire in enumerate(wires):
        assert wire.ask(headers=[("X-Request-Id", f"idle-{i}-first")]).answer().status == 200
    return wires


def all_created_are_there(server, names):
    """What was answered with 201 is in the database."""
    with server.api() as api:
        users = api.get("/users/?limit=1000000").json()["users"]
    assert set(names) <= {user["username"] for user in users}


def still_there(server, wires):
    """Each is answered on the same connection, by a worker of the last generation."""
    living = set(server.workers())
    for i, wire in enumerate(wires):
        assert wire.ask(headers=[("X-Request-Id", f"idle-{i}-last")]).answer().status == 200
    server.await_line(rf"id=idle-{len(wires) - 1}-last$")
    rows = {row["id"]: row for row in access_rows(server)}
    for i, wire in enumerate(wires):
        first, last = rows[f"idle-{i}-first"], rows[f"idle-{i}-last"]
        assert first["peer"] == last["peer"] == "%s:%d" % wire.socket.getsockname()
        assert last["pid"] in living and last["pid"] != first["pid"]


def test_reload_after_reload_under_load(serve):
    server = serve(workers=2, config=FAST)
    idle = idle_connections(server, 50)
    with Load(server, **BUSY) as load:
        load.await_progress(5)
        for _ in range(10):
            assert re.fullmatch(RECEIPT, server.reload())[5] == "0"
            load.await_progress(3)
    still_there(server, idle)
    all_created_are_there(server, load.report["created"])
    totals = server.status()["totals"]
    assert totals["connections_cut"] == totals["accept_errors"] == 0
    report = load.judge()
    assert len(report["created"]) > 20 and report["polite"] == 0


def test_unix_socket_under_load(serve, place):
    server = serve(workers=2, bind="unix:http.sock", config=FAST)
    with Load(server, address=str(place / "http.sock"), keepalive=8, connect=4, pipelined=4) as load:
        for _ in range(5):
            load.await_progress(5)
            assert re.fullmatch(RECEIPT, server.reload())[5] == "0"
    load.judge()


@pytest.mark.long
def test_hundred_reloads_and_fifty_scalings(serve):
    server = serve(workers=3, config={**FAST, "limits.keepalive_timeout": "1h"})
    idle = idle_connections(server, 50)
    with Load(server, **BUSY) as load:
        for turn in range(100):
            assert re.fullmatch(RECEIPT, server.reload())[5] == "0"
            if turn % 2:
                server.ctl("scale", str(turn % 7 + 1))
            load.await_progress(2)
    server.ctl("scale", "reset")
    server.reload()
    still_there(server, idle)
    all_created_are_there(server, load.report["created"])
    assert server.status()["totals"]["connections_cut"] == 0
    load.judge()




@pytest.mark.parametrize("turns", [20, pytest.param(100, marks=pytest.mark.long)])
def test_descriptors_do_not_leak(serve, place, turns):
    """Master and workers have as many open after the last reload as after the first."""
    server = serve(workers=2, bind=["127.0.0.1:0", "unix:http.sock"], config=FAST)

    def numbers():
        return [len(open_files(server.process.pid)), sorted(len(open_files(pid)) for pid in server.workers())]
    server.reload()
    first = numbers()
    for turn in range(turns):
        server.configure(server__bind=["127.0.0.1:0", "unix:http.sock", *([f"unix:{turn}.sock"] if turn % 2 else [])])
        server.reload()
        if turn % 5 == 0:
            (place / "colmeia.ini").write_text("[nothing]\n")
            server.ctl("reload", "--wait", code=1)
            server.configure()
    server.configure(server__bind=["127.0.0.1:0", "unix:http.sock"])
    server.reload()
    assert numbers() == first
