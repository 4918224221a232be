"""Rights given away: [server] user and group, and [server] seccomp."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.orders import KEY, KNOWN, items_path
from harness.server import BINARY, FAST, await_true, bearer, clean_environment, run_verb, without_aslr

USER = "nobody"
NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0:exitcode=86"}    # who looks for leaks traces his own process


def credentials(pid):
    """{"Uid": [real, effective, saved, file system], "Gid": …, "Groups": …, "CapEff": …, "Seccomp": …}."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: rows[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "Seccomp", "NoNewPrivs")}


def pid_of(server, name):
    """Of the child with that title, once it is there."""
    return await_true(f"a child called {name}",
                      lambda: next((p for p, t in server.children().items() if re.search(rf"\b{name}\b", t)), None))


@pytest.fixture
def home():
    """A directory that belongs to the user; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    directory = Path(tempfile.mkdtemp(prefix="colmeia-"))
    account = pwd.getpwnam(USER)
    os.chown(directory, account.pw_uid, account.pw_gid)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def is_users(pid, gid=None):
    """The process is the user's and cannot be anybody else's any more."""
    account, found = pwd.getpwnam(USER), credentials(pid)
    gid = account.pw_gid if gid is None else gid
    assert found["Uid"] == [str(account.pw_uid)] * 4 and found["Gid"] == [str(gid)] * 4, found
    assert found["Groups"] == [str(gid)], "root's groups are gone"
    assert found["CapEff"] == found["CapPrm"] == ["0" * 16]
    return True


def test_children_become_the_user(serve, home):
    """The master stays root; workers, admin child and what they make are the user's; a request of each kind."""
    server = serve(home, workers=2, config={**FAST, "server.user": USER, "admin.bind": "127.0.0.1:0",
                                            "log.audit": "./audit.log"})
    assert credentials(server.process.pid)["Uid"] == ["0"] * 4
    for pid in server.workers():
        assert is_users(pid)
    assert is_users(pid_of(server, "admin"))
    uid = pwd.getpwnam(USER).pw_uid
    with server.api() as api:
        assert api.sign_up("ana").status_code == 201
        token = api.login("ana@test.com")
        assert api.delete("/users/1", headers=bearer(token)).status_code == 200
    owners = {p.name: p.stat().st_uid for p in home.iterdir()}
    assert {name: owners[name] for name in ("database.db", "database.db-wal", "database.db.lock", "audit.log")} == \
        {"database.db": uid, "database.db-wal": uid, "database.db.lock": uid, "audit.log": uid}
    assert owners["secret.key"] == owners["ctl.sock"] == 0, "the key and the master's ear are root's alone"
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert len((home / "audit.log").read_text().splitlines()) == 3


def test_an_own_group(serve, home):
    server = serve(home, workers=1, config={"server.user": USER, "server.group": "daemon"})
    (pid,) = server.workers()
    gid = int(subprocess.run(["getent", "group", "daemon"], capture_output=True, text=True).stdout.split(":")[2])
    assert is_users(pid, gid)


def test_reload_and_respawn_keep_it(serve, home):
    """A worker that dies, a reload that binds where only root may: the next ones are the user's, too."""
    server = serve(home, workers=1, config={**FAST, "server.user": USER, "log.audit": "./a.log"}).await_served()
    (pid,) = server.workers()
    os.kill(pid, signal.SIGKILL)
    (pid,) = server.await_workers(1, without={pid})
    assert is_users(pid)
    ini = home / "colmeia.ini"
    port = free_low_port()
    ini.write_text(ini.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}").replace("./a.log", "./b.log"))
    server.reload()
    (pid,) = server.workers()
    assert is_users(pid)
    assert subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/"], capture_output=True).returncode == 0
    (home / "b.log").rename(home / "b.log.1")
    server.send_signal(signal.SIGUSR1)
    await_true("the file anew", (home / "b.log").exists)
    ini.write_text(ini.read_text().replace(f"user = {USER}", "user = daemon"))
    server.reload()
    assert "server.user" in server.log and "restart" in server.log
    (pid,) = server.workers()
    assert is_users(pid)


def free_low_port():
    for port in range(601, 1023):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    pytest.skip("no port below 1024 is to be had")


