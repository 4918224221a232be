"""The control socket: what `colmeia ctl` says and how it ends; and what nobody should send there."""

import json
import os
import re
import select
import signal
import socket
import stat
import shutil
import subprocess
import tempfile

import pytest

from harness.load import Load
from harness.server import (BINARY, FAST, PATIENCE_S, Server, await_gone, await_true, clean_environment, run_verb,
                            without_aslr)
from harness.wire import Wire
from process.test_respawn import spoil

CLIENTS_MAX, LINE_MAX = 16, 64 * 1024


# ---- the verb ----

def test_status(serve, place):
    server = serve(workers=2, config=FAST)
    with Wire(server.tcp()) as wire:
        for _ in range(5):
            assert wire.get().status == 200
        status = server.ctl("status")["status"]
    assert (status["pid"], status["state"], status["generation"]) == (server.process.pid, "ready", 1)
    assert status["workers"]["by_state"]["ready"] == status["workers"]["target"] == 2
    assert status["config"]["path"].endswith("colmeia.ini")
    assert status["totals"]["requests"] == status["totals"]["responses_2xx"] == 5
    assert {slot["pid"] for slot in status["slots"]} == set(server.workers())
    assert sum(slot["requests"] for slot in status["slots"]) == 5
    assert status["connections"] == 1 and status["last_reload"] is None


def test_nobody_has_died_yet(serve):
    """One that was started to migrate and has done so is no death."""
    assert serve(workers=1).status()["last_death"] is None


def test_table_for_people(serve):
    server = serve(workers=2)
    done = run_verb(server.directory, "ctl", "--control", "ctl.sock", "status")
    assert done.returncode == 0
    assert re.search(r"ready, pid \d+", done.stdout) and done.stdout.count("  ready  ") == 2, done.stdout
    assert "127.0.0.1:" in done.stdout


def test_found_through_the_configuration(serve, place):
    server = serve(workers=1)
    done = run_verb(server.directory, "ctl", "--config", "colmeia.ini", "status", env={"COLMEIA_SERVER_WORKERS": "9"})
    assert done.returncode == 0 and f"pid {server.process.pid}" in done.stdout
    os.rename(place / "colmeia.ini", place / "c.ini")
    done = run_verb(server.directory, "ctl", "status", env={"COLMEIA_SUPERVISOR_CONTROL": str(place / "ctl.sock")})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("config, env, path", [
    ({}, {}, "database.db.ctl.sock"), ({}, {"RUNTIME_DIRECTORY": "{place}/run"}, "run/ctl.sock"),
    ({"server.bind": "127.0.0.1:{port}"}, {"XDG_RUNTIME_DIR": "{place}/run"}, "run/colmeia-{port}.sock"),
    ({}, {"RUNTIME_DIRECTORY": "{place}/run", "XDG_RUNTIME_DIR": "{place}"}, "run/ctl.sock")],
    ids=["beside-the-database", "systemd", "xdg", "systemd-first"])
def test_default_path(serve, place, config, env, path):
    (place / "run").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {key: value.format(port=port) for key, value in config.items()}
    env = {key: value.format(place=place) for key, value in env.items()}
    server = serve.make(workers=1, config=config, env=env)
    del server.config["supervisor.control"]
    server.start()
    assert stat.S_ISSOCK((place / path.format(port=port)).stat().st_mode)
    done = run_verb(place, "ctl", "--config", "colmeia.ini", "status", env=env)
    assert done.returncode == 0, done.stderr


def test_socket_is_the_owners_alone_and_goes_at_the_end(serve, place):
    old = os.umask(0)
    try:
        server = serve(workers=1)
    finally:
        os.umask(old)
    assert stat.S_IMODE((place / "ctl.sock").stat().st_mode) == 0o600
    server.stop()
    assert not (place / "ctl.sock").exists()


def test_what_a_dead_server_left_is_replaced(serve, place):
    first = serve(workers=1)
    pids = list(first.workers())
    first.send_signal(signal.SIGKILL)
    first.wait()
    for pid in pids:
        await_gone(pid)
    assert (place / "ctl.sock").exists(), "nobody was left to remove it"
    assert serve(workers=1).status()["state"] == "ready"


