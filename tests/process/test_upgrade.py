"""Another program in the place of the running one: same PID, nobody loses a request; and the way back, at
whichever moment the new one fails. What the new ones do wrong: tests/variants/variant.c."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.load import Load
from harness.server import BINARY, FAST, await_true, open_files
from harness.wire import Wire
from process.test_behind_proxies import CLIENTS, judge, start_haproxy, start_nginx
from process.test_reload import BUSY, LONGER, RECEIPT, all_created_are_there, idle_connections, still_there

NEWER, LAYOUT = BINARY.parent / "colmeia_newer", BINARY.parent / "colmeia_layout"
VERSIONS = {NEWER: "9.9.9", LAYOUT: "9.9.9"}


def install(source, target, conduct=None):
    """As a package manager does: written beside it, then renamed over it."""
    fresh = Path(f"{target}.fresh")
    shutil.copy(source, fresh)
    if conduct:
        with open(fresh, "ab") as file:
            file.write(f"VARIANT:{conduct}".encode())
    os.rename(fresh, target)
    return target


@pytest.fixture
def program(place):
    """The server's own copy, which tests replace."""
    (place / "bin").mkdir()
    return install(BINARY, place / "bin" / "colmeia")


def born(pid):
    """The time of its start, in ticks since the boot (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def exe(pid):
    return os.readlink(f"/proc/{pid}/exe")


def title(pid):
    """What ps(1) shows."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].rstrip()


class Same:
    """The master and its clients before; afterwards it must still be that."""

    def __init__(self, server):
        self.server, self.pid = server, server.process.pid
        self.born, self.wire, self.title = born(self.pid), Wire(server.tcp()), title(self.pid)
        self.workers = server.workers()
        assert self.wire.get().status == 200

    def judge(self):
        assert born(self.pid) == self.born
        assert title(self.pid) == self.title
        assert self.wire.get().status == 200
        with Wire(self.server.tcp()) as wire:
            assert wire.get().status == 200


def version(server):
    return server.status()["version"]


OWN = None


def own_version():
    global OWN
    OWN = OWN or subprocess.run([str(BINARY), "version"], capture_output=True, text=True).stdout.split()[1]
    return OWN


# ---- there ----

@pytest.mark.parametrize("how", ["HUP", "USR2", "ctl"])
@pytest.mark.parametrize("source", [NEWER, LAYOUT], ids=["newer", "layout"])
def test_new_program_on_disk(serve, program, how, source):
    server = serve(binary=program, workers=2, config=FAST)
    same = Same(server)
    install(source, program)
    if how == "ctl":
        told = server.ctl("upgrade", "--wait")["text"]
    else:
        server.send_signal(getattr(signal, f"SIG{how}"))
        told = server.await_line(RECEIPT).group(0)
    assert re.search(rf"2 workers replaced, .* program 9\.9\.9 \(was {re.escape(own_version())}\), .* 0 cut", told)
    same.judge()
    assert version(server) == "9.9.9"
    after = server.workers()
    assert len(after) == 2 and not set(after) & set(same.workers)
    assert all(" gen 2 " in title for title in after.values()), after
    for pid in [same.pid, *after]:
        assert exe(pid) == str(program)
    status = server.status()
    assert (status["state"], status["generation"], status["last_reload"]["number"]) == ("ready", 2, 1)


def test_one_after_the_other(serve, program):
    """There, back again, and what else an operator does in between."""
    server = serve(binary=program, workers=2, config=FAST)
    same = Same(server)
    server.ctl("scale", "3")
    server.await_workers(3)
    for turn, source in enumerate([NEWER, BINARY, LAYOUT, NEWER, BINARY], 1):
        install(source, program)
        told = server.ctl("reload", "--wait")["text"]
        assert told.startswith(f"reload {2 * turn - 1}: 3 workers replaced"), "the override survives"
        assert version(server) == VERSIONS.get(source, own_version())
        assert " program " not in server.reload(), "the one that runs is the one on the disk"
        server.ctl("scale", "+1")
        server.await_workers(4)
        server.ctl("scale", "3")
        server.await_workers(3)
        same.judge()
    assert server.status()["workers"]["override"] == 3


def test_unchanged_program_only_when_asked(serve, program):
    server = serve(binary=program, workers=1, config=FAST)
    same = Same(server)
    assert " program " not in server.reload()
    server.send_signal(signal.SIGUSR2)
    assert " program " in server.await_line(RECEIPT, count=2).group(0)
    same.judge()
    assert " program " in server.ctl("upgrade", "--wait")["text"]
    assert server.ctl("upgrade")["text"].startswith("reload begun")
    server.await_line(RECEIPT, count=4)
    same.judge()


def test_dry_run_tells_of_the_program(serve, program):
    server = serve(binary=program, workers=1, config=FAST)
    assert server.ctl("reload", "--dry-run")["changes"] == []
    install(NEWER, program)
    assert server.ctl("reload", "--dry-run")["changes"] == [
        f"program: another file stands at {program} and would take over"]
    install("/etc/passwd", program)
    refusal = server.ctl("reload", "--dry-run", code=1)
    assert "may not be executed" in refusal["log"][0], refusal
    assert version(server) == own_version()


