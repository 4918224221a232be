"""The audit log: every event of shared/audit.def, who, when, from where and how it ended; and that nobody
can write it for us."""

import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys

import pytest

from harness.failing import ALWAYS
from harness.faults import await_held, go_on
from harness.server import FAST, ROOT, await_true, bearer, run_verb
from harness.wire import Wire

EVENT = re.compile(r'^EVENT\(\w+, "([^"]+)"', re.MULTILINE)
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
LINE_MAX = 4096     # PIPE_BUF: longer ones of two processes could mix
KNOWN = {"time", "level", "role", "pid", "event", "outcome", "who", "account", "account_id", "from", "id", "what",
         "why", "count"}


class Trail:
    """The audit lines of a server's log (JSON), or of a file."""

    def __init__(self, server, path=None):
        self.server, self.path = server, path

    def rows(self):
        text = self.path.read_text() if self.path else self.server.log
        rows = [json.loads(line) for line in text.splitlines() if self.path or '"level":"audit"' in line]
        for row in rows:
            assert set(row) <= KNOWN and TIME.match(row["time"]), row
        return rows

    def find(self, event, outcome, **facts):
        return [row for row in self.rows() if (row["event"], row["outcome"]) == (event, outcome)
                and facts.items() <= row.items()]

    def one(self, event, outcome, **facts):
        """The only row of that kind; it may not have been written yet."""
        await_true(f"{event} {outcome} {facts} in {self.rows()}", lambda: self.find(event, outcome, **facts))
        found = self.find(event, outcome, **facts)
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def audited(serve):
    """A server with JSON lines, and its trail."""
    def start(env=None, **config):
        server = serve(workers=1, env=env, config={**FAST, "log.format": "json", "log.access": "off",
                                          **{k.replace("__", "."): v for k, v in config.items()}})
        path = config.get("log__audit")
        return server, Trail(server, server.directory / path if path and "/" in path else None)
    return start


def test_every_event(audited, place):
    """A request each, and its line; none is left out."""
    server, trail = audited()
    with server.api(headers={"x-forwarded-for": "203.0.113.9", "x-request-id": "id-4711"}) as api:
        client = {"from": "203.0.113.9:0", "id": "id-4711"}
        api.sign_up("ana", password="first-pw-4711")
        ana = {"account": "ana@test.com", "account_id": 1}
        assert trail.one("account created", "ok", **ana, **client)["role"] == "worker 0"
        api.sign_up("ana", email="other@test.com")
        trail.one("account created", "failed", account="other@test.com", why="the name is taken", **client)
        api.sign_up("other", email="ana@test.com")
        trail.one("account created", "failed", account="ana@test.com", why="the address is taken")

        api.try_login("ana@test.com", "wrong-pw-4711")
        trail.one("login", "failed", who="ana@test.com", why="wrong address or password", **client)
        api.try_login("nobody@test.com")
        trail.one("login", "failed", who="nobody@test.com")
        token = api.login("ana@test.com", "first-pw-4711")
        trail.one("login", "ok", who="ana@test.com", account_id=1, **client)

        api.post("/auth/refresh_token", headers=bearer(token))
        trail.one("token refresh", "ok", who="ana@test.com", **ana, **client)
        api.post("/auth/refresh_token", headers=bearer(token[:-4]))
        trail.one("token refresh", "denied", why="no token of ours", what="POST /auth/refresh_token")
        server.secrets.add(token[:-4])

        api.delete("/users/1?token=in-the-query")
        trail.one("access", "denied", why="no token", what="DELETE /users/1", **client)
        api.delete("/users/2", headers=bearer(token))
        trail.one("access", "denied", who="ana@test.com", account_id=1, what="DELETE /users/2",
                  why="not the caller's own account")
        api.put("/users/1", headers=bearer(token),
                json={"username": "ana", "email": "ana@test.com", "password": "next-pw-4711"})
        server.secrets.add("next-pw-4711")
        trail.one("account changed", "ok", who="ana@test.com", **ana, **client)
        api.delete("/users/1", headers=bearer(token))
        trail.one("access", "denied", who="ana@test.com", why="the account has changed since")
        token = api.login("ana@test.com", "next-pw-4711")
        api.delete("/users/1", headers=bearer(token))
        trail.one("account deleted", "ok", who="ana@test.com", **ana, **client)
        api.delete("/users/1", headers=bearer(token))
        trail.one("access", "denied", who="ana@test.com", why="no such account")

    server.ctl("scale", "+1")
    caller = trail.one("control", "ok", what="scale +1")
    assert re.fullmatch(r"uid %d pid \d+" % os.getuid(), caller["who"]) and caller["from"] == "control socket"
    server.ctl("dump", "77", code=1)
    trail.one("control", "failed", what="dump 77")
    server.ctl("reload", "--wait")
    trail.one("control", "begun", what="reload --wait")
    server.send_signal(signal.SIGTTOU)
    trail.one("control", "begun", what="SIGTTOU", who=f"uid {os.getuid()} pid {os.getpid()}", **{"from": "signal"})
    server.status()
    server.stop()
    trail.one("control", "begun", what="SIGTERM")
    assert not [r for r in trail.rows() if r.get("what") == "status"], "questions are not recorded"
    assert "in-the-query" not in "".join(map(str, trail.rows()))
    wanted = set(EVENT.findall((ROOT / "shared" / "audit.def").read_text())) - {"lines lost"}
    assert {row["event"] for row in trail.rows()} == wanted


