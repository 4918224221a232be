"""Lists larger than any buffer on the way: what a worker keeps of them for clients that do not read. Judged by how
many answers were made (they count when they are made, not when they have left)."""

import json
import os
import signal
import sqlite3
from contextlib import ExitStack

import pytest

from harness import tls
from harness.faults import await_held, go_on
from harness.server import FAST, run_verb
from harness.tls import SecureWire
from harness.trace import thread_id, traced
from harness.wire import Closed, Wire

USERS = 2100
ADDRESS = "x" * 2000 + "@example.com"      # the whole list: 4.3 MB, more than a power of two
AHEAD = 16


@pytest.fixture
def people(place):
    assert run_verb(place, "migrate").returncode == 0
    with sqlite3.connect(place / "database.db") as db:
        db.executemany("INSERT INTO users (username, password, email, created_at) VALUES "
                       "(?, '', ?, '2026-01-01 00:00:00')",
                       [(f"u{i}", f"{i}{ADDRESS}") for i in range(USERS)])
    db.close()


def list_of(limit):
    return f"/users/?limit={limit}"


def ask_ahead(wire, limits):
    wire.send(b"".join(f"GET {list_of(limit)} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for limit in limits))


def names(answer):
    assert answer.status == 200
    return [user["username"] for user in json.loads(answer.body)["users"]]


def all_come(wire, limits):
    for limit in limits:
        assert names(wire.answer()) == [f"u{i}" for i in range(min(limit, USERS))]


def answers(server):
    return server.status()["totals"]["requests"]


def await_answers(server, count):
    server.await_status(f"{count} answers", lambda status: status["totals"]["requests"] >= count)


def test_a_connection_holds_one(serve, people, place):
    """Three clients ask for 48 and do not read: three are made. Then they read, and get all of them."""
    server = serve(workers=1, bind="unix:http.sock", config=FAST)
    limits = [USERS + i for i in range(AHEAD)]
    with ExitStack() as stack:
        clients = [stack.enter_context(Wire(str(place / "http.sock"))) for _ in range(3)]
        for client in clients:
            ask_ahead(client, limits)
        await_answers(server, 3)
        with Wire(str(place / "http.sock")) as other:
            assert len(names(other.get(list_of(USERS)))) == USERS
        assert answers(server) == 3 + 1
        for client in clients:
            all_come(client, limits)
    assert answers(server) == 3 * AHEAD + 1


def test_small_ones_are_not_held_up(serve, people, place):
    """Behind a large list they are made at once, and leave behind it."""
    server = serve(workers=1, bind="unix:http.sock", config=FAST)
    limits = [USERS] + (AHEAD - 1) * [3]
    with Wire(str(place / "http.sock")) as client:
        ask_ahead(client, limits)
        await_answers(server, AHEAD)
        all_come(client, limits)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_all_of_them_in_order(serve, people, place, secure):
    limits = [USERS - i if i % 3 else 2 for i in range(AHEAD)]
    server = serve(workers=1, config={**FAST, **(tls.config(place) if secure else {})})
    with SecureWire(server.tcp(), tls.context(place)) if secure else Wire(server.tcp()) as client:
        for _ in range(2):
            ask_ahead(client, limits)
            all_come(client, limits)


def test_too_many_that_nobody_fetches(serve, people, place):
    """Beyond [limits] answer_memory the next one is refused; small ones are not, and one alone never is."""
    server = serve(workers=1, bind="unix:http.sock", config={**FAST, "limits.answer_memory": "1m"})
    with Wire(str(place / "http.sock")) as client, Wire(str(place / "http.sock")) as other:
        ask_ahead(client, [USERS])
        await_answers(server, 1)
        refused = other.get(list_of(USERS))
        assert (refused.status, refused.header("retry-after")) == (503, "5")
        assert server.status()["totals"]["answers_refused"] == 1
        assert len(names(other.get(list_of(20)))) == 20
        all_come(client, [USERS])
        assert len(names(other.get(list_of(USERS)))) == USERS
        assert server.status()["totals"]["answers_refused"] == 1


def test_small_ones_come_singly_then(serve, people, place):
    """While one client fetches nothing, another one's are made as they leave: what the socket takes, and one."""
    server = serve(workers=1, bind="unix:http.sock", config={**FAST, "limits.answer_memory": "64k"})
    limits = AHEAD * [25]      # 50 KB each
    with Wire(str(place / "http.sock")) as first, Wire(str(place / "http.sock")) as second:
        ask_ahead(first, limits)
        await_answers(server, AHEAD)
        ask_ahead(second, limits)
        with Wire(str(place / "http.sock")) as other:
            for _ in range(AHEAD):
                assert len(names(other.get(list_of(25)))) == 25
        assert AHEAD < answers(server) - AHEAD < 2 * AHEAD
        all_come(second, limits)
        all_come(first, limits)


def test_an_answer_takes_its_length(serve, people, place):
    """No more: a second one is begun beside the first, which leaves room in 6 MB; a third is not."""
    server = serve(workers=1, bind="unix:http.sock", config={**FAST, "limits.answer_memory": "6m"})
    with ExitStack() as stack:
        clients = [stack.enter_context(Wire(str(place / "http.sock"))) for _ in range(3)]
        for i, client in enumerate(clients):
            ask_ahead(client, [USERS])
            await_answers(server, i + 1)
        assert [client.answer().status for client in clients] == [200, 200, 503]


def test_clients_that_leave_give_it_back(serve, people, place):
    """With an answer under way, or before it was begun."""
    server = serve(workers=1, bind="unix:http.sock", config={**FAST, "limits.answer_memory": "1m"})
    for _ in range(3):
        clients = [Wire(str(place / "http.sock")) for _ in range(4)]
        before = answers(server)
        for client in clients:
            ask_ahead(client, AHEAD * [USERS])
        await_answers(server, before + 1)
        for client in clients:
            client.close()
        server.await_status("nobody is left", lambda s: sum(row["connections"] for row in s["slots"]) == 0)
        with Wire(str(place / "http.sock")) as other:
            assert len(names(other.get(list_of(USERS)))) == USERS


def test_the_end_comes_while_they_wait(serve, people, place):
    server = serve(workers=1, bind="unix:http.sock", config={**FAST, "supervisor.graceful_timeout": "500ms"})
    with Wire(str(place / "http.sock")) as client:
        ask_ahead(client, AHEAD * [USERS])
        await_answers(server, 1)
        server.stop(code=5)
        with pytest.raises((Closed, ConnectionError)):
            for _ in range(AHEAD):
                client.answer()


@pytest.mark.long
def test_a_list_that_has_waited_too_long(serve, faults, people, place):
    """Two that are of any size: the first takes longer than the second may wait."""
    faults.set("read_nowait", "errno EAGAIN")      # all reads are the thread's
    server = serve(workers=1, bind="unix:http.sock", env=faults.env, config={**FAST, "database.timeout": "1h"})
    (pid,) = server.workers()
    with Wire(str(place / "http.sock")) as first, Wire(str(place / "http.sock")) as second:
        assert len(names(first.get(list_of(40)))) == 40      # it has read what tells that a list is large
        assert second.get().status == 200
        os.kill(pid, signal.SIGSTOP)
        await_held(pid)
        first.ask(target=list_of(USERS))
        second.ask(target=list_of(USERS))
        with traced(thread_id(pid, "store reader"), "-e", "trace=pread64",
                    "-e", "inject=pread64:delay_enter=10500ms:when=1", threads=False):
            go_on(pid)
            answers = [first.answer(), second.answer()]
    assert sorted(answer.status for answer in answers) == [200, 503]
    assert server.status()["totals"]["answers_refused"] == 1
