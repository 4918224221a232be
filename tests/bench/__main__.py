"""The benchmark: colmeia and peers side by side on this machine, over loopback.

Work items run one after the other; of each, every peer has its turn, in an order drawn by lot, before the
next repetition begins, with a server started anew on a fresh copy of a database of 10,000 users, two workers
each. Client and servers share the machine, so the figures are worth something on a quiet one only, and
ratios are worth more than the figures: each is the median of those within a repetition. Before a peer is
timed its answers are compared byte for byte with what they must be; a peer that fails is named and left out
of that item.

Results: build/bench/result.tsv (every measurement), report.md, result.svg."""

import argparse
import fcntl
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from bench import counting, plot, profiling, report, scaling, seed
from bench.figures import Summary, read_tsv, write_tsv
from bench.items import ITEMS, LEFT_OUT, STOLEN_MAX, Run, Sample, estimate_s, serve
from bench.peers import COLMEIA, PEERS, ROOT, WORKERS, Place, build, build_colmeia
from bench.processes import PortTaken, Stolen, Trouble, port_is_free

OUT = ROOT / "build" / "bench"
PLOT = Path("tests/bench/result.svg")      # what the README shows
QUIET_LOAD = 0.3                           # load average of a machine with nothing else to do
QUICK_S = 2


def say(*words):
    print(*words, flush=True)


# ---- what there is to do --------------------------------------------------------------------------

@dataclass(frozen=True)
class Turn:
    rep: int
    item: str
    peer: str


def plan(reps, items, peers):
    """Each repetition passes through all peers before the next begins, in an order that is drawn by lot and
    the same in each run: what a peer leaves behind (memory to give back, files to write) is not always the
    same one's burden."""
    def drawn(rep, item):
        able = [p for p in peers if item in PEERS[p].items]
        return random.Random(f"{item} {rep}").sample(able, len(able))
    return [Turn(rep, i, p) for rep in range(1, reps + 1) for i in items for p in drawn(rep, i)]


class Progress:
    """What is left, by the estimates so far and how they came true."""

    def __init__(self, turns, seconds):
        self.turns, self.seconds, self.begin = turns, seconds, time.monotonic()
        self.total = sum(estimate_s(ITEMS[t.item], seconds) for t in turns)
        self.estimated = 0.0

    def done(self, index):
        self.estimated = sum(estimate_s(ITEMS[t.item], self.seconds) for t in self.turns[:index + 1])

    def left(self):
        pace = (time.monotonic() - self.begin) / self.estimated if self.estimated else 1.0
        seconds = (self.total - self.estimated) * pace
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"


# ---- one turn -------------------------------------------------------------------------------------

def fresh_place(peer, port, light):
    directory = OUT / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    place = Place(directory, port, directory / "database.db", OUT / "bin", light)
    if peer.has_database:
        shutil.copy(OUT / "seed.db", place.database)
    return place


def measure(turn, seconds, port):
    """A Sample; with a note when the peer failed."""
    sample = Sample(turn.rep, turn.item, turn.peer)
    item, peer = ITEMS[turn.item], PEERS[turn.peer]
    place = fresh_place(peer, port, item.light)
    place.orders, place.secure = item.orders, item.secure
    try:
        with serve(peer, place) as server:
            sample.worker_kib, sample.master_kib = server.settled_memory_kib(WORKERS)
            with Stolen() as stolen:
                item.perform(Run(server, peer, place, seconds, f"r{turn.rep}"), sample)
            sample.stolen = stolen.part
            sample.loaded_kib = sum(server.all_memory_kib())
    except Trouble as e:
        return Sample(turn.rep, turn.item, turn.peer, note=" ".join(str(e).split()))
    return sample


def least_disturbed(tries, measure_once):
    """The Sample of least *stolen*; no more tries than it takes. One with a note is the last word."""
    best = None
    for _ in range(tries):
        sample = measure_once()
        if sample.note:
            return sample
        if best is None or sample.stolen < best.stolen:
            best = sample
        if best.stolen <= STOLEN_MAX:
            break
    return best


def describe(sample):
    if sample.note:
        return f"left out: {sample.note}"
    words = [f"{report.number(sample.rate)}/s", f"p99 {report.duration(sample.p99_us)}"]
    words += [f"cpu {report.cpu(sample.cpu_us)}"] if sample.cpu_us is not None else []
    words += [f"served {report.percent(sample.served)}"] if sample.served is not None else []
    words += [f"{ITEMS[sample.item].beside} {report.number(sample.logins)}/s"] if sample.logins is not None else []
    words += [f"{report.NAMES[name]} {report.times(getattr(sample, name))}"
              for name in ("quiet_ratio", "onlooker_ratio") if getattr(sample, name) is not None]
    words += [f"stolen {100 * sample.stolen:.1f} %"] if sample.stolen else []
    words += [f"{sample.errors} ERRORS"] if sample.errors else []
    return "  ".join(words)


