"""The benchmark's own programs: those that build with what the tests install, and whether the paced
load tells the truth about a server that stands still."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from bench import loads, peers, processes

BUILT_HERE = ["ceil", "epoll", "orders", "paced"]     # the others need packages of the benchmark
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("binary", BUILT_HERE)
def test_it_builds(place, binary):
    assert peers.build(binary, place) is None
    done = subprocess.run([place / binary], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: " in done.stderr


def serve(listener, answers):
    """Each connection on a thread of its own; after that many answers not another word."""
    def one(connection):
        with connection:
            for _ in range(answers):
                if not connection.recv(4096):
                    return
                connection.sendall(ANSWER)
            while connection.recv(4096):
                pass

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(connection,), daemon=True).start()


def paced_figures(place, answers):
    assert peers.build("paced", place) is None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, answers), daemon=True).start()
        with loads.paced(place, listener.getsockname()[1], "/", 1) as load:
            return loads.figures_in(load.output())


def test_reads_that_could_not_be_sent_fell_due_all_the_same(place):
    figures = paced_figures(place, answers=2)
    assert 0 < figures.served == figures.requests <= 2 * loads.PACED_CONNECTIONS
    # the timetable is drawn by lot, but not by the clock
    assert 0.8 * loads.PACE_PER_S < figures.due < 1.2 * loads.PACE_PER_S
    assert figures.errors == figures.refused == 0


def test_a_server_that_never_answers(place):
    figures = paced_figures(place, answers=0)
    assert figures.served == figures.requests == figures.p99_us == 0
    assert figures.due > 0.8 * loads.PACE_PER_S


def test_answers_are_counted_one_by_one(place):
    figures = paced_figures(place, answers=10**6)
    assert 0 < figures.served <= figures.due and figures.p50_us <= figures.p99_us
    assert figures.errors == figures.refused == 0


# ---- servers as processes ----

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def are_there(members):
    ours = {(p.pid, p.started) for p in members}
    return [p for p in processes.everyone() if p.lives and (p.pid, p.started) in ours]


def test_a_server_behind_a_shell_is_found_and_stopped(place):
    assert peers.build("epoll", place) is None
    port = free_port()
    script = f"env A=b {place}/epoll {port} 2; true"
    with processes.Server(["sh", "-c", script], dict(os.environ), place, port) as server:
        assert processes.await_true(lambda: len(server.members()) == 4, 60)     # sh, epoll, its workers
        members = server.family()
        assert not processes.port_is_free(port)
    assert not are_there(members) and processes.port_is_free(port)


def test_a_server_that_groups_its_own_and_ends_before_them(place):
    assert peers.build("epoll", place) is None
    port = free_port()
    script = f"setsid {place}/epoll {port} 2 & wait"
    with processes.Server(["sh", "-c", script], dict(os.environ), place, port) as server:
        assert processes.await_true(lambda: len(server.members()) == 4, 60)
        members = server.family()
        os.kill(server.process.pid, 9)
        assert processes.await_true(server.ended, 60) and len(server.members()) == 3 and not server.is_gone()
    assert not are_there(members) and processes.port_is_free(port)


def test_an_interrupted_stop_leaves_nobody(place, monkeypatch):
    port = free_port()
    assert peers.build("epoll", place) is None

    def interrupted(_):
        raise KeyboardInterrupt
    monkeypatch.setattr(processes.Server, "ask_to_stop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        with processes.Server([place / "epoll", port, 2], dict(os.environ), place, port) as server:
            assert processes.await_true(lambda: len(server.members()) == 3, 60)
            members = server.family()
    assert not are_there(members) and processes.port_is_free(port)


def test_memory_is_that_of_workers_and_master(place):
    assert peers.build("epoll", place) is None
    port = free_port()
    with processes.Server([place / "epoll", port, 2], dict(os.environ), place, port) as server:
        assert processes.await_true(lambda: len(server.members()) == 3, 60)
        worker, master = server.settled_memory_kib(2)
        assert worker > 0 and master > 0
        assert sorted(server.all_memory_kib())[0] > 0


def test_cpu_time_includes_children_that_are_gone(place):
    port = free_port()
    spin = f"sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; {place}/epoll {port} 1; true"
    assert peers.build("epoll", place) is None
    with processes.Server(["sh", "-c", spin], dict(os.environ), place, port) as server:
        assert server.cpu_s() > 0.02


def test_a_server_that_does_not_start_is_named(place):
    with pytest.raises(processes.Trouble, match="no such thing"):
        with processes.Server(["sh", "-c", "echo no such thing; exit 3"], dict(os.environ), place, free_port()):
            pass


def test_a_port_that_is_taken(place, monkeypatch):
    monkeypatch.setattr(processes, "KILLED_S", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(processes.PortTaken):
            with processes.Server(["true"], {}, place, listener.getsockname()[1]):
                pass


@pytest.mark.parametrize("among", [True, False])
def test_who_is_among_the_servers(among):
    with processes.Load(["sleep", "60"], 0, among=among) as load:
        assert (os.getsid(load.process.pid) == os.getsid(0)) == among
        assert os.getpgid(load.process.pid) == load.process.pid


@pytest.mark.parametrize("away", [True, False])
def test_who_stands_for_another_machine_gives_way(away):
    """As a process and as a session."""
    nice = processes.LEAST if away else os.getpriority(os.PRIO_PROCESS, 0)
    with processes.Load(["sleep", "60"], 0, away) as load:
        pid = load.process.pid
        assert processes.await_true(lambda: os.getpriority(os.PRIO_PROCESS, pid) == nice, processes.START_S)
        group = Path(f"/proc/{pid}/autogroup")
        assert not group.exists() or group.read_text().endswith(f" nice {processes.LEAST * away}\n")
