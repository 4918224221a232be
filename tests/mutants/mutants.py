"""mutants.py: plants each fault of *.patch in a copy of the tree and expects a named test to turn red.
For tests/run --mutants. A patch begins with

    fault: what is wrong, in words
    test: unit/test_backoff            a name of tests/run --list; several lines: each must turn red
    --- a/master/backoff.c
    …

A patch that does not apply, a fault that does not compile and a test that is red without the fault
are errors: then the mutant proves nothing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from . import patches

HERE = Path(__file__).resolve().parent
SOURCES = ["CMakeLists.txt", "CMakePresets.json", "README.md", "etc", "master", "shared", "worker", "tests", ".ci"]
PATIENCE_S = "20"           # what a red test may wait for
PROGRAM_TIMEOUT_S = 120     # a fault that hangs is red, too


class Mutant:
    def __init__(self, path):
        head = path.read_text().split("\n--- ", 1)[0]
        self.path = path
        self.fault = re.search(r"^fault: (.+)$", head, re.MULTILINE)[1]
        self.tests = re.findall(r"^test: (.+)$", head, re.MULTILINE)
        if not self.tests:
            raise ValueError(f"{path.name} names no test")


class Nursery:
    """The copy of the tree, its one build directory, and which tests are green in it."""

    def __init__(self, root, runner):
        self.root, self.runner = root, runner
        self.tree = root / "build" / "mutants" / "tree"
        self.build = root / "build" / "mutants" / "build"
        self.green = {}
        self.ready = False

    def sync(self):
        """The tree as it is now. Only files that differ are written, so that little is built again."""
        wanted = set()
        for name in SOURCES:
            source = self.root / name
            for file in [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]:
                if "__pycache__" in file.parts:
                    continue
                relative = file.relative_to(self.root)
                wanted.add(relative)
                self.put(relative)
        for file in [p for p in self.tree.rglob("*") if p.is_file()]:
            if file.relative_to(self.tree) not in wanted:
                file.unlink()

    def put(self, relative):
        source, copy = self.root / relative, self.tree / relative
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)       # with the present time: the build must see it
            shutil.copymode(source, copy)

    def prepare(self):
        if not self.ready:
            self.sync()
            self.runner.configure("asan", self.build, self.tree)
            self.ready = True

    def run(self, test):
        """(red, output); raises when it cannot be built."""
        target = test.split("/")[1] if test.startswith("unit/") else self.runner.target_of(test)
        built = subprocess.run(["ninja", "-C", str(self.build), target], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
        if built.returncode:
            raise RuntimeError("it does not compile:\n" + built.stdout.decode(errors="replace"))
        if test.startswith("unit/"):
            argv, cwd = [self.build / "tests" / "unit" / target], self.tree
        else:
            argv = self.runner.pytest_argv(False, test, "-m", "")     # one that is for --long, too
            cwd = self.tree / "tests"
        env = dict(self.runner.pytest_environment(self.build / "colmeia"), PYTHONPATH=str(self.tree / "tests"),
                   COLMEIA_PATIENCE_S=PATIENCE_S)
        outcome = self.runner.run_program(self.runner.without_aslr(argv), cwd=cwd, env=env,
                                          timeout_s=PROGRAM_TIMEOUT_S)
        if "no tests ran" in outcome.output or "not found:" in outcome.output:
            raise RuntimeError(f"there is no test {test}")
        return outcome.state == "failed", outcome.output

    def check_green(self, test):
        if test not in self.green:
            red, output = self.run(test)
            self.green[test] = (not red, output)
        green, output = self.green[test]
        if not green:
            raise RuntimeError(f"{test} is red without the fault:\n{output}")

    def patch(self, mutant):
        patches.apply(mutant.path, self.tree)
        for name in patches.changed_files(mutant.path):
            os.utime(self.tree / name)

    def judge(self, mutant):
        """"" when every named test turned red, else what is wrong."""
        self.prepare()
        for test in mutant.tests:
            self.check_green(test)
        try:
            self.patch(mutant)
            for test in mutant.tests:
                red, output = self.run(test)
                if not red:
                    return f"{mutant.fault}: {test} stays green\n{output}"
        finally:
            self.sync()
        return ""


def find(root, runner):
    nursery = Nursery(root, runner)

    def plant(mutant):
        begin = runner.time.monotonic()
        try:
            wrong = nursery.judge(mutant)
        except RuntimeError as e:
            wrong = str(e)
        return runner.Outcome("failed" if wrong else "passed", runner.time.monotonic() - begin, wrong)

    for path in sorted(HERE.glob("*.patch")):
        mutant = Mutant(path)
        yield runner.Test(f"mutants/{path.stem}", lambda m=mutant: plant(m))
