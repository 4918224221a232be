"""profiling.py: where colmeia spends its time: `perf record` on the workers under load, the samples
grouped by module: the kernel, a library, or the folder of our own source that the function stands in."""

import re
import signal
import subprocess
import time
from collections import Counter

from bench import loads
from bench.counting import STARTED_S, request_of
from bench.items import WARM_UP_S, finish
from bench.peers import ROOT
from bench.processes import Trouble

PROFILED = ["W1", "W2", "W4"]
FREQUENCY = 1999
TOP = 25                 # symbols shown
# the beginning of a library's file name, then what it is for us
LIBRARIES = [("libsqlite3", "store (SQLite)"), ("libjansson", "json (jansson)"), ("libjwt", "auth (libjwt)"),
             ("libb64", "auth (libjwt)"),
             ("libsodium", "auth (libsodium)"), ("libcrypto", "auth (OpenSSL)"), ("libgnutls", "auth (GnuTLS)"),
             ("libgmp", "auth (GnuTLS)"), ("libnettle", "auth (GnuTLS)"), ("libhogweed", "auth (GnuTLS)"),
             ("libllhttp", "parser (llhttp)"), ("libev", "loop (libev)"), ("libc.", "libc"), ("libc-", "libc"),
             ("libpthread", "libc"), ("[vdso]", "libc")]
# a source file of ours, then its module; the first that matches
SOURCES = [(r"llhttp", "parser (llhttp)"), (r"worker/http/(parser|intake|guard|target|input)", "parser"),
           (r"worker/http/router", "router"), (r"worker/http", "http"), (r"shared/jsonw|worker/validate/json", "json"),
           (r"shared/log", "log"), (r"worker/(\w+)/", None), (r"(shared|master|worker)/", None)]


def module_of_source(path):
    for pattern, module in SOURCES:
        found = re.search(pattern, path)
        if found:
            return module or found[1]
    return "other of ours"


def symbol_modules(binary):
    """{function of ours: its module}, by the line table."""
    text = subprocess.run(["nm", "-l", "--defined-only", binary], capture_output=True, text=True).stdout
    found = re.findall(r"^[0-9a-f]+ [tTwWiI] (\S+)\t(.+):\d+$", text, re.MULTILINE)
    return {symbol: module_of_source(path.removeprefix(f"{ROOT}/")) for symbol, path in found}


def module_of(library, symbol, ours):
    if library.startswith("[kernel") or library in ("[unknown]", "[guest.kernel]"):
        return "kernel"
    if library == "colmeia":
        plain = symbol.split(".", 1)[0]      # name.lto_priv.0, name.constprop.0
        return ours.get(symbol) or ours.get(plain) or "other of ours"
    return next((name for start, name in LIBRARIES if library.startswith(start)), library)


def parse_report(text):
    """[(percent, library, symbol)] of `perf report --stdio -F overhead,dso,sym`."""
    rows = re.findall(r"^\s*([\d.]+)%\s+(\S+)\s+\[[.k]\]\s+(\S.*?)\s*$", text, re.MULTILINE)
    return [(float(share), library, symbol) for share, library, symbol in rows]


def by_module(rows, ours):
    sums = Counter()
    for share, library, symbol in rows:
        sums[module_of(library, symbol, ours)] += share
    return sums.most_common()


def record(pids, seconds, data, load):
    """perf record of those processes while the load runs; its figures."""
    argv = ["perf", "record", "-q", "-F", FREQUENCY, "-o", data, "-p", ",".join(map(str, pids))]
    with open(data.with_suffix(".log"), "wb") as log:
        perf = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    time.sleep(STARTED_S)
    try:
        return finish(load())
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait()


def profile(item, make, seconds, out):
    """The rows of parse_report()."""
    place, server = make(item)
    data = out / f"{item}.perf"
    with server:
        request, connections = request_of(item, place.port)
        finish(loads.wrk(place.port, request, connections, WARM_UP_S))
        workers = [p.pid for p in server.members() if p.pid != server.process.pid]
        figures = record(workers, seconds, data, lambda: loads.wrk(place.port, request, connections, seconds))
    done = subprocess.run(["perf", "report", "-i", data, "--stdio", "-F", "overhead,dso,sym", "--percent-limit", "0"],
                          capture_output=True, text=True)
    rows = parse_report(done.stdout)
    if not rows:
        raise Trouble(f"perf gave no samples: {done.stderr.strip()[-300:]} "
                      f"{data.with_suffix('.log').read_text(errors='replace')[-300:]}")
    return figures, rows


def run(make, binary, items, seconds, out):
    """Profiles and prints; *make*: item → (Place, Server)."""
    ours = symbol_modules(binary)
    parts = []
    for item in [i for i in PROFILED if i in items]:
        figures, rows = profile(item, make, seconds, out)
        modules = "\n".join(f"{share:6.1f} %  {module}" for share, module in
                            ((s, m) for m, s in by_module(rows, ours)) if share >= 0.1)
        top = "\n".join(f"{share:6.1f} %  {module_of(library, symbol, ours):18} {symbol}"
                        for share, library, symbol in rows[:TOP])
        parts.append(f"## {item}, {figures.rate:,.0f}/s under perf\n\n{modules}\n\n{top}\n")
        print(parts[-1], flush=True)
    (out / "profile.txt").write_text("\n".join(parts))
