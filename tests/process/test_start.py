"""From nothing to a master with ready workers."""

import os
import re
import sqlite3

import pytest

from harness.server import await_true, children
from harness.wire import Wire


def test_ready_line_names_workers_and_addresses(serve):
    server = serve(workers=3)
    line = server.await_line(r"\bready: .*").group(0)
    assert re.search(r"\b3 workers\b", line), line
    assert len(server.addresses) == 1 and server.tcp()[0] == "127.0.0.1" and server.tcp()[1] > 0


def test_ps_shows_one_master_and_titled_workers(serve):
    server = serve(workers=3)
    titles = sorted(server.await_workers(3).values())
    assert [re.match(r"colmeia: worker (\d+) gen 1 \[ready\]$", t)[1] for t in titles] == ["0", "1", "2"]
    assert len(server.children()) == 3, "one-shot children are gone"


def test_each_worker_is_its_own_process_group(serve):
    server = serve(workers=2)
    groups = {os.getpgid(pid) for pid in server.workers()}
    assert len(groups) == 2 and os.getpgid(server.process.pid) not in groups


def test_root_greets(serve):
    server = serve()
    with Wire(server.tcp()) as wire:
        answer = wire.get("/")
    assert (answer.status, answer.body) == (200, '{"message":"Olá Mundo!"}'.encode())
    assert answer.names == ["date", "server", "content-length", "content-type"]
    assert answer.header("server") == "colmeia"


def test_healthcheck(serve):
    server = serve()
    with server.api() as api:
        answer = api.get("/healthcheck")
    assert (answer.status_code, answer.text) == (200, '{"status":"ok"}')


def test_database_is_made_with_the_original_schema(serve, place):
    serve().stop()
    with sqlite3.connect(place / "database.db") as db:
        columns = [(name, kind, notnull, default, pk)
                   for _, name, kind, notnull, default, pk in db.execute("PRAGMA table_info(users)")]
        assert columns == [("id", "INTEGER", 1, None, 1), ("username", "VARCHAR", 1, None, 0),
                           ("password", "VARCHAR", 1, None, 0), ("email", "VARCHAR", 1, None, 0),
                           ("created_at", "DATETIME", 1, "CURRENT_TIMESTAMP", 0)]
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("74f39286e2f6",)]
        unique = {tuple(c[2] for c in db.execute(f"PRAGMA index_info('{i[1]}')"))
                  for i in db.execute("PRAGMA index_list(users)") if i[2]}
        assert unique == {("email",), ("username",)}


def test_workers_auto_computes_once(serve):
    server = serve(workers="auto")
    ready = int(re.search(r"\b(\d+) workers?\b", server.await_line(r"\bready: .*").group(0))[1])
    assert 1 <= ready <= len(os.sched_getaffinity(0))
    assert len(server.await_workers(ready)) == ready


def test_web_concurrency_sets_the_workers(serve):
    server = serve(workers=None, env={"WEB_CONCURRENCY": "3"})
    assert len(server.await_workers(3)) == 3


def test_flag_wins_over_environment_wins_over_ini(serve, place):
    (place / "a").mkdir()
    (place / "b").mkdir()
    ini = {"server.workers": "1"}
    by_flag = serve(place / "a", config=ini, workers=3, env={"WEB_CONCURRENCY": "2"})
    by_environment = serve(place / "b", config=ini, workers=None, env={"WEB_CONCURRENCY": "2"})
    assert len(by_flag.await_workers(3)) == 3 and len(by_environment.await_workers(2)) == 2


@pytest.mark.parametrize("words", [["run"], []])
def test_run_is_the_default_verb(serve, words):
    server = serve.make(workers=1)
    server.verb = words
    server.start()
    assert server.workers()


def test_second_server_on_the_same_database(serve, place):
    """Both serve; the writer lock is what they share."""
    one, two = serve(workers=1), serve(workers=1)
    with one.api() as first, two.api() as second:
        assert first.sign_up("ana").status_code == 201
        assert second.sign_up("ana").status_code == 409
        assert second.sign_up("bia").status_code == 201
        assert [u["username"] for u in first.get("/users/").json()["users"]] == ["ana", "bia"]


def test_no_child_is_left_after_start_but_workers(serve):
    server = serve(workers=2)
    await_true("only workers", lambda: set(children(server.process.pid)) == set(server.workers()))
