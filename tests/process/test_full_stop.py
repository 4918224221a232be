"""A full stop loses nothing that the kernel had accepted; a dead master leaves nothing behind; and the
server as PID 1."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness.load import Load
from harness.server import FAST, await_gone, await_true, children
from harness.wire import Closed, Wire
from process.test_stop import BODY, begin, refused

MANY = 200


def answered(wires):
    """The status on each; a client that closes at once is not lingered for."""
    statuses = []
    for wire in wires:
        try:
            statuses.append(wire.answer().status)
        except (Closed, ConnectionError) as e:
            statuses.append(repr(e))
        wire.close()
    return statuses


# ---- what was accepted is answered ----

def test_stop_under_load_loses_nothing(serve):
    """Every client ends with an answer that says so, or is refused before it has asked anything."""
    server = serve(workers=2)
    with Load(server, until_stop=True, keepalive=10, connect=8, slow=4) as load:
        load.await_progress(5)
        server.send_signal(signal.SIGTERM)
        load.await_end()
    assert server.wait() == 0
    load.judge()


@pytest.mark.parametrize("workers", [1, 4])
def test_queued_connections_are_all_answered(serve, workers):
    """Behind workers that are stopped while the stop begins."""
    server = serve(workers=workers)
    pids = list(server.workers())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wires = [Wire(server.tcp()).ask() for _ in range(MANY)]
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    await_true("newcomers are refused", lambda: refused(server.tcp()))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    for wire in wires:
        assert wire.answer().status == 200
        assert wire.is_closed()
        wire.close()
    assert server.wait() == 0


def test_queued_connections_on_a_unix_socket(serve, place):
    server = serve(workers=2, bind="unix:http.sock")
    pids = list(server.workers())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wires = [Wire(str(place / "http.sock")).ask() for _ in range(100)]
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    await_true("the path is gone", lambda: not (place / "http.sock").exists())
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert answered(wires) == [200] * 100
    assert server.wait() == 0


def test_reload_and_stop_with_a_full_queue(serve):
    """Both while nobody of the old generation can take anything."""
    server = serve(workers=2, config={**FAST, "supervisor.settle": "1m"})
    old = list(server.workers())
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    server.send_signal(signal.SIGHUP)
    new = await_true("the new ones are ready", lambda: [
        pid for pid, title in server.children().items() if " gen 2 " in title and "[waiting]" in title and
        len(server.slots()) == 4] or None)
    for pid in new:
        os.kill(pid, signal.SIGSTOP)
    wires = [Wire(server.tcp()).ask() for _ in range(MANY)]
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    for pid in [*old, *new]:
        os.kill(pid, signal.SIGCONT)
    assert answered(wires) == [200] * MANY
    assert server.wait() == 0


def test_fresh_connection_may_still_ask(serve):
    """It was accepted, and its request may be on its way."""
    server = serve(workers=2)
    wires = [Wire(server.tcp()) for _ in range(20)]
    server.await_status("all are accepted", lambda s: s["connections"] == 20)
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping: ")
    await_true("newcomers are refused", lambda: refused(server.tcp()))
    for wire in wires:
        assert wire.ask().answer().status == 200
        assert wire.is_closed()
        wire.close()
    assert server.wait() == 0


# ---- stop_delay ----

def test_stop_delay_goes_on_and_says_so(serve):
    """A balancer sees 503 from health checks while everybody else is served as before."""
    server = serve(workers=2, config={"supervisor.stop_delay": "2s"})
    old = Wire(server.tcp())
    assert old.get("/healthcheck").status == 200
    server.send_signal(signal.SIGTERM)
    server.await_line(r"stopping in 2000 ms")
    assert server.status()["state"] == "stopping"
    for wire in old, Wire(server.tcp()):
        answer = wire.get("/healthcheck")
        assert (answer.status, answer.body) == (503, b'{"status":"stopping"}')
        assert wire.get().status == 200
    with Wire(server.tcp()) as newcomer:
        assert newcomer.get().header("connection") is None
    server.await_line("stopping: ")
    assert server.wait() == 0


def test_second_stop_does_not_wait_for_the_delay(serve):
    server = serve(workers=1, config={"supervisor.stop_delay": "1h"})
    server.send_signal(signal.SIGINT)
    server.await_line("stopping in ")
    server.send_signal(signal.SIGINT)
    server.await_line("stopping quickly")
    assert server.wait() == 0


def test_worker_that_dies_in_the_delay_is_replaced(serve):
    """It is still a server."""
    server = serve(workers=2, config={"supervisor.stop_delay": "1h"}).await_served()
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping in ")
    (victim, _) = server.workers()
    os.kill(victim, signal.SIGKILL)
    server.await_workers(2, without=[victim])
    server.stop(signal.SIGQUIT)


# ---- the terminal ----

def test_hang_up_of_the_terminal_stops(serve):
    """The kernel's own SIGHUP is no wish for a reload."""
    server = serve.make(workers=1)
    leader = server.start_on_terminal()
    wire = begin(server)
    os.close(leader)
    server.await_line("stopping: ")
    wire.send(BODY[20:])
    assert answered([wire]) == [201]
    assert server.wait() == 0
    assert "reload" not in server.log


