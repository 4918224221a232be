"""`colmeia user`: accounts managed from the command line, on a terminal and in scripts, with and
without a server beside."""

import fcntl
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from harness import python_app
from harness.server import BINARY, await_true, bearer, clean_environment, run_verb, without_aslr, write_ini
from harness.terminal import Terminal
from harness.trace import traced

CHEAP = {"COLMEIA_AUTH_HASH_MEMORY": "8k", "COLMEIA_AUTH_HASH_ITERATIONS": "1"}


@pytest.fixture
def user(place):
    """user("add", "a", "a@test.com", password="…"): `colmeia user add …` on a database that is there."""
    assert run_verb(place, "migrate").returncode == 0

    def run(*words, password=None, env=None):
        return run_verb(place, "user", *words, stdin=(password or "").encode(), env={**CHEAP, **(env or {})})
    return run


def rows(place):
    db = sqlite3.connect(f"file:{place}/database.db?mode=ro", uri=True)
    try:
        return db.execute("SELECT id, username, email, password FROM users ORDER BY id").fetchall()
    finally:
        db.close()


def refused(done, *words):
    """It failed, and said why in one line."""
    assert done.returncode == 1 and done.stdout == "", (done.returncode, done.stdout)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


# ---- add ----

def test_add(user, place):
    done = user("add", "alice", "  Alice@BÜCHER.example ", password="one\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "user 1, alice <Alice@bücher.example>, added\n"
    (row,) = rows(place)
    assert row[:3] == (1, "alice", "Alice@bücher.example")
    assert row[3].startswith("$argon2id$v=19$m=8,t=1,p=1$")


def test_add_prints_json(user):
    done = user("add", "--json", "al\"ice", "a@test.com", password="x")
    assert json.loads(done.stdout) == {"id": 1, "username": "al\"ice", "email": "a@test.com"}


def test_configured_cost(user, place):
    user("add", "a", "a@test.com", password="x",
         env={"COLMEIA_AUTH_HASH_MEMORY": "64k", "COLMEIA_AUTH_HASH_ITERATIONS": "2"})
    assert "m=64,t=2,p=1" in rows(place)[0][3]


def test_name_with_a_dash(user, place):
    assert user("add", "--", "--yes", "a@test.com", password="x").returncode == 0
    assert rows(place)[0][1] == "--yes"


def test_taken(user, place):
    assert user("add", "a", "a@test.com", password="x").returncode == 0
    refused(user("add", "a", "b@test.com", password="x"), "user with this name already")
    refused(user("add", "b", "a@TEST.com", password="x"), "user with this email already")
    assert len(rows(place)) == 1


@pytest.mark.parametrize("email, why", [("a@", "must be something after the @-sign"), ("", "valid email"),
                                        ("a@b@c.com", "email"), ("a b@test.com", "email")])
def test_bad_email(user, place, email, why):
    refused(user("add", "a", email, password="x"), "not a valid email address", why)
    assert rows(place) == []


def test_bytes_that_are_no_text(user, place):
    done = user("add", b"a\xff", "a@test.com", password="x")
    refused(done, "not UTF-8")
    assert rows(place) == []


@pytest.mark.parametrize("given, why", [("", "must not be empty"), ("\n", "must not be empty"),
                                        ("\r\n", "must not be empty"), ("a\nb\n", "more than one line"),
                                        ("x" * 4096, "too long")])
def test_bad_password(user, place, given, why):
    refused(user("add", "a", "a@test.com", password=given), why)
    assert rows(place) == []


def test_password_that_is_no_text(place, user):
    done = run_verb(place, "user", "add", "a", "a@test.com", stdin=b"a\xff", env=CHEAP)
    refused(done, "not UTF-8")


def test_longest_password(user, place):
    assert user("add", "a", "a@test.com", password="x" * 4095 + "\n").returncode == 0


@pytest.mark.parametrize("words", [("add", "a", "a@test.com"), ("list",), ("passwd", "1"),
                                   ("delete", "--yes", "1")])
def test_no_database_is_made(place, words):
    refused(run_verb(place, "user", *words, stdin=b"x", env=CHEAP), "does not exist", '"colmeia migrate"')
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("words", [("add", "a", "a@test.com"), ("list",)])
def test_newer_database(place, words):
    python_app.make(place / "database.db", "ffffffffffff", [])
    done = run_verb(place, "user", *words, stdin=b"x", env=CHEAP)
    assert done.returncode == 6 and "ffffffffffff" in done.stderr and "newer" in done.stderr


def test_no_database_at_all(place):
    (place / "database.db").write_text("this is no database, however long one looks at it" * 100)
    done = run_verb(place, "user", "list")
    assert done.returncode == 6 and "not an SQLite database" in done.stderr


def test_unmigrated_database(place):
    sqlite3.connect(place / "database.db").close()
    (place / "database.db").touch()
    done = run_verb(place, "user", "list")
    assert done.returncode == 6 and "migrate" in done.stderr


def test_memory(place):
    done = run_verb(place, "user", "list", "--database-url", "sqlite:///:memory:")
    assert done.returncode == 78 and ":memory:" in done.stderr


@pytest.mark.parametrize("words", [(), ("nonsense",), ("add",), ("add", "a"), ("add", "a", "b", "c"), ("list", "x"),
                                   ("list", "--yes"), ("list", "--jsno"), ("passwd",), ("delete",), ("list", "--json=x")])
def test_usage(user, words):
    done = user(*words, password="x")
    assert done.returncode == 2 and done.stdout == "" and "colmeia user" in done.stderr


def test_bad_configuration(place):
    assert run_verb(place, "user", "list", "--workers", "many").returncode == 78


def test_locked_by_somebody(user, place):
    """The lock is not to be had: who has it is named, and nothing was written."""
    with open(place / "database.db.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = user("add", "a", "a@test.com", password="x", env={"COLMEIA_DATABASE_TIMEOUT": "300ms"})
        assert done.returncode == 1 and "kept locked" in done.stderr
        assert f"process {os.getpid()} (" in done.stderr
    assert rows(place) == []


# ---- list ----

def test_list_empty(user):
    done = user("list")
    assert done.stdout.split() == ["id", "username", "email"] and done.returncode == 0
    assert json.loads(user("list", "--json").stdout) == {"users": []}


def test_list_of_many(user, place):
    """More than a page, with gaps."""
    db = sqlite3.connect(place / "database.db")
    db.executemany("INSERT INTO users (id, username, email, password) VALUES (?, ?, ?, 'x')",
                   [(i, f"u{i}", f"u{i}@test.com") for i in [*range(-3, 700), *range(10000, 10801)]])
    db.commit()
    db.close()
    want = [(i, u, e) for i, u, e, _ in rows(place)]
    lines = user("list").stdout.splitlines()[1:]
    assert [(int(i), u, e) for i, u, e in map(str.split, lines)] == want
    got = json.loads(user("list", "--json").stdout)["users"]
    assert [(u["id"], u["username"], u["email"]) for u in got] == want and len(want) == 1504


def test_list_is_harmless(user, place):
    db = sqlite3.connect(place / "database.db")
    db.execute("INSERT INTO users (username, email, password) VALUES (?, ?, 'x')",
               ("a\x1b[2J\n\x9b\x7f‮é漢", "b\r@test.com"))
    db.commit()
    db.close()
    row = user("list").stdout.splitlines()[1]
    assert row.split() == ["1", r"a\x1b[2J\x0a\xc2\x9b\x7f\u{202e}é漢", r"b\x0d@test.com"]
    text = user("list", "--json").stdout
    assert json.loads(text)["users"][0]["username"] == "a\x1b[2J\n\x9b\x7f‮é漢"
    assert not set("\x1b\x9b\x7f‮") & set(text) and "é漢" in text


def test_nobody_reads(user, place):
    user("add", "a", "a@test.com", password="x")
    done = run_verb(place, "user", "list", env=CHEAP)
    assert done.returncode == 0
    code = os.system(f"cd {place} && {shlex.join(without_aslr([str(BINARY)]))} user list >/dev/full 2>err")
    assert os.waitstatus_to_exitcode(code) == 1 and "standard output" in (place / "err").read_text()


def test_reader_that_leaves(user, place):
    """As "| head" does: no complaint."""
    fill = [(f"u{i}", f"u{i}@test.com") for i in range(3000)]
    db = sqlite3.connect(place / "database.db")
    db.executemany("INSERT INTO users (username, email, password) VALUES (?, ?, 'x')", fill)
    db.commit()
    db.close()
    colmeia = shlex.join(without_aslr([str(BINARY), "user", "list"]))
    done = subprocess.run(["sh", "-c", f"{colmeia} | head -n 2"], cwd=place, env=clean_environment(),
                          capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 2 and done.stderr == ""


# ---- passwd and delete ----

def test_passwd_by_email_and_id(user, place):
    user("add", "a", "A@test.com", password="x")
    before = rows(place)[0][3]
    assert user("passwd", "A@TEST.com", password="y").returncode == 0
    middle = rows(place)[0][3]
    assert user("passwd", "1", password="z").returncode == 0
    assert len({before, middle, rows(place)[0][3]}) == 3
    assert rows(place)[0][:3] == (1, "a", "A@test.com")


@pytest.mark.parametrize("who", ["2", "nobody@test.com", "nonsense", "99999999999999999999", "-1"])
def test_nobody_like_that(user, place, who):
    user("add", "a", "a@test.com", password="x")
    before = rows(place)
    refused(user("passwd", "--", who, password="y"), "no user with this id or email")
    refused(user("delete", "--yes", "--", who), "no user with this id or email")
    assert rows(place) == before


def test_delete_needs_a_yes(user, place):
    user("add", "a", "a@test.com", password="x")
    refused(user("delete", "a@test.com", password="y\n"), "--yes")
    assert len(rows(place)) == 1
    done = user("delete", "a@test.com", "--yes")
    assert (done.returncode, done.stdout) == (0, "user 1, a <a@test.com>, deleted\n")
    assert rows(place) == []


# ---- on a terminal ----

def terminal(place, *words):
    return Terminal(place, "user", *words, env=CHEAP)


def test_prompt_without_echo(user, place):
    with terminal(place, "add", "a", "a@test.com") as t:
        t.await_text("Password: ")
        assert not t.echoes
        t.type("geheim\n")
        t.await_text("again: ")
        assert not t.echoes
        t.type("geheim\n")
        assert t.wait() == 0 and t.is_as_before
        assert "added" in t.shown and "geheim" not in t.shown
    assert len(rows(place)) == 1


def test_mismatch_and_empty_ask_again(user, place):
    with terminal(place, "add", "a", "a@test.com") as t:
        for first, second, complaint in [("one", "two", "not the same"), ("", None, "must not be empty")]:
            t.await_text("Password: ")
            t.type(first + "\n")
            if second:
                t.await_text("again: ")
                t.type(second + "\n")
            t.await_text(complaint)
        t.await_text("Password: ")
        t.type("three\n")
        t.await_text("again: ")
        t.type("three\n")
        assert t.wait() == 0 and t.is_as_before
    assert len(rows(place)) == 1


def test_mismatch_without_end(user, place):
    with terminal(place, "add", "a", "a@test.com") as t:
        for i in range(3):
            t.await_text("Password: ")
            t.type("one\n")
            t.await_text("again: ")
            t.type("two\n")
        assert t.wait() == 1 and t.is_as_before
    assert rows(place) == []


@pytest.mark.parametrize("at", ["Password: ", "again: "])
def test_ctrl_c_restores_the_terminal(user, place, at):
    with terminal(place, "add", "a", "a@test.com") as t:
        t.await_text("Password: ")
        if at != "Password: ":
            t.type("one\n")
            t.await_text(at)
        assert not t.echoes
        t.type("on\x03")
        assert t.wait() == -signal.SIGINT and t.is_as_before
    assert rows(place) == []


def test_ctrl_d_gives_up(user, place):
    with terminal(place, "add", "a", "a@test.com") as t:
        t.await_text("Password: ")
        t.type("\x04")
        assert t.wait() == 1 and t.is_as_before and "no password was given" in t.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_killed_at_the_prompt(user, place, number):
    """Whatever ends the process that was started: the one that asks restores the terminal."""
    with terminal(place, "add", "a", "a@test.com") as t:
        t.await_text("Password: ")
        assert not t.echoes
        t.process.send_signal(number)
        assert t.wait() == -number
        await_true("the terminal is as before", lambda: t.is_as_before)


def test_ctrl_z(user, place):
    """Stopped, the terminal is the shell's, with its echo; continued, the question comes again."""
    colmeia = shlex.join(without_aslr([str(BINARY), "user", "add", "a", "a@test.com"]))
    script = f"{colmeia}; echo stopped; stty -a; fg; echo over"
    with Terminal(place, env=CHEAP, argv=["sh", "-mc", script]) as t:
        t.await_text("Password: ")
        t.type("gehe\x1a")
        t.await_text("stopped")
        assert t.await_text(r"\s-?echo\b").group(0).strip() == "echo"
        t.await_text("Password: ")
        assert not t.echoes
        t.type("geheim\n")
        t.await_text("again: ")
        t.type("geheim\n")
        t.await_text("over")
        t.wait()
    assert len(rows(place)) == 1


@pytest.mark.parametrize("answer, gone", [("y", True), ("YES", True), ("n", False), ("", False), ("yo", False)])
def test_delete_asks(user, place, answer, gone):
    user("add", "a\x1b[31m", "a@test.com", password="x")
    with terminal(place, "delete", "1") as t:
        t.await_text(r"delete user 1, a\\x1b\[31m <a@test.com>\? \[y/N\] ")
        t.type(answer + "\n")
        assert t.wait() == (0 if gone else 1)
    assert (rows(place) == []) == gone


def test_ctrl_c_deletes_nothing(user, place):
    user("add", "a", "a@test.com", password="x")
    with terminal(place, "delete", "1") as t:
        t.await_text("y/N")
        t.type("\x03")
        assert t.wait() == -signal.SIGINT
    assert len(rows(place)) == 1


# ---- what becomes of the account while somebody is asked ----

QUESTIONS = {"passwd": ("Password: ", "again: "), "delete": (r"\[y/N\] ",)}


def answer_late(place, verb, who, meanwhile):
    """The verb's exit code and what it showed: *meanwhile* has run between its look at the account and the answer."""
    with terminal(place, verb, who) as t:
        first, *more = QUESTIONS[verb]
        t.await_text(first)
        meanwhile()
        t.type("yes\n")
        for question in more:
            t.await_text(question)
            t.type("yes\n")
        return t.wait(), t.shown


@pytest.mark.parametrize("who", ["alice@test.com", "1"])
@pytest.mark.parametrize("verb", QUESTIONS)
def test_id_of_another_by_now(user, place, verb, who):
    """Ids are given out again. Who was meant is gone; who has the id now was not meant."""
    user("add", "alice", "alice@test.com", password="x")

    def change():
        assert user("delete", "--yes", "1").returncode == 0
        assert user("add", "bob", "bob@test.com", password="y").returncode == 0
        seen.extend(rows(place))
    seen = []
    code, shown = answer_late(place, verb, who, change)
    assert code == 1 and "user 1 has changed meanwhile" in shown, shown
    assert rows(place) == seen and seen[0][:2] == (1, "bob")


@pytest.mark.parametrize("verb", QUESTIONS)
def test_changed_by_its_owner_meanwhile(user, place, verb):
    user("add", "alice", "alice@test.com", password="x")
    seen = []

    def change():
        assert user("passwd", "1", password="y").returncode == 0
        seen.extend(rows(place))
    code, shown = answer_late(place, verb, "1", change)
    assert code == 1 and "user 1 has changed meanwhile" in shown and "look again" in shown, shown
    assert rows(place) == seen


@pytest.mark.parametrize("verb", QUESTIONS)
def test_gone_meanwhile(user, place, verb):
    user("add", "alice", "alice@test.com", password="x")
    code, shown = answer_late(place, verb, "1", lambda: user("delete", "--yes", "1"))
    assert code == 1 and "user 1 is gone" in shown, shown


@pytest.mark.parametrize("verb", QUESTIONS)
def test_hashed_again_meanwhile(user, place, verb):
    """As a login does when the cost has risen: the password and its salt are the same, so is the account."""
    user("add", "alice", "alice@test.com", password="x")

    def change():
        db = sqlite3.connect(place / "database.db")
        with db:
            assert db.execute("UPDATE users SET password = replace(password, 'm=8,', 'm=9,')").rowcount == 1
        db.close()
    code, shown = answer_late(place, verb, "1", change)
    assert code == 0, shown
    assert [row for row in rows(place) if "m=9," in row[3]] == [] and len(rows(place)) == (verb == "passwd")


# ---- a database that takes too long ----

EVENTS = {"add": "account created", "passwd": "account changed", "delete": "account deleted"}


def child_of(process):
    """The one that does the work: it asks, by now."""
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


@pytest.mark.parametrize("verb", EVENTS)
def test_write_that_outlives_its_time(user, place, verb):
    """Nobody knows whether it was done: so says the verb, by its exit code, too, and so says the audit log."""
    user("add", "old", "old@test.com", password="x")
    words, account = (("new", "new@test.com"), "new@test.com") if verb == "add" else (("1",), "old@test.com")
    log = place / "audit.log"
    env = {**CHEAP, "COLMEIA_DATABASE_TIMEOUT": "1s", "COLMEIA_LOG_AUDIT": str(log), "COLMEIA_LOG_FORMAT": "json"}
    with Terminal(place, "user", verb, *words, env=env) as t:
        *first, last = QUESTIONS.get(verb, QUESTIONS["passwd"])
        for question in first:
            t.await_text(question)
            t.type("yes\n")
        t.await_text(last)
        with traced(child_of(t.process), "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=3000ms"):
            t.type("yes\n")
            t.await_text("took longer than")
        assert (t.wait(), "it is not known whether it was done" in t.shown) == (7, True), t.shown
    (row,) = map(json.loads, log.read_text().splitlines())
    assert (row["event"], row["outcome"], row["account"]) == (EVENTS[verb], "unknown", account)
    assert (row["who"], row["what"]) == (f"uid {os.getuid()}", f"user {verb}")


# ---- beside a running server ----

def beside(server, *words, password=""):
    ini = write_ini(server.directory, server.config)
    return run_verb(server.directory, "user", *words, "--config", str(ini), stdin=password.encode())


def test_beside_a_server(serve):
    server = serve()
    with server.api() as api:
        assert beside(server, "add", "a", "a@test.com", password="old-password").returncode == 0
        token = api.login("a@test.com", "old-password")
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200
        assert beside(server, "passwd", "a@test.com", password="new-password").returncode == 0
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 401
        assert api.try_login("a@test.com", "old-password").status_code == 401
        token = api.login("a@test.com", "new-password")
        assert "a@test.com" in beside(server, "list").stdout
        assert beside(server, "delete", "--yes", "1").returncode == 0
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 401
        assert api.get("/users/1").status_code == 404
    assert "without the lock" not in server.log


def test_in_turn_with_sign_ups(serve, place):
    """Under load: nobody is refused, nobody is lost, on either side."""
    server = serve()
    stop, statuses = threading.Event(), []

    def sign_up(first):
        with server.api() as api:
            for i in range(first, 1_000_000, 3):
                if stop.is_set():
                    return
                statuses.append(api.sign_up(f"load{i}").status_code)

    threads = [threading.Thread(target=sign_up, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    try:
        done = [beside(server, "add", f"own{i}", f"own{i}@test.com", password="x") for i in range(8)]
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert [d.returncode for d in done] == [0] * 8, done
    assert set(statuses) == {201}
    names = [r[1] for r in rows(place)]
    assert len(names) == len(statuses) + 8 and {f"own{i}" for i in range(8)} < set(names)
