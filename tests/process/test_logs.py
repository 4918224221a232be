"""What the operator reads: lines that say what happened, and never a secret."""

import json
import os
import re
import subprocess

import pytest

from harness.server import BINARY, await_true, bearer, children, clean_environment, without_aslr, write_ini
from harness.wire import Wire, request


def access_lines(server, count):
    """The first so many access lines, as text."""
    server.await_line(r"\bGET /last\b", count=1)
    return [line for line in server.log.splitlines() if re.search(r"(GET|POST|HEAD|PUT) /", line)][:count]


def test_access_lines(serve):
    server = serve(workers=1)
    with Wire(server.tcp()) as wire:
        wire.get("/")
        wire.get("/users/?limit=1")
        wire.get("/last")
    first, second, last = access_lines(server, 3)
    assert re.search(r"127\.0\.0\.1:\d+.*GET /\s?.*\b200\b", first), first
    assert "/users/?limit=1" in second and re.search(r"\b404\b", last)
    for line in (first, second, last):
        assert re.search(r"\d(\.\d+)?\s?(ms|us|µs|s)\b", line), f"no duration: {line}"
        assert re.search(r"worker 0", line), line


def test_request_id_is_the_trusted_proxys_or_made(serve):
    server = serve(workers=1)
    with Wire(server.tcp()) as wire:
        wire.ask(headers=[("X-Request-Id", "id-of-the-proxy")]).answer()
        wire.get("/users/")
        wire.get("/last")
    first, second, _ = access_lines(server, 3)
    assert "id-of-the-proxy" in first and "id-of-the-proxy" not in second


def test_access_log_can_be_off(serve):
    server = serve(workers=1, config={"log.access": "off"})
    with Wire(server.tcp()) as wire:
        assert wire.get("/users/?seen=no").status == 200
    server.stop()
    assert "seen=no" not in server.log


def test_auto_is_off_when_stderr_is_no_terminal(serve):
    server = serve(workers=1, config={"log.access": "auto"})
    with Wire(server.tcp()) as wire:
        assert wire.get("/users/?seen=no").status == 200
    server.stop()
    assert "seen=no" not in server.log


def test_json_lines(serve):
    server = serve(workers=2, config={"log.format": "json"})
    with Wire(server.tcp()) as wire:
        wire.ask(target='/q?a="b"\\').answer()
        wire.get("/last")
    server.await_line("/last")
    server.stop()
    rows = [json.loads(line) for line in server.log.splitlines()]
    assert len(rows) > 5
    assert any('/q?a="b"\\' in str(v) for row in rows for v in row.values())
    assert all(isinstance(row, dict) for row in rows)


def test_level_is_obeyed(serve):
    server = serve.make(workers=1, config={"log.level": "error", "log.access": "off", "log.audit": "off"})
    server.spawn()
    await_true("a ready worker", lambda: server.workers())
    server.stop()
    assert server.log == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_clients_cannot_forge_lines(serve, form):
    """Control bytes of a target or a request id are escaped."""
    server = serve(workers=1, config={"log.format": form})
    with Wire(server.tcp()) as wire:
        assert wire.ask(target="/%0aforged%0d", headers=[("X-Request-Id", "a\xe9b")]).answer().status == 404
        assert wire.ask(headers=[("X-Request-Id", "a\x7fb")]).answer().status == 400, "RFC 9110 section 5.5"
    with Wire(server.tcp()) as wire:
        wire.get("/last")
    server.await_line("/last")
    assert not any(line.startswith("forged") for line in server.log.splitlines())
    assert "\x7f" not in server.log


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_ever_logged(serve, form):
    """Every way a secret travels, with the access log on and at debug level; the judgement is the
    fixture's, at the end: see harness/server.py."""
    server = serve(workers=2, config={"log.format": form})
    secrets = {"body-pw-4711", "form-pw-4711", "wrong-pw-4711", "json-broken-pw-4711", "put-pw-4711", "basic-pw-4711"}
    server.secrets |= secrets
    with server.api() as api:
        api.sign_up("ana", password="body-pw-4711")
        api.try_login("ana@test.com", "form-pw-4711")
        token = api.login("ana@test.com", "body-pw-4711")
        api.post("/users/", content=b'{"password":"json-broken-pw-4711"', headers={"content-type": "application/json"})
        api.post("/users/", content=b"wrong-pw-4711", headers={"content-type": "text/plain"})
        api.get("/users/", headers={"authorization": "Basic basic-pw-4711"})
        api.post("/auth/refresh_token", headers=bearer(token[:-3]))
        server.secrets.add(token[:-3])
        api.put("/users/1", headers=bearer(token),
                json={"username": "ana", "email": "ana@test.com", "password": "put-pw-4711"})
        api.delete("/users/1", headers=bearer(token))
        with Wire(server.tcp()) as wire:
            wire.send(request("POST", "/auth/token", [("Authorization", f"Bearer {token}")], b"x")[:-1]).send_end()
            wire.rest()
    server.stop()
    assert len(server.log.splitlines()) > 10


def test_secret_check_itself_can_fail(serve):
    """A secret in a query string is logged as received: the check must see it."""
    server = serve(workers=1)
    with Wire(server.tcp()) as wire:
        wire.get("/?password=seen-in-the-open")
        wire.get("/last")
    server.await_line("/last")
    server.stop()
    server.secrets.add("seen-in-the-open")
    with pytest.raises(AssertionError, match="a secret was logged"):
        server.finish()
    server.secrets.clear()


def test_closed_stderr_does_not_stop_it(serve):
    """The reader of the log goes away."""
    server = serve.make(workers=1, bind="unix:http.sock")
    ini = write_ini(server.directory, server.config)
    process = subprocess.Popen(without_aslr([str(BINARY), "--config", str(ini), "--workers", "1"]),
                               cwd=server.directory, env=clean_environment(), stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL)
    try:
        process.stderr.close()
        await_true("a ready worker", lambda: any("[ready]" in t for t in children(process.pid).values()))
        with Wire(str(server.directory / "http.sock")) as wire:
            for _ in range(20):
                assert wire.get().status == 200
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_full_stderr_blocks_nobody(serve):
    """A pipe that nobody reads: lines are dropped, requests are answered."""
    server = serve.make(workers=1, bind="unix:http.sock")
    ini = write_ini(server.directory, server.config)
    reader, writer = os.pipe()
    process = subprocess.Popen(without_aslr([str(BINARY), "--config", str(ini), "--workers", "1"]),
                               cwd=server.directory, env=clean_environment(), stderr=writer,
                               stdin=subprocess.DEVNULL)
    try:
        os.close(writer)
        await_true("a ready worker", lambda: any("[ready]" in t for t in children(process.pid).values()))
        with Wire(str(server.directory / "http.sock")) as wire:
            for _ in range(3000):       # some 100 bytes each: more than a pipe of 64 KiB takes
                assert wire.get("/users/?some=padding&more=padding").status == 200
        process.terminate()
        assert process.wait(60) == 0
    finally:
        os.close(reader)
        if process.poll() is None:
            process.kill()
            process.wait()
