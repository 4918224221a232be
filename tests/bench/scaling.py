"""scaling.py: size, time and growth: how soon colmeia answers, how long a reload takes, what a connection
weighs, and whether a request costs the same with many connections, workers and users.

What a request costs by connections and workers depends on the kernel and the machine first: a lone connection
wakes a sleeping core for each request, thousands do not fit its cache, and many workers on two cores take turns.
So the floor (bare epoll) and nginx are measured in the same minutes, and the goal is what colmeia's cost grows
by beyond the floor's."""

import json
import resource
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench import loads, seed
from bench.items import finish, serve
from bench.loads import Request
from bench.peers import COLMEIA, PEERS, Place
from bench.processes import Server, Trouble, await_true, port_is_free, pss_kib
from bench.report import table
from harness.server import clean_environment

STARTS, RELOADS, WARM_UP_S = 5, 5, 1
ROUNDS = 3               # of what is compared, in turns
STARTERS, COMPARED = ("colmeia", "nginx", "go"), ("colmeia", "epoll", "nginx")
PEERS_OF_RUN = tuple(dict.fromkeys(STARTERS + COMPARED))
IDLE_CONNECTIONS = 4000
CONNECTIONS = (1, 16, 64, 1024, 4096)
WORKERS = (1, 2, 8, 64)
USERS = (10_000, 1_000_000)
FAR = 900_000            # an offset
HELLO, ONE_USER = Request("GET", "/"), Request("GET", "/users/1")


class Colmeia:
    """Starts it in *place* with other options than the benchmark's."""

    def __init__(self, place, **options):
        self.place, self.options = place, options

    def server(self):
        argv, env = PEERS["colmeia"].start(self.place)
        with open(argv[argv.index("--config") + 1], "a", encoding="utf-8") as ini:
            for section in {name.split("__")[0] for name in self.options}:
                rows = [f"{n.split('__')[1]} = {v}\n" for n, v in self.options.items() if n.startswith(section)]
                ini.write(f"[{section}]\n" + "".join(rows))
        return Server(argv, clean_environment(env), self.place.directory, self.place.port)

    def ctl(self, *words):
        done = subprocess.run([COLMEIA, "ctl", "--control", self.place.directory / "ctl.sock", "--json", *words],
                              capture_output=True, text=True, env=clean_environment())
        if done.returncode:
            raise Trouble(f"colmeia ctl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def stripped_bytes():
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["strip", "-o", Path(place) / "colmeia", COLMEIA], check=True)
        return (Path(place) / "colmeia").stat().st_size


