"""Socket activation: sockets that systemd (here harness/activation.py) made and gives are served, found again
by [server] bind, kept over reloads, and left alone: a stop leaves what waits there to the next start."""

import os
import signal
import socket
import tempfile
import time

import pytest

from harness.activation import Holder, tcp, unix
from harness.load import Load
from harness.server import FAST, await_gone, await_true
from harness.wire import Closed, Wire

MANY = 100


def listeners(server):
    """{address: where it comes from}"""
    return {row["address"]: row["source"] for row in server.status()["listeners"]}


def inode(held):
    return os.fstat(held.fileno()).st_ino


def sockets_of(pid):
    """Inodes of the sockets a process holds."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
        except FileNotFoundError:
            pass
    return found


@pytest.fixture
def web():
    with Holder(web=tcp()) as holder:
        yield holder


# ---- given ----

def test_several_with_names(serve, place):
    """Both are served under their names; the default address is not opened."""
    path = place / "http.sock"
    with Holder(**{"web.socket": tcp(), "local": unix(path), "six": tcp("::1")}) as holder:
        server = serve(bind=None, activation=holder)
        web, six = holder.address("web.socket"), "[::1]:%d" % holder.sockets["six"].getsockname()[1]
        assert listeners(server) == {web: "systemd web.socket", f"unix:{path}": "systemd local", six: "systemd six"}
        assert f"http://{web} (from systemd), unix:{path} (from systemd)" in server.log
        for address in server.tcp(), server.tcp(1), str(path):
            with Wire(address) as wire:
                assert wire.get().status == 200
        server.stop()
        assert path.is_socket(), "not ours to remove"
        for address in server.tcp(), server.tcp(1), str(path):
            Wire(address).close()       # and nobody is refused


def test_without_names(serve):
    with Holder(names="", web=tcp()) as holder:
        server = serve(bind=None, activation=holder)
        assert listeners(server) == {holder.address("web"): "systemd"}


def test_found_again_by_bind(serve, web):
    """The same address is the same socket; others are bound beside it."""
    server = serve(bind=[web.address("web"), "127.0.0.2:0"], activation=web)
    other = "%s:%d" % server.tcp(1)
    assert listeners(server) == {web.address("web"): "systemd web", other: "bind"}
    server.stop()
    Wire(server.tcp()).close()
    with pytest.raises(ConnectionRefusedError):
        Wire(server.tcp(1))


def test_ipv4_part_of_a_dual_stack_socket(serve):
    """systemd's ListenStream=8000 is [::]:8000; "bind = :8000" means that."""
    try:
        both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as e:
        pytest.skip(f"no dual-stack sockets here: {e}")
    with Holder(web=both) as holder:
        port = both.getsockname()[1]
        server = serve(bind=f":{port}", activation=holder)
        assert listeners(server) == {f"[::]:{port}": "systemd web"}
        with Wire(("127.0.0.1", port)) as wire:
            assert wire.get().status == 200


def test_meant_for_another_process(serve):
    with Holder(pid="1", web=tcp()) as holder:
        server = serve(activation=holder)
        assert list(listeners(server).values()) == ["bind"]
        assert "systemd" not in server.log


def plain_file():
    return tempfile.TemporaryFile()


def not_listening():
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


@pytest.mark.parametrize("make, said, line", [
    (lambda: socket.socket(type=socket.SOCK_DGRAM), {}, r"descriptor 3 .*\(odd\): it is no stream socket; .*ListenStream="),
    (not_listening, {}, r"descriptor 3 .*\(odd\): it does not listen; .*Accept=no"),
    (plain_file, {}, r"descriptor 3 .*\(odd\): it is no socket"),
    (lambda: socket.socketpair()[0], {}, r"descriptor 3 .*\(odd\): it does not listen"),
    (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), {}, r"descriptor 3 .*neither an IPv4, an IPv6 nor a unix"),
    (tcp, {"count": "50"}, r"descriptor 52 .*: there is no such descriptor"),
    (tcp, {"count": "61"}, r"LISTEN_FDS=61: not a number of sockets from 0 to 60"),
    (tcp, {"count": "one"}, r"LISTEN_FDS=one: not a number"),
], ids=["datagrams", "not-listening", "file", "pair", "netlink", "not-there", "too-many", "no-number"])
def test_no_listening_socket(serve, place, make, said, line):
    with Holder(odd=make(), **said) as holder:
        server = serve.make(bind=None, activation=holder).spawn()
        server.await_line(line)
        assert server.wait() == 78
        assert not (place / "database.db").exists(), "nothing was touched"


# ---- kept ----

