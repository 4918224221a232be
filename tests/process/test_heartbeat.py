"""Workers that hang: replaced, then aborted; and those that only seem to, which are left alone."""

import os
import platform
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.server import FAST, await_gone, await_true
from harness.wire import Closed, Wire
from process.test_respawn import owner

BEAT = {**FAST, "supervisor.heartbeat_timeout": "2s"}
FOREVER = {"x86_64": b"\xeb\xfe", "aarch64": b"\x00\x00\x00\x14"}     # a jump to itself
NO_LIFE = r"worker (\d+) \(pid %d\) has shown no sign of life for 2000 ms; it will be replaced"


def hang(pid):
    """Puts an endless loop where the main thread comes back from waiting for events."""
    code = FOREVER.get(platform.machine())
    if code is None:
        pytest.skip(f"no endless loop is known for {platform.machine()}")

    def where_it_waits():
        fields = Path(f"/proc/{pid}/syscall").read_text().split()
        return int(fields[-1], 16) if len(fields) == 9 and fields[0] != "-1" else None
    try:
        at = await_true("a main thread that waits", where_it_waits)
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(at)
            memory.write(code)
    except PermissionError as e:
        pytest.skip(f"another process cannot be made to hang here: {e}")


def look_for(server, ms):
    """Waits until so much of the server's time is over."""
    begin = server.status()["uptime_ms"]
    server.await_status(f"{ms} ms later", lambda s: s["uptime_ms"] >= begin + ms)


def untouched(server, pids):
    assert "no sign of life" not in server.log, server.log
    assert sorted(server.workers()) == sorted(pids)


def test_hanging_worker_is_replaced_then_aborted(serve):
    server = serve(workers=2, config=BEAT)
    wire = Wire(server.tcp())
    assert wire.get().status == 200
    victim = owner(server, wire)
    (slot,) = [slot["slot"] for slot in server.slots() if slot["pid"] == victim]
    before = set(server.workers())
    hang(victim)
    server.await_line(NO_LIFE % victim)
    server.await_line(rf"worker {slot} \(pid {victim}\) hangs; it gets SIGABRT")
    assert len(set(server.workers()) - {victim}) == 2, "its replacement was ready before"
    server.await_line(rf"worker {slot} \(pid {victim}\) killed by signal 6 \(SIGABRT")
    server.await_line("a worker that hung was replaced")
    assert before - {victim} < set(server.await_workers(2, without=[victim]))
    why = server.ctl("why", str(slot))
    assert f"pid {victim}" in why["text"] and any("epoll" in frame for frame in why["stack"]), why
    with pytest.raises((Closed, ConnectionError)):
        wire.get()
    with Wire(server.tcp()) as fresh:
        assert fresh.get().status == 200


def test_others_serve_while_one_hangs(serve):
    """Until it is found out its connections wait; nobody else's do."""
    server = serve(workers=3, config=BEAT)
    victim = server.slots()[0]["pid"]
    hang(victim)
    with Wire(server.tcp()) as nudge:
        nudge.socket.settimeout(5)
        nudge.ask()
        try:
            nudge.answer()
        except (Closed, ConnectionError, TimeoutError):
            pass            # it was the victim's
    served = 0
    while victim in server.children():
        with Wire(server.tcp()) as wire:
            assert wire.get().status == 200
            served += 1
    assert served > 0
    server.await_line("a worker that hung was replaced")
    assert len(server.await_workers(3, without=[victim])) == 3


def test_stopped_worker_is_left_alone(serve):
    server = serve(workers=2, config=BEAT)
    pids = list(server.workers())
    os.kill(pids[0], signal.SIGSTOP)
    try:
        server.await_status("a heart that has long stood still", lambda s: any(
            slot["pid"] == pids[0] and slot["beat_age_ms"] > 4500 for slot in s["slots"]))
        untouched(server, pids)
    finally:
        os.kill(pids[0], signal.SIGCONT)
    look_for(server, 2200)
    untouched(server, pids)


