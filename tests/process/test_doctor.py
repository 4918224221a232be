"""`colmeia doctor`: a line for each thing it looks at; each trouble planted is found, with its remedy."""

import json
import os
import re
import sqlite3
import subprocess

import pytest

from harness import python_app
from harness.server import run_verb, write_ini

LINE = re.compile(r"^(ok  |warn|FAIL)  ([a-z ]+): \S.*$")


def examine(place, *words, env=None):
    """What it found as JSON, by level; its exit code must fit."""
    done = run_verb(place, "doctor", "--json", *words, env=env)
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["fail"] else 0), done.stdout
    for level in ("ok", "warn", "fail"):
        assert report[level] == sum(f["level"] == level for f in report["findings"])
    return report["findings"]


def about(findings, what, level=None):
    return [f for f in findings if f["about"] == what and (level is None or f["level"] == level)]


@pytest.fixture
def healthy(place):
    assert run_verb(place, "migrate").returncode == 0
    (place / "secret.key").write_text(os.urandom(32).hex())
    os.chmod(place / "secret.key", 0o600)
    return place


def test_text(healthy):
    done = run_verb(healthy, "doctor")
    *lines, empty, summary = done.stdout.splitlines()
    assert empty == "" and all(LINE.match(line) for line in lines), done.stdout
    assert len(lines) >= 18 and done.stderr == ""
    levels = [LINE.match(line).group(1) for line in lines]
    assert summary == f"{levels.count('ok  ')} ok, {levels.count('warn')} warn, {levels.count('FAIL')} FAIL"
    assert done.returncode == 0 and "FAIL  " not in done.stdout
    for line, level in zip(lines, levels):
        assert level == "ok  " or " — " in line, f"no remedy: {line}"


def test_text_and_json_agree(healthy):
    text = run_verb(healthy, "doctor").stdout.splitlines()[:-2]
    assert [LINE.match(line).group(2) for line in text] == [f["about"] for f in examine(healthy)]


def test_changes_nothing(place):
    findings = examine(place)
    assert os.listdir(place) == []
    assert "first start makes it" in about(findings, "files")[0]["what"]


def test_bad_configuration(healthy):
    findings = examine(healthy, "--workers", "many")
    assert "many" in about(findings, "configuration", "fail")[0]["what"]
    assert about(findings, "clock") and not about(findings, "files")


@pytest.mark.parametrize("words", [["x"], ["--jsno"], ["--json", "--json"]])
def test_usage(healthy, words):
    assert run_verb(healthy, "doctor", *words).returncode == 2


def test_weak_key(healthy):
    findings = examine(healthy, env={"SECRET_KEY": "short"})
    assert "short" not in json.dumps(about(findings, "configuration"))
    assert about(findings, "key", "fail")


def test_key_that_others_read(healthy):
    os.chmod(healthy / "secret.key", 0o644)
    (finding,) = about(examine(healthy), "key file", "fail")
    assert "0644" in finding["what"] and "chmod 600" in finding["remedy"]
    assert (healthy / "secret.key").read_text() not in json.dumps(examine(healthy))


def test_database_that_others_read(healthy):
    os.chmod(healthy / "database.db", 0o644)
    (finding,) = about(examine(healthy), "files", "warn")
    assert "database.db has mode 0644" in finding["what"] and "chmod o= database.db" in finding["remedy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_different_owners(healthy):
    os.chown(healthy / "database.db", 1234, 1234)
    findings = about(examine(healthy), "files", "fail")
    assert any("database.db.lock belongs to user 0, the database to user 1234" in f["what"] for f in findings)


def test_backlog_beyond_somaxconn(healthy):
    with open("/proc/sys/net/core/somaxconn") as file:
        most = int(file.read())
    if most >= 65535:
        pytest.skip("somaxconn holds every backlog")
    (finding,) = about(examine(healthy, "--backlog", "65535"), "backlog", "warn")
    assert f"cuts it to {most}" in finding["what"] and "sysctl" in finding["remedy"]


def test_descriptors(healthy):
    ini = write_ini(healthy, {"limits.max_connections": "1000000"})
    (finding,) = about(examine(healthy, "--config", str(ini)), "descriptors")
    assert finding["level"] == "warn" and "LimitNOFILE" in finding["remedy"]


def test_memory(healthy):
    ini = write_ini(healthy, {"auth.hash_memory": "1g"})
    (finding,) = about(examine(healthy, "--config", str(ini)), "memory")
    cores, total = map(int, re.match(r"(\d+) password hashes at once take (\d+) MiB", finding["what"]).groups())
    assert cores == len(os.sched_getaffinity(0)) and total == 1024 * cores


def test_newer_database(place):
    python_app.make(place / "database.db", "ffffffffffff", [])
    (finding,) = about(examine(place), "schema", "fail")
    assert "ffffffffffff" in finding["what"]


def test_no_database(healthy):
    (healthy / "database.db").write_bytes(b"nonsense" * 1000)
    (finding,) = about(examine(healthy), "schema", "fail")
    assert "not an SQLite database" in finding["what"]


def test_damaged_database(healthy):
    file = healthy / "database.db"
    db = sqlite3.connect(file)
    db.executemany("INSERT INTO users (username, email, password) VALUES (?, ?, 'x')",
                   [(f"v{i}", f"v{i}@test.com") for i in range(2000)])
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(file.read_bytes())
    for at in range(8 * 4096, len(content) - 4096, 3 * 4096):
        content[at:at + 64] = bytes(range(64))
    file.write_bytes(content)
    findings = examine(healthy)
    assert about(findings, "schema", "ok")
    (finding,) = about(findings, "integrity", "fail")
    assert "damaged" in finding["what"] and "\n" not in finding["what"]


def test_directory_that_is_not_there(place):
    findings = examine(place, "--database-url", "sqlite:///nowhere/database.db")
    assert about(findings, "directory", "fail")[0]["remedy"]


def test_tmpfs(place):
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    disk = place / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        findings = examine(place, "--database-url", "sqlite:///disk/database.db")
        assert "tmpfs" in about(findings, "file system", "warn")[0]["what"]
        assert "about to fail" in about(findings, "disk space", "fail")[0]["what"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_other_program(healthy):
    """This very process, with Python's sqlite3."""
    assert "none has the database open" in about(examine(healthy), "other programs")[0]["what"]
    db = sqlite3.connect(healthy / "database.db")
    db.execute("SELECT * FROM users").fetchall()
    (finding,) = about(examine(healthy), "other programs", "warn")
    db.close()
    assert f"process {os.getpid()} " in finding["what"] and "must not write" in finding["remedy"]


def test_memory_database(place):
    findings = examine(place, "--database-url", "sqlite:///:memory:")
    assert about(findings, "database", "warn")


def test_beside_a_server(serve, place):
    server = serve(workers=2)
    ini = str(place / "colmeia.ini")
    findings = examine(place, "--config", ini)
    (finding,) = about(findings, "server")
    version = run_verb(place, "version").stdout.split()[1]
    assert finding["level"] == "ok" and finding["what"] == f"runs as process {server.process.pid}, version {version}"
    assert about(findings, "other programs", "ok"), "colmeia's own workers are no strangers"
    assert about(findings, "integrity", "ok")
    server.stop()
    assert "none runs" in about(examine(place, "--config", ini), "server", "ok")[0]["what"]


def test_server_that_does_not_answer(healthy):
    """A socket with nobody behind it."""
    import socket
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(healthy / "ctl.sock"))
    (finding,) = about(examine(healthy, "--control", "ctl.sock"), "server")
    assert finding["level"] == "warn" and "ctl.sock" in finding["what"]
