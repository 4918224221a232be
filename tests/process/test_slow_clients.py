"""Clients that keep the server waiting: with a head, a body or chunks a byte at a time, not reading their answers,
or doing nothing at all. They cost a worker little, others are answered as before, and in time they are cut."""

import re
import shutil
import statistics
import subprocess
import time

import pytest

from harness.server import BINARY, await_true
from harness.slow import Slow
from harness.wire import Wire

QUIET = {"log.access": "off", "log.level": "info", "debug.enabled": "no"}
FOR_EVER = {f"limits.{name}": "1h" for name in ("header_timeout", "body_timeout", "write_timeout", "keepalive_timeout")}
EACH = dict.fromkeys(["silent", "idle", "head", "fields", "body", "chunks", "reader", "range"], 40)
ROUNDS = 8
HAS_SANITIZER = BINARY.exists() and b"__asan_init" in BINARY.read_bytes()


def test_others_are_answered(serve):
    """Nobody's turn takes longer because so many others are under way: every round of theirs, a round of ours."""
    server = serve(workers=1, config={**QUIET, **FOR_EVER})
    with Slow(server, **EACH) as slow, Wire(server.tcp()) as wire:
        for _ in range(ROUNDS):
            slow.begin_round()
            answers = 0
            while slow.is_busy() or answers == 0:
                assert wire.get("/users/").status == 200
                answers += 1
            assert slow.end_round() == {"open": sum(EACH.values())}
        assert server.status()["totals"]["timeouts"] == 0


def test_they_are_cut_in_time(serve):
    """Whoever begins a request and does not end it hears 408; whoever does nothing, nothing."""
    server = serve(workers=1, config={**QUIET, "limits.header_timeout": "700ms", "limits.body_timeout": "700ms",
                                      "limits.keepalive_timeout": "700ms"})
    kinds = {kind: count for kind, count in EACH.items() if kind not in ("reader", "range")}
    with Slow(server, **kinds) as slow:
        ends = slow.await_end()
    assert ends == {"silent": {"": 40}, "idle": {"200": 40}, "head": {"408": 40}, "fields": {"408": 40},
                    "body": {"408": 40}, "chunks": {"408": 40}}
    assert server.status()["totals"]["timeouts"] == sum(kinds.values())
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200


# ---- thousands of them ----

CROWD = dict(head=4000, fields=2000, body=2000, chunks=1000, reader=1000, idle=3000, silent=1000)
REQUESTS = 2000
SLOWER_AT_MOST = 10      # by the median: a machine of two cores, on which thousands of clients run as well
KIB_A_CONNECTION = 64 if HAS_SANITIZER else 4


def pss_kib(server):
    total = 0
    for pid in server.workers():
        with open(f"/proc/{pid}/smaps_rollup") as rows:
            total += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total


def timed(wire):
    begin = time.perf_counter()
    assert wire.get("/users/").status == 200
    return time.perf_counter() - begin


@pytest.mark.long
def test_ten_thousand_slow_and_four_thousand_idle(serve):
    server = serve(workers=2, config={**QUIET, **FOR_EVER, "limits.max_connections": "16384"})
    many = sum(CROWD.values())
    with Wire(server.tcp()) as wire:
        alone = [timed(wire) for _ in range(REQUESTS)]
        before_kib = pss_kib(server)
        with Slow(server, **CROWD) as slow:
            await_true("all are there", lambda: server.status()["totals"]["connections_accepted"] >= many)
            among = []
            while len(among) < REQUESTS:
                slow.begin_round()
                while slow.is_busy():
                    among.append(timed(wire))
                assert slow.end_round() == {"open": many}
            grown_kib = pss_kib(server) - before_kib
    print(f"{many} slow clients: {statistics.median(alone) * 1e6:.0f} µs alone, {statistics.median(among) * 1e6:.0f} µs "
          f"among them; {grown_kib} KiB more, {grown_kib / many:.2f} KiB each")
    assert statistics.median(among) <= SLOWER_AT_MOST * statistics.median(alone)
    assert grown_kib <= KIB_A_CONNECTION * many
    with Wire(server.tcp()) as wire:
        assert wire.get().status == 200


# ---- slowhttptest(1) ----

ATTACKS = {
    "slow-heads": ["-H", "-t", "GET", "-i", "1", "-x", "24"],
    "slow-bodies": ["-B", "-t", "POST", "-i", "1", "-s", "8192", "-x", "10"],
    "slow-reading": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"],
    "ranges": ["-R", "-t", "GET", "-a", "10", "-b", "3000"],
}
SECONDS = 15


@pytest.mark.long
@pytest.mark.parametrize("kind", ATTACKS)
def test_slowhttptest(serve, place, kind):
    """With the limits that everybody has. The tool's own probe says whether the server is available."""
    tool = shutil.which("slowhttptest") or pytest.skip("slowhttptest is not installed")
    server = serve(workers=2, config=QUIET)
    argv = [tool, *ATTACKS[kind], "-c", "2000", "-r", "1000", "-l", str(SECONDS), "-p", "30",
            "-u", server.url + "/openapi.json"]
    with open(place / "tool.out", "w+") as output, \
            subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], cwd=place, stdin=subprocess.DEVNULL,
                             stdout=output, stderr=subprocess.STDOUT) as process, Wire(server.tcp()) as wire:
        served = 0
        while process.poll() is None:
            assert wire.get("/users/").status == 200
            served += 1
        output.seek(0)
        said = re.sub(r"\x1b\[[0-9;]*m", "", output.read())
    assert process.returncode == 0, said
    assert re.search(r"service available:\s+YES", said) and not re.search(r"service available:\s+NO", said), said
    assert served > 100
    assert len(server.workers()) == 2
    print(said[-1500:])
