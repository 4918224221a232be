"""`colmeia backup FILE`: whole, complete, all or nothing; beside a server that writes."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

from harness import python_app
from harness.server import BINARY, await_true, clean_environment, run_verb, without_aslr, write_ini
from harness.terminal import Terminal


def rows(file):
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT id, username, email, password FROM users ORDER BY id").fetchall()
    finally:
        db.close()


def fill(place, count, bytes_each=10):
    db = sqlite3.connect(place / "database.db")
    db.executemany("INSERT INTO users (username, email, password) VALUES (?, ?, ?)",
                   ((f"u{i}of{count}", f"u{i}of{count}@test.com", "x" * bytes_each) for i in range(count)))
    db.commit()
    db.close()


@pytest.fixture
def database(place):
    """A place with a database of a few users, and the names of what is in it."""
    assert run_verb(place, "migrate").returncode == 0
    fill(place, 10)
    return place


def listing(place):
    """All but what SQLite keeps beside the database."""
    return sorted(n for n in os.listdir(place) if not n.startswith("database.db"))


def test_backup(database):
    before = os.umask(0)
    try:
        done = run_verb(database, "backup", "copy.db")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "copying database database.db to copy.db\n"
    assert "10 users" in done.stdout and "secret.key" in done.stdout
    assert listing(database) == ["copy.db"]
    assert os.stat(database / "copy.db").st_mode & 0o777 == 0o600
    assert rows(database / "copy.db") == rows(database / "database.db")


def test_serves_as_database(database, serve):
    """The copy alone is enough to go on with."""
    assert run_verb(database, "backup", "copy.db").returncode == 0
    other = database / "other"
    other.mkdir()
    shutil.copy(database / "copy.db", other / "database.db")
    with serve(other, workers=1).api() as api:
        assert len(api.get("/users/").json()["users"]) == 10


def test_deleted_rows_stay_behind(database):
    db = sqlite3.connect(database / "database.db")
    db.execute("INSERT INTO users (username, email, password) VALUES ('gone', 'g@test.com', 'gone-hash')")
    db.commit()
    db.execute("DELETE FROM users WHERE username = 'gone'")
    db.commit()
    db.close()
    assert run_verb(database, "backup", "copy.db").returncode == 0
    assert b"gone-hash" not in (database / "copy.db").read_bytes()


def test_never_overwrites_unasked(database):
    (database / "copy.db").write_text("precious")
    done = run_verb(database, "backup", "copy.db")
    assert done.returncode == 1 and "--force" in done.stderr and done.stdout == ""
    assert (database / "copy.db").read_text() == "precious" and listing(database) == ["copy.db"]
    assert run_verb(database, "backup", "--force", "copy.db").returncode == 0
    assert len(rows(database / "copy.db")) == 10 and listing(database) == ["copy.db"]


@pytest.mark.parametrize("name", ["database.db", "./database.db", "database.db-wal", "database.db-shm",
                                  "database.db-journal", "database.db.lock", "secret.key", "link", "hard",
                                  "sub/../database.db"])
def test_own_files_are_refused(database, name):
    (database / "sub").mkdir()
    (database / "link").symlink_to("database.db")
    os.link(database / "database.db", database / "hard")
    (database / "secret.key").write_text("k" * 64)
    before = {n: (database / n).read_bytes() for n in ["database.db", "database.db-wal", "secret.key"]
              if (database / n).exists()}
    done = run_verb(database, "backup", "--force", name)
    assert done.returncode == 1 and "the database itself" in done.stderr
    assert {n: (database / n).read_bytes() for n in before} == before
    assert not [n for n in os.listdir(database) if n.endswith(".tmp")]


def test_temporary_name_is_the_database(place):
    """FILE.tmp would be the database."""
    env = {"DATABASE_URL": "sqlite:///copy.tmp"}
    assert run_verb(place, "migrate", env=env).returncode == 0
    done = run_verb(place, "backup", "--force", "copy", env=env)
    assert done.returncode == 1 and "the database itself" in done.stderr
    assert rows(place / "copy.tmp") == []


@pytest.mark.parametrize("target, why", [("sub", "is a directory"), ("nowhere/copy.db", "directory does not exist"),
                                         ("sub/", "names no file"), ("", "FILE|names no file"),
                                         ("/dev/full", "no plain file"), ("fifo", "no plain file"),
                                         ("loose", "no plain file"), ("sub/x/y", "not exist")])
def test_bad_targets(database, target, why):
    (database / "sub").mkdir()
    os.mkfifo(database / "fifo")
    (database / "loose").symlink_to("nothing")
    done = run_verb(database, "backup", "--force", target)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert any(w in done.stderr for w in why.split("|"))
    assert listing(database) == ["fifo", "loose", "sub"] and os.listdir(database / "sub") == []


def test_read_only_directory(database):
    """One may read the database and not write the target: as another user, for root may always."""
    target = database / "sub"
    target.mkdir(mode=0o555)
    os.chmod(database, 0o755)
    if os.geteuid() == 0:
        for name in os.listdir(database):
            os.chown(database / name, 65534, 65534)
        os.chown(database, 65534, 65534)
        os.chown(target, 0, 0)
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        prefix = []
    copy = shutil.copy(BINARY, database / "colmeia")     # where that user can reach it
    done = subprocess.run([*prefix, *without_aslr([str(copy), "backup", "sub/copy.db"])], cwd=database,
                          env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "Permission denied" in done.stderr, done.stderr
    assert os.listdir(target) == []


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--frce", "a"], ["--force=1", "a"]])
def test_usage(database, words):
    assert run_verb(database, "backup", *words).returncode == 2
    assert listing(database) == []


def test_no_database(place):
    done = run_verb(place, "backup", "copy.db")
    assert done.returncode == 1 and '"colmeia migrate"' in done.stderr and os.listdir(place) == []


def test_newer_database(place):
    python_app.make(place / "database.db", "ffffffffffff", [])
    assert run_verb(place, "backup", "copy.db").returncode == 6
    assert "copy.db" not in os.listdir(place)


BIG = 4 << 20


@pytest.fixture
def small_disk(place):
    """A directory on a file system of 1 MB; as root only."""
    directory = place / "disk"
    directory.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)],
                                           capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_full_disk(database, small_disk):
    fill(database, 1, BIG)
    (small_disk / "copy.db").write_text("the last one")
    done = run_verb(database, "backup", "--force", "disk/copy.db")
    assert done.returncode == 1 and "disk/copy.db: the disk is full" in done.stderr
    assert os.listdir(small_disk) == ["copy.db"] and (small_disk / "copy.db").read_text() == "the last one"


def test_limit_on_file_sizes(database):
    fill(database, 1, BIG)
    done = subprocess.run(["prlimit", f"--fsize={BIG // 4}", *without_aslr([str(BINARY), "backup", "copy.db"])],
                          cwd=database, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "colmeia backup: copy.db: " in done.stderr, done.stderr
    assert listing(database) == []


def test_damaged_source(database):
    """What is no whole database does not become a backup."""
    file = database / "database.db"
    db = sqlite3.connect(file)
    db.executemany("INSERT INTO users (username, email, password) VALUES (?, ?, 'x')",
                   [(f"v{i}", f"v{i}@test.com") for i in range(2000)])
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(file.read_bytes())
    page = 4096
    for at in range(4 * page, len(content) - page, 3 * page):
        content[at:at + 64] = os.urandom(64)
    file.write_bytes(content)
    done = run_verb(database, "backup", "copy.db")
    assert done.returncode == 1 and "damaged" in done.stderr, done.stderr
    assert listing(database) == []


def test_copy_that_is_not_whole(database):
    """An index that lacks a row is copied as it is: only reading the copy back shows it."""
    file = database / "database.db"

    def run(*statements):
        db = sqlite3.connect(file)
        db.execute("PRAGMA writable_schema = ON")
        rows = [db.execute(*s).fetchall() for s in statements]
        db.commit()
        db.close()
        return rows

    _, (index,) = run(("CREATE INDEX extra ON users (username)",),
                      ("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = 'extra'",))
    run(("DELETE FROM sqlite_master WHERE name = 'extra'",))
    run(("INSERT INTO users (username, email, password) VALUES ('new', 'new@test.com', 'x')",))
    run(("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index))
    done = run_verb(database, "backup", "copy.db")
    assert done.returncode == 1 and "copy is not whole" in done.stderr, done.stderr
    assert listing(database) == []


def test_left_over_temporary_is_used_anew(database):
    (database / "copy.db.tmp").write_text("what a killed backup left" * 10000)
    assert run_verb(database, "backup", "copy.db").returncode == 0
    assert listing(database) == ["copy.db"] and len(rows(database / "copy.db")) == 10


def test_two_at_once(database):
    with open(database / "copy.db.tmp", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = run_verb(database, "backup", "copy.db")
        assert done.returncode == 1 and "another backup" in done.stderr
    assert listing(database) == ["copy.db.tmp"]


@pytest.mark.parametrize("name, others", [("link", "precious"), ("hard", "precious")])
def test_temporary_is_a_trap(database, name, others):
    """A link in a directory that others can write leads nowhere."""
    (database / others).write_text("mine")
    if name == "link":
        (database / "copy.db.tmp").symlink_to(others)
    else:
        os.link(database / others, database / "copy.db.tmp")
    done = run_verb(database, "backup", "copy.db")
    assert done.returncode == 1 and "copy.db.tmp" in done.stderr
    assert (database / others).read_text() == "mine"


def test_progress_on_a_terminal(database):
    fill(database, 20000, bytes_each=4000)
    with Terminal(database, "backup", "copy.db") as t:
        t.await_text(r"copying [1-9]\d? %")
        assert t.wait() == 0
        assert "checking" in t.shown and "20010 users" in t.shown
        assert t.shown.rpartition("\r\x1b[K")[2].startswith("copy.db: ")


def half_done(place):
    """A backup that has made its temporary file, and waits for its terminal to show how far it is."""
    t = Terminal(place, "backup", "copy.db", held=True)
    await_true("it has begun", lambda: (place / "copy.db.tmp").exists())
    return t


def test_ctrl_c_leaves_nothing(database):
    with half_done(database) as t:
        t.type("\x03")
        t.let_go()
        assert t.wait() == 1 and "interrupted" in t.shown
    assert listing(database) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_leaves_nothing(database, number):
    with half_done(database) as t:
        t.process.send_signal(number)
        t.process.wait()
        t.let_go()
        await_true("the child is gone, too", lambda: listing(database) == [])


def test_beside_a_server_under_load(serve, place):
    """Each backup holds whatever was acknowledged before it began, and is whole."""
    server = serve(workers=2, config={"log.level": "info", "log.access": "off"})
    stop, acknowledged, refused = threading.Event(), [], []

    def sign_up(first):
        with server.api() as api:
            for i in range(first, 1_000_000, 3):
                if stop.is_set():
                    return
                answer = api.sign_up(f"load{i}")
                (acknowledged if answer.status_code == 201 else refused).append(f"load{i}")

    threads = [threading.Thread(target=sign_up, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    ini = str(write_ini(place, server.config))
    try:
        for i in range(5):
            await_true("more sign-ups", lambda n=len(acknowledged): len(acknowledged) >= n + 10)
            before = set(acknowledged)
            done = run_verb(place, "backup", f"copy{i}.db", "--config", ini)
            assert done.returncode == 0, done.stderr
            names = {r[1] for r in rows(place / f"copy{i}.db")}
            assert before <= names and len(before) >= 10
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert refused == []
