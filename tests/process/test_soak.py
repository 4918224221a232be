"""Nothing grows: memory after ten million requests and a thousand reloads. Takes long, and needs a build
without sanitizers, whose own memory grows: `tests/run --long --preset release -k soak`."""

import subprocess

import pytest

from harness.server import BINARY, FAST, bearer

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(BINARY.exists() and b"__asan_init" in BINARY.read_bytes(),
                       reason="a sanitizer's memory grows; --preset release measures colmeia's"),
]

REQUESTS = 10_000_000
WARM = 1_000_000
ROUND_S = 20
RELOADS = 1000
# What rounding may make of it, and what a thread gets late: most reads are answered on the loop, so that the
# reader's connection may fill its cache only after millions of requests, once for all (some 230 KiB).
ROOM_KIB = 512

# Each thread goes round the list, over and over; five of ten are refused, none as bad HTTP: wrk knows its
# Host header from init() on.
MIX = """
local list = {}
function init(args)
  list = {
  wrk.format("GET", "/"), wrk.format("GET", "/users/1"), wrk.format("GET", "/users/?limit=20"),
  wrk.format("GET", "/users/2"), wrk.format("GET", "/healthcheck"),
  wrk.format("POST", "/auth/refresh_token", {["Authorization"] = "Bearer @TOKEN@"}),
  wrk.format("GET", "/users/x"), wrk.format("GET", "/nowhere"),
  wrk.format("POST", "/users/", {["Content-Type"] = "application/json"}, '{"username": 1'),
  wrk.format("POST", "/users/", {["Content-Type"] = "application/json"},
             '{"username":"first","email":"first@test.com","password":"soak-pw"}'),
  }
end
local at = 0
request = function() at = at % #list + 1; return list[at] end
"""


def anonymous_kib(pid):
    """Of files it is another matter: what is shared with others weighs more when they end."""
    for row in open(f"/proc/{pid}/smaps_rollup"):
        if row.startswith("Pss_Anon:"):
            return int(row.split()[1])
    raise AssertionError("no Pss_Anon")


def load(server, place, seconds):
    done = subprocess.run(["wrk", "-t2", "-c64", f"-d{seconds}", "-s", "mix.lua", server.url],
                          cwd=place, capture_output=True, text=True, timeout=seconds + 60)
    assert done.returncode == 0 and "Socket errors" not in done.stdout, done.stdout + done.stderr


def test_requests(serve, place):
    server = serve(workers=2, config={"log.level": "info", "log.access": "off"})
    with server.api() as api:
        for name in ("first", "second"):
            assert api.sign_up(name, password="soak-pw").status_code == 201
        token = api.login("first@test.com", "soak-pw")
        assert api.post("/auth/refresh_token", headers=bearer(token)).status_code == 200
    (place / "mix.lua").write_text(MIX.replace("@TOKEN@", token))

    def requests():
        return server.status()["totals"]["requests"]

    def memory():
        return {pid: anonymous_kib(pid) for pid in [server.process.pid, *server.workers()]}

    while requests() < WARM:
        load(server, place, ROUND_S)
    before = memory()
    while requests() < REQUESTS:
        load(server, place, ROUND_S)
    after = memory()
    print(f"{requests()} requests, anonymous KiB by pid: {before} -> {after}")
    assert before.keys() == after.keys(), "a worker died"
    assert all(after[pid] <= before[pid] + ROOM_KIB for pid in before), (before, after)
    totals = server.status()["totals"]
    assert totals["responses_5xx"] == 0 and totals["parse_errors"] == 0
    assert totals["responses_2xx"] > 0.4 * totals["requests"], totals


def test_reloads(serve):
    server = serve(workers=2, config={**FAST, "supervisor.settle": "0s", "supervisor.min_ready": "0s",
                                      "log.level": "info", "log.access": "off"})
    for _ in range(20):
        server.reload()
    before = anonymous_kib(server.process.pid)
    for _ in range(RELOADS):
        server.reload()
    after = anonymous_kib(server.process.pid)
    print(f"anonymous memory of the master: {before} -> {after} KiB")
    assert after <= before + ROOM_KIB