def measure_all(turns, seconds, port):
    """All samples; those there are when it is interrupted."""
    samples, failed, progress = [], set(), Progress(turns, seconds)
    say(f"== {len(turns)} measurements, {progress.left()}")
    try:
        for index, turn in enumerate(turns):
            if (turn.item, turn.peer) not in failed:
                sample = least_disturbed(ITEMS[turn.item].tries, lambda: measure(turn, seconds, port))
                samples.append(sample)
                if sample.note:
                    failed.add((turn.item, turn.peer))
                progress.done(index)
                say(f"[{index + 1:3}/{len(turns)}] {turn.item:3} {turn.peer:9} {describe(sample)}   "
                    f"({progress.left()})")
    except (KeyboardInterrupt, PortTaken) as e:
        say(f"== {e or 'interrupted'}; the report has what there is")
    # who failed once is left out of that item altogether
    return [s for s in samples if s.note or (s.item, s.peer) not in failed]


# ---- before and after -----------------------------------------------------------------------------

def command_output(*argv):
    try:
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def first_match(path, name):
    for line in Path(path).read_text(errors="replace").splitlines():
        key, _, value = line.partition(":" if ":" in line else "=")
        if key.strip() == name:
            return value.strip().strip('"')
    return ""


def stolen_from(samples):
    """What the host took, in a sentence; nothing where it took nothing."""
    parts = [100 * s.stolen for s in samples if s.stolen is not None]
    if not any(parts):
        return ""
    return (f" The host gave {statistics.median(parts):.1f} % of the cores' time to others (median of the "
            f"measurements; at most {max(parts):.1f} %).")


def surroundings(seconds, reps, load):
    """Where and when it was measured, in a sentence or two."""
    cores = len(os.sched_getaffinity(0))
    memory = int(first_match("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    commit = command_output("git", "describe", "--always", "--dirty", "--exclude=*")
    disk = command_output("findmnt", "-n", "-o", "FSTYPE", "-T", str(OUT))
    text = (f"{date.today()}, commit {commit or 'unknown'}, {first_match('/etc/os-release', 'PRETTY_NAME')}, Linux "
            f"{platform.release()}, {first_match('/proc/cpuinfo', 'model name') or platform.machine()}, {cores} cores "
            f"shared by client and server, {memory:.0f} GiB, {disk or 'unknown file system'}; median of {reps}, "
            f"{seconds} s each.")
    if load > QUIET_LOAD:
        text += f" **The machine was not quiet (load {load:.1f} before the run): the figures are provisional.**"
    return text


def prepare(peers):
    """Builds; returns the peers that can be measured."""
    (OUT / "bin").mkdir(exist_ok=True)
    say("== building colmeia (release) and the peers")
    try:
        build_colmeia()
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"tests/bench/run: colmeia was not built: {e}")
    for tool in ("paced", "orders"):
        fault = build(tool, OUT / "bin")
        if fault:
            sys.exit(f"tests/bench/run: {tool} was not built: {fault}")
    able = []
    for name in peers:
        fault = build(PEERS[name].needs, OUT / "bin") if PEERS[name].needs else None
        if fault:
            say(f"{name} is left out, it was not built: {fault}")
        else:
            able.append(name)
    seed.make(OUT / "seed.db")
    return able


def write_results(samples, where, to_readme):
    summary = Summary(samples)
    with open(OUT / "result.tsv", "w", encoding="utf-8") as file:
        write_tsv(samples, file)
    (OUT / "surroundings.txt").write_text(where + "\n")
    caption = "median; amber: colmeia, dashed: a bound that is no server"
    (OUT / "result.svg").write_text(plot.svg(summary, caption))
    (OUT / "report.md").write_text(report.report(summary, where, "result.svg"))
    say("\n" + report.goal_table(summary))
    say(f"\n{OUT.relative_to(ROOT)}: result.tsv, report.md, result.svg")
    if to_readme:
        write_readme(report.SPEED, report.readme_part(summary, where, PLOT))
        (ROOT / PLOT).write_text((OUT / "result.svg").read_text())
        say(f"README.md and {PLOT} are rewritten")


def write_readme(part, content):
    readme = ROOT / "README.md"
    readme.write_text(report.rewrite(readme.read_text(), part, content))


def measure_scale(args, seconds, load):
    text = scaling.run(lambda peer, **special: replace(fresh_place(PEERS[peer], args.port, False), **special), seconds)
    where = surroundings(seconds, scaling.ROUNDS, load)
    (OUT / "scale.md").write_text(f"{where}\n\n{text}\n")
    say(text)
    if args.readme:
        write_readme(report.SCALE, f"{where}\n\n{text}")


# ---- the command ----------------------------------------------------------------------------------

def some_of(known, what):
    def parse(text):
        names = text.replace(",", " ").split()
        for name in names:
            if name in LEFT_OUT:
                raise argparse.ArgumentTypeError(f"{name}: {LEFT_OUT[name]}")
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {what} is called {name}; there are {' '.join(known)}")
        return [k for k in known if k in names]
    return parse


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def arguments():
    items = "\n".join(f"    {i.name:4} {i.title}" for i in ITEMS.values())
    peers = "\n".join(f"    {p.name:10} {p.what}" for p in PEERS.values())
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog=f"items:\n{items}\npeers:\n{peers}")
    parser.add_argument("--yes", action="store_true", help="install missing packages without asking")
    parser.add_argument("-r", type=positive, default=3, metavar="N", help="repetitions (default: 3)")
    parser.add_argument("-d", type=positive, default=8, metavar="SECONDS", help="of each measurement (default: 8)")
    parser.add_argument("--items", type=some_of(ITEMS, "item"), default=list(ITEMS), metavar='"W1 W2"')
    parser.add_argument("--peers", type=some_of(PEERS, "peer"), default=list(PEERS), metavar='"colmeia nginx"')
    parser.add_argument("--quick", action="store_true", help=f"one repetition of {QUICK_S} s: does it work at all?")
    parser.add_argument("--port", type=positive, default=8790, help="of the servers (default: 8790)")
    parser.add_argument("--readme", action="store_true",
                        help="also rewrite the README's table and plot (with --scale: its other table)")
    parser.add_argument("--from-tsv", action="store_true", help="measure nothing: the report anew from result.tsv")
    parser.add_argument("--count", action="store_true",
                        help="instead: system calls a request, batches of reads and writes, of colmeia")
    parser.add_argument("--scale", action="store_true",
                        help="instead: size, start, reload, and the cost of a request by connections, workers, users")
    parser.add_argument("--profile", action="store_true", help="instead: where colmeia spends its time")
    return parser.parse_args()


