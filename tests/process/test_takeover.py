"""A database of the Python application, taken over as it is."""

import sqlite3
import time

import argon2
import jwt
import pytest

from harness import python_app
from harness.server import bearer

PASSWORD = "secret-of-alice"
USERS = [("alice", "alice@example.com", PASSWORD), ("bob", "bob@example.com", "secret-of-bob")]


def rows(place, sql):
    db = sqlite3.connect(place / "database.db")
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


@pytest.fixture(params=sorted(python_app.REVISIONS))
def revision(request, place):
    python_app.make(place / "database.db", request.param, USERS)
    return request.param


def test_users_log_in_with_the_passwords_they_have(serve, revision):
    with serve().api() as api:
        assert [u["username"] for u in api.get("/users/").json()["users"]] == ["alice", "bob"]
        token = api.login("alice@example.com", PASSWORD)
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200
        assert api.try_login("alice@example.com", "secret-of-bob").status_code == 401


def test_revision_stays(serve, place, revision):
    """So that `alembic upgrade head` of the application finds what it left."""
    schema = rows(place, "SELECT sql FROM sqlite_master WHERE name IN ('users', 'todos') ORDER BY name")
    serve().stop()
    assert rows(place, "SELECT version_num FROM alembic_version") == [(revision,)]
    assert rows(place, "SELECT sql FROM sqlite_master WHERE name IN ('users', 'todos') ORDER BY name") == schema


def test_every_write_works(serve, place, revision):
    server = serve()
    with server.api() as api:
        assert api.sign_up("carol").json()["id"] == 3
        token = api.login("alice@example.com", PASSWORD)
        answer = api.put("/users/1", headers=bearer(token),
                         json={"username": "alicia", "email": "alice@example.com", "password": "new-secret"})
        assert answer.status_code == 200
        assert api.delete("/users/2", headers=bearer(api.login("bob@example.com", "secret-of-bob"))).status_code == 200
    server.stop()
    assert rows(place, "SELECT id, username FROM users ORDER BY id") == [(1, "alicia"), (3, "carol")]


def test_deleted_users_todos_go_too(serve, place):
    python_app.make(place / "database.db", "a6b139a38fe0", USERS)
    server = serve()
    with server.api() as api:
        assert api.delete("/users/1", headers=bearer(api.login("alice@example.com", PASSWORD))).status_code == 200
    server.stop()
    assert rows(place, "SELECT title FROM todos") == [("todo of bob",)]
    assert rows(place, "PRAGMA foreign_key_check") == []


def test_updated_at_is_kept_up_to_date(serve, place):
    path = place / "database.db"
    python_app.make(path, "bb77f9679811", [])     # SQLite adds that column to an empty table only
    db = sqlite3.connect(path)
    db.execute("INSERT INTO users (username, password, email, created_at, updated_at) VALUES "
               "('alice', ?, 'alice@example.com', '2020-01-01 00:00:00', '2020-01-01 00:00:00')",
               (python_app.HASHER.hash(PASSWORD),))
    db.commit()
    db.close()
    server = serve()
    with server.api() as api:
        token = api.login("alice@example.com", PASSWORD)
        api.put("/users/1", headers=bearer(token),
                json={"username": "alicia", "email": "alice@example.com", "password": "new-secret"})
    server.stop()
    ((created, updated),) = rows(place, "SELECT created_at, updated_at FROM users")
    assert created == "2020-01-01 00:00:00" and updated > "2026" and len(updated) == 19


def test_the_python_app_can_read_what_was_written(serve, place):
    """The way back: its hasher verifies our hashes, its times have its form."""
    python_app.make(place / "database.db", "74f39286e2f6", USERS)
    server = serve(config={"auth.hash_memory": "64m", "auth.hash_iterations": "3"})
    with server.api() as api:
        api.sign_up("carol", password="secret-of-carol")
    server.stop()
    ((stored, created),) = rows(place, "SELECT password, created_at FROM users WHERE username = 'carol'")
    assert argon2.PasswordHasher().verify(stored, "secret-of-carol")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    time.strptime(created, "%Y-%m-%d %H:%M:%S")


def test_hash_of_the_python_app_is_not_touched_by_login(serve, place):
    """m=65536,t=3 is what is configured by default: nothing is dearer."""
    python_app.make(place / "database.db", "74f39286e2f6", USERS)
    before = rows(place, "SELECT password FROM users")
    server = serve(config={"auth.hash_memory": "64m", "auth.hash_iterations": "3"})
    with server.api() as api:
        api.login("alice@example.com", PASSWORD)
    server.stop()
    assert rows(place, "SELECT password FROM users") == before


def test_its_settings_and_tokens(serve, place):
    key = "c2f0a9d1e4b87f63105d2c9ab8e47f60"
    (place / ".env").write_text(f'DATABASE_URL="sqlite+aiosqlite:///database.db"\nSECRET_KEY="{key}"\n'
                                'ALGORITHM="HS256"\nACCESS_TOKEN_EXPIRE_MINUTES=30\n')
    python_app.make(place / "database.db", "a6b139a38fe0", USERS)
    token = jwt.encode({"sub": "alice@example.com", "exp": int(time.time()) + 600}, key, algorithm="HS256")
    server = serve()
    server.secrets |= {key, token}
    with server.api() as api:
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200


def test_rollback_journal_becomes_wal(serve, place):
    python_app.make(place / "database.db", "74f39286e2f6", USERS)
    assert rows(place, "PRAGMA journal_mode") == [("delete",)]
    serve().stop()
    assert rows(place, "PRAGMA journal_mode") == [("wal",)]
