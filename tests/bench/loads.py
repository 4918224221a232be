"""loads.py: what wrk and paced are told, and what they found."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Load, Trouble

APPS = Path(__file__).resolve().parent / "apps"
PACE_PER_S, PACED_CONNECTIONS = 390, 4     # a pause of 5 to 15 ms on each connection


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: tuple = ()        # ((name, value), …)
    body: str = None
    signs_up: bool = False     # a new user in each body; *body* is only for one request by hand

    def with_header(self, name, value):
        return Request(self.method, self.path, (*self.headers, (name, value)), self.body, self.signs_up)


@dataclass
class Figures:
    """What a load generator tells. Times in microseconds; *due* and *served* are paced's."""
    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    errors: int                # of sockets: refused, reset, timed out
    refused: int               # answers that were not 2xx
    due: int = None
    served: int = None
    rate: float = field(init=False)

    def __post_init__(self):
        self.rate = (self.requests - self.refused) / self.seconds if self.seconds else 0.0


def figures_in(text):
    for line in text.splitlines():
        if line.startswith("figures "):
            return Figures(**json.loads(line.removeprefix("figures ")))
    raise Trouble(f"the load told nothing: {text.strip()[-300:]}")


def wrk_argv(port, request, connections, seconds, threads, tag, secure=False):
    headers = [word for name, value in request.headers for word in ("-H", f"{name}: {value}")]
    body = ["signup", tag] if request.signs_up else [request.body] if request.body else []
    return ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
            "-s", APPS / "load.lua", *headers,
            f"http{'s' if secure else ''}://127.0.0.1:{port}{request.path}", "--", request.method, *body]


def wrk(port, request, connections, seconds, threads=2, tag="u", secure=False, away=False):
    """A load that runs; figures_in(load.output()) when it is over."""
    argv = wrk_argv(port, request, connections, seconds, min(threads, connections), tag, secure)
    return Load(argv, seconds, away)


def upstream(binaries, port, delay_ms, packages, seconds, away=False):
    """Whom the orders API asks; it runs until it is left."""
    return Load([binaries / "orders", port, delay_ms, packages], seconds, away)


def paced(binaries, port, path, seconds):
    return Load([binaries / "paced", port, path, PACE_PER_S, PACED_CONNECTIONS, seconds], seconds, among=True)
