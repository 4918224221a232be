"""More workers, fewer workers, at run time; and how evenly they share."""

import os
import signal

import pytest

from harness.load import Load
from harness.server import FAST, await_gone
from harness.wire import Wire


def numbers(server):
    workers = server.status()["workers"]
    return workers["configured"], workers["override"], workers["target"]


def test_ttin_and_ttou(serve):
    server = serve(workers=2, config=FAST)
    before = server.workers()
    server.send_signal(signal.SIGTTIN)
    more = server.await_workers(3)
    assert set(before) < set(more) and numbers(server) == (2, 3, 3)
    (youngest,) = set(more) - set(before)
    server.send_signal(signal.SIGTTOU)
    await_gone(youngest)
    assert server.workers() == before, "the youngest leaves"
    server.send_signal(signal.SIGTTOU)
    (last,) = server.await_workers(1)
    for _ in range(3):
        server.send_signal(signal.SIGTTOU)
        assert server.status()["workers"]["target"] == 1, "never below 1"
    assert list(server.workers()) == [last]


def test_ctl_scale(serve):
    server = serve(workers=2, config=FAST)
    for word, target in ("4", 4), ("+2", 6), ("-3", 3), ("-5", 1), ("reset", 2):
        assert server.ctl("scale", word) == {"ok": True, "workers": target}
        server.ctl("wait", "ready")
        server.await_workers(target)
    assert numbers(server) == (2, None, 2)


@pytest.mark.parametrize("word, code", [("0", 2), ("257", 2), ("-0", 2), ("many", 2), ("", 2)])
def test_refused_numbers(serve, word, code):
    server = serve(workers=1)
    assert server.run_ctl("scale", word).returncode == code
    assert numbers(server) == (1, None, 1)


def test_database_in_memory_has_one_worker(serve):
    server = serve(workers=1, config={"database.url": "sqlite:///:memory:"})
    before = list(server.workers())
    assert "memory" in server.ctl("scale", "2", code=1)["error"]
    assert "memory" in server.ctl("recycle", "all", code=1)["error"]
    assert "memory" in server.ctl("reload", "--wait", code=1)["error"]
    server.send_signal(signal.SIGTTIN)
    assert server.status()["workers"]["target"] == 1
    assert list(server.workers()) == before


def test_override_survives_a_reload_that_changes_nothing_about_it(serve):
    server = serve(workers=None, config={**FAST, "server.workers": "1"})
    server.ctl("scale", "3")
    server.await_workers(3)
    assert "3 workers replaced" in server.reload()
    server.configure(limits__max_body="1k")
    server.reload()
    assert numbers(server) == (1, 3, 3) and len(server.workers()) == 3
    server.configure(server__workers="2")
    server.reload()
    assert numbers(server) == (2, None, 2) and len(server.workers()) == 2


def test_override_survives_a_failed_reload(serve, place):
    server = serve(workers=None, config={**FAST, "server.workers": "1"})
    server.ctl("scale", "2")
    server.await_workers(2)
    (place / "colmeia.ini").write_text("[server]\nworkers = none\n")
    server.ctl("reload", "--wait", code=1)
    assert numbers(server) == (1, 2, 2)


def test_scaling_while_a_reload_settles(serve):
    """It is not lost: whatever the reload makes of it, there are as many in the end."""
    server = serve(workers=2, config={**FAST, "supervisor.settle": "500ms"})
    before = list(server.workers())
    server.send_signal(signal.SIGHUP)
    server.await_workers(4)
    server.ctl("scale", "3")
    server.await_line(r"reload 1: \d")
    assert all(" gen 2 " in title for title in server.await_workers(3, without=before).values())
    server.send_signal(signal.SIGHUP)
    server.await_workers(6)
    server.ctl("scale", "1")
    server.await_line(r"reload 2: \d")
    assert all(" gen 3 " in title for title in server.await_workers(1).values())


def test_ramps_under_load(serve):
    server = serve(workers=1, config=FAST)
    with Load(server, keepalive=10, connect=6, slow=4, pipelined=4) as load:
        for ramp in range(10):
            for step in [*range(2, 9), *range(7, 0, -1)]:
                server.ctl("scale", str(step))
                load.await_progress(1)
            server.await_workers(1)
            totals = server.status()["totals"]
            if ramp > 0 and totals["connections_handed_over"] > 0:   # who accepts is the kernel's choice
                break
    assert totals["connections_cut"] == totals["accept_errors"] == 0
    assert totals["connections_handed_over"] == totals["connections_taken_over"] > 0
    load.judge()


# ---- balance ----

def evenly(measure, limit=1.5, rounds=5):
    """*measure* gives a number per worker; the busiest is to have less than *limit* times the mean.
    The kernel's scheduler has a say in each round, a fault of ours shows in every one."""
    tried = []
    for _ in range(rounds):
        values = measure()
        tried.append(values)
        if max(values) < limit * sum(values) / len(values):
            return
    raise AssertionError(tried)


def per_worker(server, field):
    return {slot["pid"]: slot[field] for slot in server.slots()}


def connected(server, count):
    wires = [Wire(server.tcp()) for _ in range(count)]
    assert [wire.get().status for wire in wires] == [200] * count
    return wires


def disconnect(server, wires):
    for wire in wires:
        wire.close()
    server.await_status("all of them gone", lambda s: s["connections"] == 0)


def test_connections_are_spread(serve):
    server = serve(workers=4)

    def measure():
        wires = connected(server, 400)
        values = list(per_worker(server, "connections").values())
        assert sum(values) == 400 and len(values) == 4, values
        disconnect(server, wires)
        return values

    evenly(measure)


def test_connections_are_spread_after_a_reload(serve):
    """Those that were handed over, too."""
    server = serve(workers=4, config=FAST)
    wires = connected(server, 400)

    def measure():
        server.reload()
        values = list(per_worker(server, "connections").values())
        assert sum(values) == 400 and len(values) == 4, values
        return values

    evenly(measure)
    assert [wire.get().status for wire in wires] == [200] * 400


def test_short_requests_are_spread(serve):
    server = serve(workers=4)

    def measure():
        before = per_worker(server, "requests")
        with Load(server, connect=16) as load:
            load.await_progress(100)
        values = [now - before[pid] for pid, now in per_worker(server, "requests").items()]
        assert sum(values) == len(load.report["answered"]), values
        return values

    evenly(measure)


def test_stopped_worker_takes_no_part(serve):
    """One that is stuck does not count as lightly loaded: nobody waits for it to take its share."""
    server = serve(workers=4)
    stuck = server.slots()[0]["pid"]

    def measure():
        wires = connected(server, 200)
        values = per_worker(server, "connections")
        assert values.pop(stuck) == 0 and sum(values.values()) == 200
        disconnect(server, wires)
        return list(values.values())

    os.kill(stuck, signal.SIGSTOP)
    try:
        server.await_status("a heart that has stood still", lambda s: any(
            slot["pid"] == stuck and slot["beat_age_ms"] > 2500 for slot in s["slots"]))
        evenly(measure, limit=1.3)
    finally:
        os.kill(stuck, signal.SIGCONT)
