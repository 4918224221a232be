"""Recycling: workers that have served enough are replaced, replacement first, one at a time."""

import os
import re
import signal

import pytest

from harness.load import Load
from harness.server import FAST, await_gone, await_true
from harness.wire import Wire
from process.test_respawn import spoil

LEFT = r"worker (\d+) \(pid (\d+)\) left after "
REACHED = r"worker (\d+) \(pid (\d+)\) has reached %s; it will be replaced"


def test_ctl_recycle_one(serve):
    server = serve(workers=3, config=FAST)
    before = server.slots()
    victim = before[1]
    server.ctl("recycle", str(victim["slot"]))
    await_gone(victim["pid"])
    after = server.await_workers(3, without=[victim["pid"]])
    assert {slot["pid"] for slot in before} - {victim["pid"]} < set(after)
    assert server.status()["generation"] == 1, "the configuration is the same"


def test_replacement_comes_first_and_one_at_a_time(serve):
    """Seen in the slots: never fewer than three that serve, never more than one beyond."""
    server = serve(workers=3, config=FAST)
    before = {slot["pid"] for slot in server.slots()}
    server.ctl("recycle", "all")
    seen = []

    def look():
        seen.append((len(server.slots()), len(server.slots("starting"))))
        return not before & set(server.children())
    await_true("all are replaced", look)
    assert min(ready for ready, _ in seen) >= 3 and max(ready + starting for ready, starting in seen) <= 4, seen
    server.await_workers(3, without=before)


def test_no_worker_there(serve):
    server = serve(workers=1)
    for words in ("recycle", "7"), ("dump", "7"), ("why", "7"):
        assert server.ctl(*words, code=1)["ok"] is False


def test_max_requests(serve):
    """Under load, again and again; nothing is lost."""
    server = serve(workers=2, config={**FAST, "supervisor.max_requests": "50"})
    with Load(server, keepalive=8, connect=4, slow=4, pipelined=4) as load:
        for _ in range(4):
            mark = server.mark()
            server.await_line(LEFT, after=mark)
            load.await_progress(2)
    reached = [m[2] for m in re.finditer(REACHED % "max_requests", server.log)]
    assert len(reached) >= 4 and len(set(reached)) == len(reached)
    for row in re.finditer(LEFT + r"[\d.]+ s, (\d+) requests", server.log):
        assert row[2] not in reached or int(row[3]) >= 45, row[0]
    assert server.status()["totals"]["connections_cut"] == 0
    load.judge()


def test_max_requests_is_not_reached_by_fewer(serve):
    server = serve(workers=1, config={**FAST, "supervisor.max_requests": "50"})
    (pid,) = server.workers()
    with Wire(server.tcp()) as wire:
        for _ in range(44):      # 10 % jitter: 45 at the least
            assert wire.get().status == 200
        looks = server.status()["uptime_ms"]
        server.await_status("two looks later", lambda s: s["uptime_ms"] > looks + 2500)
        assert list(server.workers()) == [pid]
        for _ in range(12):
            assert wire.get().status == 200
        await_gone(pid)
        assert wire.get().status == 200


def test_max_age(serve):
    server = serve(workers=2, config={**FAST, "supervisor.max_age": "1s"})
    before = list(server.workers())
    wire = Wire(server.tcp())
    assert wire.get().status == 200
    for pid in before:
        await_gone(pid)
    assert len(re.findall(REACHED % "max_age", server.log)) >= 2
    assert wire.get().status == 200
    server.configure(supervisor__max_age="0")
    server.reload()


@pytest.mark.long
def test_max_memory(serve):
    """Three samples, so it takes a while."""
    server = serve(workers=1, config={**FAST, "supervisor.max_memory": "1k"})
    (pid,) = server.workers()
    server.await_line(REACHED % "max_memory")
    await_gone(pid)


def test_not_during_a_reload(serve):
    """Who is to be recycled while a reload is going on is replaced by that."""
    server = serve(workers=2, config={**FAST, "supervisor.settle": "500ms"})
    before = server.slots()
    server.send_signal(signal.SIGHUP)
    server.await_workers(4)
    server.ctl("recycle", str(before[0]["slot"]))
    assert "2 workers replaced" in server.await_line(r"reload 1: \d.*").group(0)
    after = server.await_workers(2, without=[slot["pid"] for slot in before])
    server.reload()
    assert not set(after) & set(server.workers())


def test_replacement_that_dies_leaves_the_old_one(serve, place):
    server = serve(workers=2, config=FAST)
    before = server.workers()
    mend = spoil(place)
    server.ctl("recycle", str(server.slots()[0]["slot"]))
    server.await_line("could not be replaced")
    assert server.workers() == before
    mend()
    server.await_line("a worker was replaced")
    assert len(set(server.workers()) & set(before)) == 1


def test_kills_under_load_cost_only_what_was_in_flight(serve):
    """Each kill loses at most what its victim had in work: everything else is answered."""
    server = serve(workers=2, config=FAST).await_served()
    clients = dict(keepalive=10, connect=4, slow=4, pipelined=2)
    kills, lost = 4, 0
    with Load(server, **clients) as load:
        load.await_progress(5)
        killed = []
        for _ in range(kills):
            victim = server.slots()[0]["pid"]
            os.kill(victim, signal.SIGKILL)
            await_gone(victim)
            killed.append(victim)
            server.await_workers(2, without=killed)
            before = load.counts()["answered"]
            await_true("everybody goes on", lambda: all(
                now > was + 5 for now, was in zip(load.counts()["answered"], before)))
    lost = len(load.stop()["faults"])
    # a keep-alive client that is idle at the moment notices with its next request
    most = sum(clients.values()) - clients["pipelined"] + 4 * clients["pipelined"]
    assert 1 <= lost <= kills * most
    load.judge(may_fail=kills * most)
