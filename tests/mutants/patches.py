"""patches.py: each planted fault is one still: its patch applies to the tree as it is, the files that
it changes compile, and the test it names is there. For tests/run, which plants them all only with
--mutants and --long: too late to hear that a fault was lost when the code around it changed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHANGED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)
NAMED = re.compile(r"^(test|target): (\S+)", re.MULTILINE)


def changed_files(patch):
    return CHANGED.findall(patch.read_text())


def apply(patch, tree):
    """Raises RuntimeError when it does not fit exactly."""
    done = subprocess.run(["patch", "-p1", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-r", "-",
                           "-i", str(patch)], cwd=tree, capture_output=True)
    if done.returncode:
        raise RuntimeError("it does not apply:\n" + done.stdout.decode(errors="replace"))


def compile_commands(build):
    """{source: (directory, its arguments)}; one of them where it is compiled several times."""
    rows = json.loads((build / "compile_commands.json").read_text())
    return {row["file"]: (row["directory"], shlex.split(row["command"])) for row in rows}


def checking(argv, source, copy):
    """The same command, that only looks, for a copy in another place."""
    cut = argv.index("-o")
    kept = [*argv[:cut], *argv[cut + 2:]]
    kept = [str(copy) if word == str(source) else word for word in kept if word != "-c"]
    return [*kept, "-fsyntax-only", "-iquote", str(source.parent)]


def compile_error(root, commands, place, name):
    source = root / name
    if source.suffix != ".c":
        return ""
    if str(source) not in commands:
        return f"{name}: nothing compiles it"
    directory, argv = commands[str(source)]
    done = subprocess.run(checking(argv, source, place / name), cwd=directory, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def is_there(root, kind, name):
    """The test of tests/run, or the program of tests/fuzz."""
    if kind == "target":
        return (root / "tests" / "fuzz" / f"{name}.c").exists()
    if name.startswith(("unit/", "tsan/")):
        return (root / "tests" / "unit" / f"{name.split('/')[1]}.c").exists()
    file, _, function = name.partition("::")
    path = root / "tests" / file
    return path.exists() and f"def {function.split('[')[0]}(" in path.read_text()


def errors_in_a_copy(root, commands, patch):
    with tempfile.TemporaryDirectory() as directory:
        place, names = Path(directory), changed_files(patch)
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, place / name)
        try:
            apply(patch, place)
        except RuntimeError as e:
            return [str(e)]
        return [e for e in (compile_error(root, commands, place, name) for name in names) if e]


def what_is_wrong(root, commands, patch):
    names = NAMED.findall(patch.read_text().split("\n--- ", 1)[0])
    wrong = [f"there is no {kind} {name}" for kind, name in names if not is_there(root, kind, name)]
    if not names:
        wrong.append("it names no test")
    wrong += errors_in_a_copy(root, commands, patch)
    return "".join(f"{patch.name}: {line}\n" for line in wrong)


def check(root, build):
    """"" or a text with everything that is wrong."""
    commands = compile_commands(build)
    patches = sorted([*root.glob("tests/mutants/*.patch"), *root.glob("tests/fuzz/canaries/*.patch")])
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return "".join(pool.map(lambda p: what_is_wrong(root, commands, p), patches))