@pytest.mark.parametrize("how", ["at-once", "upgraded"])
def test_hang_up_under_nohup_stops_nothing(serve, how):
    """The kernel's is ignored, also by the program that took the place of the one so started; another's is not."""
    server = serve.make(workers=1)
    leader = server.start_on_terminal(["nohup"])
    if how == "upgraded":
        server.ctl("upgrade", "--wait")
    hang_up = 1 << signal.SIGHUP - 1
    os.close(leader)
    await_true("the hang-up is taken notice of", lambda: not pending(server.process.pid) & hang_up)
    assert server.status()["state"] == "ready"
    server.reload()
    assert "stopping" not in server.log
    server.stop()


def pending(pid):
    """The signals that wait for this process: ShdPnd of proc(5)."""
    return int(re.search(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE).group(1), 16)


# ---- a dead master ----

@pytest.mark.parametrize("settle", ["50ms", "1m"], ids=["while-draining", "while-settling"])
def test_master_killed_during_a_reload(serve, settle):
    """Old and new ones leave; what was accepted is answered; the port is free for the next one."""
    server = serve(workers=2, config={**FAST, "supervisor.settle": settle})
    wire = begin(server)
    server.send_signal(signal.SIGHUP)
    if settle == "1m":
        server.await_workers(4)
    else:
        await_true("one old worker drains", lambda: any(
            " gen 1 " in title and "draining" in title for title in server.children().values()))
    pids = list(server.children())
    server.send_signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    server.await_line("the master is gone")
    second = serve(workers=1, bind="%s:%d" % server.tcp())
    wire.send(BODY[20:])
    assert answered([wire]) == [201]
    for pid in pids:
        await_gone(pid)
    with Wire(second.tcp()) as other:
        assert other.get("/users/1").status == 200


def test_master_killed_with_a_full_queue(serve):
    """Orphans accept until the queue is empty."""
    server = serve(workers=2)
    pids = list(server.workers())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wires = [Wire(server.tcp()).ask() for _ in range(MANY)]
    server.send_signal(signal.SIGKILL)
    server.wait()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert answered(wires) == [200] * MANY
    for pid in pids:
        await_gone(pid)
    assert refused(server.tcp())


# ---- PID 1 ----

def can_unshare():
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True).returncode == 0


needs_namespaces = pytest.mark.skipif(not can_unshare(), reason="pid namespaces may not be made here")
STRANGER = 'sh -c "sleep 0.2 & sleep 0.1 & exec true" & wait $!; exec "$@"'


@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_as_pid_1(serve, number):
    """It inherits strangers, reaps them, and stops when it is told to, though the kernel protects PID 1
    from signals that it does not ask for."""
    server = serve.make(workers=2, config=FAST)
    server.start(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", STRANGER, "sh"])
    server.await_line(r"reaped process \d+, which is none of ours", count=2)
    assert server.status()["pid"] == 1
    (init,) = children(server.process.pid)
    assert len(children(init)) == 2 and all("worker" in title for title in children(init).values())
    assert server.reload().startswith("reload 1: 2 workers replaced")
    wire = begin(server)
    os.kill(init, number)
    if number == signal.SIGQUIT:
        wire.rest()
        assert server.wait() == 5
    else:
        wire.send(BODY[20:])
        assert answered([wire]) == [201]
        assert server.wait() == 0
