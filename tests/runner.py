"""runner.py: finds, builds and runs every kind of test under one set of names; see tests/run.

A test is a name and a function that returns what went wrong. Names say where to look:

    layering, layering/self-test       tests/layering.sh
    scripts/etc/run                    syntax of each script
    unit/test_str                      tests/unit/test_str.c, one cmocka program; those that
                                       CMakeLists.txt calls LONG only with --long
    tsan/test_store                    the same program under TSan, where threads are at work
    fuzz/fuzz_http                     tests/fuzz/fuzz_http.c on its corpus, for a little while; with
                                       --long as long as --fuzz-time says
    fuzz/coverage/fuzz_http            its corpus reaches the lines that it guards (tests/fuzz/guards.py)
    fuzz/canary/rfc9112-bare-lf        only with --long: a planted bug is found within a minute
    process/test_start.py::test_x      pytest: the real binary
    contract/test_vectors.py::test_x   pytest: captured exchanges
    browser/test_docs.py::test_x       pytest: what people see, in Chromium
    systemd/test_unit.py::test_x       pytest: the package and the units in a machine of their own
    bench/test_report.py::test_x       pytest: the benchmark's arithmetic; nothing is measured
    mutants/17-name                    only with --mutants: a planted fault must turn its test red
    patches                            each planted fault applies, compiles and names a test that is there
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PYTEST_FOLDERS = ["process", "contract", "browser", "bench", "fuzz", "systemd"]
SCRIPTS = [".ci/run", "etc/packages", "etc/run", "etc/debian/postinst", "etc/debian/prerm", "etc/debian/postrm",
           "tests/run", "tests/layering.sh", "tests/bench/run", "tests/harness/machine.sh"]
PYTHON_SCRIPTS = ["bench/**/*.py", "pictures/*.py"]    # what no test imports must at least be Python
# Programs whose subject runs on threads or is shared between processes.
TSAN_UNITS = re.compile(r"test_(executor|task|loop|ledger|store|sqlite|driver|password|priority|tickets|throttle_crowd|counters|scoreboard|log|client)")
PROGRAM_TIMEOUT_S = 600     # a program that takes longer hangs
PYTEST_TIMEOUT_S = 240      # one test function
COMPUTING_S = 4 * 60 * 60   # patience with a program that only computes, on a busy machine
UNSTABLE_MOST = 3           # more that fail are not chance
OUTPUT_LINES = 120          # of a failed program


@dataclass
class Outcome:
    state: str              # passed, failed, skipped
    seconds: float
    output: str = ""
    note: str = ""          # what a passed one has to say


@dataclass
class Test:
    name: str
    run: object = None      # () -> Outcome; None: pytest runs it, with the others of its file
    build: tuple = ()       # (preset, target)


@dataclass
class Lanes:
    """How many run at a time."""
    programs: int
    files: int      # of pytest


@dataclass
class Report:
    """Counts, and prints a line for each test as it ends."""
    total: int
    passed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)
    unstable: list = field(default_factory=list)    # failed among others, passed alone
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name, outcome):
        with self.lock:
            if outcome.state == "passed":
                self.passed += 1
            elif outcome.state == "skipped":
                self.skipped += 1
            else:
                self.failures.append(name)
            done = self.passed + self.skipped + len(self.failures)
            word = {"passed": "ok", "skipped": "skip", "failed": "FAIL"}[outcome.state]
            print(f"[{done:4}/{self.total}] {word:4} {name}  {outcome.seconds:.1f} s", flush=True)
            if outcome.state == "skipped" and outcome.output:
                print(f"            {outcome.output.strip()}", flush=True)
            if outcome.note:
                print(f"            {outcome.note}", flush=True)
            if outcome.state == "failed":
                lines = outcome.output.rstrip().splitlines()[-OUTPUT_LINES:]
                print("\n".join("    | " + line for line in lines), flush=True)

    def forgive(self, name):
        self.failures.remove(name)
        self.unstable.append(name)
        self.passed += 1

    def finish(self):
        if self.unstable:
            print("\nunstable: failed among others and passed alone; to be mended:")
            for name in self.unstable:
                print(f"    {name}")
        if self.failures:
            print("\nfailed; run one again with:")
            for name in self.failures:
                print(f"    tests/run -k '{name}'")
        print()
        counts = f"{self.passed} passed, {len(self.failures)} failed"
        print(counts + (f", {self.skipped} skipped" if self.skipped else ""), flush=True)
        return 1 if self.failures else 0


# ---- running programs -----------------------------------------------------------------------------

def sanitizer_environment():
    return dict(
        os.environ,
        ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=86:strict_string_checks=1",
        LSAN_OPTIONS="exitcode=86",
        UBSAN_OPTIONS="print_stacktrace=1",
        TSAN_OPTIONS="exitcode=86:halt_on_error=1:second_deadlock_stack=1",
    )


def stop_group(process):
    """Ends a program of ours that hangs, with whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_program(argv, cwd=ROOT, timeout_s=PROGRAM_TIMEOUT_S, env=None):
    begin = time.monotonic()
    hung = ""
    with tempfile.TemporaryFile() as output:    # a pipe would stay open as long as any descendant
        process = subprocess.Popen([str(a) for a in argv], cwd=cwd, env=env or sanitizer_environment(),
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            hung = f"\nstill running after {timeout_s} s"
        finally:
            stop_group(process)     # itself, or what a failed test left behind
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace") + hung
    if process.returncode:
        text += f"\n{argv[0]}: exit code {process.returncode}"
    return Outcome("failed" if process.returncode else "passed", time.monotonic() - begin, text)


def without_aslr(argv):
    """gcc 12's and clang 14's sanitizers cannot live with more than 28 random bits in addresses."""
    try:
        bits = int(Path("/proc/sys/vm/mmap_rnd_bits").read_text())
    except (OSError, ValueError):
        bits = 0
    return ["setarch", "-R", *argv] if bits > 28 else list(argv)


# ---- building -------------------------------------------------------------------------------------

def configure(preset, build=None, source=ROOT):
    build = build or source / "build" / preset
    made, wanted = build / "CMakeCache.txt", source / "CMakePresets.json"
    if not (build / "build.ninja").exists() or made.stat().st_mtime < wanted.stat().st_mtime:
        print(f"== configuring {build.relative_to(ROOT)}", flush=True)
        argv = ["cmake", "--preset", preset, "-B", str(build)]
        outcome = run_program(argv, cwd=source)
        if outcome.state == "failed":
            print(outcome.output)
            sys.exit(f"tests/run: cannot configure the preset {preset}")
    return build


def build_targets(preset, targets):
    """Builds; returns the set of those that would not, with the compiler's words printed."""
    build = configure(preset)
    print(f"== building {build.relative_to(ROOT)}: {len(targets)} targets", flush=True)
    if subprocess.run(["ninja", "-C", str(build), "-k", "0", *targets]).returncode == 0:
        return set()
    return {t for t in targets
            if subprocess.run(["ninja", "-C", str(build), t], stdout=subprocess.DEVNULL).returncode}


def program(preset, name):
    build = ROOT / "build" / preset
    for place in ("", "tests/unit", "tests/fuzz"):
        if (build / place / name).exists():
            return build / place / name
    return build / name


# ---- finding --------------------------------------------------------------------------------------

def cmake_rows(function, file):
    """The names in the rows unit(NAME …) or fuzz(NAME …)."""
    text = (TESTS / file).read_text() if (TESTS / file).exists() else ""
    return re.findall(rf"^ *{function}\((\w+)", text, re.MULTILINE)


def compile_python(script):
    """As `python3 -m py_compile`, which would leave a file behind."""
    program = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')"
    return run_program(["/usr/bin/python3", "-c", program, script])


def find_scripts():
    yield Test("layering", lambda: run_program([TESTS / "layering.sh"]))
    yield Test("layering/self-test", lambda: run_program([TESTS / "layering.sh", "--self-test"]))
    for script in SCRIPTS:
        yield Test(f"scripts/{script}", lambda s=script: run_program(["sh", "-n", ROOT / s]))
    for script in sorted(s for pattern in PYTHON_SCRIPTS for s in TESTS.glob(pattern)):
        yield Test(f"scripts/{script.relative_to(ROOT)}", lambda s=script: compile_python(s))


def units_marked(word):
    text = (TESTS / "unit" / "CMakeLists.txt").read_text()
    return set(re.findall(rf"^unit\((\w+)[^)\n]* {word}\b", text, re.MULTILINE))


def options_off(preset):
    """Those of CMake that somebody has switched off in this build directory."""
    cache = ROOT / "build" / preset / "CMakeCache.txt"
    text = cache.read_text() if cache.exists() else ""
    return set(re.findall(r"^(COLMEIA_\w+):BOOL=OFF$", text, re.MULTILINE))


def units_left_out(preset):
    """{name: the option it needs, which is off there}"""
    off, text = options_off(preset), (TESTS / "unit" / "CMakeLists.txt").read_text()
    rows = re.findall(r"^unit\((\w+)[^)\n]* NEEDS (\w+)", text, re.MULTILINE)
    return {name: option for name, option in rows if option in off}


def unit_test(kind, preset, name, left_out, timeout_s=PROGRAM_TIMEOUT_S):
    if name in left_out:
        return Test(f"{kind}/{name}", lambda: Outcome("skipped", 0, f"built with -D{left_out[name]}=OFF"))
    return Test(f"{kind}/{name}", lambda: run_program(without_aslr([program(preset, name)]), timeout_s=timeout_s),
                (preset, name))


def find_units(preset, long):
    hours_long, computing, left_out = units_marked("LONG"), units_marked("FAST"), units_left_out(preset)
    for name in cmake_rows("unit", "unit/CMakeLists.txt"):
        if name not in hours_long or long:
            yield unit_test("unit", preset, name, left_out, COMPUTING_S if name in computing else PROGRAM_TIMEOUT_S)


def find_tsan():
    left_out = units_left_out("tsan")
    for name in cmake_rows("unit", "unit/CMakeLists.txt"):
        if TSAN_UNITS.match(name):
            yield unit_test("tsan", "tsan", name, left_out)


def find_fuzz(long_s):
    from fuzz import fuzzing
    return fuzzing.find(sys.modules[__name__], long_s)


def total_of_fuzzing():
    from fuzz import fuzzing
    return fuzzing.total()


def pytest_argv(long, *words):
    argv = ["/usr/bin/python3", "-B", "-m", "pytest", "-p", "harness.report", "-p", "no:cacheprovider", "-q",
            f"--timeout={PYTEST_TIMEOUT_S * (20 if long else 1)}"]
    return argv + ([] if long else ["-m", "not long"]) + list(words)


def pytest_environment(binary):
    return dict(sanitizer_environment(), PYTHONPATH=str(TESTS), COLMEIA_BINARY=str(binary))


PYTEST_TARGETS = [      # what must be built for a process or contract test: the first that fits
    ("process/test_docs_plain", "colmeia_plain"),
    ("contract/test_readers", "contract_reader"),
    ("process/test_nth_upgrade", "colmeia_failing_variants"),
    ("process/test_upgrade_audit", "colmeia_failing_variants"),
    ("process/test_nth_", "colmeia_failing"),
    ("process/test_audit", "colmeia_failing"),
    ("process/test_upgrade", "colmeia_variants"),
    ("systemd/", "colmeia_variants"),
    ("", "colmeia")]


def target_of(name):
    return next(target for begin, target in PYTEST_TARGETS if name.startswith(begin))


def find_pytest(preset, long):
    folders = [f for f in PYTEST_FOLDERS if list((TESTS / f).glob("test_*.py"))]
    if not folders:
        return
    outcome = run_program(pytest_argv(long, "--collect-only", *folders), cwd=TESTS,
                          env=pytest_environment(program(preset, "colmeia")))
    names = re.findall(r"^(\S+\.py::.+)$", outcome.output, re.MULTILINE)
    if outcome.state == "failed":
        yield Test("process/collect", lambda: outcome)
    for name in names:
        # the folder says who needs no server
        yield Test(name, None, () if name.startswith(("bench/", "fuzz/")) else (preset, target_of(name)))


def check_patches(preset):
    from mutants import patches
    begin = time.monotonic()
    wrong = patches.check(ROOT, ROOT / "build" / preset)
    return Outcome("failed" if wrong else "passed", time.monotonic() - begin, wrong)


def find_patches(preset):
    yield Test("patches", lambda: check_patches(preset), (preset, "colmeia"))


def find_mutants():
    from mutants import mutants
    return mutants.find(ROOT, sys.modules[__name__])


def chosen(test, pattern):
    if not pattern or pattern in test.name:
        return True
    try:
        return re.search(pattern, test.name) is not None
    except re.error:
        return False


# ---- running --------------------------------------------------------------------------------------

def run_pytest_file(file, tests, long, binary, report):
    """One pytest process for the chosen tests of one file; harness/report.py tells how each went."""
    left = {t.name for t in tests}
    reader, writer = os.pipe()
    env = dict(pytest_environment(binary), COLMEIA_REPORT_FD=str(writer))
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(pytest_argv(long, *sorted(left)), cwd=TESTS, env=env, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, pass_fds=[writer],
                                   start_new_session=True)
        os.close(writer)
        try:
            with os.fdopen(reader) as lines:
                for line in lines:
                    told = json.loads(line)
                    if told["name"] in left:
                        left.discard(told["name"])
                        report.add(told["name"], Outcome(told["state"], told["seconds"], told["output"]))
            process.wait()
        except BaseException:
            stop_group(process)
            raise
        output.seek(0)
        text = output.read().decode(errors="replace")
    for name in sorted(left):
        report.add(name, Outcome("failed", 0, f"pytest ended without running it\n{text}"))


def at_a_time(jobs, work):
    """Calls each of *work*, *jobs* of them at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(call) for call in work]:
            done.result()


def run_all(tests, broken, long, binary, report, lanes):
    """Programs first, which compute; then the files of pytest, whose tests wait half of their time."""
    programs, files = [], {}
    for test in tests:
        if test.build in broken:
            report.add(test.name, Outcome("failed", 0, f"{test.build[1]} was not built: see above"))
        elif test.run:
            programs.append(lambda t=test: report.add(t.name, t.run()))
        else:
            files.setdefault(test.name.split("::")[0], []).append(test)
    at_a_time(lanes.programs, programs)
    at_a_time(lanes.files, [lambda f=file: run_pytest_file(f, files[f], long, binary, report) for file in files])


def try_again(tests, long, binary, report):
    """A few tests of processes that failed, alone: a machine that did something else meanwhile fails
    one in a thousand. What is wrong with colmeia fails again; and both are named in the end."""
    failed = [t for t in tests if t.name in report.failures and t.name.startswith("process/")]
    for test in failed if len(failed) <= UNSTABLE_MOST else []:
        again = Report(1)
        run_pytest_file(test.name.split("::")[0], [test], long, binary, again)
        if again.passed:
            report.forgive(test.name)


def duration_s(text):
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 90s, 30m, 8h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Builds colmeia with sanitizers and runs its tests.", epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--yes", action="store_true", help="install missing packages without asking")
    parser.add_argument("-k", metavar="PATTERN", help="only tests whose name contains or matches it")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--long", action="store_true", help="add the tests that take hours")
    parser.add_argument("--fuzz-time", metavar="TIME", type=duration_s, default="30m",
                        help="with --long: how long each fuzz target runs (90s, 30m, 8h; default: 30m)")
    parser.add_argument("--mutants", action="store_true", help="plant each fault of tests/mutants instead")
    parser.add_argument("--preset", default="asan", help="what unit and process tests run (default: asan)")
    parser.add_argument("--jobs", type=int,
                        help="tests at a time (default: one a core; half as many again of those that wait)")
    return parser.parse_args()


def lanes_of(args):
    cores = len(os.sched_getaffinity(0))
    if args.mutants:
        return Lanes(1, 1)
    if args.jobs:
        return Lanes(args.jobs, args.jobs)
    return Lanes(cores, cores if args.long else cores + cores // 2)    # some of the long ones measure


def main():
    args = arguments()
    if args.mutants:
        tests = list(find_mutants())
    else:
        tests = [*find_scripts(), *find_patches(args.preset), *find_units(args.preset, args.long), *find_tsan(),
                 *find_fuzz(args.fuzz_time if args.long else 0), *find_pytest(args.preset, args.long)]
    tests = [t for t in tests if chosen(t, args.k)]
    if args.list:
        print("\n".join(t.name for t in tests))
        return 0
    if not tests:
        sys.exit(f"tests/run: no test is called {args.k!r}; tests/run --list names them")
    broken = set()
    for preset in dict.fromkeys(t.build[0] for t in tests if t.build):
        targets = list(dict.fromkeys(t.build[1] for t in tests if t.build and t.build[0] == preset))
        broken |= {(preset, t) for t in build_targets(preset, targets)}
    report = Report(len(tests))
    run_all(tests, broken, args.long, program(args.preset, "colmeia"), report, lanes_of(args))
    if not args.mutants:
        try_again(tests, args.long, program(args.preset, "colmeia"), report)
    told = total_of_fuzzing()
    if told:
        print(f"\n{told}")
    return report.finish()


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
