"""Databases that cannot be used, and the forms of the URL."""

import json
import os
import sqlite3

import pytest

from harness import python_app
from harness.server import run_verb, write_ini

CHEAP = {"auth.hash_memory": "8k", "auth.hash_iterations": "1"}


def start_fails(place, url=None, workers=1, code=6, env=None):
    """The one error line of a start that fails with that code."""
    config = {"server.bind": "127.0.0.1:0", "server.workers": workers, **({"database.url": url} if url else {})}
    write_ini(place, config)
    done = run_verb(place, "--config", "colmeia.ini", env=env)
    assert done.returncode == code, done.stderr
    assert "ready: " not in done.stderr
    return done.stderr


@pytest.mark.parametrize("url, file", [
    ("sqlite:///database.db", "database.db"), ("sqlite+aiosqlite:///other.db", "other.db"),
    ("sqlite:///sub/x.db", "sub/x.db"), ("sqlite:////{place}/abs.db", "abs.db"),
    ("sqlite+aiosqlite:////{place}/abs.db", "abs.db")])
@pytest.mark.parametrize("how", ["DATABASE_URL", "ini", "flag"])
def test_url_forms(serve, place, url, file, how):
    (place / "sub").mkdir()
    url = url.format(place=str(place).lstrip("/"))
    server = serve(config={"database.url": url} if how == "ini" else {}, workers=1,
                   env={"DATABASE_URL": url} if how == "DATABASE_URL" else None,
                   args=["--database-url", url] if how == "flag" else [])
    with server.api() as api:
        assert api.sign_up().status_code == 201
    assert (place / file).is_file()
    assert (place / file).parent.joinpath("secret.key").is_file(), "the key is beside the database"


def test_memory_with_one_worker(serve, place):
    server = serve(config={"database.url": "sqlite:///:memory:"}, workers=1)
    with server.api() as api:
        assert api.sign_up().status_code == 201
        api.login()
        assert len(api.get("/users/").json()["users"]) == 1
    server.stop()
    assert sorted(os.listdir(place)) == ["colmeia.ini"], "nothing was written"


def test_memory_with_two_workers_is_refused(place):
    for url in ("sqlite+aiosqlite:///:memory:", "sqlite://"):
        error = start_fails(place, url, workers=2, code=78)
        assert "in memory serves one worker, not 2" in error and "--workers 1" in error


@pytest.mark.parametrize("url", ["postgresql+psycopg://app_user:app_pass-w0rd@db:5432/app_db", "postgresql://h/d",
                                 "postgres://h/d"])
def test_postgresql_cannot_be_used_yet(place, url):
    error = start_fails(place, url, code=78)
    assert "PostgreSQL" in error and "app_pass-w0rd" not in error


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "sqlite:database.db", ""])
def test_other_urls_are_refused(place, url):
    env = {"DATABASE_URL": url}
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1})
    done = run_verb(place, "--config", "colmeia.ini", env=env)
    assert done.returncode == 78 and "sqlite:///" in done.stderr, done.stderr


@pytest.mark.parametrize("url", ["postgresql://me:hush@db/app\n", "me:hush@db://app", "hush\x7f", "u\thush,"])
@pytest.mark.parametrize("variable", ["DATABASE_URL", "COLMEIA_ORDERS_UPSTREAM"])
def test_a_password_is_not_shown(place, variable, url):
    write_ini(place, {"server.bind": "127.0.0.1:0", "server.workers": 1})
    done = run_verb(place, "--config", "colmeia.ini", env={variable: url})
    assert done.returncode == 78 and variable in done.stderr and "hush" not in done.stderr, done.stderr


def test_text_that_is_no_utf8(serve, place):
    """Put in by another program; what is answered is JSON all the same."""
    server = serve(workers=1)
    with server.api() as api:
        assert api.sign_up("one", "one@test.com").status_code == 201
        db = sqlite3.connect(place / "database.db")
        db.execute("UPDATE users SET username = CAST(x'610AFFFE62' AS TEXT), email = CAST(? AS TEXT)",
                   (b"twenty.letters.and.one.more \xf0\x9f\x90",))
        db.commit()
        db.close()
        shown = {"id": 1, "username": "a\n\ufffd\ufffdb", "email": "twenty.letters.and.one.more \ufffd"}
        for target in ("/users/1", "/users/"):
            answer = json.loads(api.get(target).content.decode("utf-8"))
            assert {key: answer.get("users", [answer])[0][key] for key in shown} == shown, target


def test_newer_schema(place):
    python_app.make(place / "database.db", "ffffffffffff", [])
    error = start_fails(place)
    assert "ffffffffffff" in error
    db = sqlite3.connect(place / "database.db")
    assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("ffffffffffff",)]


@pytest.mark.parametrize("content", [b"this is no database at all, whatever its name says" * 100,
                                     b"SQLite format 3\0" + b"\xff" * 4080])
def test_corrupt_file(place, content):
    (place / "database.db").write_bytes(content)
    error = start_fails(place)
    assert "database.db" in error
    assert (place / "database.db").read_bytes() == content, "it is left as it was"


def test_corrupt_page(serve, place):
    """The header is good, the table is not: found before the first worker, or answered with 503."""
    server = serve(workers=1)
    with server.api() as api:
        for i in range(50):
            api.sign_up(f"u{i}")
    server.stop()
    data = bytearray((place / "database.db").read_bytes())
    data[4096:8192] = b"\xff" * 4096
    (place / "database.db").write_bytes(data)
    assert "database.db" in start_fails(place)


def test_other_programs_tables(place):
    """A database that is somebody else's: a users table with other columns."""
    db = sqlite3.connect(place / "database.db")
    db.execute("CREATE TABLE users (name TEXT)")
    db.commit()
    db.close()
    assert "users" in start_fails(place)


def test_missing_directory_is_not_made(place):
    error = start_fails(place, "sqlite:///no/such/dir/database.db")
    assert "no/such/dir" in error and not (place / "no").exists()


def test_directory_in_its_place(place):
    (place / "database.db").mkdir()
    assert "database.db" in start_fails(place)


def as_nobody(place):
    """For what root is allowed anyway."""
    if os.geteuid() != 0:
        return []
    os.chmod(place, 0o755)
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def test_unwritable_directory(serve, place):
    server = serve.make(workers=1)
    prefix = as_nobody(place)
    if not prefix:
        os.chmod(place, 0o555)
    server.spawn(prefix)
    code = server.wait()
    os.chmod(place, 0o755)
    assert code == 6, server.log
    assert "writable" in server.log or "denied" in server.log or "unable to open" in server.log


def test_read_only_database(serve, place):
    """Made by another user: it can be read but not written; a clear line and exit 6."""
    serve(workers=1).stop()
    os.chmod(place / "database.db", 0o444)
    server = serve.make(workers=1)
    os.chmod(place / "secret.key", 0o644)
    server.spawn(as_nobody(place))
    assert server.wait() == 6, server.log
    assert "database.db" in server.log


@pytest.mark.parametrize("code", [6])
def test_one_clear_line(place, code):
    (place / "database.db").mkdir()
    errors = [line for line in start_fails(place, code=code).splitlines() if "database.db" in line]
    assert len(errors) == 1, errors
