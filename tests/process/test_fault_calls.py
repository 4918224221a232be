"""System calls that fail as they hardly ever do: at the start, in a reload, and while everybody is served.
What they are made to fail by: harness/faults.py."""

import os
import re
import signal

import pytest

from harness.faults import await_held, go_on
from harness.load import Load
from harness.server import FAST, await_true
from harness.wire import Wire
from process.test_identity import USER, home    # noqa: F401: a fixture

NO_PROCESS = "Resource temporarily unavailable"     # EAGAIN, of fork(2)
NO_DESCRIPTOR = "Too many open files"
NO_MEMORY = "Cannot allocate memory"


# ---- at the start ----

FATAL = {
    "signalfd": ("EMFILE", 70, rf"cannot start: no signalfd: {NO_DESCRIPTOR}"),
    "loop": ("EMFILE", 70, rf"cannot start: no event loop: {NO_DESCRIPTOR}"),
    "scoreboard_mmap": ("ENOMEM", 70, rf"cannot start: no shared memory: {NO_MEMORY}"),
    "tickets_mmap": ("ENOMEM", 70, rf"cannot start: no shared memory: {NO_MEMORY}"),
    "throttle_mmap": ("ENOMEM", 70, rf"cannot start: no shared memory: {NO_MEMORY}"),
    "listener_socket": ("EMFILE", 4, r"cannot listen on 127\.0\.0\.1:0: no file descriptors left"),
    "listener_bind": ("EADDRINUSE", 4, r"cannot listen on 127\.0\.0\.1:0: address already in use"),
    "listener_listen": ("EADDRINUSE", 4, r"cannot listen on 127\.0\.0\.1:0: address already in use"),
    "fork": ("EAGAIN", 70, rf"{NO_PROCESS}"),
}


@pytest.mark.parametrize("point", FATAL)
def test_no_start_without_it(serve, faults, point):
    """A message that names the cause, the promised exit code, and nothing left behind."""
    error, code, message = FATAL[point]
    faults.set(point, f"errno {error}")
    server = serve.make(env=faults.env)
    server.spawn()
    assert server.wait() == code, server.log
    server.await_end_of_log()
    assert re.search(rf"ERROR \[master pid \d+\] .*{message}", server.log), server.log
    assert not (server.directory / "ctl.sock").exists()
    faults.clear(point)
    serve().stop()


@pytest.mark.parametrize("order, code", [("errno ENOENT", 78), ("errno EMFILE", 70), ("errno EIO", 70)])
def test_no_start_while_nobody_knows_the_user(serve, home, faults, order, code):
    """What may pass is tried again by a service manager; 78 is a bad configuration only."""
    faults.set("user_lookup", order)
    server = serve.make(home, env=faults.env, config={"server.user": USER})
    server.spawn()
    assert server.wait() == code, server.log
    server.await_end_of_log()
    assert "[server] user: " + USER in server.log


BOOT = {
    "loop": ("skip 1 errno EMFILE", NO_DESCRIPTOR),
    "thread_create": ("errno EAGAIN", NO_PROCESS),
    "probe_socketpair": ("errno EMFILE", NO_DESCRIPTOR),
    "message_send": ("errno ENOBUFS", "No buffer space"),
}


@pytest.mark.parametrize("point", BOOT)
def test_no_worker_can_boot(serve, faults, point):
    """Five failures, then the master gives up; the workers' log says what it was."""
    order, message = BOOT[point]
    faults.set(point, order)
    server = serve.make(env=faults.env)
    server.spawn()
    assert server.wait() == 3, server.log
    assert re.search(rf"ERROR \[worker \d+ pid \d+\] .*{message}", server.log), server.log


@pytest.mark.parametrize("point", BOOT)
def test_one_worker_cannot_boot(serve, faults, point):
    """It is replaced, and then all are there."""
    order, message = BOOT[point]
    faults.set(point, order.replace("errno", "once errno"))
    server = serve(env=faults.env)
    assert faults.is_struck(point)
    assert re.search(rf"ERROR \[worker \d+ pid \d+\] .*{message}", server.log), server.log
    server.await_line(r"worker \d+ \(pid \d+, gen 1\) exited with code \d+ .*; replaced at once")
    assert server.await_workers(2)


