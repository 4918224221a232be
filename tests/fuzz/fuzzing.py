"""fuzzing.py: runs the fuzz targets, says what they cover, and plants bugs for them to find.

    fuzz/fuzz_json              a little while from the committed corpus; --long: as long as --fuzz-time says,
                                going on from what earlier runs found (build/fuzz/found)
    fuzz/coverage/fuzz_json     the corpus alone reaches LEAST per cent of the lines in guards.py
    fuzz/canary/json-depth      --long: the bug of tests/fuzz/canaries/json-depth.patch is found in time

For tests/runner.py. By hand:

    python3 tests/fuzz/fuzzing.py keep [TARGET…]       into the corpus what build/fuzz/found has beyond it
    python3 tests/fuzz/fuzzing.py missed [TARGET…]     the guarded lines that the corpus does not reach
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from fuzz import guards                                         # noqa: E402

CORPUS, DICTIONARIES, CANARIES = HERE / "corpus", HERE / "dictionaries", HERE / "canaries"
BUILD = ROOT / "build" / "fuzz"
CRASHES, FOUND, REPORT = BUILD / "crashes", BUILD / "found", BUILD / "report.txt"
LEDGER = BUILD / "ledger.json"      # target: what Account says
SHORT_S = 5
CANARY_S = 60
INPUT_TIMEOUT_S = 20    # one input
SLACK_S = 600           # of a busy machine
PROGRESS = re.compile(r"^#\d+\s+(INITED|NEW|REDUCE|RELOAD|pulse|DONE)\s.*\bcov: (\d+)")


@dataclass
class Run:
    """What one run came to."""
    name: str
    seconds: float = 0
    cpu_s: float = 0            # this machine may do other things, too
    executions: int = 0
    edges: int = 0
    new_edges: int = 0
    since_new_s: float = 0      # before the end
    failed: bool = False
    output: str = ""
    in_all: str = ""            # with the runs before

    def note(self):
        per_s = self.executions / self.cpu_s if self.cpu_s else 0
        news = f"{self.new_edges} new, the last {self.since_new_s:.0f} s ago" if self.new_edges else "none new"
        return "; ".join(filter(None, (
            f"{self.executions} runs in {self.seconds:.0f} s, {per_s:.0f} a CPU-second, {self.edges} edges, {news}",
            self.in_all)))


@dataclass
class Account:
    """What all long runs of one target came to, in this build directory."""
    executions: int = 0
    cpu_s: float = 0
    quiet_cpu_s: float = 0      # of *program*, since its last new edge or crash
    program: str = ""           # its SHA-256

    def enter(self, run, program):
        quiet = run.cpu_s * run.since_new_s / run.seconds if run.seconds else 0
        going_on = program == self.program and not run.new_edges
        self.executions += run.executions
        self.cpu_s += run.cpu_s
        self.quiet_cpu_s = 0 if run.failed else self.quiet_cpu_s + run.cpu_s if going_on else quiet
        self.program = program

    def note(self):
        return (f"in all {self.executions} runs, {self.cpu_s / 60:.1f} CPU-minutes, "
                f"the last {self.quiet_cpu_s / 60:.1f} without a new edge")


runs, runs_lock = [], threading.Lock()


def enter(run, program):
    """Into the ledger; for how it stands."""
    accounts = json.loads(LEDGER.read_text()) if LEDGER.exists() else {}
    account = Account(**accounts.get(run.name, {}))
    account.enter(run, hashlib.sha256(Path(program).read_bytes()).hexdigest())
    accounts[run.name] = vars(account)
    new = LEDGER.with_suffix(".new")
    new.write_text(json.dumps(accounts, indent=4, sort_keys=True) + "\n")
    new.replace(LEDGER)
    return account


def total():
    """For the end of tests/run; "" when nothing was fuzzed. The table is left in build/fuzz/report.txt."""
    if not runs:
        return ""
    REPORT.write_text("".join(f"{r.name:16} {r.note()}\n" for r in sorted(runs, key=lambda r: r.name)))
    quiet = min(r.since_new_s for r in runs)
    return (f"fuzzing: {len(runs)} targets, {sum(r.executions for r in runs)} executions in "
            f"{sum(r.seconds for r in runs):.0f} s, {sum(r.edges for r in runs)} edges, "
            f"{sum(r.new_edges for r in runs)} new, at least {quiet:.0f} s without one ({REPORT.relative_to(ROOT)})")


# ---- running --------------------------------------------------------------------------------------

def names(runner):
    return runner.cmake_rows("fuzz", "fuzz/CMakeLists.txt")


def arguments(name, *flags):
    dictionary = DICTIONARIES / f"{name}.dict"
    return [*flags, f"-timeout={INPUT_TIMEOUT_S}", *([f"-dict={dictionary}"] if dictionary.exists() else [])]


def seeds(name):
    return [str(CORPUS / name)] if (CORPUS / name).is_dir() else []


def watch(run, process):
    """Reads what libFuzzer says, as it says it."""
    begin = last_new = time.monotonic()
    first = None
    lines = []
    for line in process.stdout:
        lines.append(line)
        at = PROGRESS.match(line)
        if at:
            edges = int(at[2])
            if first is None and at[1] == "INITED":
                first = run.edges = edges
                begin = last_new = time.monotonic()
            elif first is not None and edges > run.edges:
                run.edges, last_new = edges, time.monotonic()
        elif line.startswith("stat::number_of_executed_units:"):
            run.executions = int(line.split()[-1])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    run.failed = process.returncode != 0
    run.cpu_s = usage.ru_utime + usage.ru_stime
    run.seconds, run.since_new_s = time.monotonic() - begin, time.monotonic() - last_new
    run.new_edges = run.edges - (first or run.edges)
    run.output = "".join(line for line in lines[-400:] if run.failed or not PROGRESS.match(line))


def run_target(runner, program, name, seconds, found, artifacts):
    run = Run(name)
    argv = [program, *arguments(name, f"-max_total_time={seconds}", "-print_final_stats=1",
                                f"-artifact_prefix={artifacts}/{name}-"), str(found), *seeds(name)]
    env = dict(runner.sanitizer_environment(), LLVM_PROFILE_FILE="/dev/null")
    process = subprocess.Popen([str(a) for a in runner.without_aslr(argv)], env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    hung = threading.Timer(seconds + SLACK_S, runner.stop_group, [process])
    hung.start()
    try:
        watch(run, process)
    finally:
        hung.cancel()
        runner.stop_group(process)
    return run


def fuzz(runner, name, long_s):
    CRASHES.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    if long_s:
        (FOUND / name).mkdir(parents=True, exist_ok=True)
        run = run_target(runner, runner.program("fuzz", name), name, long_s, FOUND / name, CRASHES)
    else:
        with tempfile.TemporaryDirectory() as found:
            run = run_target(runner, runner.program("fuzz", name), name, SHORT_S, found, CRASHES)
    with runs_lock:
        runs.append(run)
        if long_s:
            run.in_all = enter(run, runner.program("fuzz", name)).note()
    return runner.Outcome("failed" if run.failed else "passed", time.monotonic() - begin, run.output, run.note())


# ---- coverage -------------------------------------------------------------------------------------

def profile(runner, name, place):
    """The profile of the corpus alone; raises RuntimeError."""
    raw, merged = Path(place) / "raw", Path(place) / "profile"
    env = dict(runner.sanitizer_environment(), LLVM_PROFILE_FILE=str(raw))
    program = runner.program("fuzz", name)
    outcome = runner.run_program(runner.without_aslr([program, *arguments(name, "-runs=0"), *seeds(name)]), env=env)
    if outcome.state == "failed":
        raise RuntimeError(outcome.output)
    subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", merged], check=True)
    return program, merged


def lcov_lines(program, merged, files):
    """{file: ({line: count}, [(first line, function)])}"""
    text = subprocess.run(["llvm-cov", "export", "-format=lcov", program, f"-instr-profile={merged}",
                           *[str(ROOT / f) for f in files]], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(":")
        if word == "SF":
            lines, functions = found.setdefault(str(Path(os.path.normpath(rest)).relative_to(ROOT)), ({}, []))
        elif word == "DA":
            number, count = map(int, rest.split(",")[:2])
            lines[number] = max(count, lines.get(number, 0))
        elif word == "FN":
            number, function = rest.split(",", 1)
            functions.append((int(number), function.split(":")[-1]))
    return found


def is_counted(file, number, text, functions, wanted):
    if any(re.search(pattern, text) for pattern, _ in guards.NOT_COUNTED):
        return False
    inside = [function for first, function in sorted(functions) if first <= number]
    function = inside[-1] if inside else ""
    return function not in guards.EXCUSED.get(file, {}) and (not wanted or function in wanted)


def missed(runner, name):
    """How many lines count, and which of them the corpus does not reach: (number, ["file:line: text"])."""
    rows = [row if isinstance(row, tuple) else (row, "") for row in guards.GUARDS[name]]
    with tempfile.TemporaryDirectory() as place:
        found = lcov_lines(*profile(runner, name, place), [file for file, _ in rows])
    count, left = 0, []
    for file, functions in rows:
        wanted = set(functions.split())
        lines, starts = found[file]
        unknown = wanted - {function for _, function in starts}
        if unknown:
            raise RuntimeError(f"guards.py: {file} has no {', '.join(sorted(unknown))}")
        texts = (ROOT / file).read_text().splitlines()
        for number, times in sorted(lines.items()):
            if is_counted(file, number, texts[number - 1], starts, wanted):
                count += 1
                if times == 0:
                    left.append(f"{file}:{number}: {texts[number - 1].strip()}")
    return count, left


def coverage(runner, name):
    begin = time.monotonic()
    try:
        count, left = missed(runner, name)
    except (RuntimeError, subprocess.CalledProcessError) as e:
        return runner.Outcome("failed", time.monotonic() - begin, str(e))
    percent = 100 * (count - len(left)) / count
    note = f"{percent:.1f} % of {count} lines"
    enough = percent >= guards.LEAST
    return runner.Outcome("passed" if enough else "failed", time.monotonic() - begin,
                          "\n".join([f"{note}, {guards.LEAST} are wanted; missed:", *left]), note)


# ---- canaries -------------------------------------------------------------------------------------

class Cage:
    """A copy of the tree and its build, for one canary at a time; what was built is copied out."""

    def __init__(self, runner):
        from mutants import mutants
        self.runner, self.mutants = runner, mutants
        self.nursery = mutants.Nursery(ROOT, runner)
        self.build = ROOT / "build" / "mutants" / "fuzz"
        self.lock = threading.Lock()
        self.ready = False

    def prepare(self):
        if not self.ready:
            self.nursery.sync()
            self.runner.configure("fuzz", self.build, self.nursery.tree)
            self.ready = True

    def breed(self, canary, to):
        """Builds the target with the canary in it; raises RuntimeError."""
        with self.lock:
            self.prepare()
            try:
                self.nursery.patch(canary)
                done = subprocess.run(["ninja", "-C", str(self.build), canary.target], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)
                if done.returncode:
                    raise RuntimeError("it does not compile:\n" + done.stdout)
                shutil.copy(self.build / "tests" / "fuzz" / canary.target, to)
            finally:
                self.nursery.sync()


class Canary:
    """A patch that begins with "fault: …" and "target: fuzz_…"."""

    def __init__(self, path):
        head = path.read_text().split("\n--- ", 1)[0]
        self.path = path
        self.fault = re.search(r"^fault: (.+)$", head, re.MULTILINE)[1]
        self.target = re.search(r"^target: (.+)$", head, re.MULTILINE)[1]


def release(cage, canary):
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "found").mkdir()
        program = Path(place) / canary.target
        try:
            cage.breed(canary, program)
        except (RuntimeError, OSError) as e:
            return cage.runner.Outcome("failed", time.monotonic() - begin, str(e))
        took, executions = 0, 0
        while True:     # CPU-seconds: others may be at work here
            run = run_target(cage.runner, program, canary.target, max(5, int(CANARY_S - took)),
                             Path(place) / "found", place)
            took, executions = took + run.cpu_s, executions + run.executions
            if run.failed or took >= CANARY_S:
                break
    note = f"{canary.target}, {took:.1f} CPU-seconds, {executions} runs: {canary.fault}"
    wrong = "" if run.failed else f"{canary.fault}: {canary.target} did not find it in {CANARY_S} s"
    return cage.runner.Outcome("failed" if wrong else "passed", time.monotonic() - begin, wrong, note)


# ---- for runner.py, and by hand -------------------------------------------------------------------

def find(runner, long_s):
    """Tests; *long_s*: 0, or how long each target runs."""
    for name in names(runner):
        yield runner.Test(f"fuzz/{name}", lambda n=name: fuzz(runner, n, long_s), ("fuzz", name))
    for name in names(runner):
        yield runner.Test(f"fuzz/coverage/{name}", lambda n=name: coverage(runner, n), ("fuzz", name))
    cage = Cage(runner)
    for path in sorted(CANARIES.glob("*.patch")) if long_s else []:
        yield runner.Test(f"fuzz/canary/{path.stem}", lambda c=Canary(path): release(cage, c))


def keep(runner, name):
    """Adds to the corpus, of what was found, the fewest inputs that reach what it does not."""
    corpus, found = CORPUS / name, FOUND / name
    if not found.is_dir():
        return
    corpus.mkdir(parents=True, exist_ok=True)
    before = len(list(corpus.iterdir()))
    env = dict(runner.sanitizer_environment(), LLVM_PROFILE_FILE="/dev/null")
    argv = [runner.program("fuzz", name), "-set_cover_merge=1", f"-timeout={INPUT_TIMEOUT_S}", corpus, found]
    outcome = runner.run_program(runner.without_aslr(argv), env=env, timeout_s=3600)
    if outcome.state == "failed":
        sys.exit(outcome.output)
    files = list(corpus.iterdir())
    size = sum(f.stat().st_size for f in files)
    print(f"{name}: {len(files)} inputs, {len(files) - before} of them new, {size} bytes", flush=True)


def main():
    import runner
    verb, chosen = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:] or names(runner)
    if verb not in ("keep", "missed"):
        sys.exit(__doc__)
    for name in chosen:
        if verb == "keep":
            keep(runner, name)
        else:
            count, left = missed(runner, name)
            print(f"{name}: {100 * (count - len(left)) / count:.1f} % of {count} lines", *left, sep="\n    ")


if __name__ == "__main__":
    main()
