"""Upgrades that fail: what cannot take over is refused, what fails afterwards goes back; at each step the old
workers serve on, and the caller, the log and the status say why."""

import os
import re
import shutil
import signal
import socket

import pytest

from harness.server import BINARY, FAST, await_true, bearer
from harness.wire import Wire
from process.test_reload import LONGER, RECEIPT
from process.test_upgrade import LAYOUT, NEWER, Same, exe, install, own_version, program, version    # noqa: F401

# ---- refused at the door ----

def garbage(place):
    (place / "x").write_bytes(b"\x00garbage" * 100)
    return r"it is no program \(no ELF file\)", 0o755


def empty(place):
    (place / "x").touch()
    return r"it is no program \(no ELF file\)", 0o755


def other_machine(place):
    data = bytearray(BINARY.read_bytes())
    data[18:20] = (0x1234).to_bytes(2, "little")
    (place / "x").write_bytes(data)
    return r"built for another machine", 0o755


def other_class(place):
    data = bytearray(BINARY.read_bytes())
    data[4] = 1
    (place / "x").write_bytes(data)
    return r"built for another machine", 0o755


def object_file(place):
    data = bytearray(BINARY.read_bytes())
    data[16:18] = (1).to_bytes(2, "little")
    (place / "x").write_bytes(data)
    return r"it is an ELF file, but no program", 0o755


def script(place):
    (place / "x").write_text(f"#!/bin/sh\nexec {BINARY} \"$@\"\n")
    return r"a script cannot take over", 0o755


def not_executable(place):
    shutil.copy(NEWER, place / "x")
    return r"it may not be executed", 0o644


def missing(place):
    return r"No such file or directory", None


def directory(place):
    (place / "x").mkdir()
    return r"it is not a regular file", None


def fifo(place):
    os.mkfifo(place / "x")
    return r"it is not a regular file", 0o755


def cut_short(place):
    (place / "x").write_bytes(NEWER.read_bytes()[:200_000])
    return r"x: killed by signal \d+ \(SIG(SEGV|BUS)\) in its rehearsal|cannot be executed", 0o755


def another_program(place):
    shutil.copy("/bin/true", place / "x")
    return r"it does not take over as colmeia does \(exit code 0\)", 0o755


def parrot(place):
    shutil.copy("/bin/echo", place / "x")
    return r"rehearse \d+", 0o755


REFUSALS = [garbage, empty, other_machine, other_class, object_file, script, not_executable, missing, directory,
            fifo, cut_short, another_program, parrot]


@pytest.mark.parametrize("how", REFUSALS, ids=[f.__name__ for f in REFUSALS])
def test_what_cannot_take_over_is_refused(serve, place, program, how):
    server = serve(binary=program, workers=2, config=FAST)
    same = Same(server)
    reason, mode = how(place)
    if mode is not None:
        (place / "x").chmod(mode)
    told = server.ctl("upgrade", "--binary", str(place / "x"), "--wait", code=1)
    assert told["error"].startswith("reload 1 failed: ") and re.search(reason, told["error"]), told
    same.judge()
    assert server.workers() == same.workers
    assert exe(same.pid) == str(program)
    assert not re.search("handing over", server.log)
    assert " program " not in server.reload(), "it was asked for once"


def test_bad_configuration_is_refused_by_the_new_one(serve, place, program):
    server = serve(binary=program, workers=1, config=FAST)
    same = Same(server)
    install(NEWER, program)
    (place / "colmeia.ini").write_text("[server]\nworker = 2\n[limits]\nmax_body = much\n")
    told = server.ctl("reload", "--wait", code=1)
    assert [re.search(r"colmeia\.ini:(\d+): ", line)[1] for line in told["log"]] == ["2", "4"], told
    same.judge()
    assert server.workers() == same.workers and version(server) == own_version()
    server.configure()
    assert " program 9.9.9 " in server.reload()


def test_rehearsal_that_does_not_end(serve, place, program):
    """It is no program of ours, and writes for ever."""
    server = serve(binary=program, workers=1, config=FAST)
    same = Same(server)
    shutil.copy("/usr/bin/yes", place / "x")
    told = server.ctl("upgrade", "--binary", str(place / "x"), "--wait", code=1)
    assert "rehearse" in told["error"], told
    await_true("its process is gone", lambda: set(server.children()) == set(same.workers))
    same.judge()


# ---- and back ----