def test_a_database_that_the_user_cannot_use(home):
    """What is left of a time when root served: said clearly, with the way out."""
    env = {"COLMEIA_SERVER_BIND": "127.0.0.1:0", "COLMEIA_AUTH_HASH_MEMORY": "8k"}
    assert run_verb(home, "migrate", env=env).returncode == 0
    assert (home / "database.db").stat().st_uid == 0
    done = run_verb(home, "--workers", "1", env={**env, "COLMEIA_SERVER_USER": USER})
    assert done.returncode != 0
    assert "database.db" in done.stderr and f"user {pwd.getpwnam(USER).pw_uid} cannot" in done.stderr and \
        "chown" in done.stderr, done.stderr


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["link", "second name"])
def test_the_user_has_root_read_nothing(serve, home, link):
    """He owns the directory, but what he puts there in place of root's key is not read: the old one goes on."""
    server = serve(home, workers=1, config={**FAST, "server.user": USER})
    with server.api() as api:
        assert api.sign_up("ana").status_code == 201
        token = api.login("ana@test.com")
    roots, key = home / "roots", home / "secret.key"
    roots.write_text("only-root-may-read-this-file-of-his-own\n")
    roots.chmod(0o600)
    key.rename(home / "kept")
    link(roots, key)
    server.send_signal(signal.SIGHUP)
    server.await_line("reload 1 failed")
    why = "secret.key: cannot read the key: " + ("it is a link" if link is os.symlink else "it has another name")
    assert why in server.log and "only-root" not in server.log
    with server.api() as api:
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200
    server.stop()
    done = run_verb(home, "--config", "colmeia.ini")
    assert done.returncode == 78 and why in done.stderr and "chown" in done.stderr, done.stderr
    key.unlink()
    (home / "kept").rename(key)
    os.chown(key, pwd.getpwnam(USER).pw_uid, -1)
    done = run_verb(home, "--config", "colmeia.ini")
    assert done.returncode == 78 and "it belongs to somebody else" in done.stderr, done.stderr


def test_roots_verbs_leave_nothing_of_roots(serve, home):
    """user add and the like work as the user, and say in the audit log that it was root who called."""
    server = serve(home, workers=1, config={"server.user": USER, "log.audit": "./audit.log", "log.format": "json"})
    done = subprocess.run(without_aslr([str(BINARY), "user", "add", "--config", "colmeia.ini", "eva", "eva@test.com"]), cwd=home,
                          env=clean_environment(), input=b"pw-4711\n", capture_output=True)
    assert done.returncode == 0, done.stderr
    uid = pwd.getpwnam(USER).pw_uid
    assert all(p.stat().st_uid == uid for p in home.glob("database.db*") if not p.name.endswith("sock"))
    row = json.loads((home / "audit.log").read_text().splitlines()[-1])
    assert (row["who"], row["account"]) == ("uid 0", "eva@test.com")
    with server.api() as api:
        assert api.login("eva@test.com", "pw-4711")


@pytest.mark.parametrize("user, group, why", [("no-such-user", None, "there is no such user"),
                                              (USER, "no-such-group", "there is no such group"),
                                              (None, "daemon", "it needs a user")])
def test_nobody_like_that(place, user, group, why):
    env = {k: v for k, v in {"COLMEIA_SERVER_USER": user, "COLMEIA_SERVER_GROUP": group}.items() if v}
    for words in (["check"], ["--bind", "127.0.0.1:0"], ["user", "list"]):
        done = run_verb(place, *words, env=env)
        assert done.returncode == 78 and why in done.stderr and "[server]" in done.stderr, done
    assert not (place / "database.db").exists()


def test_only_root_can(home):
    """Somebody else is told so; being that user already is nothing to do."""
    def start(user, verb="check"):
        return subprocess.run(["setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups",
                               *without_aslr([str(BINARY), verb])], cwd=home, capture_output=True, text=True,
                              env=clean_environment({"COLMEIA_SERVER_USER": user}))
    os.chmod(home, 0o755)
    done = start("daemon")
    assert done.returncode == 78 and "only root can become another user" in done.stderr, done
    assert start(USER).returncode == 0
    assert start("daemon", "openapi").returncode == 0, "who only writes a description is nobody in particular"


# ---- seccomp ----

def test_who_serves_is_restricted(serve, place):
    """Workers and admin child have the filter, the master has not; login, reload, ctl why and debug mode go on."""
    server = serve(workers=2, env=NO_LEAKS, config={**FAST, "server.seccomp": "yes", "admin.bind": "127.0.0.1:0"})
    server.await_served()
    assert credentials(server.process.pid)["Seccomp"] == ["0"]
    restricted = [*server.workers(), pid_of(server, "admin")]
    assert all(credentials(pid)["Seccomp"] == ["2"] and credentials(pid)["NoNewPrivs"] == ["1"] for pid in restricted)
    with server.api() as api:
        assert api.sign_up("ana").status_code == 201
        assert api.delete("/users/1", headers=bearer(api.login("ana@test.com"))).status_code == 200
        for word in ("off", "on"):
            server.ctl("debug", word)
        server.reload()
        victim = min(server.workers())
        os.kill(victim, signal.SIGKILL)
        server.await_workers(2, without={victim})
        assert any(server.run_ctl("why", str(n)).returncode == 0 for n in range(6))
        server.ctl("dump", str(server.slots()[0]["slot"]))
        server.await_line("dump: ")
        assert api.get("/").status_code == 200
    ini = place / "colmeia.ini"
    ini.write_text(ini.read_text().replace("seccomp = yes", "seccomp = no"))
    server.reload()
    assert all(credentials(pid)["Seccomp"] == ["0"] for pid in server.workers())


def test_orders_are_served_under_it(serve, upstream):
    """The upstream's library is loaded, names are looked up."""
    server = serve(workers=1, env=NO_LEAKS, config={**upstream.config(), "server.seccomp": "yes"})
    server.secrets.add(KEY)
    with server.api() as api:
        assert api.get(items_path(KNOWN)).status_code == 200
