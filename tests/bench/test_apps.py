"""The benchmark's own programs: those that build with what the tests install, and whether the paced
load tells the truth about a server that stands still."""

import socket
import subprocess
import threading

import pytest

from bench import loads, peers

BUILT_HERE = ["ceil", "epoll", "paced"]     # the others need packages of the benchmark
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
