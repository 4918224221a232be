"""Debug mode of the real binary: what is reported, when it is switched on and off, and that a server
that behaves has nothing to report."""

import json
import os
import re
import signal

from harness.server import FAST, await_true, bearer, run_verb, write_ini
from harness.wire import Wire

# in debug mode, as all servers of these tests; Server.finish() sees what is left open
SLOW = {"limits.max_body": "8m", "debug.slow_callback_duration": "1ms"}
OFF = {**SLOW, "debug.enabled": "no"}


def state_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def doze(server, slot, ms):
    """Stops a worker until its slot's beat is that old, then lets it go on."""
    os.kill(slot["pid"], signal.SIGSTOP)
    try:
        await_true("stopped", lambda: state_of(slot["pid"]) == "T")
        server.await_status("an old beat", lambda s: any(
            row["pid"] == slot["pid"] and row["beat_age_ms"] >= ms for row in s["slots"]))
    finally:
        os.kill(slot["pid"], signal.SIGCONT)


def send_much(server):
    """A body whose parsing takes longer than a millisecond on any machine; the answer's status."""
    body = b'{"username":[' + b"0," * 2_000_000 + b"0]}"
    with server.api() as api:
        return api.post("/users/", content=body, headers={"content-type": "application/json"}).status_code


def test_slow_callback_names_route_and_handler(serve):
    server = serve(workers=1, config=SLOW)
    assert send_much(server) == 422
    line = server.await_line(r"slow callback: bytes of a connection, POST /users/ \(create_user\) id=(\S+): "
                             r"held the loop for ([\d.]+) ms \(limit 1\.0 ms\)")
    assert float(line.group(2)) >= 1
    # counted, too, and in the histogram of its worker
    (row,) = server.slots()
    status = server.await_status("counted", lambda s: s["totals"]["slow_callbacks"] >= 1 and s)
    assert status["debug"] is True
    assert row["slow_callbacks"] >= 1
    assert any(t["below_ms"] is None or t["below_ms"] > 1 for t in row["turns"]), row


def test_counted_but_not_logged_when_it_is_off(serve):
    server = serve(workers=1, config=OFF)
    assert send_much(server) == 422
    status = server.await_status("counted", lambda s: s["totals"]["slow_callbacks"] >= 1 and s)
    assert status["debug"] is False
    server.stop()
    assert "slow callback" not in server.log and "debug:" not in server.log


def test_slow_poll(serve):
    """A worker that sleeps longer than it asked for: its process was stopped meanwhile. (If it happened
    to be awake when it was stopped, it is the callback that was slow.)"""
    server = serve(workers=1, config={"debug.slow_callback_duration": "50ms"})
    (slot,) = server.slots()
    seen = 0
    while not server.status()["totals"]["slow_polls"]:
        doze(server, slot, 1500)
        seen = server.await_status("noticed", lambda s: s["totals"]["slow_polls"] + s["totals"]["slow_callbacks"]
                                   > seen and s["totals"]["slow_polls"] + s["totals"]["slow_callbacks"])
    line = server.await_line(r"slow poll: the loop was to wake within [\d.]+ ms and woke after (\d+) ms")
    assert int(line.group(1)) >= 50