def test_reload_keeps_them(serve, web):
    """Whatever the configuration says of addresses, and whether it succeeds."""
    address, held = web.address("web"), inode(web.sockets["web"])
    server = serve(bind=[address, "unix:a.sock"], activation=web, config=FAST)
    with Load(server, keepalive=4, connect=4) as load:
        load.await_progress(2)
        server.configure(server__bind="unix:b.sock", server__backlog="7")
        server.reload()
        assert listeners(server) == {"unix:b.sock": "bind", address: "systemd web"}
        assert all(held in sockets_of(pid) for pid in server.workers())
        load.await_progress(2)
        server.configure(server__bind="unix:nowhere/b.sock")
        assert "unix:nowhere" in server.ctl("reload", "--wait", code=1)["error"]
        load.await_progress(2)
        server.configure(server__bind=address)
        server.reload()
        assert listeners(server) == {address: "systemd web"}
        load.await_progress(2)
    limit = server.status()["listeners"][0]["limit"]
    assert limit > 7, "its queue is as long as its owner wants"
    load.judge()


# ---- left alone ----

def test_connections_wait_for_the_next_start(serve, web):
    server = serve(bind=None, activation=web)
    address = server.tcp()
    server.stop()
    assert "stopping: newcomers wait for the next start" in server.log
    wires = [Wire(address).ask() for _ in range(MANY)]
    server.spawn().await_ready(server.mark())
    assert [wire.answer().status for wire in wires] == [200] * MANY


@pytest.mark.parametrize("path", [False, True], ids=["tcp", "unix"])
def test_stop_leaves_the_queue_alone(serve, place, path):
    """What the workers have not accepted when the stop begins is the next start's."""
    with Holder(web=unix(place / "http.sock") if path else tcp()) as holder:
        server = serve(bind=None, activation=holder)
        address = str(place / "http.sock") if path else server.tcp()
        pids = list(server.workers())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wires = [Wire(address).ask() for _ in range(MANY)]
        server.send_signal(signal.SIGTERM)
        server.await_line("stopping: ")
        server.status()     # the line comes first; by now the workers have been told
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert server.wait() == 0
        # accepted are at most those that a worker took in the turn it was stopped in
        taken = sum(1 for row in server.log.splitlines() if '"GET /" 200' in row)
        assert taken <= 2 * 16
        server.await_end_of_log()
        server.spawn().await_ready(server.mark())
        assert [wire.answer().status for wire in wires] == [200] * MANY


def test_dead_master_leaves_them_open(serve, web):
    """Orphans neither empty the queue nor shut the door."""
    server = serve(bind=None, activation=web)
    pids = list(server.children())
    server.send_signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    for pid in pids:
        await_gone(pid)
    server.await_end_of_log()
    wires = [Wire(server.tcp()).ask() for _ in range(MANY)]
    server.spawn().await_ready(server.mark())
    assert [wire.answer().status for wire in wires] == [200] * MANY


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_three_restarts_under_load(serve, place, kind):
    """Nobody is refused, and nothing is lost: who asks in between waits for the next start."""
    path = place / "http.sock"
    with Holder(web=unix(path) if kind == "unix" else tcp()) as holder:
        server = serve(bind=None, activation=holder, config=FAST)
        with Load(server, address=str(path) if kind == "unix" else None,
                  keepalive=10, connect=8, slow=3) as load:
            load.await_progress(3)
            for _ in range(3):
                server.restart()
                load.await_progress(3)
        load.judge()


# of a proxy that keeps them: idle for longer than a stop waits for silence (1 s) when it begins
RESERVE, IDLE_S, SILENCE_S = 16, 1.2, 0.5


def use_up(wires, last):
    """Asks on each in turn, and does not look first whether it still can; (what came of each, the longest gap
    between two requests, from the moment *last* on)."""
    outcomes, gap_s = [], 0
    for wire in wires:
        try:
            answer = wire.ask().answer()
            outcomes.append((answer.status, answer.header("connection")))
        except (Closed, ConnectionError) as e:
            outcomes.append(repr(e))
        gap_s, last = max(gap_s, time.monotonic() - last), time.monotonic()
    return outcomes, gap_s


def test_reserve_of_a_proxy_is_used_up(serve, web):
    """Connections that have been idle for long are not closed under the hands of who has requests to send."""
    server = serve(bind=None, activation=web)
    while True:
        wires = [Wire(server.tcp()) for _ in range(RESERVE)]
        assert [wire.get().status for wire in wires] == [200] * RESERVE
        idle_since = time.monotonic()
        await_true("they are idle", lambda: time.monotonic() - idle_since > IDLE_S)
        busy = Wire(server.tcp())
        begun = time.monotonic()
        assert busy.get().status == 200
        mark = server.mark()
        server.send_signal(signal.SIGTERM)
        server.await_line("stopping: ", mark)
        await_true("both workers know", lambda: sum("draining" in t for t in server.children().values()) == 2)
        outcomes, gap_s = use_up([busy, *wires], begun)
        assert server.wait() == 0
        if gap_s < SILENCE_S:
            break
        server.await_end_of_log()       # this test was held up itself: once more
        server.spawn().await_ready(server.mark())
    assert outcomes == [(200, "close")] * (RESERVE + 1)


def test_stop_delay_goes_on_accepting(serve, web):
    server = serve(bind=None, activation=web, config={"supervisor.stop_delay": "1h"})
    server.send_signal(signal.SIGTERM)
    server.await_line("stopping in ")
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
    server.stop(signal.SIGQUIT)
    await_true("the door is open all the same", lambda: Wire(server.tcp()).close() is None)