def first_answer_ms(make, peer):
    """From exec to the first answer; a database, where it has one, exists."""
    server = serve(PEERS[peer], make(peer))
    await_true(lambda: port_is_free(server.port), 10)
    begin = time.monotonic()
    server.process = subprocess.Popen(server.argv, env=server.env, cwd=server.directory, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not server.answers():
            if time.monotonic() > begin + 30:
                raise Trouble(f"{peer} does not start")
        return 1000 * (time.monotonic() - begin)
    finally:
        server.stop()


def reload_ms(make):
    """Of eight workers, without the time to settle, as those who wait for it see it."""
    colmeia = Colmeia(make("colmeia", workers=8), supervisor__settle="0s")
    with colmeia.server():
        colmeia.ctl("wait", "ready")
        times = []
        for _ in range(RELOADS):
            begin = time.monotonic()
            colmeia.ctl("reload", "--wait")
            times.append(1000 * (time.monotonic() - begin))
    return statistics.median(times)


def connection_bytes(make):
    """Of an idle keep-alive connection that has been used, in the workers."""
    colmeia = Colmeia(make("colmeia", connections=IDLE_CONNECTIONS + 1000))
    with colmeia.server() as server:
        workers = [p.pid for p in server.members() if p.pid != server.process.pid]
        held = [request_on(server.port) for _ in range(64)]
        before = sum(map(pss_kib, workers))
        held += [request_on(server.port) for _ in range(IDLE_CONNECTIONS)]
        after = sum(map(pss_kib, workers))
        for each in held:
            each.close()
    return 1024 * (after - before) / IDLE_CONNECTIONS


def request_on(port):
    held = socket.create_connection(("127.0.0.1", port), timeout=10)
    held.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    if not held.recv(4096).startswith(b"HTTP/1.1 200"):
        raise Trouble("no answer")
    return held


def cpu_us(peer, place, request, connections, seconds):
    with serve(PEERS[peer], place) as server:
        finish(loads.wrk(place.port, request, connections, WARM_UP_S))
        before = server.cpu_s()
        figures = finish(loads.wrk(place.port, request, connections, seconds))
        return 1e6 * (server.cpu_s() - before) / figures.requests


def grow(path, users):
    """The seed's users, and more like them."""
    db = sqlite3.connect(path)
    with db:
        db.execute("WITH RECURSIVE n(i) AS (SELECT (SELECT max(id) FROM users) + 1 UNION ALL SELECT i + 1 FROM n "
                   "WHERE i < ?) INSERT INTO users (id, username, email, password) SELECT i, 'user' || i, "
                   "'user' || i || '@example.com', (SELECT password FROM users WHERE id = 1) FROM n", (users,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def timed_ms(call, times=9):
    def once():
        begin = time.monotonic()
        call()
        return 1000 * (time.monotonic() - begin)
    return statistics.median(once() for _ in range(times))


def far_page(place):
    """(colmeia's, SQLite's own) time for a page far behind, in ms."""
    db = sqlite3.connect(place.database)
    query = "SELECT id, username, email FROM users ORDER BY id LIMIT 100 OFFSET ?"
    bare = timed_ms(lambda: db.execute(query, (FAR,)).fetchall())
    db.close()
    colmeia = Colmeia(place)
    with colmeia.server() as server:
        held = request_on(server.port)

        def page():
            held.sendall(f"GET /users/?limit=100&offset={FAR} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            got = b""
            while not got.endswith(b"]}"):
                got += held.recv(65536)
        ours = timed_ms(page)
        held.close()
    return ours, bare


# ---- against the floor ----------------------------------------------------------------------------

def in_turns(names, measure):
    """{name: the median of ROUNDS}; one after the other, so that all have the machine's good and bad minutes."""
    rounds = [{name: measure(name) for name in names} for _ in range(ROUNDS)]
    return {name: statistics.median(r[name] for r in rounds) for name in names}


def beyond_the_floor(ours, floor):
    """By how much *ours* grows most, from where the floor is cheapest, beyond the floor. {count: cost} each."""
    best = min(floor, key=floor.get)
    return max(ours[n] / ours[best] / (floor[n] / floor[best]) for n in ours)


def growth_row(what, goal, make, counts, seconds):
    """*counts*: {what is told of it: (connections, workers)}"""
    costs = {name: {} for name in COMPARED}
    for n, (connections, workers) in counts.items():
        def measure(peer):
            place = make(peer, workers=workers, connections=max(Place.connections, 2 * connections))
            return cpu_us(peer, place, HELLO, connections, seconds)
        for name, cost in in_turns(COMPARED, measure).items():
            costs[name][n] = cost
    words = {name: ", ".join(f"{n}: {us:.1f}" for n, us in each.items()) for name, each in costs.items()}
    beyond = beyond_the_floor(costs["colmeia"], costs["epoll"])
    return [f"CPU µs of GET / by {what}", words["colmeia"], f"epoll: {words['epoll']}; nginx: {words['nginx']}",
            f"at most {goal} × the floor's growth", f"{beyond:.2f} ×"]


# ---- all of it ------------------------------------------------------------------------------------

def size_and_time(make):
    first = in_turns(STARTERS, lambda peer: statistics.median(first_answer_ms(make, peer) for _ in range(STARTS)))
    others = ", ".join(f"{name}: {first[name]:.1f}" for name in STARTERS[1:])
    size, idle = stripped_bytes(), connection_bytes(make)
    return [["program, stripped, bytes", f"{size}", "", "at most 2 MiB", f"{size / (2 << 20):.2f} of it"],
            ["first answer after exec, ms", f"{first['colmeia']:.1f}", others, "at most 15", ""],
            ["reload of 8 workers, ms", f"{reload_ms(make):.0f}", "", "at most 500", ""],
            ["an idle connection, bytes", f"{idle:.0f}", "", "at most 400", ""]]


def by_users(make, seconds):
    costs = {}
    for users in USERS:
        place = make("colmeia")
        if users > seed.USERS:
            grow(place.database, users)
        costs[users] = cpu_us("colmeia", place, ONE_USER, 64, seconds)
    ours, bare = far_page(place)
    words = ", ".join(f"{n}: {us:.1f}" for n, us in costs.items())
    return [["CPU µs of GET /users/1 by users", words, "", "at most 1.3 ×",
             f"{max(costs.values()) / min(costs.values()):.2f} ×"],
            [f"page at offset {FAR}, ms", f"{ours:.1f}", f"SQLite alone: {bare:.1f}", "no slower", f"{ours / bare:.2f} ×"]]


def run(make, seconds):
    """Measures; the table. *make*: (peer's name, **what is special) → a fresh Place."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    rows = [*size_and_time(make),
            growth_row("connections", 1.15, make, {n: (n, Place.workers) for n in CONNECTIONS}, seconds),
            growth_row("workers, 64 connections", 1.25, make, {n: (64, n) for n in WORKERS}, seconds),
            *by_users(make, seconds)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return table(["", "colmeia", "others, in the same minutes", "goal", "measured"], rows, right=False)
