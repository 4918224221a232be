"""Limits that the kernel really sets: no more processes, no more memory, no more descriptors. Who is there is
served, the log says what it is, and when there is room again it recovers without a restart."""

import os
import resource
import signal
import subprocess
from contextlib import contextmanager

import pytest

from harness.nth import Requests
from harness.server import FAST, await_gone, await_true
from harness.wire import Wire


def limit(pid, what, soft):
    """Sets the soft limit; the one before."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    return before


AS_NOBODY_ELSE = ["setpriv", "--reuid", "62123", "--regid", "62123", "--clear-groups"]
PROCESSES = 30      # more than the server needs, threads included


@contextmanager
def crowd():
    """So many other processes of that user that there is no room for one more."""
    fillers = subprocess.Popen([*AS_NOBODY_ELSE, "sh", "-c", f"for i in $(seq {PROCESSES}); do sleep 1000 & done; echo; wait"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert fillers.stdout.readline() == b"\n"
        yield
    finally:
        os.killpg(fillers.pid, signal.SIGKILL)
        fillers.wait()
        fillers.stdout.close()


def test_no_more_processes(serve, place):
    """RLIMIT_NPROC binds everyone but root. A worker that dies cannot be replaced: the others serve."""
    if os.geteuid() != 0:
        pytest.skip("a user of its own, whom nobody else's processes count against, needs root")
    os.chmod(place, 0o777)
    # looking for leaks takes a thread more than there may be
    server = serve.make(workers=2, config=FAST, env={"ASAN_OPTIONS": "detect_leaks=0:exitcode=86"})
    server.start(["prlimit", f"--nproc={PROCESSES}", *AS_NOBODY_ELSE])
    server.await_served()
    victim = sorted(server.workers())[0]
    with crowd():
        os.kill(victim, signal.SIGKILL)
        server.await_line(r"worker \d+: cannot start a process: Resource temporarily unavailable; next try in")
        with Wire(server.tcp()) as wire:
            assert wire.get("/users/").status == 200
        assert server.ctl("reload", "--wait", code=1)["error"].startswith("reload 1 failed: ")
    server.ctl("retry")
    server.await_workers(2, without=[victim])
    await_true("a reload works again", lambda: server.run_ctl("reload", "--wait").returncode == 0)


def mapped(pid):
    """What counts for RLIMIT_DATA, in bytes."""
    rows = dict(row.split(":") for row in open(f"/proc/{pid}/status") if row.startswith("VmData"))
    return int(rows["VmData"].split()[0]) * 1024


@pytest.mark.parametrize("who", ["worker", "master"])
def test_no_more_memory(serve, who):
    """RLIMIT_DATA leaves no room for a hash. (The sanitizers need address space without end, so that
    RLIMIT_AS is none for them.)"""
    server = serve(workers=2, config={**FAST, "auth.hash_memory": "64m", "log.level": "info"}).await_served()
    requests = Requests(server)
    workers = server.workers()
    pids = list(workers) if who == "worker" else [server.process.pid]
    before = [limit(pid, resource.RLIMIT_DATA, mapped(pid) + (32 << 20)) for pid in pids]
    with Wire(server.tcp()) as wire:
        for _ in range(5):
            assert requests.ask("login") == (503 if who == "worker" else 200)
            assert wire.get().status == 200 and requests.ask("user") == 200
    for pid, old in zip(pids, before):
        resource.prlimit(pid, resource.RLIMIT_DATA, old)
    assert requests.ask("login") == 200 and requests.ask("sign-up") == 201
    assert server.workers().keys() == workers.keys()
    assert server.reload().startswith("reload 1: 2 workers replaced")


def test_no_more_descriptors(serve):
    """RLIMIT_NOFILE of a worker that has many connections: they are served, newcomers wait or hear 503,
    the log says so; when some leave, the others come in."""
    server = serve(workers=1, config={"log.level": "info"}).await_served()
    (pid,) = server.workers()
    wires = [Wire(server.tcp()) for _ in range(10)]
    assert [wire.get("/users/").status for wire in wires] == [200] * 10
    before = limit(pid, resource.RLIMIT_NOFILE, len(os.listdir(f"/proc/{pid}/fd")))
    waiting = [Wire(server.tcp()).ask() for _ in range(3)]
    server.await_line("cannot accept connections: Too many open files; next try in")
    assert [wire.get("/users/").status for wire in wires] == [200] * 10
    for wire in wires[:5]:
        wire.close()
    assert {wire.answer().status for wire in waiting} <= {200, 503}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert list(server.workers()) == [pid]


def test_worker_killed_for_memory(serve):
    """As the kernel's out-of-memory killer does it: another takes its place at once, and who asks it is served."""
    server = serve(workers=2, config=FAST).await_served()
    victim = sorted(server.workers())[0]
    os.kill(victim, signal.SIGKILL)
    await_gone(victim)
    with Wire(server.tcp()) as wire:
        assert wire.get("/users/").status == 200
    server.await_line(r"killed by signal 9 .*; replaced at once")
    await_true("two again", lambda: len(server.await_workers(2, without=[victim])) == 2)