def test_control_can_be_off(serve, place):
    server = serve(workers=1, config={"supervisor.control": '""'})
    assert [name for name in os.listdir(place) if "sock" in name] == []
    done = run_verb(place, "ctl", "--config", "colmeia.ini", "status")
    assert done.returncode == 3, done.stderr
    server.stop()


def test_path_that_is_taken_does_not_stop_the_server(serve, place):
    (place / "ctl.sock").write_text("mine")
    server = serve(workers=1)
    server.await_line(r"WARN .*no control socket: .*ctl\.sock")
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    server.stop()
    assert (place / "ctl.sock").read_text() == "mine"


@pytest.mark.parametrize("words, code", [
    ([], 2), (["stauts"], 2), (["status", "now"], 2), (["reload", "--wiat"], 2), (["log", "level", "loud"], 2),
    (["wait", "for"], 2), (["why", "0"], 1), (["recycle", "9"], 1), (["status"], 0), (["--help"], 0),
    (["retry"], 0), (["dump", "0"], 0)], ids=lambda words: " ".join(words) if isinstance(words, list) else "")
def test_exit_codes(serve, words, code):
    server = serve(workers=1)
    assert server.run_ctl(*words).returncode == code


def test_exit_code_without_a_server(place):
    done = run_verb(place, "ctl", "--control", "nowhere.sock", "status")
    assert done.returncode == 3 and "nowhere.sock" in done.stderr


def test_exit_code_of_a_timeout(serve):
    server = serve(workers=1)
    server.send_signal(signal.SIGSTOP)
    try:
        assert server.run_ctl("--timeout", "1", "status").returncode == 4
    finally:
        server.send_signal(signal.SIGCONT)


# ---- its commands, as far as other files do not test them ----

def test_why(serve):
    server = serve(workers=1, config=FAST).await_served()
    (pid,) = server.workers()
    with Wire(server.tcp()) as wire:
        for i in range(3):
            wire.ask(target=f"/users/{i + 1}", headers=[("X-Request-Id", f"before-{i}")]).answer()
    os.kill(pid, signal.SIGKILL)
    server.await_workers(1, without=[pid])
    why = server.ctl("why", "0")
    assert f"pid {pid}" in why["text"] and "signal 9" in why["text"]
    assert [(row["id"], row["status"]) for row in why["recent"]] == [(f"before-{i}", 404) for i in range(3)]
    assert server.status()["last_death"] == why["text"]


def test_wait_ready(serve, place):
    server = serve(workers=1).await_served()
    (pid,) = server.workers()
    assert server.ctl("wait", "ready")["ok"] is True
    mend = spoil(place)
    os.kill(pid, signal.SIGKILL)
    server.await_line(r"next try in \d+ ms")
    waiting = subprocess.Popen(
        without_aslr([str(BINARY), "ctl", "--control", "ctl.sock", "wait", "ready"]), cwd=place,
        env=clean_environment(), stdout=subprocess.DEVNULL)
    mend()
    assert waiting.wait(PATIENCE_S) == 0
    assert len(server.workers()) == 1


def test_retry_ends_the_waiting(serve, place):
    """After a few failures the next try would be seconds away."""
    server = serve(workers=2).await_served()
    before = list(server.workers())
    mend = spoil(place)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.await_line(r"next try in ([6-9]\d\d|\d{4,5}) ms")
    mend()
    assert server.ctl("retry")["ok"] is True
    server.ctl("wait", "ready")
    assert len(server.await_workers(2, without=before)) == 2


def test_log_level_and_dump(serve):
    """Both sides obey the level; the dump is one of a worker's lines."""
    server = serve.make(workers=1, config={**FAST, "log.level": "error"})
    server.spawn()
    await_true("the control socket", lambda: (server.directory / "ctl.sock").exists())
    server.ctl("wait", "ready")
    server.ctl("log", "level", "info")
    server.send_signal(signal.SIGTTIN)
    server.await_line(r"2 workers wanted from now on")
    server.ctl("dump", "0")
    server.await_line(r"\[worker 0 pid \d+\] dump: ")


def test_events_are_followed(serve):
    server = serve(workers=1, config=FAST)
    with server.control() as client:
        client.sendall(b"events --follow\n")
        lines = client.makefile()
        first = json.loads(lines.readline())
        assert first["ok"] is True and any("ready: " in event["text"] for event in first["events"]), first
        server.send_signal(signal.SIGHUP)
        for line in lines:
            event = json.loads(line)
            assert {"at", "level", "text"} <= set(event), event
            if re.match(r"reload 1: \d", event["text"]):
                break