@pytest.mark.parametrize("order", ["signal KILL", "signal SEGV", "signal TERM", "exit 0", "exit 1"],
                         ids=["KILL", "SEGV", "TERM", "exit-0", "exit-1"])
@pytest.mark.parametrize("point", ["worker_boot", "worker_probe", "worker_ready"])
def test_worker_ends_while_it_boots(serve, faults, point, order):
    faults.set(point, f"once {order}")
    server = serve(env=faults.env)
    assert faults.is_struck(point)
    assert len(server.await_workers(2)) == 2
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    server.expected_reports = "Sanitizer"      # of the SEGV


def test_no_worker_can_be_forked(serve, faults):
    """The migration could: it gives up when the time for the first start is over."""
    faults.set("fork", "skip 1 errno EAGAIN")
    server = serve.make(env=faults.env, config={"supervisor.boot_timeout": "1s"})
    server.spawn()
    assert server.wait() == 3, server.log
    assert re.search(rf"worker \d+: cannot start a process: {NO_PROCESS}; next try in", server.log), server.log


WITHOUT = {
    "queue_socketpair": ("EMFILE", rf"connections cannot be handed over: {NO_DESCRIPTOR}"),
    "control_socket": ("EMFILE", rf"no control socket: .*ctl\.sock: {NO_DESCRIPTOR}"),
    "control_bind": ("EACCES", r"no control socket: .*ctl\.sock: Permission denied"),
}


@pytest.mark.parametrize("point", WITHOUT)
def test_goes_on_without_it(serve, faults, point):
    """What it can do without is a warning; a reload works, and nobody loses a request."""
    error, message = WITHOUT[point]
    faults.set(point, f"errno {error}")
    server = serve(env=faults.env, config=FAST)
    assert re.search(rf"WARN +\[master pid \d+\] {message}", server.log), server.log
    with Load(server, keepalive=4, connect=4, slow=2) as load:
        load.await_progress(3)
        server.send_signal(signal.SIGHUP)
        server.await_line(r"reload 1: 2 workers replaced, .* 0 cut")
        load.await_progress(3)
    load.judge()


# ---- in a reload ----

FORKS = {"the judge": 0, "the first worker": 1, "the second worker": 2}


@pytest.mark.parametrize("point, error, message", [
    ("fork", "EAGAIN", NO_PROCESS), ("fork", "ENOMEM", NO_MEMORY), ("channel_socketpair", "EMFILE", NO_DESCRIPTOR)],
    ids=["EAGAIN", "ENOMEM", "channel"])
@pytest.mark.parametrize("whose", FORKS, ids=[n.replace(" ", "-") for n in FORKS])
def test_child_of_a_reload_cannot_be_made(serve, faults, point, error, message, whose):
    """The old workers serve on, the caller hears why, and the next reload works."""
    skip = FORKS[whose] - (point == "channel_socketpair")
    if skip < 0:
        pytest.skip("a child that judges has no channel")
    server = serve(config=FAST, env=faults.env)
    before = server.workers()
    with Load(server, keepalive=4, connect=4) as load:
        faults.set(point, f"skip {skip} once errno {error}")
        told = server.ctl("reload", "--wait", code=1)
        assert faults.is_struck(point)
        assert told["error"].startswith("reload 1 failed: ") and message in told["error"], told
        await_true("only the old ones are left", lambda: set(server.children()) == set(before))
        assert server.workers() == before
        load.await_progress(3)
        assert server.reload().startswith("reload 2: 2 workers replaced")
    load.judge()


NEW_DOOR = {
    "listener_share": ("EMFILE", NO_DESCRIPTOR), "listener_socket": ("ENFILE", "no file descriptors left"),
    "listener_bind": ("EADDRINUSE", "already in use"), "listener_listen": ("EADDRINUSE", "already in use"),
}