def test_a_token_that_has_expired(audited):
    server, trail = audited(auth__access_token_expire_minutes=-1)
    with server.api() as api:
        api.sign_up("ana")
        token = api.login("ana@test.com")
        assert api.delete("/users/1", headers=bearer(token)).status_code == 401
    trail.one("access", "denied", why="the token has expired")


def reset(wire):
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.mark.parametrize("password, outcome", [("guess-4711", "failed"), ("right-4711", "ok")])
def test_who_does_not_wait_is_recorded_all_the_same(audited, faults, password, outcome):
    """A guess whose answer nobody reads is a guess, and so is a right one: the client is gone before the password
    was looked at."""
    server, trail = audited(env=faults.env, auth__hash_memory="16m", auth__hash_iterations=4)
    with server.api() as api:
        api.sign_up("ana", password="right-4711")
    (worker,) = server.workers()
    faults.set("password_mmap", "once signal STOP")
    wire = Wire(server.tcp()).ask("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded")],
                                  f"username=ana%40test.com&password={password}".encode())
    await_held(worker)
    reset(wire)
    go_on(worker)
    trail.one("login", outcome, who="ana@test.com")
    server.stop()
    assert len([row for row in trail.rows() if row["event"] == "login"]) == 1


def test_who_leaves_a_sign_up_is_counted_and_recorded(audited):
    """A taken address is answered at once. Who could leave for nothing when there is no answer would learn which
    ones are free, of as many as he likes."""
    server, trail = audited(auth__hash_memory="64m", auth__hash_iterations=20, auth__create_limit=1)
    server.secrets.add("left-4711")
    wire = Wire(server.tcp()).ask("POST", "/users/", [("Content-Type", "application/json")],
                                  b'{"username":"ana","email":"ana@test.com","password":"left-4711"}')
    server.await_status("it is being hashed", lambda status: status["slots"][0]["hashes_queued"] == 1)
    reset(wire)
    trail.one("account created", "abandoned", account="ana@test.com")
    with server.api() as api:
        assert api.sign_up("bob").status_code == 429
        assert api.get("/users/").json() == {"users": []}
    server.stop()
    assert [row["outcome"] for row in trail.rows() if row["event"] == "account created"] == ["abandoned", "throttled"]


