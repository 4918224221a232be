"""`colmeia ctl why N`: what a worker that died had answered last and what it took along: routes and
durations, never what a query or a body held."""

import os
import signal

from harness.database import writer_locked_out
from harness.server import FAST, await_gone, run_verb
from harness.wire import Wire


BODY = b'{"username":"alice","email":"alice@test.com","password":"told-to-nobody"}'
JSON = ("Content-Type", "application/json")


def test_requests_of_a_killed_worker(serve, place):
    server = serve(workers=1, config=FAST).await_served()
    server.secrets.add("told-to-nobody")     # the access log has queries, as others have them
    (pid,) = server.workers()
    with Wire(server.tcp()) as first, Wire(server.tcp()) as second, Wire(server.tcp()) as third:
        assert first.get("/users/?limit=1&x=hidden-in-the-query").status == 200
        assert first.ask(target="/nowhere", headers=[("X-Request-Id", "r-1")]).answer().status == 404
        with writer_locked_out(place):
            second.ask("POST", "/users/", [JSON, ("X-Request-Id", "r-2")], BODY)
            third.ask("POST", "/users/?hidden-in-the-query", [JSON, ("X-Request-Id", "r-3")], BODY)
            server.await_status("both wait", lambda s: [(row["busy"], row["store_queued"]) for row in s["slots"]] ==
                                [(2, 2)])
            os.kill(pid, signal.SIGKILL)
            await_gone(pid)
            server.await_line(rf"worker 0 \(pid {pid}, gen 1\) killed by signal 9 .* in POST /users/, request r-[23];")
    why = server.ctl("why", "0")
    assert [(row["route"], row["status"]) for row in why["recent"]] == [("GET /users/", 200), ("GET /nowhere", 404)]
    assert all(row["duration_us"] > 0 and row["age_ms"] >= 0 for row in why["recent"])
    assert {(row["route"], row["id"]) for row in why["in_flight"]} == {("POST /users/", "r-2"), ("POST /users/", "r-3")}
    ages = [row["age_ms"] for row in why["in_flight"]]
    assert ages == sorted(ages, reverse=True) and ages[-1] >= 0
    for_people = run_verb(place, "ctl", "--control", "ctl.sock", "why", "0")
    heads = [line for line in for_people.stdout.splitlines() if line.endswith(":")]
    assert heads[-2:] == ["In flight, never answered:", "Last requests:"]
    for secret in ("told-to-nobody", "hidden-in-the-query", "alice"):
        assert secret not in str(why) + for_people.stdout


def test_next_worker_in_that_slot_begins_anew(serve, place):
    server = serve(workers=1, config=FAST).await_served()
    server.secrets.add("told-to-nobody")
    (pid,) = server.workers()
    with Wire(server.tcp()) as wire, Wire(server.tcp()) as other:
        with writer_locked_out(place):
            wire.ask("POST", "/users/", [JSON], BODY)
            other.ask("POST", "/users/", [JSON], BODY)
            server.await_status("they wait", lambda s: [row["busy"] for row in s["slots"]] == [2])
            os.kill(pid, signal.SIGKILL)
            await_gone(pid)
        (pid,) = server.await_workers(1, without=[pid])
    server.await_served()
    os.kill(pid, signal.SIGKILL)
    server.await_workers(1, without=[pid])
    why = server.ctl("why", "0")
    assert f"pid {pid}" in why["text"] and why["in_flight"] == [] and why["recent"] == []


def test_hashes_that_wait_are_seen(serve):
    """In the status, and with it in `ctl top`: what is asked for and not answered, and nothing afterwards."""
    server = serve(workers=1, config={"auth.hash_iterations": "4", "auth.hash_memory": "64m", "auth.throttle": "no"})
    server.secrets.add("told-to-nobody")
    wires = [Wire(server.tcp()) for _ in range(8)]
    for wire in wires:
        wire.ask("POST", "/auth/token", [("Content-Type", "application/x-www-form-urlencoded")],
                 b"username=nobody@test.com&password=told-to-nobody")
    server.await_status("hashes wait", lambda s: s["slots"][0]["hashes_queued"] > 0)
    for wire in wires:
        assert wire.answer().status in (401, 503)
        wire.close()
    server.await_status("none does", lambda s: s["slots"][0]["hashes_queued"] == 0 == s["slots"][0]["store_queued"])
