"""seed.py: the database that every server starts from: as colmeia makes it, with 10,000 users."""

import sqlite3
import subprocess

import argon2

from bench.peers import COLMEIA
from harness.server import clean_environment

USERS = 10_000
PASSWORD = "not-so-secret"    # nothing in it that a form would code
# What colmeia itself stores by default, so that no login hashes a second time.
HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1, hash_len=32, salt_len=16)


def name_of(user_id):
    return "alice" if user_id == 1 else f"user{user_id}"


def email_of(user_id):
    return f"{name_of(user_id)}@example.com"


def make(path):
    """In WAL mode, and nothing left in the WAL: the one file is all there is."""
    for end in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    subprocess.run([COLMEIA, "migrate", "upgrade", "--database-url", f"sqlite:///{path}"], check=True,
                   cwd=path.parent, env=clean_environment(), capture_output=True)
    hashed = HASHER.hash(PASSWORD)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    with db:
        db.executemany("INSERT INTO users (id, username, email, password) VALUES (?, ?, ?, ?)",
                       ((i, name_of(i), email_of(i), hashed) for i in range(1, USERS + 1)))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def count(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM users").fetchone()[0]
    finally:
        db.close()
