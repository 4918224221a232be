"""peers.py: who is measured: how each is built and started, and what it can do."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from harness.server import write_ini
from harness.tls import make_pair

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = Path(__file__).resolve().parent / "apps"
SECRET = "a-key-for-nothing-but-the-benchmark"
COLMEIA = ROOT / "build" / "release" / "colmeia"
WORKERS = 2

CC = ["gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror"]
# binary: its compiler, sources, libraries
BUILDS = {
    "epoll": (CC, ["epoll.c", "loop.c"], []),
    "ceil": (CC, ["ceil.c", "ceil_store.c", "ceil_jobs.c", "loop.c"], ["-lsodium", "-lsqlite3", "-pthread"]),
    "mhd": (CC, ["mhd.c"], ["-lmicrohttpd"]),
    "paced": (CC, ["paced.c"], []),
    "orders": (CC, ["orders.c"], []),
    "users": (["go", "build"], ["users.go"], []),
}
# Debian's Go packages lie in a GOPATH, and nothing may be downloaded.
GO_ENVIRONMENT = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}


@dataclass
class Place:
    """Where a server runs."""
    directory: Path
    port: int
    database: Path
    binaries: Path
    light: bool        # hashes that cost next to nothing
    orders: bool = False    # the orders API is there, its upstream on the next port
    secure: bool = False    # a listener with TLS is there, on the port behind that
    workers: int = WORKERS
    connections: int = 1024     # for how many each worker must have room

    @property
    def upstream_port(self):
        return self.port + 1

    @property
    def secure_port(self):
        return self.port + 2

    def neighbour(self):
        """For a second server of the same kind, without orders, on the port behind all those."""
        directory = self.directory / "neighbour"
        directory.mkdir()
        shutil.copy(self.database, directory / "database.db")
        return replace(self, directory=directory, port=self.port + 3, database=directory / "database.db", orders=False)

    def hash_cost(self):
        return {"BENCH_HASH_KIB": "8", "BENCH_HASH_PASSES": "1"} if self.light else {}


@dataclass(frozen=True)
class Peer:
    name: str
    kind: str          # ours, server, or bound: something to measure against that is no server
    items: tuple
    what: str          # for the report
    start: object      # Place -> (argv, environment)
    needs: str = ""    # the binary of BUILDS

    @property
    def has_database(self):
        return self.items != HELLO


HELLO = ("W1",)
ALL = ("W1", "W2", "W3", "W4", "W5", "W6", "W7", "W7s", "W9")
ORDERS = ("W8", "W8s")
SECURE = ("W10",)


def start_colmeia(place):
    values = {
        "server.bind": f"127.0.0.1:{place.port}",
        "supervisor.control": "ctl.sock",
        "database.url": f"sqlite:///{place.database}",
        "auth.secret_key": SECRET,
        "auth.throttle": "no",      # all log in to one account at the same time, and no peer has one
        "log.level": "warning",
        "log.access": "off",
        "log.audit": "off",
    }
    if place.connections > Place.connections:
        values["limits.max_connections"] = place.connections
    if place.light:
        values.update({"auth.hash_memory": "8k", "auth.hash_iterations": "1"})
    if place.orders:
        values.update({"orders.upstream": f"http://127.0.0.1:{place.upstream_port}", "orders.apikey": "none"})
    if place.secure:
        make_pair(place.directory)
        values.update({"server.bind": f"127.0.0.1:{place.port}, 127.0.0.1:{place.secure_port} tls",
                       "tls.certificate": place.directory / "server.pem", "tls.key": place.directory / "server.key"})
    return [COLMEIA, "--config", write_ini(place.directory, values), "--workers", place.workers], {}


def start_nginx(place):
    text = (APPS / "nginx.conf.in").read_text()
    tls = ""
    if place.secure:
        pair = make_pair(place.directory)
        tls = (f"listen 127.0.0.1:{place.secure_port} ssl reuseport backlog=1024; ssl_protocols TLSv1.3; "
               f"ssl_certificate {pair}; ssl_certificate_key {pair.with_suffix('.key')};")
    for name, value in {"PORT": place.port, "WORKERS": place.workers, "CONNECTIONS": place.connections,
                        "PLACE": place.directory, "TLS": tls}.items():
        text = text.replace(f"@{name}@", str(value))
    config = place.directory / "nginx.conf"
    config.write_text(text)
    return ["/usr/sbin/nginx", "-p", place.directory, "-c", config], {}


def start_ceil(place, **env):
    return ([place.binaries / "ceil", place.port, place.workers, place.database],
            {"BENCH_SECRET": SECRET, **place.hash_cost(), **env})


def start_go(place):
    return ([place.binaries / "users", place.port, place.database],
            {"BENCH_SECRET": SECRET, "GOMAXPROCS": str(place.workers), **place.hash_cost()})


def start_fastapi(place):
    argv = ["/usr/bin/python3", "-B", "-m", "uvicorn", "--host", "127.0.0.1", "--port", place.port,
            "--workers", place.workers, "--loop", "uvloop", "--http", "httptools", "--no-access-log",
            "--log-level", "warning", "users_fastapi:app"]
    return argv, {"PYTHONPATH": str(APPS), "BENCH_DATABASE": str(place.database), "BENCH_SECRET": SECRET,
                  **place.hash_cost()}


PEERS = {p.name: p for p in [
    Peer("colmeia", "ours", ALL + SECURE + ORDERS, "this tree, preset release, access and audit log off", start_colmeia),
    Peer("epoll", "bound", HELLO, "the floor: bare epoll, a constant answer, parses nothing",
         lambda p: ([p.binaries / "epoll", p.port, p.workers], {}), "epoll"),
    Peer("ceil", "bound", ALL, "a bound in C: believes what it reads; prepared statements, one transaction for all "
         "that waits, hashes on threads of lowest priority", start_ceil, "ceil"),
    Peer("ceil-each", "bound", ("W9",), "the same with one commit for each insert",
         lambda p: start_ceil(p, CEIL_EACH="1"), "ceil"),
    Peer("nginx", "server", HELLO, "`return 200`, access log off", start_nginx),
    Peer("nginx-tls", "bound", SECURE, "nginx again, with W2's answer by `return 200`: TLS without a database",
         start_nginx),
    Peer("mhd", "server", HELLO, "GNU libmicrohttpd, epoll, two threads",
         lambda p: ([p.binaries / "mhd", p.port, p.workers], {}), "mhd"),
    Peer("go", "server", ALL, "net/http, mattn/go-sqlite3, x/crypto/argon2", start_go, "users"),
    Peer("fastapi", "server", ALL, "uvicorn (uvloop, httptools) and FastAPI, plain SQL by aiosqlite, argon2 in the "
         "thread pool", start_fastapi),
]}


def build_colmeia():
    """The release preset; raises CalledProcessError."""
    if not (COLMEIA.parent / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", COLMEIA.parent, "--target", "colmeia"], check=True, stdout=sys.stderr)


def build(binary, into):
    """One of BUILDS, if it is older than its sources; what went wrong, or None."""
    compiler, sources, libraries = BUILDS[binary]
    sources = [APPS / s for s in sources]
    newest = max(f.stat().st_mtime for f in [*sources, *APPS.glob("*.h")])
    target = into / binary
    if target.exists() and target.stat().st_mtime >= newest:
        return None
    env = dict(os.environ, GOCACHE=str(into / "go-cache"), **GO_ENVIRONMENT)
    try:
        done = subprocess.run([*compiler, "-o", target, *sources, *libraries], env=env, capture_output=True, text=True)
    except FileNotFoundError as e:
        return str(e)
    return done.stderr.strip()[-600:] if done.returncode else None
