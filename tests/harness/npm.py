"""npm.py: what tests need of the npm registry: the packages that browser/package-lock.json pins, installed
into build/browser. Without the registry their tests are skipped, and say so."""

import fcntl
import functools
import shutil
import subprocess

import pytest

from harness.server import ROOT

LOCKED = ROOT / "tests" / "browser"
BUILD = ROOT / "build" / "browser"
LIMIT_S = 300


def install():
    """What went wrong, or ""."""
    lock = (LOCKED / "package-lock.json").read_text()
    made = BUILD / "made"
    if made.exists() and made.read_text() == lock:
        return ""
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCKED / name, BUILD / name)
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
                               "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"], cwd=BUILD,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        return "; ".join(done.stdout.decode(errors="replace").split("\n")[:3])
    made.write_text(lock)
    return ""


@functools.cache
def missing():
    """Why the packages are not there, or ""."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:     # tests of several files at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install()


def need():
    """Skips the test unless the packages are installed."""
    if missing():
        pytest.skip(f"SKIP: npm could not install tests/browser/package-lock.json: {missing()}")
