"""machine.py: a throw-away Debian machine with systemd as its process 1, in namespaces (machine.sh): over the
tree of this machine itself, or over one that debootstrap made. Nothing that is done in it outlives it, and
its network has only a loopback of its own.

    with Machine(place) as machine:
        machine.run("dpkg", "-i", machine.take(package))
        machine.run("systemctl", "reload", "colmeia", code=1)
        with machine.network():
            Wire(("127.0.0.1", 8000))"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.server import PATIENCE_S, await_gone, await_true, children

SCRIPT = Path(__file__).with_suffix(".sh")
NAMESPACES = ["--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net"]
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def why_not():
    """What keeps this machine from having others in it; None: nothing."""
    if os.geteuid() != 0:
        return "only root can mount and unshare"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay file system"
    if not group_root():
        return "no cgroup2 is mounted"
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
                           capture_output=True, text=True)
    return f"namespaces: {tried.stderr.strip()}" if tried.returncode else None


def group_root():
    rows = Path("/proc/mounts").read_text()
    found = re.search(r"^\S+ (\S+) cgroup2 rw", rows, re.MULTILINE)
    return found and Path(found[1])


class Machine:
    def __init__(self, place, lower="/", init=True, own_network=True):
        """*init*: with systemd; without it is as a container or a chroot is. *own_network* False: it is on ours, for
        what comes from the package registry."""
        self.lower, self.init = lower, init
        self.namespaces = [name for name in NAMESPACES if own_network or name != "--net"]
        self.directory = place / "machine"
        self.group = group_root() / f"colmeia-{os.getpid()}-{place.name}"
        self.init_pid = None

    def __enter__(self):
        self.directory.mkdir()
        self.group.mkdir()
        join = f"echo $$ >{self.group}/cgroup.procs && exec \"$@\""
        self.process = subprocess.Popen(
            ["sh", "-c", join, "sh", "setpriv", "--pdeathsig", "KILL", "unshare", *self.namespaces, "--fork",
             "--kill-child", "sh", str(SCRIPT), str(self.lower), str(self.directory), "yes" if self.init else "no"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        while not self.init_pid:
            time.sleep(0.05)        # to look costs more than that
            self.init_pid = self.find_init()
        wanted = {"running", "degraded"} if self.init else {"offline"}
        try:
            await_true("it is up", lambda: self.run("systemctl", "is-system-running", "--wait",
                                                    code=None).strip() in wanted)
        except BaseException:
            self.__exit__()
            raise
        return self

    def find_init(self):
        """Process 1 in there, as it is called out here, once it has become what it shall be."""
        assert self.process.poll() is None, self.process.stderr.read().decode()
        for pid, title in children(self.process.pid).items():
            if title in ("/lib/systemd/systemd", "/bin/sleep"):
                return pid
        return None

    def __exit__(self, *_):
        if self.init_pid:
            os.kill(self.init_pid, signal.SIGKILL)     # and with it all the others
            await_gone(self.init_pid)
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stderr.close()
        for folder, _, _ in os.walk(self.group, topdown=False):
            await_true("nobody is left in the group", lambda f=folder: removed(f))

    @property
    def root(self):
        """Its tree, for our eyes."""
        return Path(f"/proc/{self.init_pid}/root")

    def take(self, file):
        """Brings a file of ours in; its path there."""
        shutil.copy(file, self.root / "tmp")
        return f"/tmp/{Path(file).name}"

    def run(self, *argv, code=0, **options):
        """Runs a program in there to its end; all that it said. code None: whatever comes."""
        done = subprocess.run(["nsenter", "--target", str(self.init_pid), "--all", *argv], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE_S, cwd="/",
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
                              **options)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert code is None or done.returncode == code, f"{argv}: {done.returncode}\n{said}\n{self.journal()}"
        return said

    def journal(self):
        if not self.init:
            return ""
        done = subprocess.run(["nsenter", "--target", str(self.init_pid), "--all", "journalctl", "--no-pager",
                               "--output", "cat"], capture_output=True, timeout=PATIENCE_S)
        return done.stdout.decode(errors="replace")

    def show(self, unit, name):
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    @contextlib.contextmanager
    def network(self):
        """What is connected or started meanwhile by this thread is in its network."""
        with open(f"/proc/{self.init_pid}/ns/net") as there, open("/proc/thread-self/ns/net") as here:
            enter(there)
            try:
                yield
            finally:
                enter(here)

    def outside(self, pid):
        """What the process *pid* of there is called out here."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                status = Path(f"/proc/{name}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if re.search(rf"^NSpid:\t{name}\t{pid}$", status, re.MULTILINE) and \
                    os.readlink(f"/proc/{name}/ns/pid") == os.readlink(f"/proc/{self.init_pid}/ns/pid"):
                return int(name)
        raise AssertionError(f"there is no process {pid} in the machine")


def removed(folder):
    try:
        os.rmdir(folder)
        return True
    except OSError:
        return False


def enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@pytest.fixture
def machine(place):
    """A machine like this one."""
    reason = why_not()
    if reason:
        pytest.skip(f"SKIP: no machine with systemd can be had here: {reason}")
    with Machine(place) as made:
        yield made
        print(f"---- the machine's journal\n{made.journal()}")
