"""The fault points themselves: the table and the sources name the same ones, tests use them all, and a
release has none."""

import json
import re
import shlex
import subprocess

import pytest

from harness.faults import are_built_in, table
from harness.server import ROOT

USE = re.compile(r"\bFAULT_(POINT|CALL)\((\w+)")
SOURCES = [path for folder in ("master", "worker", "shared") for path in sorted((ROOT / folder).rglob("*.c"))]
WORD = re.compile(rb"\bfault_|\bFAULT_|COLMEIA_FAULTS|signal-parent")


def uses():
    """[(point, POINT or CALL, file)] of all sources."""
    return [(name, kind, path) for path in SOURCES for kind, name in USE.findall(path.read_text())]


def test_table_and_sources_agree():
    assert {(name, kind) for name, kind, _ in uses()} == set(table().items())


def test_every_point_is_struck_by_a_test():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "process").glob("test_fault_*.py"))
    steps = {name for name in table() if name.startswith("reload_")}    # test_fault_steps.py takes all of them
    assert [name for name in table() if name not in steps and f'"{name}"' not in tests] == []


def test_presets():
    """Those that tests use have them; a release never."""
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    said = {p["name"]: p.get("cacheVariables", {}).get("COLMEIA_FAULTS", "OFF") for p in presets}
    assert said["release"] == said["fuzz"] == "OFF"
    assert said["asan"] == said["tsan"] == said["dev"] == said["coverage"] == "ON"
    assert are_built_in(), "the program that these tests run"


def release(directory, *more):
    subprocess.run(["cmake", "--preset", "release", "-B", str(directory), *more], cwd=ROOT, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return directory


def test_release_has_none(place):
    """What the compiler sees of each file that has fault points, in a release: the bare calls."""
    commands = json.loads((release(place) / "compile_commands.json").read_text())
    looked_at = 0
    names = re.compile("|".join(rf'FAULT_{name}\b|"{name}"' for name in table()).encode())
    ours = {str(path) for _, _, path in uses()} | {str(ROOT / "shared" / "fault.c")}
    for command in commands:
        if command["file"] not in ours:
            continue
        argv = shlex.split(command["command"])
        argv = [*argv[:argv.index("-o")], "-E", "-P", command["file"]]
        done = subprocess.run(argv, cwd=command["directory"], check=True, capture_output=True)
        found = WORD.search(done.stdout) or names.search(done.stdout)
        assert not found, (command["file"], found)
        looked_at += 1
    assert looked_at == len(ours) >= 20


def test_release_cannot_have_any(place):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        release(place, "-DCOLMEIA_FAULTS=ON")
    assert b"COLMEIA_FAULTS is for tests" in failed.value.stdout


@pytest.mark.long
def test_release_binary_has_none(place):
    subprocess.run(["cmake", "--build", str(release(place)), "--target", "colmeia"], check=True)
    assert not WORD.search((place / "colmeia").read_bytes())
