"""scaling.py: size, time and growth of colmeia alone: how soon it answers, how long a reload takes, what
a connection weighs, and whether a request costs the same with many connections, workers and users."""

import json
import resource
import socket
import sqlite3
import statistics
import subprocess
import time

from bench import loads, seed
from bench.items import finish
from bench.loads import Request
from bench.peers import COLMEIA, PEERS
from bench.processes import Server, Trouble, await_true, port_is_free, pss_kib
from bench.report import table
from harness.server import clean_environment

STARTS, RELOADS, WARM_UP_S = 9, 5, 1
IDLE_CONNECTIONS = 4000
CONNECTIONS = (1, 16, 64, 1024, 4096)
WORKERS = (1, 2, 8, 64)
USERS = (10_000, 1_000_000)
FAR = 900_000            # an offset
HELLO, ONE_USER = Request("GET", "/"), Request("GET", "/users/1")


class Colmeia:
    """Starts it in *place* with other options than the benchmark's."""

    def __init__(self, place, workers=2, **options):
        self.place, self.workers, self.options = place, workers, options

    def server(self):
        argv, env = PEERS["colmeia"].start(self.place)
        argv[argv.index("--workers") + 1] = self.workers
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


def first_answer_ms(make):
    """From exec to the first answer, with a database that exists."""
    server = Colmeia(make()).server()
    await_true(lambda: port_is_free(server.port), 10)
    begin = time.monotonic()
    server.process = subprocess.Popen(server.argv, env=server.env, cwd=server.directory, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not server.answers():
            if time.monotonic() > begin + 30:
                raise Trouble("it does not start")
        return 1000 * (time.monotonic() - begin)
    finally:
        server.stop()


def reload_ms(make):
    """Of eight workers, without the time to settle, as those who wait for it see it."""
    colmeia = Colmeia(make(), workers=8, supervisor__settle="0s")
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
    colmeia = Colmeia(make(), limits__max_connections=20000)
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


def cpu_us(place, request, connections, seconds, workers=2):
    colmeia = Colmeia(place, workers=workers, limits__max_connections=20000)
    with colmeia.server() as server:
        colmeia.ctl("wait", "ready")
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


def ratios(title, figures):
    """A row: the figures, and the largest against the smallest."""
    words = ", ".join(f"{name}: {us:.1f}" for name, us in figures.items())
    return [title, words, f"{max(figures.values()) / min(figures.values()):.2f} ×"]


def run(make, seconds, out):
    """Measures and prints; *make*: () → a fresh Place with the seed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    rows = [["program, bytes (goal: 2 MiB)", f"{COLMEIA.stat().st_size}", ""],
            ["first answer after exec, ms (goal: 15)",
             f"{statistics.median(first_answer_ms(make) for _ in range(STARTS)):.1f}", ""],
            ["reload of 8 workers, ms (goal: 500)", f"{reload_ms(make):.0f}", ""],
            ["an idle connection, bytes (goal: 400)", f"{connection_bytes(make):.0f}", ""]]
    rows.append(ratios("CPU µs of GET / by connections (goal: 1.15 ×)",
                       {n: cpu_us(make(), HELLO, n, seconds) for n in CONNECTIONS}))
    rows.append(ratios("CPU µs of GET / by workers (goal: 1.25 ×)",
                       {n: cpu_us(make(), HELLO, 64, seconds, n) for n in WORKERS}))
    by_users = {}
    for users in USERS:
        place = make()
        if users > seed.USERS:
            grow(place.database, users)
        by_users[users] = cpu_us(place, ONE_USER, 64, seconds)
    rows.append(ratios("CPU µs of GET /users/1 by users (goal: 1.3 ×)", by_users))
    ours, bare = far_page(place)
    rows.append([f"page at offset {FAR}, ms", f"{ours:.1f}; SQLite alone: {bare:.1f}", f"{ours / bare:.2f} ×"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    text = table(["", "", "most / least"], rows) + "\n"
    (out / "scale.md").write_text(text)
    print(text, flush=True)