FAILURES = {
    "boot_crash": r"worker \d+ \(pid \d+\) killed by signal 6",
    "late_crash": r"worker \d+ \(pid \d+\) killed by signal 14",
    "never_ready": r"worker \d+ \(pid \d+\) killed by signal 9",
    "adopt_crash": r"it was killed by signal 11 while it took over",
    "adopt_abort": r"it was killed by signal 06 while it took over",
    "adopt_overflow": r"it was killed by signal 11 while it took over",
    "adopt_exit": r"it left while it took over",
    "adopt_fail": r"it could not take over",
    "adopt_hang": r"it did not take over within 10 s",
}
PATIENT = {**FAST, LONGER: "3s", "supervisor.boot_timeout": "4s"}


def rolled_back(server, same, program, reason):
    """All is as it was before."""
    line = server.await_line(r".* reload \d+ failed: rolled back from .*").group(0)
    assert re.search(reason, line) and " ERROR " in line, line
    await_true("only the old ones are left", lambda: set(server.children()) == set(same.workers))
    same.judge()
    assert server.workers() == same.workers
    status = server.status()
    assert (status["version"], status["state"], status["generation"]) == (own_version(), "ready", 1)
    assert status["last_reload"]["result"] == "failed" and re.search(reason, status["last_reload"]["text"])
    assert exe(same.pid).startswith(str(program))


def test_previous_keys_come_back(serve, place, program):
    """A worker that is born after the way back honours what its siblings honour."""
    old, new = ("%064x" % n for n in (0x0ddba11 << 200, 0xc0ffee << 201))
    server = serve(binary=program, workers=1, config={**FAST, "auth.secret_key": old})
    server.secrets |= {old, new}
    with server.api() as api:
        api.sign_up()
        token = api.login()
        server.configure(auth__secret_key=new, auth__previous_secret_keys=old)
        server.reload()
        bad = install(NEWER, place / "bin" / "bad", "boot_crash")
        assert "rolled back from" in server.ctl("upgrade", "--binary", str(bad), "--wait", code=1)["error"]
        before = server.workers()
        server.ctl("recycle", "all")
        server.await_workers(1, without=before)
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
@pytest.mark.parametrize("conduct", FAILURES)
def test_new_program_fails(serve, place, program, conduct, source):
    server = serve(binary=program, workers=2, config=PATIENT)
    same = Same(server)
    bad = install(source, place / "bin" / "bad", conduct)
    told = server.ctl("upgrade", "--binary", str(bad), "--wait", code=1)
    assert re.search(FAILURES[conduct], told["error"]), told
    assert f"rolled back from {bad}: " in told["error"], told
    rolled_back(server, same, program, FAILURES[conduct])
    server.configure(supervisor__settle="50ms")
    assert server.reload().startswith("reload 2: 2 workers replaced")
    install(NEWER, program)
    assert " program 9.9.9 " in server.reload()
    same.judge()


@pytest.mark.parametrize("conduct", ["boot_crash", "adopt_crash"])
def test_new_program_fails_after_a_hup(serve, program, conduct):
    """In the place of the one that runs, which has no name any more."""
    server = serve(binary=program, workers=2, config=PATIENT)
    same = Same(server)
    install(NEWER, program, conduct)
    server.send_signal(signal.SIGHUP)
    rolled_back(server, same, program, FAILURES[conduct])
    install(NEWER, program)
    server.send_signal(signal.SIGHUP)
    assert " program 9.9.9 " in server.await_line(RECEIPT).group(0)
    same.judge()


def test_new_program_cannot_bind(serve, place, program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(binary=program, workers=2, config=FAST)
        same = Same(server)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        server.configure(server__bind=["127.0.0.1:0", address])
        install(NEWER, program)
        told = server.ctl("reload", "--wait", code=1)
        assert re.search(rf"rolled back from .*{re.escape(address)}.*in use", told["error"]), told
        rolled_back(server, same, program, "in use")
    assert " program 9.9.9 " in server.reload()


@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
def test_worker_that_the_failed_program_made(serve, place, program, source):
    """An old worker dies while the new program is there, which replaces it, as ever; when that program has
    gone, so does its child, after a replacement."""
    server = serve(binary=program, workers=2, config=PATIENT)
    same = Same(server)
    bad = install(source, place / "bin" / "bad", "late_crash")
    server.ctl("upgrade", "--binary", str(bad))
    server.await_line("has taken over")
    os.kill(list(same.workers)[0], signal.SIGKILL)
    server.await_line("reload 1 failed: rolled back")
    server.await_line("belongs to a program that was rolled back")
    await_true("all run the old program", lambda: len(server.workers()) == 2 and
               all(exe(pid) == str(program) for pid in server.workers()))
    same.wire = Wire(server.tcp())      # the other may have been the dead one's
    same.judge()
