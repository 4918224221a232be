"""Reloads that fail, at each step and for any reason: the old workers have never been touched and go on;
the caller, the log and the status say why. And what waits after failures, until a reload ends it."""

import fcntl
import os
import re
import signal
import socket

import pytest

from harness.server import FAST, await_true
from harness.wire import Wire
from process.test_reload import LONGER, RECEIPT
from process.test_respawn import spoil

DEATH = re.compile(r"worker (\d+) \(pid \d+, gen \d+\) exited with code 6 .*next try in (\d+) ms")


def unreadable_key(server, place):
    server.configure(auth__secret_key_file="nowhere")
    return r"nowhere"


def short_key(server, place):
    (place / "short").write_text("short\n")
    server.configure(auth__secret_key_file="short")
    return r"short"


def syntax(server, place):
    (place / "colmeia.ini").write_text("[server]\nworkers = 2\n[limits\n")
    return r"colmeia\.ini:3: "


def unknown_key(server, place):
    (place / "colmeia.ini").write_text("[server]\nworker = 2\n")
    return r"colmeia\.ini:2: .*worker"


def bad_value(server, place):
    (place / "colmeia.ini").write_text("\n[limits]\nmax_body = much\n")
    return r"colmeia\.ini:3: .*much"


def ini_gone(server, place):
    (place / "colmeia.ini").unlink()
    return r"colmeia\.ini"


def taken_port(server, place):
    server.other = socket.create_server(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % server.other.getsockname()[1]
    server.configure(server__bind=["127.0.0.1:0", address])
    return rf"{re.escape(address)}.*in use"


def no_directory(server, place):
    server.configure(server__bind=["127.0.0.1:0", "unix:nowhere/http.sock"])
    return r"nowhere/http\.sock"


def no_boot(server, place):
    server.mend = spoil(place)
    return r"worker \d+ \(pid \d+\) exited with code 6"


FAILURES = {"syntax": syntax, "unknown key": unknown_key, "bad value": bad_value, "no ini": ini_gone,
            "no key": unreadable_key, "short key": short_key, "taken port": taken_port,
            "no directory": no_directory, "worker does not boot": no_boot}


@pytest.mark.parametrize("how", ["ctl", "HUP"])
@pytest.mark.parametrize("name", FAILURES, ids=[n.replace(" ", "-") for n in FAILURES])
def test_failed_reload_changes_nothing(serve, place, name, how):
    server = serve(workers=2, config=FAST)
    server.mend = lambda: None
    before = server.workers()
    idle = Wire(server.tcp())
    assert idle.get().status == 200
    reason = FAILURES[name](server, place)
    if how == "ctl":
        told = server.ctl("reload", "--wait", code=1)
        assert re.search(reason, told["error"]), told
        assert told["error"].startswith("reload 1 failed: ")
    else:
        server.send_signal(signal.SIGHUP)
    line = server.await_line(r".*reload 1 failed: .*").group(0)
    assert re.search(reason, line) and " ERROR " in line, line
    await_true("only the old ones are left", lambda: set(server.children()) == set(before))
    assert server.workers() == before
    status = server.status()
    assert (status["state"], status["generation"]) == ("ready", 1)
    assert status["last_reload"]["result"] == "failed" and re.search(reason, status["last_reload"]["text"])
    for wire in idle, Wire(server.tcp()):
        assert wire.get().status == 200
        wire.close()
    server.mend()
    server.configure(auth__secret_key_file=None, server__bind="127.0.0.1:0")
    assert server.reload().startswith("reload 2: 2 workers replaced")


def test_last_words_of_who_failed_come_along(serve, place):
    """The lines of a worker that cannot boot are in the answer, not only in the log."""
    server = serve(workers=2, config=FAST)
    mend = spoil(place)
    told = server.ctl("reload", "--wait", code=1)
    mend()
    assert any("database.db" in line for line in told["log"]), told


def test_every_error_is_told(serve, place):
    server = serve(workers=1, config=FAST)
    (place / "colmeia.ini").write_text("[server]\nworker = 2\n[limits]\nmax_body = much\n")
    told = server.ctl("reload", "--wait", code=1)
    assert [re.search(r"colmeia\.ini:(\d+): ", line)[1] for line in told["log"]] == ["2", "4"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM])