@pytest.mark.parametrize("words, pattern", [(["stop"], "stopping: "), (["stop", "--quick"], "stopping quickly")])
def test_stop(serve, words, pattern):
    server = serve(workers=2)
    assert server.ctl(*words)["ok"] is True
    server.await_line(pattern)
    assert server.wait() == 0


def test_orders_while_stopping_are_refused(serve):
    server = serve(workers=1, config={"supervisor.stop_delay": "1h"})
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping in ")
    assert server.status()["state"] == "stopping"
    for words in ["reload"], ["reload", "--wait"], ["scale", "3"], ["recycle", "all"]:
        assert "stopping" in server.ctl(*words, code=1)["error"]
    server.ctl("stop", "--quick")
    assert server.wait() == 0


def test_waiting_caller_hears_of_the_stop(serve):
    server = serve(workers=1, config={**FAST, "supervisor.settle": "1m"})
    with server.control() as client:
        client.sendall(b"reload --wait\n")
        server.await_workers(2)
        server.send_signal(signal.SIGTERM)
        answer = json.loads(client.makefile().readline())
    assert answer["ok"] is False and "stopping" in answer["error"]
    assert server.wait() == 0


# ---- abuse ----

def talk(server, data, end=True):
    """All that the server says to those bytes."""
    with server.control() as client:
        try:
            client.sendall(data)
            if end:
                client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))
        except ConnectionError:
            return b""


def still_well(server, reload=True):
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    assert server.status()["state"] == "ready"
    if reload:
        assert re.match(r"reload \d+: \d", server.reload())


GARBAGE = {
    "nothing": b"", "empty line": b"\n", "blank": b"   \t \n", "no end": b"status", "carriage return": b"status\r\n",
    "bytes": bytes(range(256)) + b"\n", "NUL": b"sta\0tus\n", "long word": b"x" * 60000 + b"\n",
    "many words": b"status " * 5000 + b"\n", "many lines": b"status\n" * 200,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "JSON": b'{"command":"status"}\n', "line too long": b"x" * (LINE_MAX + 1) + b"\n",
    "1 MiB": b"x" * (1 << 20) + b"\n", "1 MiB without end": b"x" * (1 << 20), "UTF-8": "recarrega já\n".encode()}


@pytest.fixture(scope="module")
def shared_server():
    """One for all of these: what one leaves behind, the next one meets."""
    directory = tempfile.mkdtemp(prefix="colmeia-")
    server = Server(directory, workers=1, config=FAST).start()
    yield server
    server.finish()
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", GARBAGE, ids=[n.replace(" ", "-") for n in GARBAGE])
def test_garbage(shared_server, name):
    answers = talk(shared_server, GARBAGE[name]).splitlines()
    for line in answers:
        parsed = json.loads(line)
        assert parsed["ok"] in (True, False)
        if name not in ("many lines", "carriage return"):
            assert parsed["ok"] is False and parsed["error"]
    expected = {"many lines": 200, "nothing": 0}
    if name in expected:
        assert len(answers) == expected[name]
    still_well(shared_server, reload=False)


def test_abuse_while_requests_are_served(serve):
    """Silent ones, greedy ones, and those who do not listen; 20 of them where 16 may be."""
    server = serve(workers=2, config=FAST)
    with Load(server, keepalive=8, connect=4, pipelined=2) as load:
        load.await_progress(5)
        clients = [server.control() for _ in range(20)]
        for client in clients[:CLIENTS_MAX:2]:
            client.sendall(b"x" * 1000)
        refusals = [json.loads(client.makefile().readline()) for client in clients[CLIENTS_MAX:]]
        assert all(r["ok"] is False and "16" in r["error"] for r in refusals), refusals
        server.send_signal(signal.SIGHUP)       # the socket is full; signals work
        server.await_line(r"reload 1: \d")
        load.await_progress(5)
        deaf = clients[0]
        deaf.setblocking(False)
        try:
            for _ in range(10000):
                deaf.send(b"status\n" * 100)
        except (BlockingIOError, ConnectionError):
            pass
        server.send_signal(signal.SIGHUP)
        server.await_line(r"reload 2: \d")
        for client in clients:
            client.close()
        await_true("places are free again", lambda: server.ask("status")["ok"])
        assert re.match(r"reload 3: \d", server.reload())
        load.await_progress(5)
    load.judge()