def test_switched_at_run_time(serve):
    """on and off reach all workers, and those that are forked later."""
    server = serve(workers=2, config={**FAST, **OFF})
    assert server.status()["debug"] is False
    assert server.ctl("debug", "on")["text"] == "debug mode on, until the next reload"
    server.await_line(r"worker 0 .*debug mode on", count=1)
    server.await_line(r"worker 1 .*debug mode on", count=1)
    assert server.status()["debug"] is True
    server.await_served()
    before = set(server.workers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.await_workers(2, without=before)
    mark = server.mark()
    send_much(server)
    server.await_line(r"slow callback: .*POST /users/", after=mark)
    server.ctl("debug", "off")
    server.await_line(r"worker 0 .*debug mode off")
    server.await_line(r"worker 1 .*debug mode off")
    mark = server.mark()
    counted = server.status()["totals"]["slow_callbacks"]
    send_much(server)
    server.await_status("counted", lambda s: s["totals"]["slow_callbacks"] > counted)
    server.stop()
    assert "slow callback" not in "\n".join(server.lines[mark:])


def test_a_reload_brings_what_is_configured(serve):
    server = serve(workers=1, config={**FAST, **OFF})
    server.configure(debug__enabled="yes")
    server.reload()
    assert server.status()["debug"] is True
    mark = server.mark()
    send_much(server)
    server.await_line(r"slow callback: .*POST /users/", after=mark)
    server.ctl("debug", "off")
    server.reload()
    assert server.status()["debug"] is True
    mark = server.mark()
    send_much(server)
    server.await_line(r"slow callback: .*POST /users/", after=mark)
    # and the limit
    server.configure(debug__slow_callback_duration="1h")
    server.reload()
    before = server.status()["totals"]["slow_callbacks"]
    assert send_much(server) == 422
    assert server.status()["totals"]["slow_callbacks"] == before


def test_a_reload_brings_the_log_level(serve):
    """To the workers it starts, too: they are forked while the old one is in force."""
    server = serve(workers=1, config={**FAST, "log.level": "info", "log.access": "off"})
    server.configure(log__level="error")
    server.reload()
    mark = server.mark()
    server.ctl("dump", str(server.slots()[0]["slot"]))
    server.stop()
    assert "dump:" not in "\n".join(server.lines[mark:])


def test_nothing_to_report(serve):
    """All that the API does, clients that leave in the middle, a reload, a full stop: nothing is left."""
    server = serve(workers=2, config={**FAST, "auth.throttle": "no"})
    with server.api() as api:
        assert api.sign_up().status_code == 201
        assert api.sign_up().status_code == 409
        token = api.login()
        assert api.try_login(password="a wrong password").status_code == 401
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200
        for path in ("/", "/users/", "/users/1", "/users/99", "/nowhere", "/users/?limit=x"):
            api.get(path)
        assert api.put("/users/1", headers=bearer(token), json={
            "username": "new", "email": "teste@test.com", "password": "testtest-pw"}).status_code == 200
        for _ in range(20):
            wire = Wire(server.tcp())
            wire.socket.sendall(b"POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 46\r\n"
                                b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
                                b"username=teste@test.com&password=testtest-pw12"
                                b"GET /users/ HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
            wire.close()
        idle = [Wire(server.tcp()) for _ in range(8)]
        assert all(wire.get().status == 200 for wire in idle)
        server.reload()
        assert all(wire.get().status == 200 for wire in idle)
        assert api.delete("/users/1", headers=bearer(api.login())).status_code == 200
    server.finish()


def test_cut_connections_leave_nothing(serve):
    """A quick stop in the middle of requests."""
    server = serve(workers=1, config={"auth.hash_memory": "64m", "auth.hash_iterations": "8"})
    wires = [Wire(server.tcp()) for _ in range(6)]
    for i, wire in enumerate(wires):
        body = json.dumps({"username": f"u{i}", "email": f"u{i}@test.com", "password": "x" * 9})
        wire.socket.sendall(f"POST /users/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    server.await_status("they are busy", lambda s: s["busy"] == len(wires))
    server.send_signal(signal.SIGQUIT)
    assert server.wait() in (0, 5)
    server.finish()


def test_on_the_command_line_and_in_the_environment(tmp_path):
    ini = write_ini(tmp_path, {"server.bind": "127.0.0.1:0"})

    def origin(*words, env=None):
        done = run_verb(tmp_path, "config", "--origin", "--config", str(ini), *words, env=env)
        assert done.returncode == 0, done.stderr
        return re.search(r"^enabled = (.*)$", done.stdout, re.MULTILINE).group(1)

    assert origin() == "no  # default"
    assert origin("--debug") == "yes  # command line --debug"
    assert origin("--debug", "--workers", "1") == "yes  # command line --debug"
    assert origin("--debug=off") == "no  # command line --debug"
    assert origin("--debug", "off") == "no  # command line --debug"
    assert origin(env={"COLMEIA_DEBUG": "1"}) == "yes  # environment COLMEIA_DEBUG"
    assert origin(env={"COLMEIA_DEBUG_ENABLED": "1"}) == "yes  # environment COLMEIA_DEBUG_ENABLED"
    assert re.search(r"^  --debug +debug mode", run_verb(tmp_path, "--help").stdout, re.MULTILINE)
    assert "debug on|off" in run_verb(tmp_path, "ctl", "--help").stdout
    wrong = run_verb(tmp_path, "check", "--debug=perhaps")
    assert wrong.returncode == 78 and '"perhaps" is neither yes nor no' in wrong.stderr
