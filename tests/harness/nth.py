"""nth.py: what the tests of calls that fail (failing.py) have in common: a start that may fail, and
requests of every kind."""

import json
import re
import socket

import pytest

from harness.server import REPORTS, Server, await_true
from harness.wire import Closed, Wire

# Of the n that a test could take: some, or all with --long.
SOME_OR_ALL = pytest.mark.parametrize("some", [True, pytest.param(False, marks=pytest.mark.long)], ids=["some", "all"])

MASTER, MIGRATION, WORKER = range(3)     # processes of a start, in their order (one worker, no admin child)
CODES = {3, 4, 6, 70}                    # of a start that failed for want of something: restarting may help
JSON = [("content-type", "application/json")]
FORM = [("content-type", "application/x-www-form-urlencoded")]
PASSWORD = "nth-password"


# ---- starting ----

def start_and_stop(place, failing, fresh=True, **config):
    """A start while something fails, then a stop if it came so far: the log. Whatever happens, it says
    why, in time, and with the right code."""
    if fresh:
        for path in [*place.glob("database.db*"), place / "secret.key"]:
            path.unlink(missing_ok=True)
    server = Server(place, env=failing.env, workers=1, config={"database.timeout": "4s", **config})
    server.spawn()
    try:
        await_true("it is ready or gone", lambda: server.process.poll() is not None or "ready: 1" in server.log)
        if server.process.poll() is None:
            server.stop()
        code, log = server.wait(), server.log
        server.await_end_of_log()
        judge_start(code, server.log)
        return log
    except AssertionError as error:
        raise AssertionError(f"{failing.last}: {error}\n{server.log}") from None
    finally:
        failing.disarm()
        server.kill()


def judge_start(code, log):
    assert code == 0 or code in CODES, f"exit code {code}"
    assert not REPORTS.search(log), "a report in the log"
    assert not re.search(r"killed by signal (6|7|8|11)\b", log), "somebody crashed"
    if code:
        assert re.search(r"^colmeia: .|ERROR \[|^[a-z]+: (bind: )?out of memory|cannot read it: ", log, re.MULTILINE), \
            "nobody is told why"


# ---- asking ----

def account(name, pad=""):
    return json.dumps({"username": name + pad, "email": f"{name}@test.com", "password": PASSWORD}).encode()


def multipart(**fields):
    parts = "".join(f'--x\r\ncontent-disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    return parts.encode() + b"--x--\r\n"


class Requests:
    """One of each kind: kinds[name]() is (method, target, headers, body), and answers the same way again
    and again. Needs an account "first"."""

    def __init__(self, server):
        self.server = server
        self.made = 0
        with server.api() as api:
            assert api.sign_up("first", password=PASSWORD).status_code in (201, 409)
            token = [("authorization", f"Bearer {api.login('first@test.com', PASSWORD)}")]
        login = f"username=first@test.com&password={PASSWORD}".encode()
        taken = account("first")
        self.kinds = {
            "root": ("GET", "/", [], None),
            "nobody's": ("GET", "/nix", [], None),
            "method": ("DELETE", "/", [], None),
            "redirect": ("GET", "/users?limit=1", [], None),
            "health": ("GET", "/healthcheck", [], None),
            "list": ("GET", "/users/", [], None),
            "list refused": ("GET", "/users/?limit=x&offset=-1", [], None),
            "user": ("GET", "/users/1", [], None),
            "no user": ("GET", "/users/999999", [], None),
            "sign-up": lambda: ("POST", "/users/", JSON, account(self.new_name())),
            "sign-up taken": ("POST", "/users/", JSON, taken),
            "sign-up refused": ("POST", "/users/", JSON, b'{"username":1,"email":"a@@b","x":[1,{"a":"b"}]}'),
            "no JSON": ("POST", "/users/", JSON, b'{"username":1,'),
            "international": ("POST", "/users/", JSON, json.dumps(
                {"username": "first", "email": "Jürgen <ü@bücher.de>", "password": PASSWORD}).encode()),
            "chunked": ("POST", "/users/", [*JSON, ("transfer-encoding", "chunked")], b"5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"),
            "too long": ("POST", "/users/", JSON, b"x" * 70_000),
            "login": ("POST", "/auth/token", FORM, login),
            "login wrong": ("POST", "/auth/token", FORM, b"username=first@test.com&password=wrong"),
            "login unknown": ("POST", "/auth/token", FORM, b"username=nobody@test.com&password=wrong"),
            "login refused": ("POST", "/auth/token", FORM, b"username=first"),
            "login multipart": ("POST", "/auth/token", [("content-type", "multipart/form-data; boundary=x")],
                                multipart(username="first@test.com", password=PASSWORD)),
            "refresh": ("POST", "/auth/refresh_token", token, None),
            "refresh refused": lambda: ("POST", "/auth/refresh_token",
                                        [("authorization", f"Bearer a.{self.new_name()}.c")], None),
            "change": ("PUT", "/users/1", [*token, *JSON], taken),
            "change another's": ("PUT", "/users/77", [*token, *JSON], taken),
            "delete another's": ("DELETE", "/users/77", token, None),
            "page": ("GET", "/docs", [], None),
            "description": ("GET", "/openapi.json", [], None),
            "no HTTP": ("GET", "/ x", [], None),
        }
        del self.kinds["change"]    # it ends the token

    def new_name(self):
        self.made += 1
        return f"n{self.made}"

    def ask(self, kind):
        """Over a connection of its own: the status, or "closed"."""
        made = self.kinds[kind]
        wire = None
        try:
            wire = Wire(self.server.tcp())
            return wire.ask(*(made() if callable(made) else made)).answer().status
        except (Closed, ConnectionError):
            return "closed"
        except socket.timeout:
            return "nothing"
        finally:
            if wire:
                wire.close()


def ask(server, line):
    """The answer to one line of the control socket; None: it was closed."""
    with server.control() as client:
        try:
            client.sendall(line.encode() + b"\n")
            answer = client.makefile().readline()
        except ConnectionError:
            return None
        return json.loads(answer) if answer else None


def judge_slots(server):
    """Nothing is held of what was asked before."""
    await_true("no connection is left", lambda: all(s["connections"] == 0 for s in server.slots()))
