"""etc/packages, etc/run and tests/run: what they do before anything is built. The package tools are
scripted here, so that nothing is installed."""

import os
import subprocess
from pathlib import Path

import pytest

from harness.server import ROOT

INSTALLED = subprocess.run(["sh", "-c", "sed -n '/<<.END/,/^END/p' etc/packages | grep -E '^(run|test) '"],
                           cwd=ROOT, capture_output=True).stdout.decode().split("\n")
RUN = [row.split()[1] for row in INSTALLED if row.startswith("run ")]
TEST = [row.split()[1] for row in INSTALLED if row.startswith("test ")]


@pytest.fixture
def machine(tmp_path):
    """A machine of ours: machine(missing=[…], root=…, words) runs etc/packages on it."""
    tools = tmp_path / "bin"
    tools.mkdir()
    calls = tmp_path / "calls"
    for name in ["sh", "cat", "grep", "tr", "sed", "env", "dirname", "readlink"]:
        (tools / name).symlink_to(Path(subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True)
                                       .stdout.decode().strip()))

    def script(name, text):
        (tools / name).write_text("#!/bin/sh\n" + text)
        (tools / name).chmod(0o755)

    def run(*words, missing=(), root=True, env=None, apt="exit 0", known="exit 0", sudo=True, dpkg=True, row=""):
        names = [n for n in RUN + TEST if n not in missing]
        rows = "\n".join(f"installed {n.split('|')[-1]}, " for n in names) + f"\nnot-installed gone, \n{row}"
        if dpkg:
            script("dpkg-query", f"cat <<'END'\n{rows}\nEND\n")
        script("apt-get", f'echo "apt-get $*" >>{calls}\n{apt}\n')
        script("apt-cache", f"{known}\n")
        script("id", f"echo {0 if root else 1000}\n")
        if sudo:
            script("sudo", f'echo "sudo $*" >>{calls}\nexec "$@"\n')
        done = subprocess.run([str(ROOT / "etc" / "packages"), *words], env={"PATH": str(tools), **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True)
        done.stderr = done.stderr.decode()
        done.calls = calls.read_text().splitlines() if calls.exists() else []
        return done
    return run


def test_list_is_not_empty():
    assert {"cmake", "gcc", "libev-dev", "libsqlite3-dev"} <= set(RUN) and "libcmocka-dev" in TEST


@pytest.mark.parametrize("what", ["run", "test"])
def test_silent_when_nothing_is_missing(machine, what):
    done = machine(what)
    assert (done.returncode, done.stdout, done.stderr, done.calls) == (0, b"", "", [])


def test_tests_need_more(machine):
    assert machine("run", missing=["libcmocka-dev"]).calls == []
    assert any("install" in c and "libcmocka-dev" in c for c in machine("test", missing=["libcmocka-dev"]).calls)


def test_root_installs_at_once(machine):
    done = machine("run", missing=["cmake", "libev-dev"])
    assert done.returncode == 0 and "Missing Debian packages: cmake libev-dev" in done.stderr
    assert done.calls == ["apt-get update", "apt-get install -y --no-install-recommends cmake libev-dev"]


@pytest.mark.parametrize("words, env", [(["--yes", "run"], {}), (["run"], {"CI": "true"})])
def test_yes_and_ci_install_with_sudo(machine, words, env):
    done = machine(*words, missing=["cmake"], root=False, env=env)
    assert done.returncode == 0
    assert [c for c in done.calls if c.startswith("sudo")] == [
        "sudo apt-get update", "sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends cmake"]


@pytest.mark.parametrize("env", [{}, {"CI": "false"}, {"CI": ""}])
def test_nobody_to_ask_installs_nothing(machine, env):
    done = machine("run", missing=["cmake"], root=False, env=env)
    assert done.returncode == 1 and done.calls == [] and "--yes" in done.stderr


def test_no_sudo(machine):
    done = machine("--yes", "run", missing=["cmake", "gcc"], root=False, sudo=False)
    assert done.returncode == 1 and "apt-get install cmake gcc" in done.stderr and done.calls == []


def test_no_debian(machine):
    done = machine("run", dpkg=False)
    assert done.returncode == 1 and "libev-dev" in done.stderr and "cmake --preset release" in done.stderr


def test_failed_installation(machine):
    done = machine("run", missing=["cmake"], apt='[ "$1" = update ] || exit 100')
    assert done.returncode == 1 and "apt-get install cmake" in done.stderr


def test_no_network_for_the_lists_is_no_end(machine):
    done = machine("run", missing=["cmake"], apt='[ "$1" != update ] || exit 100')
    assert done.returncode == 0 and "install" in done.calls[-1]


ALTERNATIVES = [n for n in RUN if "|" in n]


@pytest.mark.parametrize("names", ALTERNATIVES)
@pytest.mark.parametrize("which", [0, 1])
def test_one_alternative_is_chosen(machine, names, which):
    options = names.split("|")
    done = machine("run", missing=[names], known=f'[ "$2" = {options[which]} ]')
    assert done.calls[-1].split()[-1] == options[which]
    assert " or ".join(options) in done.stderr


@pytest.mark.parametrize("row, there", [("installed nodejs, nodejs-dev, npm", True),
                                        ("installed nodejs, npm (= 11.1), nodejs-dev", True),
                                        ("installed nodejs, ", False), ("installed npm-run, x-npm", False),
                                        ("config-files nodejs, npm", False)])
def test_what_another_package_provides_is_not_missing(machine, row, there):
    assert (machine("test", missing=["npm"], row=row).calls == []) == there


def test_bad_word(machine):
    assert machine("everything").returncode == 2


@pytest.mark.parametrize("words", [["--help"], ["--list", "-k", "layering"]])
def test_tests_run_from_anywhere(words, tmp_path):
    done = subprocess.run([str(ROOT / "tests" / "run"), *words], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and b"layering" in done.stdout


def test_no_such_test(tmp_path):
    done = subprocess.run([str(ROOT / "tests" / "run"), "-k", "no such test"], cwd=tmp_path, capture_output=True)
    assert done.returncode != 0 and b"no test" in done.stderr


def test_summary_is_the_last_line(tmp_path):
    done = subprocess.run([str(ROOT / "tests" / "run"), "-k", "scripts/"], cwd=tmp_path, capture_output=True)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and lines[-1] == f"{len(lines) - 2} passed, 0 failed"


def test_scripts_can_be_executed():
    for script in ["etc/run", "etc/packages", "tests/run", "tests/layering.sh", ".ci/run"]:
        assert os.access(ROOT / script, os.X_OK), script
