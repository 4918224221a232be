"""`colmeia migrate`, and the migration before the first worker."""

import sqlite3

import pytest

from harness import python_app
from harness.server import run_verb


def revision(place):
    db = sqlite3.connect(place / "database.db")
    try:
        return [r for (r,) in db.execute("SELECT version_num FROM alembic_version")]
    finally:
        db.close()


def test_upgrade_makes_the_database(place):
    done = run_verb(place, "migrate", "upgrade")
    assert done.returncode == 0, done.stderr
    assert revision(place) == ["74f39286e2f6"]


def test_upgrade_is_the_default_and_idempotent(place):
    for _ in range(3):
        done = run_verb(place, "migrate")
        assert done.returncode == 0, done.stderr
    assert revision(place) == ["74f39286e2f6"]


@pytest.mark.parametrize("name", sorted(python_app.REVISIONS))
def test_current(place, name):
    python_app.make(place / "database.db", name, [])
    done = run_verb(place, "migrate", "current")
    assert done.returncode == 0 and name in done.stdout and len(done.stdout.splitlines()) == 1


def test_current_without_a_revision(place):
    done = run_verb(place, "migrate", "current")
    assert "no revision" in done.stdout or done.returncode == 6


def test_history_names_the_revisions(place):
    done = run_verb(place, "migrate", "history")
    assert done.returncode == 0
    for name in python_app.REVISIONS:
        assert name in done.stdout
    assert not (place / "database.db").exists()


def test_unknown_word(place):
    done = run_verb(place, "migrate", "downgrade")
    assert done.returncode == 2 and "downgrade" in done.stderr


def test_memory_has_nothing_to_migrate(place):
    done = run_verb(place, "migrate", "upgrade", "--database-url", "sqlite:///:memory:")
    assert done.returncode == 78 and ":memory:" in done.stderr


def test_unknown_revision(place):
    python_app.make(place / "database.db", "ffffffffffff", [])
    for words in (["migrate"], ["migrate", "upgrade"]):
        done = run_verb(place, *words)
        assert done.returncode == 6 and "ffffffffffff" in done.stderr
    assert revision(place) == ["ffffffffffff"]


def test_of_two_heads_both_stay(place):
    """The course's exercises can leave updated_at and todos side by side."""
    python_app.make(place / "database.db", "a6b139a38fe0", [])
    db = sqlite3.connect(place / "database.db")
    db.execute(python_app.UPDATED_AT)
    db.execute("INSERT INTO alembic_version VALUES ('bb77f9679811')")
    db.commit()
    db.close()
    done = run_verb(place, "migrate", "upgrade")
    assert done.returncode == 0, done.stderr
    assert sorted(revision(place)) == ["a6b139a38fe0", "bb77f9679811"]


def test_tables_without_a_revision_are_taken_over(serve, place):
    """Base.metadata.create_all() instead of alembic: the same table, no alembic_version."""
    db = sqlite3.connect(place / "database.db")
    db.execute(python_app.USERS)
    db.execute("INSERT INTO users (username, password, email) VALUES ('a', 'x', 'a@test.com')")
    db.commit()
    db.close()
    with serve(workers=1).api() as api:
        assert api.get("/users/1").json()["username"] == "a"


def test_migrating_beside_a_running_server(serve, place):
    """They take turns by the writer lock."""
    server = serve(workers=2)
    with server.api() as api:
        assert api.sign_up("a").status_code == 201
        assert run_verb(place, "migrate").returncode == 0
        assert api.sign_up("b").status_code == 201