@pytest.mark.parametrize("point", NEW_DOOR)
def test_listener_of_a_reload_cannot_be_opened(serve, faults, point):
    """Those that were opened before it are closed again; those that stay have never been touched."""
    error, message = NEW_DOOR[point]
    server = serve(config=FAST, env=faults.env)
    before = server.workers()
    server.configure(server__bind=["unix:new.sock", "127.0.0.1:0", "unix:newer.sock"])
    with Load(server, keepalive=4, connect=4) as load:
        faults.set(point, f"skip {0 if point == 'listener_share' else 1} once errno {error}")
        told = server.ctl("reload", "--wait", code=1)
        assert faults.is_struck(point)
        assert message in told["error"], told
        assert server.workers() == before
        assert not (server.directory / "new.sock").exists() and not (server.directory / "newer.sock").exists()
        assert server.reload().startswith("reload 2: 2 workers replaced")
        assert (server.directory / "new.sock").exists() and (server.directory / "newer.sock").exists()
        load.await_progress(3)
    load.judge()


@pytest.mark.parametrize("visit, whom", [(0, "new"), (1, "new"), (2, "old"), (3, "old")])
def test_worker_cannot_be_told_at_a_reload(serve, faults, visit, whom):
    """The master's message fails: who should have heard it gets TERM, and ends politely. New workers are told
    to accept, then the old ones to move."""
    server = serve(config=FAST, env=faults.env)
    old = server.workers()
    with Load(server, keepalive=4, connect=4, slow=2) as load:
        load.await_progress(3)
        faults.set("reload_commit", "once signal STOP")
        server.send_signal(signal.SIGHUP)
        faults.await_struck("reload_commit")
        await_held(server.process.pid)      # or it would go on before it stands still
        faults.set("message_send", f"skip {visit} once errno EAGAIN")
        go_on(server.process.pid)
        server.await_line(r"reload 1: 2 workers replaced, .* 0 cut")
        assert faults.is_struck("message_send")
        untold = re.findall(r"\(pid (\d+)\) cannot be told; it gets SIGTERM", server.log)
        assert len(untold) == 1 and (int(untold[0]) in old) == (whom == "old"), untold
        server.await_workers(2, without=[int(untold[0])])
        load.await_progress(3)
    load.judge()


# ---- while everybody is served ----

@pytest.mark.parametrize("point, error", [("fork", "EAGAIN"), ("fork", "ENOMEM"), ("channel_socketpair", "EMFILE")])
def test_dead_worker_cannot_be_replaced(serve, faults, point, error):
    """The others serve on; tries come at growing distances; when there is room again it recovers."""
    server = serve(workers=3, config=FAST, env=faults.env).await_served()
    faults.set(point, f"errno {error}")
    victim = sorted(server.workers())[0]
    os.kill(victim, signal.SIGKILL)
    # of failures that repeat themselves the 1st, 2nd, 4th … are logged; jitter is a fifth
    waits = [int(server.await_line(r"worker \d+: cannot start a process: .*next try in (\d+) ms", count=i)[1])
             for i in (1, 2, 3)]
    assert all(0.8 * n <= wait <= 1.2 * n for wait, n in zip(waits, (100, 200, 800))), waits
    with Load(server, keepalive=4, connect=4) as load:
        load.await_progress(3)
        assert server.status()["workers"]["by_state"]["backoff"] == 1
        told = server.ctl("reload", "--wait", code=1)
        assert told["error"].startswith("reload 1 failed: "), told
        faults.clear(point)
        server.ctl("retry")
        server.await_workers(3, without=[victim])
        assert server.reload().startswith("reload 2: 3 workers replaced")
    load.judge()


def test_worn_worker_cannot_be_replaced(serve, faults):
    """It serves on, nobody is told that anybody died, and the next try works."""
    server = serve(workers=2, config=FAST, env=faults.env).await_served()
    before = server.workers()
    faults.set("fork", "once errno EAGAIN")
    with Load(server, keepalive=4, connect=4) as load:
        server.ctl("recycle", "0")
        server.await_line(rf"a worker could not be replaced: worker \d+ could not be started: {NO_PROCESS}")
        load.await_progress(2)
        server.await_line(r"a worker was replaced")
        assert len(set(server.await_workers(2)) & set(before)) == 1
    load.judge()


def test_last_child_cannot_be_made(serve, faults):
    """The checkpoint at the end is left out, and said so: the stop was clean all the same."""
    server = serve(config=FAST, env=faults.env)
    faults.set("fork", "errno EAGAIN")
    server.stop()
    server.await_line(NO_PROCESS)