def test_touched_program_is_another(serve, program):
    server = serve(binary=program, workers=1, config=FAST)
    os.utime(program)
    assert " program " in server.reload()


def test_named_program_becomes_the_own(serve, program, place):
    """What it was started from is not gone back to by the next reload."""
    server = serve(binary=program, workers=1, config=FAST)
    other = install(NEWER, place / "bin" / "an other%one")
    done = subprocess.run([str(BINARY), "ctl", "--control", str(place / "ctl.sock"), "upgrade", "--binary",
                           "an other%one", "--wait"], cwd=place / "bin", capture_output=True, text=True)
    assert done.returncode == 0 and " program 9.9.9 " in done.stdout, done
    assert exe(server.process.pid) == str(other)
    assert " program " not in server.reload()
    os.utime(other)
    assert " program " in server.reload()
    assert exe(server.process.pid) == str(other)


def test_new_configuration_comes_along(serve, program):
    server = serve(binary=program, workers=None, config={**FAST, "server.workers": "1"})
    server.configure(server__workers="3", server__bind=["127.0.0.1:0", "127.0.0.1:0"])
    address = server.tcp()
    install(NEWER, program)
    assert "configuration changed, program 9.9.9" in server.reload()
    assert len(server.workers()) == 3
    assert len(server.status()["listeners"]) == 2
    with Wire(address) as wire:
        assert wire.get().status == 200


def test_counters_never_go_backwards(serve, program):
    server = serve(binary=program, workers=2, config=FAST)
    total = 0
    for source in NEWER, LAYOUT, BINARY:
        with Wire(server.tcp()) as wire:
            for _ in range(10):
                assert wire.get().status == 200
        install(source, program)
        server.reload()
        before, total = total, server.status()["totals"]["requests"]
        assert total >= before + 10


def test_unix_sockets_stay(serve, program, place):
    server = serve(binary=program, workers=1, bind=["127.0.0.1:0", "unix:http.sock"], config=FAST)
    files = {name: (place / name).stat() for name in ("http.sock", "ctl.sock")}
    install(NEWER, program)
    server.reload()
    for name, was in files.items():
        now = (place / name).stat()
        assert (now.st_dev, now.st_ino) == (was.st_dev, was.st_ino)
    with Wire(str(place / "http.sock")) as wire:
        assert wire.get().status == 200
    server.stop()
    assert not (place / "http.sock").exists() and not (place / "ctl.sock").exists()


def test_descriptors_do_not_leak(serve, program):
    server = serve(binary=program, workers=2, config=FAST)

    def numbers():
        return [len(open_files(server.process.pid)), sorted(len(open_files(pid)) for pid in server.workers())]
    server.ctl("upgrade", "--wait")
    first = numbers()
    for source, conduct in [(NEWER, None), (LAYOUT, "boot_crash"), (NEWER, "adopt_crash"), (LAYOUT, None),
                            (BINARY, None)]:
        install(source, program, conduct)
        server.run_ctl("reload", "--wait")
        server.await_workers(2)
    assert numbers() == first
    assert not any("colmeia-state" in what for pid in server.workers() for what in open_files(pid).values())


# ---- how it was started ----

def start_elsewhere(serve, place, binary, env=None):
    server = serve(place, binary=binary, workers=1, config=FAST, env=env)
    same = Same(server)
    install(NEWER, place / "bin" / "colmeia")
    assert " program 9.9.9 " in server.reload()
    install(BINARY, place / "bin" / "colmeia")
    assert f" program {own_version()} " in server.reload()
    same.judge()


def test_started_by_a_relative_path(serve, place, program):
    start_elsewhere(serve, place, "./bin/colmeia")


def test_started_without_a_path(serve, place, program):
    start_elsewhere(serve, place, "colmeia", {"PATH": f"{place}/bin:{os.environ['PATH']}"})


def test_started_through_a_link(serve, place, program):
    """Whoever lets the link point elsewhere wants that to run."""
    (place / "link").symlink_to(program)
    install(NEWER, place / "bin" / "next")
    server = serve(binary=place / "link", workers=1, config=FAST)
    (place / "other").symlink_to(place / "bin" / "next")
    os.rename(place / "other", place / "link")
    assert " program 9.9.9 " in server.reload()


def test_program_that_is_gone(serve, program):
    """The one that runs goes on, and reloads."""
    server = serve(binary=program, workers=1, config=FAST)
    same = Same(server)
    program.unlink()
    assert " program " not in server.reload()
    assert "No such file" in server.ctl("upgrade", "--wait", code=1)["error"]
    same.judge()
    install(NEWER, program)
    assert " program 9.9.9 " in server.reload()
    same.judge()