def test_candidate_that_dies_while_it_settles(serve, number):
    server = serve(workers=2, config={**FAST, LONGER: "1m"})
    before = server.workers()
    server.send_signal(signal.SIGHUP)
    both = server.await_workers(4)
    victim = next(pid for pid in both if pid not in before)
    os.kill(victim, number)
    line = server.await_line(r"reload 1 failed: .*").group(0)
    assert f"pid {victim}" in line, line
    await_true("only the old ones are left", lambda: set(server.children()) == set(before))
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200


def accepting(server):
    """The generations whose workers take newcomers, as [1, 1]."""
    return sorted(slot["generation"] for slot in server.status()["slots"] if slot["accepting"])


def test_candidates_meet_no_client_before_the_commit(serve):
    """Their requests are in the hands of the old ones, so that a crash of the new ones loses none."""
    server = serve(workers=2, config={**FAST, LONGER: "1m"})
    before = server.workers()
    server.send_signal(signal.SIGHUP)
    await_true("all are ready", lambda: (server.status()["transition"] or {}).get("step") == "settle")
    assert accepting(server) == [1, 1]
    new = [pid for pid in server.workers() if pid not in before]
    for _ in range(40):     # each time from another port: the kernel would give some to the new ones
        with Wire(server.tcp()) as wire:
            assert wire.get().status == 200
    slots = {slot["pid"]: slot for slot in server.status()["slots"]}
    assert [slots[pid]["requests"] for pid in new] == [0, 0]
    assert all("[waiting]" in server.children()[pid] for pid in new)


def test_candidates_stand_in_when_the_last_of_the_old_dies(serve):
    server = serve(workers=1, config={**FAST, LONGER: "1m"})
    (old,) = server.workers()
    server.send_signal(signal.SIGHUP)
    await_true("it is ready", lambda: (server.status()["transition"] or {}).get("step") == "settle")
    os.kill(old, signal.SIGKILL)
    await_true("the new one is let in", lambda: 2 in accepting(server))
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200


def test_candidate_that_does_not_become_ready(serve, place):
    """It cannot open the database and tries, while the old ones, who have it open, go on: somebody holds
    the byte that SQLite asks for first (PENDING_BYTE in its os.h)."""
    server = serve(workers=2, config={**FAST, "supervisor.boot_timeout": "1s"})
    before = server.workers()
    with open(place / "database.db", "r+b") as database:
        fcntl.lockf(database, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0x40000000)
        told = server.ctl("reload", "--wait", code=1)
        with server.api() as api:
            assert api.get("/users/").status_code == 200
    server.await_line(r"pid \d+\) was not ready after 1000 ms")
    assert re.search(r"worker \d+ \(pid \d+\) killed by signal 9", told["error"]), told
    assert server.workers() == before
    server.reload()


def test_old_worker_that_dies_meanwhile_is_nobodys_failure(serve):
    server = serve(workers=2, config={**FAST, LONGER: "500ms"})
    before = list(server.workers())
    server.send_signal(signal.SIGHUP)
    server.await_workers(4)
    os.kill(before[0], signal.SIGKILL)
    assert server.await_line(RECEIPT)[2] in ("1", "2")
    after = server.await_workers(2, without=before)
    assert all(" gen 2 " in title for title in after.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_during_a_reload(serve, number):
    server = serve(workers=2, config={**FAST, LONGER: "1m"})
    server.send_signal(signal.SIGHUP)
    server.await_workers(4)
    server.stop(number)
    server.await_line("reload 1 failed: the server is stopping")


# ---- after a crash loop ----

def test_crash_loop_is_paced_and_ends_with_a_reload(serve, place):
    """However often workers die, few are forked; and what waits for its next try, perhaps for half a
    minute, does not wait any longer when a reload succeeds."""
    server = serve(workers=2).await_served()
    mend = spoil(place)
    for pid in list(server.workers()):
        os.kill(pid, signal.SIGKILL)
    server.await_line(r"next try in ([6-9]\d\d|\d{4,5}) ms")       # nominally 800 ms
    rows = [m.groups() for m in map(DEATH.search, server.log.splitlines()) if m]
    for slot in {slot for slot, _ in rows}:
        waits = [int(ms) for its, ms in rows if its == slot]
        assert len(waits) <= 4 and waits == sorted(waits), rows
    mend()
    server.reload()
    assert len(server.workers()) == 2
    assert server.status()["workers"]["by_state"]["backoff"] == 0