FORGERIES = {
    "newline": "a\n2026-01-01T00:00:00.000Z AUDIT [worker 0 pid 1] event=\"login\" outcome=ok who=\"root\"",
    "return": "a\r\"level\":\"audit\"",
    "escape": "\x1b[2J\x1b[31mred\x07",
    "quote": 'a" outcome=ok who="root',
    "json": 'a","outcome":"ok","who":"root',
    "c1": "a\u009b2Jb",
    "del": "a\x7fb",
    "backslash": "a\\",
    "nul": "a\0b",
    "long": "é" * 5000,
}


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_can_forge_a_line(serve, form):
    """Names, addresses, paths and tokens of all sorts: one line each, which says what was sent and no more."""
    server = serve(workers=1, config={"log.format": form, "log.access": "off"})
    with server.api() as api:
        for text in FORGERIES.values():
            assert api.post("/auth/token", data={"username": text, "password": "x-4711"}).status_code in (401, 422)
            api.get("/users/1/%0a%1b", headers={"x-request-id": "id"})
            api.delete("/users/1" + "?" + "q" * 3000, headers={"authorization": "Bearer " + "a" * 3000})
        with Wire(server.tcp()) as wire:        # bytes that are no UTF-8, as they are
            body = b"username=\xff%FE%0A\xc3&password=y-4711"
            wire.send(b"POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                      b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%s" % (len(body), body))
            assert wire.answer().status in (401, 422)
        api.sign_up("done", password="z-pw-4711")
    server.await_line("done@test.com")
    server.stop()
    lines = [line for line in server.log.splitlines() if ' AUDIT [' in line or '"level":"audit"' in line]
    logins = [line for line in lines if re.search(r'event"?[=:]"login"', line)]
    assert len(logins) >= len(FORGERIES), "\n".join(lines)
    for line in server.log.splitlines():
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line), ascii(line)
        assert re.match(r'\{"time"' if form == "json" else r"\d{4}-\d\d-\d\dT", line), f"not a line of ours: {line!r}"
    for line in logins:
        assert len(line.encode()) < LINE_MAX
        if form == "json":
            assert json.loads(line)["outcome"] == "failed" and json.loads(line)["role"] == "worker 0"
        else:
            assert re.match(r'\S+ AUDIT \[worker 0 pid \d+\] event="login" outcome=failed who="', line), line
            assert not re.search(r'(?<!\\)" outcome=ok', line), line
    assert any(line.count("é") > 50 and "…" in line for line in logins), "a long name is cut"


def test_off(audited):
    server, trail = audited(log__audit="off")
    with server.api() as api:
        api.sign_up("ana")
        api.try_login("ana@test.com", "wrong-4711")
    server.stop()
    assert trail.rows() == []


def test_a_file_of_its_own_survives_rotation(audited, place):
    """Made for nobody else to read; after USR1 the master and its workers write into the new one."""
    path = place / "audit.log"
    server, trail = audited(log__audit="./audit.log")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with server.api() as api:
        api.sign_up("ana")
        trail.one("account created", "ok", account="ana@test.com")
        path.rename(place / "audit.log.1")
        server.send_signal(signal.SIGUSR1)
        await_true("a new file", path.exists)
        api.try_login("probe@test.com", "wrong-4711")
        before = Trail(server, place / "audit.log.1")
        await_true("the worker has heard of it", lambda: api.try_login("next@test.com", "wrong-4711")
                   and trail.find("login", "failed", who="next@test.com"))
        assert before.one("control", "begun", what="SIGUSR1")
        server.ctl("scale", "1")
        trail.one("control", "ok", what="scale 1")
    server.stop()
    assert '"level":"audit"' not in server.log


def test_a_reload_moves_it(audited, place):
    """To another file, and a file that cannot be is no reason to stop: the reload goes back."""
    server, trail = audited(log__audit="./first.log")
    ini = server.directory / "colmeia.ini"
    ini.write_text(ini.read_text().replace("./first.log", "./second.log"))
    server.reload()
    with server.api() as api:
        api.sign_up("ana")
    Trail(server, place / "second.log").one("account created", "ok", account="ana@test.com")
    assert not trail.find("account created", "ok")
    (place / "link.log").symlink_to(place / "target.log")
    for bad, why in {"./no/dir/a.log": "No such file", "./link.log": "it is a link", "./.": "directory"}.items():
        good = ini.read_text()
        ini.write_text(good.replace("./second.log", bad))
        answer = server.ctl("reload", "--wait", code=1)
        assert why in json.dumps(answer), answer
        ini.write_text(good)
    assert not (place / "target.log").exists()
    with server.api() as api:
        api.try_login("later@test.com", "wrong-4711")
    Trail(server, place / "second.log").one("login", "failed", who="later@test.com")


