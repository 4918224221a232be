"""The package on a Debian that has nothing but what debootstrap brings (kept in build/debian-bookworm, which takes
minutes to make): what it depends on comes by apt, and a systemd of backports knows Type=notify-reload."""

import re
import shutil
import subprocess

import pytest

from harness.load import Load
from harness.machine import Machine, why_not
from harness.package import Service, drop_in, fetched, nothing_lost, other_version, whole_package    # noqa: F401
from harness.proxies import free_port
from harness.server import ROOT
from harness.wire import Wire

pytestmark = pytest.mark.long
RELEASE = "bookworm"


@pytest.fixture(scope="module")
def debian():
    if why_not():
        pytest.skip(f"SKIP: no machine with systemd can be had here: {why_not()}")
    made = ROOT / f"build/debian-{RELEASE}"
    if not made.exists():
        if not shutil.which("debootstrap"):
            pytest.skip("SKIP: debootstrap is not installed")
        done = subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,procps", RELEASE,
                               f"{made}.part"], capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(f"{made}.part", ignore_errors=True)
            pytest.skip(f"SKIP: debootstrap: {done.stdout[-500:]}")
        shutil.move(f"{made}.part", made)
    return made


@pytest.fixture
def service(debian, place):
    with Machine(place, lower=debian, own_network=False) as machine:
        made = Service(machine, address=("127.0.0.1", free_port()))
        fetched(machine, "update")
        yield made
        print(f"---- the machine's journal\n{machine.journal()}")


def test_apt_brings_what_it_needs(service, whole_package, place):
    machine = service.machine
    said = fetched(machine, "install", machine.take(whole_package))
    assert "libsodium23" in said
    assert service.is_active() and service.get("/healthcheck") == 200
    pid = service.pid()
    with Load(service, keepalive=2, connect=2, slow=1) as load:
        load.await_progress(3)
        fetched(machine, "install", machine.take(other_version(whole_package, place, "9.9.9")))
        load.await_progress(3)
    nothing_lost(load)
    assert service.pid() == pid and service.status()["version"] == "9.9.9"
    said = fetched(machine, "purge", "colmeia")
    assert "colmeia: deleted /var/lib/colmeia" in said
    assert not service.is_active() and not (machine.root / "var/lib/colmeia").exists()


def test_notify_reload(service, whole_package):
    """The drop-in that is shipped for it, as its own comment says."""
    machine = service.machine
    sources = (machine.root / "etc/apt/sources.list")
    with open(sources, "a") as file:
        file.write(sources.read_text().replace(f" {RELEASE} ", f" {RELEASE}-backports "))
    fetched(machine, "update")
    fetched(machine, "-t", f"{RELEASE}-backports", "install", "systemd", "systemd-sysv")
    machine.run("systemctl", "daemon-reexec")
    fetched(machine, "install", machine.take(whole_package))
    drop_in(machine, "notify-reload.conf", (ROOT / "etc/notify-reload.conf").read_text())
    service.systemctl("restart")
    assert service.show("Type") == "notify-reload"
    pid, wire = service.pid(), Wire(service.tcp())
    assert wire.get().status == 200
    for turn in range(2):
        service.systemctl("reload")
        assert re.match(rf"ready 2/2 gen {turn + 2} .* last reload ok$", service.show("StatusText"))
    (machine.root / "etc/colmeia/colmeia.ini").write_text("[server]\nworker = 3\n")
    service.systemctl("reload", code=None)
    assert re.match(r"ready 2/2 gen 3 .* last reload failed$", service.show("StatusText"))
    assert service.is_active() and service.pid() == pid and wire.get().status == 200
    assert machine.run("systemctl", "--version").split()[1] >= "253"