def test_control_socket_short_of_descriptors(serve, faults):
    server = serve(config=FAST, env=faults.env)
    faults.set("control_accept", "once errno EMFILE")
    assert server.ctl("status")["status"]["state"] == "ready"
    assert faults.is_struck("control_accept")
    server.await_line(rf"control: cannot accept: {NO_DESCRIPTOR}; trying again")


ACCEPT = {"EMFILE": True, "ENFILE": True, "ENOBUFS": True, "ENOMEM": True, "EIO": True,
          "ECONNABORTED": False, "EINTR": False, "EPROTO": False, "EPERM": False}


@pytest.mark.parametrize("often", ["once", "always"])
@pytest.mark.parametrize("error", ACCEPT)
def test_accept_fails(serve, faults, error, often):
    """Those who come wait; if it lasts, some are told 503. Whoever was accepted before is served on, and
    no worker dies of it."""
    exhausted = ACCEPT[error]
    server = serve(env=faults.env, config=FAST)
    before = server.workers()
    old = Wire(server.tcp())
    assert old.get().status == 200
    faults.set("accept", f"once errno {error}" if often == "once" else f"errno {error}")
    wires = [Wire(server.tcp()).ask() for _ in range(10)]
    server.await_status("it was counted", lambda s: s["totals"]["accept_errors"] >= (1 if often == "once" else 3))
    assert old.get().status == 200
    faults.clear("accept")
    answers = [wire.answer() for wire in wires]
    refused = [a for a in answers if a.status != 200]
    assert all(a.status == 503 and a.header("retry-after") for a in refused), refused
    assert len(refused) <= (5 if exhausted else 0) and (not exhausted or len(answers) > len(refused))
    assert bool(re.search("cannot accept connections: .*; next try in 100 ms", server.log)) == exhausted
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert server.workers() == before


@pytest.mark.parametrize("order, lost", [
    ("once errno ENFILE", 1), ("skip 5 once errno ENOBUFS", 1), ("once errno ECONNABORTED", 0), ("once errno EINTR", 0)],
    ids=["ENFILE", "ENOBUFS", "ECONNABORTED", "EINTR"])
def test_accept_fails_at_a_full_stop(serve, faults, order, lost):
    """Those in the kernel's queue are answered all the same: one of them, at most, with 503."""
    server = serve(workers=2, config=FAST, env=faults.env)
    pids = list(server.workers())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wires = [Wire(server.tcp()).ask() for _ in range(30)]
    faults.set("accept", order)
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    answers = [wire.answer().status for wire in wires]
    for wire in wires:
        assert wire.is_closed()
        wire.close()
    assert server.wait() == 0
    assert faults.is_struck("accept")
    assert answers.count(200) >= 30 - lost and set(answers) <= {200, 503}, answers


def test_no_spare_descriptor(serve, faults):
    """Neither for a client that is refused nor for what is handed over: nothing is lost, it waits."""
    faults.set("spare_open", "errno EMFILE")
    server = serve(env=faults.env, config=FAST)
    wires = [Wire(server.tcp()) for _ in range(10)]
    assert [wire.get().status for wire in wires] == [200] * 10
    server.send_signal(signal.SIGHUP)
    server.await_line("handed over connections are left to other workers")
    for wire in wires:
        wire.ask()
    server.await_line(r"reload 1: 2 workers replaced, .* 0 cut")
    faults.clear("spare_open")
    assert [wire.answer().status for wire in wires] == [200] * 10


def test_no_memory_for_a_hash(serve, faults):
    """503, not a wrong password; and the next login works."""
    server = serve(env=faults.env)
    with server.api() as api:
        assert api.sign_up().status_code == 201
        faults.set("password_mmap", "once errno ENOMEM")
        answer = api.try_login()
        assert answer.status_code == 503 and "retry-after" in answer.headers, answer.text
        assert api.try_login().status_code == 200


def test_hashing_thread_is_alone(serve, faults):
    """Without a second thread hashes are made all the same, and it is said what that means."""
    server = serve(workers=1, env=faults.env)
    faults.set("companion_create", "errno EAGAIN")
    with server.api() as api:
        assert api.sign_up().status_code == 201
        assert api.try_login().status_code == 200
    server.await_line(rf"hash: cannot make a second thread: {NO_PROCESS}; hashes do not give way")
