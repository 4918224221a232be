"""The README's chapter on installing, tried line by line: what stands there behind a $ is typed in a machine."""

import re
import shutil

from harness.machine import machine    # noqa: F401
from harness.package import DROP_IN, drop_in, package    # noqa: F401
from harness.server import ROOT, await_true

# What is another way in a machine without a network, a compiler or a terminal.
INSTEAD = {
    "cmake --workflow --preset deb": None,      # that is the fixture's affair
    "apt-get install ./build/release/colmeia_0.1.0_amd64.deb": "dpkg --install /tmp/package.deb",
    "editor /etc/colmeia/colmeia.ini": "printf '[log]\\nlevel = warning\\n' >>/etc/colmeia/colmeia.ini",
}
EXPECTED = {
    "curl -s http://127.0.0.1:8000/healthcheck": r'^\{"status":"ok"\}$',
    "colmeia check": r"^configuration ok$",
    "journalctl --unit colmeia --lines 20": r"reload 1: \d+ workers replaced",
}


def lines():
    chapter = (ROOT / "README.md").read_text().split("### Installing it\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_installing_it(machine, package):
    shutil.copy(package, machine.root / "tmp/package.deb")
    typed = lines()
    assert len(typed) >= 15 and set(INSTEAD) | set(EXPECTED) <= set(typed)
    for unit in "colmeia.service", "colmeia@.service":
        drop_in(machine, "test.conf", DROP_IN, unit)
    for line in typed:
        command = INSTEAD.get(line, line)
        if command is None:
            continue
        said = machine.run("sh", "-c", command)
        assert re.search(EXPECTED.get(line, ""), said, re.MULTILINE), (line, said)
    for unit in "colmeia.service", "colmeia.socket", "colmeia@blue.service":
        await_true(f"{unit} is active", lambda u=unit: machine.show(u, "ActiveState") == "active")
