"""python_app.py: databases as the Python application leaves them: alembic's SQL text and argon2-cffi's
hashes (the parameters of pwdlib's recommended hasher)."""

import sqlite3

import argon2

HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, salt_len=16)

# Revisions of its alembic history, with the SQL that each one runs on SQLite.
USERS = """
CREATE TABLE users (
\tid INTEGER NOT NULL, 
\tusername VARCHAR NOT NULL, 
\tpassword VARCHAR NOT NULL, 
\temail VARCHAR NOT NULL, 
\tcreated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, 
\tPRIMARY KEY (id), 
\tUNIQUE (email), 
\tUNIQUE (username)
)"""
UPDATED_AT = "ALTER TABLE users ADD COLUMN updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL"
TODOS = """
CREATE TABLE todos (
\tid INTEGER NOT NULL, 
\ttitle VARCHAR NOT NULL, 
\tdescription VARCHAR NOT NULL, 
\tstate VARCHAR(5) NOT NULL, 
\tuser_id INTEGER NOT NULL, 
\tPRIMARY KEY (id), 
\tFOREIGN KEY(user_id) REFERENCES users (id)
)"""
REVISIONS = {"74f39286e2f6": [USERS], "bb77f9679811": [USERS, UPDATED_AT], "a6b139a38fe0": [USERS, TODOS]}


def make(path, revision, users=(("alice", "alice@example.com", "secret-of-alice"),)):
    """A database at that revision with those users; a todo for each where the revision has them."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n\t"
               "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)")
    for statement in REVISIONS.get(revision, [USERS]):
        db.execute(statement)
    db.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (revision,))
    for name, email, password in users:
        cursor = db.execute("INSERT INTO users (username, password, email) VALUES (?, ?, ?)",
                            (name, HASHER.hash(password), email))
        if revision == "a6b139a38fe0":
            db.execute("INSERT INTO todos (title, description, state, user_id) VALUES (?, ?, ?, ?)",
                       (f"todo of {name}", "d", "draft", cursor.lastrowid))
    db.commit()
    db.close()