def test_as_pid_1(serve, place, program):
    prefix = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("no process namespace to be had here")
    server = serve.make(binary=program, workers=1, config=FAST).start(prefix)
    install(NEWER, program)
    assert " program 9.9.9 " in server.reload()
    assert server.status()["pid"] == 1
    install(LAYOUT, program, "boot_crash")
    assert "rolled back" in server.ctl("reload", "--wait", code=1)["error"]
    install(BINARY, program)
    assert " program " in server.reload()
    server.ctl("stop")
    assert server.wait() == 0


# ---- who watches ----

def test_reload_flag_watches_the_program(serve, program):
    server = serve(binary=program, workers=1, config=FAST, args=["--reload"])
    install(NEWER, program)
    assert " program 9.9.9 " in server.await_line(RECEIPT).group(0)
    install(BINARY, program)
    assert " (was 9.9.9), " in server.await_line(RECEIPT, count=2).group(0)


def test_clients_of_the_control_socket_stay(serve, program):
    """One follows events, one has typed half a command, one has waited from the beginning."""
    server = serve(binary=program, workers=1, config={**FAST, LONGER: "500ms"})
    install(NEWER, program)
    with server.control() as follower, server.control() as typist, server.control() as waiter:
        follower.sendall(b"events --follow\n")
        events = follower.makefile()
        events.readline()
        typist.sendall(b"sta")
        waiter.sendall(b"upgrade --wait\n")
        assert '"ok":true' in waiter.makefile().readline()
        typist.sendall(b"tus\n")
        assert '"version":"9.9.9"' in typist.makefile().readline()
        while "connections moved" not in events.readline():
            pass


# ---- a stop in between ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
@pytest.mark.parametrize("moment", ["checking", "handing over", "has taken over"])
def test_stop_during_an_upgrade(serve, program, moment, number):
    server = serve(binary=program, workers=2, config={**FAST, LONGER: "1m"})
    install(NEWER, program)
    server.send_signal(signal.SIGHUP)
    server.await_line(moment)
    server.stop(number)


def test_stop_at_any_moment(serve, place, program):
    """As many moments as there are tries; whichever program is there obeys."""
    for turn in range(12):
        server = serve(binary=program, workers=1, config={**FAST, LONGER: "100ms"})
        server.send_signal(signal.SIGUSR2)
        time.sleep(turn * 0.03)     # no moment is better than another
        server.stop()
        server.finish()


@pytest.mark.parametrize("conduct", ["adopt_hang", "adopt_crash", "boot_crash"])
def test_stop_while_the_new_one_fails(serve, place, program, conduct):
    server = serve(binary=program, workers=1, config=FAST)
    bad = install(NEWER, place / "bin" / "bad", conduct)
    server.ctl("upgrade", "--binary", str(bad))
    server.await_line("handing over")
    server.stop()


# ---- under load ----

# The four that may come: a newer one, one with another shared memory, one that crashes at boot, and one that
# crashes a second after it was ready: then the server must be patient, from the reload before.
FOUR = [(NEWER, None), (LAYOUT, "late_crash"), (LAYOUT, "boot_crash"), (NEWER, "late_crash"), (LAYOUT, None),
        (BINARY, None)]


def upgrade_to_all_four(server, program, load):
    server.configure(**{LONGER.replace(".", "__"): "2s"})
    for source, conduct in FOUR:
        if source == LAYOUT and not conduct:
            server.configure(**{LONGER.replace(".", "__"): "50ms"})
        install(source, program, conduct)
        told = server.ctl("reload", "--wait", code=1 if conduct else 0)
        if conduct:
            assert re.search(r"rolled back from .*killed by signal \d+", told["error"]), told
        load.await_progress(1)

def test_upgrade_after_upgrade_under_load(serve, program):
    server = serve(binary=program, workers=2, config={**FAST, "limits.keepalive_timeout": "1h"})
    idle = idle_connections(server, 50)
    same = Same(server)
    with Load(server, **BUSY) as load:
        load.await_progress(5)
        for source, conduct in [(NEWER, None), (LAYOUT, None), (NEWER, "boot_crash"), (NEWER, "adopt_crash")]:
            install(source, program, conduct)
            server.ctl("reload", "--wait", code=1 if conduct else 0)
            load.await_progress(3)
        upgrade_to_all_four(server, program, load)
    same.judge()
    still_there(server, idle)
    all_created_are_there(server, load.report["created"])
    assert server.status()["totals"]["connections_cut"] == 0
    report = load.judge()
    assert report["polite"] == 0


@pytest.mark.parametrize("start", [start_nginx, start_haproxy], ids=["nginx", "haproxy"])
def test_behind_a_proxy(serve, place, program, start):
    server = serve(binary=program, workers=2, config=FAST)
    proxy = start(server, place)
    try:
        with Load(server, address=("127.0.0.1", proxy.port), **CLIENTS) as load:
            load.await_progress(5)
            upgrade_to_all_four(server, program, load)
        judge(server, proxy, load)
    finally:
        proxy.stop()
