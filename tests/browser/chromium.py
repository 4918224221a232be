"""chromium.py: Debian's Chromium, driven by playwright-core. Scripts beside this file (*.js) do what a user
does, with watch.js, and print what they saw as JSON."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import npm
from harness.server import PATIENCE_S

HERE = Path(__file__).resolve().parent
CHROMIUM = Path("/usr/bin/chromium")


def browse(script, *words):
    """Runs a script of this folder to its end; what it printed. Its failure is the test's."""
    if not CHROMIUM.exists():
        pytest.skip(f"SKIP: there is no {CHROMIUM}: etc/packages test")
    npm.need()
    env = dict(os.environ, NODE_PATH=str(npm.BUILD / "node_modules"), CHROMIUM=str(CHROMIUM),
               PATIENCE_MS=str(int(PATIENCE_S * 1000)))
    done = subprocess.run(["node", str(HERE / script), *map(str, words)], env=env, capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return json.loads(done.stdout)