def report_again(args):
    try:
        with open(OUT / "result.tsv", encoding="utf-8") as file:
            samples = read_tsv(file)
        where = (OUT / "surroundings.txt").read_text().strip()
    except FileNotFoundError as e:
        sys.exit(f"tests/bench/run: {e}")
    write_results(samples, where, args.readme)


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))    # servers are stopped on the way
    if args.from_tsv:
        report_again(args)
        return 0
    load = os.getloadavg()[0]
    OUT.mkdir(parents=True, exist_ok=True)
    if not only_one():
        sys.exit("tests/bench/run: there is another run in this tree")
    if not port_is_free(args.port):
        sys.exit(f"tests/bench/run: port {args.port} is taken; --port names another")
    reps, seconds = (1, QUICK_S) if args.quick else (args.r, args.d)
    special = counting if args.count else profiling if args.profile else None
    peers = prepare(["colmeia"] if special else scaling.PEERS_OF_RUN if args.scale else args.peers)
    if args.scale and set(peers) != set(scaling.PEERS_OF_RUN):
        sys.exit("tests/bench/run: --scale compares with " + ", ".join(scaling.PEERS_OF_RUN))
    try:
        if args.scale:
            measure_scale(args, seconds, load)
            return 0
        if special:
            special.run(lambda item: measuring_place(item, args.port), COLMEIA, args.items, seconds, OUT)
            return 0
        turns = plan(reps, args.items, peers)
        samples = measure_all(turns, seconds, args.port)
    finally:
        shutil.rmtree(OUT / "run", ignore_errors=True)
    if not samples:
        sys.exit("tests/bench/run: nothing was measured")
    where = surroundings(seconds, max(s.rep for s in samples), load) + stolen_from(samples)
    write_results(samples, where, args.readme)
    return 1 if any(s.note and s.peer == "colmeia" for s in samples) else 0


def only_one():
    """Two at a time would measure each other, in one directory. Held until the process ends."""
    only_one.lock = open(OUT / "lock", "w", encoding="ascii")
    try:
        fcntl.flock(only_one.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def measuring_place(item, port):
    """(Place, Server) of colmeia for counting and profiling."""
    place = fresh_place(PEERS["colmeia"], port, ITEMS[item].light)
    return place, serve(PEERS["colmeia"], place)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (Trouble, PortTaken) as e:
        sys.exit(f"tests/bench/run: {e}")