def test_silent_client_is_sent_away(serve):
    """After 10 s; its place is free for another."""
    server = serve(workers=1)
    with server.control() as client:
        readable, _, _ = select.select([client], [], [], PATIENCE_S)
        assert readable, "it may stay for ever"
        assert json.loads(client.makefile().readline())["ok"] is False
    still_well(server, reload=False)


def test_caller_that_leaves_does_not_undo_its_order(serve):
    server = serve(workers=1, config={**FAST, "supervisor.settle": "300ms"})
    with server.control() as client:
        client.sendall(b"reload --wait\n")
        server.await_workers(2)
    server.await_line(r"reload 1: \d")
    still_well(server)


def test_sockets_are_closed(serve):
    """A hundred clients later the master has no more files open than before."""
    server = serve(workers=1)
    server.status()
    before = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    for _ in range(100):
        server.status()
    await_true("no more than before", lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= before)


# ---- where systemd's unit has the socket ----

IN_A_RUN_OF_ITS_OWN = ["unshare", "--mount", "--map-root-user", "sh", "-ec",
                       'mount --bind "$1" /run && shift && exec "$@"', "sh"]


@pytest.fixture
def run_directory(place):
    """What /run is for colmeia() below: a directory of the test's own."""
    run = place / "run"
    (run / "colmeia").mkdir(parents=True)
    tried = subprocess.run([*IN_A_RUN_OF_ITS_OWN, str(run), "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no name space for mounts here: {tried.stderr.strip()}")
    return run


def ctl_in(run, cwd, *words, env=None):
    return subprocess.run([*IN_A_RUN_OF_ITS_OWN, str(run), *without_aslr([str(BINARY), "ctl", *words])], cwd=cwd,
                          env=clean_environment(env), capture_output=True, text=True, timeout=PATIENCE_S)


def test_without_configuration_systemds_place_is_looked_at(serve, place, run_directory):
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    none = ctl_in(run_directory, elsewhere, "status")
    assert none.returncode == 3 and "database.db.ctl.sock: there is no such socket" in none.stderr
    server = serve(workers=1, config={"supervisor.control": str(run_directory / "colmeia" / "ctl.sock")})
    found = ctl_in(run_directory, elsewhere, "status")
    assert found.returncode == 0 and f"pid {server.process.pid}" in found.stdout, found.stderr
    # who names a place means that one
    named = ctl_in(run_directory, elsewhere, "status", env={"COLMEIA_SUPERVISOR_CONTROL": "other.sock"})
    assert named.returncode == 3 and "other.sock: there is no such socket" in named.stderr
    named = ctl_in(run_directory, elsewhere, "--control", "other.sock", "status")
    assert named.returncode == 3 and "other.sock" in named.stderr
    none = ctl_in(run_directory, elsewhere, "status", env={"COLMEIA_SUPERVISOR_CONTROL": ""})
    assert none.returncode == 3 and "names no control socket" in none.stderr
    # a wrong configuration does not hide it
    (elsewhere / "wrong.ini").write_text("[server]\nworkers = many\n")
    wrong = ctl_in(run_directory, elsewhere, "--config", "wrong.ini", "status")
    assert wrong.returncode == 0 and "wrong.ini:2" in wrong.stderr
    server.stop()
    (run_directory / "colmeia" / "ctl.sock").touch()
    gone = ctl_in(run_directory, elsewhere, "status")
    assert gone.returncode == 3 and "/run/colmeia/ctl.sock: no server answers there any more" in gone.stderr


def test_own_server_comes_first(serve, place, run_directory):
    """One that runs here, and another one that systemd has."""
    theirs = serve(workers=1, config={"supervisor.control": str(run_directory / "colmeia" / "ctl.sock"),
                                      "database.url": "sqlite:///theirs.db"})
    ours = serve.make(workers=1)
    del ours.config["supervisor.control"]
    ours.start()
    done = ctl_in(run_directory, place, "--config", "colmeia.ini", "status")
    assert done.returncode == 0 and f"pid {ours.process.pid}" in done.stdout, done.stderr
    assert theirs.process.pid != ours.process.pid
