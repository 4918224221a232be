"""package.py: the Debian package of the build under test, other versions of it, and the service in a machine
(machine.py) that it is installed in."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness.server import BINARY, FAST
from harness.wire import Wire

NEWER = BINARY.parent / "colmeia_newer"
ADDRESS = ("127.0.0.1", 8000)

# Cheap hashes and quick reloads as in all tests, and no search for leaks, which needs to trace: the unit
# forbids that.
SETTINGS = {**FAST, "auth.hash_memory": "8k", "auth.hash_iterations": "1", "server.workers": "2"}
DROP_IN = """\
[Service]
Environment=ASAN_OPTIONS=detect_leaks=0:exitcode=86
"""


def output_of(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made_by_cpack(place, *options):
    config = BINARY.parent / "CPackConfig.cmake"
    if not config.exists():
        pytest.skip("this binary does not stand in its build directory")
    output_of("cpack", "-G", "DEB", "--config", config, "-B", place, *options)
    (file,) = place.glob("*.deb")
    return file


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The package of this build. Nobody has looked for the libraries it depends on: that takes longest."""
    return made_by_cpack(tmp_path_factory.mktemp("package"), "-D", "CPACK_DEBIAN_PACKAGE_SHLIBDEPS=OFF")


@pytest.fixture(scope="session")
def whole_package(tmp_path_factory):
    """The same, as it is shipped."""
    return made_by_cpack(tmp_path_factory.mktemp("whole"))


def other_version(package, place, version, binary=NEWER, conduct=None):
    """The same package with another program in it."""
    tree = place / f"tree-{version}"
    output_of("dpkg-deb", "--raw-extract", package, tree)
    output_of("strip", "-o", tree / "usr/bin/colmeia", binary)
    if conduct:
        with open(tree / "usr/bin/colmeia", "ab") as file:
            file.write(f"VARIANT:{conduct}".encode())
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    (tree / "DEBIAN/md5sums").unlink()
    return Path(output_of("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, place).split("'")[3])


class Service:
    """colmeia.service (or another unit) of a machine, as harness/load.py and tests want a server."""

    def __init__(self, machine, unit="colmeia.service", address=ADDRESS):
        self.machine, self.unit, self.address = machine, unit, address
        self.secrets = set()
        settings = {**SETTINGS, **({} if address == ADDRESS else {"server.bind": "%s:%d" % address})}
        drop_in(machine, "test.conf", DROP_IN + "".join(
            f"Environment=COLMEIA_{key.replace('.', '_').upper()}={value}\n" for key, value in settings.items()), unit)

    def install(self, package, code=0):
        return self.machine.run("dpkg", "--install", self.machine.take(package), code=code)

    def systemctl(self, verb, code=0):
        return self.machine.run("systemctl", verb, self.unit, code=code)

    def show(self, name):
        return self.machine.show(self.unit, name)

    def is_active(self):
        return self.systemctl("is-active", code=None).strip() == "active"

    def pid(self):
        """Of the master, as it is called in the machine."""
        return int(self.show("MainPID"))

    def ctl(self, *words):
        said = self.machine.run("colmeia", "ctl", "--control", "/run/colmeia/ctl.sock", "--json", *words)
        return json.loads(said)

    def status(self):
        return self.ctl("status")["status"]

    def get(self, target="/"):
        with self.machine.network(), Wire(self.address) as wire:
            return wire.get(target).status

    # ---- for harness/load.py ----

    def tcp(self):
        return self.address

    @property
    def log(self):
        return self.machine.journal()


def fetched(machine, *words):
    """apt-get with the registry, in a machine on our network."""
    return machine.run("apt-get", "-q", "-y", "--no-install-recommends", *words)


def nothing_lost(load):
    """As its clients saw it: the journal is too slow for a line of each request."""
    report = load.stop()
    assert report["faults"] == []
    assert sorted(report["sent"]) == sorted(report["answered"]) and report["answered"]
    return report


def drop_in(machine, name, text, unit="colmeia.service"):
    """Also before the unit is there. What is for an instance is for all of them."""
    folder = machine.root / f"etc/systemd/system/{unit.replace('@blue', '@')}.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    machine.run("systemctl", "daemon-reload", code=None)
