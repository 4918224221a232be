"""counting.py: what a request costs colmeia in system calls, and how well reads and writes are batched.

System calls are counted by the kernel (`perf stat` on tracepoints), which hardly slows the server; where
perf may not, by strace, which slows it so much that batches grow. Batches are counted twice: by colmeia's
own counters (`colmeia ctl status`), and by the kernel: a read transaction of SQLite in WAL mode takes and
drops its locks with fcntl, an acknowledged write needs a commit's fdatasync."""

import json
import re
import shutil
import signal
import subprocess
import time

from bench import checks, loads
from bench.items import CONNECTIONS, HASHING_CONNECTIONS, WARM_UP_S, finish
from bench.processes import Trouble
from bench.report import table
from harness.server import clean_environment

CALLS = ["epoll_wait", "epoll_pwait", "epoll_ctl", "read", "recvfrom", "recvmsg", "readv", "write", "writev", "sendto",
         "sendmsg", "accept4", "close", "futex", "fcntl", "pread64", "pwrite64", "fdatasync", "fsync", "clock_gettime",
         "timerfd_settime", "getrandom", "mmap", "munmap", "madvise", "sched_yield", "newfstatat", "fstat", "lseek",
         "flock", "ftruncate", "getpid", "gettid", "geteuid", "rt_sigprocmask", "sched_getaffinity", "setpriority"]
COUNTERS = ["requests", "store_reads", "store_read_batches", "store_writes", "store_write_batches"]
STARTED_S = 0.5      # for the tracer to attach


def request_of(item, port):
    """(request, connections) of an item that one steady load makes up."""
    steady = {
        "W1": (checks.hello, CONNECTIONS), "W2": (checks.one_user, CONNECTIONS), "W3": (checks.page, CONNECTIONS),
        "W4": (lambda p: checks.bearer(p, ours=True), CONNECTIONS), "W5": (checks.login, HASHING_CONNECTIONS),
        "W6": (checks.sign_up, HASHING_CONNECTIONS), "W9": (checks.sign_up, CONNECTIONS),
    }
    check, connections = steady[item]
    return check(port), connections


COUNTED = ["W1", "W2", "W4", "W9"]


def perf_counts(text):
    """{call: how often} of `perf stat -x,`; "all" for the sum."""
    counts = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and "sys_enter" in fields[2]:
            name = fields[2].partition("sys_enter")[2].removeprefix("_") or "all"
            counts[name] = int(fields[0]) if fields[0].isdigit() else 0
    return counts


def strace_counts(text):
    """The same of `strace -c`'s table: % time, seconds, usecs/call, calls, [errors], name."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", text, re.MULTILINE)
    counts = {name: int(calls) for calls, name in rows if name != "total"}
    return {**counts, "all": sum(counts.values())}


def perf_works():
    if not shutil.which("perf"):
        return False
    tried = subprocess.run(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"], capture_output=True,
                           text=True)
    return tried.returncode == 0 and perf_counts(tried.stderr).get("all", 0) > 0


def known_calls():
    """Those of CALLS that this kernel and machine have."""
    listed = subprocess.run(["perf", "list", "--raw-dump", "tracepoint"], capture_output=True, text=True).stdout
    return [c for c in CALLS if f"syscalls:sys_enter_{c}" in listed.split()] if listed else []


class Tracer:
    """with Tracer(pids, out) as tracer: …; then tracer.counts."""

    def __init__(self, pids, out):
        self.file = out / "syscalls.txt"
        self.perf = perf_works()
        who = ",".join(map(str, pids))
        if self.perf:
            events = ",".join(["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{c}" for c in known_calls())])
            self.argv = ["perf", "stat", "-x,", "-e", events, "-p", who, "-o", self.file]
        else:
            self.argv = ["strace", "-c", "-f", "-o", self.file, *(w for p in pids for w in ("-p", str(p)))]

    def __enter__(self):
        self.process = subprocess.Popen([str(a) for a in self.argv], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(STARTED_S)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)      # both write their table then
        self.process.wait()
        text = self.file.read_text() if self.file.exists() else ""
        self.counts = perf_counts(text) if self.perf else strace_counts(text)


def totals(binary, place):
    done = subprocess.run([binary, "ctl", "--control", place.directory / "ctl.sock", "--json", "status"],
                          capture_output=True, text=True, env=clean_environment())
    if done.returncode:
        raise Trouble(f"colmeia ctl status: {done.stderr.strip()}")
    found = json.loads(done.stdout)["status"]["totals"]
    return {name: found[name] for name in COUNTERS}


def count(item, make, binary, seconds, out):
    """(requests, {call: how often}, {counter: growth})"""
    place, server = make(item)
    with server:
        request, connections = request_of(item, place.port)
        if not request.signs_up:
            finish(loads.wrk(place.port, request, connections, WARM_UP_S))
        workers = [p.pid for p in server.members() if p.pid != server.process.pid]
        before = totals(binary, place)
        with Tracer(workers, out) as tracer:
            figures = finish(loads.wrk(place.port, request, connections, seconds))
        after = totals(binary, place)
    return figures.requests, tracer.counts, {n: after[n] - before[n] for n in COUNTERS}


def per(part, whole):
    return f"{part / whole:.3f}" if whole else "–"


def row(item, requests, calls, counters):
    batched = [per(counters["store_read_batches"], counters["store_reads"]),
               per(counters["store_write_batches"], counters["store_writes"]),
               per(calls.get("fdatasync", 0) + calls.get("fsync", 0), counters["store_writes"])]
    return [item, str(requests), per(calls.get("all", 0), requests), *batched]


def breakdown(requests, calls):
    named = sorted(((n, name) for name, n in calls.items() if name != "all" and n / max(requests, 1) >= 0.001),
                   reverse=True)
    other = calls.get("all", 0) - sum(n for name, n in calls.items() if name != "all")
    words = [f"{name} {n / max(requests, 1):.3f}" for n, name in named]
    return ", ".join(words + ([f"others {per(other, requests)}"] if other > 0 else []))


def run(make, binary, items, seconds, out):
    """Counts and prints; *make*: item → (Place, Server)."""
    rows, details = [], []
    for item in [i for i in COUNTED if i in items]:
        requests, calls, counters = count(item, make, binary, seconds, out)
        rows.append(row(item, requests, calls, counters))
        details.append(f"{item}: {breakdown(requests, calls)}")
    head = ["", "requests", "system calls each", "read transactions per read (goal: 0.3)", "commits per write",
            "fsync per write (goal: 0.2)"]
    how = "perf stat" if perf_works() else "strace, which slows the server: batches are larger than they are untraced"
    text = f"{table(head, rows)}\n\nPer request, of the workers, by {how}:\n\n" + "\n".join(details) + "\n"
    (out / "count.md").write_text(text)
    print(text, flush=True)