@pytest.mark.parametrize("name, why", [("./no/dir/audit.log", "No such file"), ("/dev/full", "no regular file"),
                                       ("./twice.log", "another name")])
def test_a_start_without_its_file_is_refused(place, name, why):
    (place / "once.log").touch()
    os.link(place / "once.log", place / "twice.log")
    done = run_verb(place, "--bind", "127.0.0.1:0", env={"COLMEIA_LOG_AUDIT": name})
    assert done.returncode == 78 and why in done.stderr and "[log] audit" in done.stderr


@pytest.mark.parametrize("error, code", [("EMFILE", 70), ("ENOSPC", 70), ("EACCES", 78)])
def test_a_start_that_may_succeed_later(serve, failing, error, code):
    """A service manager tries again; 78 is a bad configuration only."""
    server = serve.make(env=failing.env, config={**FAST, "log.audit": "./audit.log"})
    with failing.at("OPEN", error=error, times=ALWAYS, path="audit.log"):
        server.spawn()
        assert server.wait() == code, server.log
    server.await_end_of_log()
    assert "[log] audit: cannot write to ./audit.log" in server.log


def test_verbs_are_recorded(place):
    """user add, passwd and delete: who called, and whose account; what cannot be recorded is not done."""
    log = place / "audit.log"
    env = {"COLMEIA_LOG_AUDIT": str(log), "COLMEIA_LOG_FORMAT": "json", "COLMEIA_AUTH_HASH_MEMORY": "8k"}
    run_verb(place, "migrate", env=env)
    for words, password in [(("add", "ana", "ana@test.com"), b"pw-4711\n"), (("passwd", "1"), b"pw-4712\n"),
                            (("delete", "--yes", "1"), b"")]:
        done = run_verb(place, "user", *words, env=env, stdin=password)
        assert done.returncode == 0, done.stderr
    assert run_verb(place, "user", "list", env=env).returncode == 0
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(r["event"], r["what"]) for r in rows] == [("account created", "user add"), ("account changed", "user passwd"),
                                                      ("account deleted", "user delete")]
    for row in rows:
        assert (row["outcome"], row["account"], row["account_id"]) == ("ok", "ana@test.com", 1)
        assert (row["who"], row["from"], row["role"]) == (f"uid {os.getuid()}", "command line", "user")
    assert run_verb(place, "user", "add", "ana", "ana@test.com", env=env, stdin=b"pw-4713\n").returncode == 0
    for name, email, why in [("ana", "eva@test.com", "name"), ("eva", "ana@test.com", "address")]:
        log.write_text("")
        assert run_verb(place, "user", "add", name, email, env=env, stdin=b"pw-4714\n").returncode == 1
        (row,) = map(json.loads, log.read_text().splitlines())
        assert (row["event"], row["outcome"], row["account"]) == ("account created", "failed", email)
        assert row["why"] == f"the {why} is taken"
    assert "471" not in log.read_text()
    bad = {**env, "COLMEIA_LOG_AUDIT": "/dev/null"}
    done = run_verb(place, "user", "add", "eva", "eva@test.com", env=bad, stdin=b"pw-4713\n")
    assert done.returncode == 78 and "no regular file" in done.stderr
    assert "eva" not in run_verb(place, "user", "list", env=env).stdout


def test_strangers_at_the_control_socket(audited, stranger):
    """A user who is neither root nor the server's own: the kernel says who it was."""
    server, trail = audited()
    path = server.directory / "ctl.sock"
    done = stranger(path)
    assert "only root" in done
    row = trail.one("control", "denied")
    assert re.match(r"uid 65534 pid \d+$", row["who"]) and row["from"] == "control socket"


@pytest.fixture
def stranger(request):
    """Speaks to a socket as nobody; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")

    def ask(path):
        code = ("import os, socket, sys\n"
                "s = socket.socket(socket.AF_UNIX); os.chdir(os.path.dirname(sys.argv[1])); os.chmod('.', 0o711)\n"
                "os.chmod('ctl.sock', 0o666); os.setgid(65534); os.setuid(65534)\n"
                "s.connect('ctl.sock'); print(s.makefile().readline())")
        return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True).stdout
    return ask