def test_stopped_master_kills_nobody_afterwards(serve):
    """It stood still itself, as did everybody in a machine that was suspended: a new period of grace."""
    server = serve(workers=2, config=BEAT)
    pids = list(server.workers())
    for pid in [server.process.pid, *pids]:
        os.kill(pid, signal.SIGSTOP)
    stopped_at = time.monotonic()       # there is nobody who could tell
    await_true("a good while", lambda: time.monotonic() > stopped_at + 4)
    for pid in [server.process.pid, *pids]:
        os.kill(pid, signal.SIGCONT)
    look_for(server, 2200)
    untouched(server, pids)


def lock_holder(place):
    """The pid that has the database's lock, from /proc/locks (proc(5))."""
    inode = (place / "database.db.lock").stat().st_ino
    for row in Path("/proc/locks").read_text().splitlines():
        fields = row.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return None


def test_stopped_worker_with_the_database_lock_is_killed(serve, place):
    """Everybody's writes wait for it."""
    server = serve(workers=2, config=BEAT)
    pids = list(server.workers())
    over = threading.Event()
    statuses = []

    def writer(i):
        with server.api() as api:
            for n in range(100000):
                if over.is_set():
                    return
                try:
                    statuses.append(api.sign_up(f"w-{i}-{n}").status_code)
                except Exception:       # it was the victim's
                    api.http.close()
                    return
    threads = [threading.Thread(target=writer, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()

    def caught():
        holder = lock_holder(place)
        if holder not in pids:
            return None
        os.kill(holder, signal.SIGSTOP)
        await_true("it is stopped", lambda: ") T " in Path(f"/proc/{holder}/stat").read_text())
        if lock_holder(place) == holder:
            return holder
        os.kill(holder, signal.SIGCONT)
        return None
    try:
        victim = await_true("a worker that is stopped in a transaction", caught)
        server.await_line(NO_LIFE % victim)
        await_gone(victim)
        server.await_line(rf"pid {victim}, gen 1\) killed by signal (6|9)")
        server.await_workers(2, without=[victim])
        with server.api() as api:
            assert api.sign_up("after-all").status_code == 201
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {201, 503}, set(statuses)


def test_heartbeat_can_be_off(serve):
    server = serve(workers=2, config={**BEAT, "supervisor.heartbeat_timeout": "0"})
    victim = server.slots()[0]["pid"]
    hang(victim)
    server.await_status("a heart that has long stood still", lambda s: any(
        slot["pid"] == victim and slot["beat_age_ms"] > 4500 for slot in s["slots"]))
    assert "no sign of life" not in server.log and victim in server.workers()
    os.kill(victim, signal.SIGKILL)
    server.await_workers(2, without=[victim])


@pytest.mark.long
def test_never_two_within_five_seconds(serve):
    """Lower bounds only: the log's own times."""
    server = serve(workers=3, config=BEAT)
    victims = [slot["pid"] for slot in server.slots()[:2]]
    for victim in victims:
        hang(victim)
    times = []
    for count in (1, 2):
        server.await_line(r"hangs; it gets SIGABRT", count=count)
    for line in server.log.splitlines():
        at = re.match(r"\S+T(\d+):(\d+):(\d+\.\d+)Z .*it gets SIGABRT", line)
        if at:
            times.append(int(at[1]) * 3600 + int(at[2]) * 60 + float(at[3]))
    assert len(times) == 2 and (times[1] - times[0]) % 86400 >= 4.9, times
    server.await_workers(3, without=victims)


def test_hanging_worker_does_not_hold_a_reload_for_ever(serve):
    """It cannot drain: it is killed when its time is over."""
    server = serve(workers=2, config={**FAST, "supervisor.heartbeat_timeout": "1h",
                                      "supervisor.graceful_timeout": "300ms"})
    victim = server.slots()[0]["pid"]
    hang(victim)
    assert "2 workers replaced" in server.reload()
    assert server.await_line(rf"\(pid {victim}\).*killed")
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200
