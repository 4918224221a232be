"""etc/Dockerfile without a Docker engine: buildah builds it, over a base image that debootstrap made (no registry of
images is reached), and what it would run is run as process 1 of namespaces of our own, as its user, in its tree."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from harness.machine import NAMESPACES
from harness.server import PATIENCE_S, ROOT, await_true
from systemd.test_fresh import debian    # noqa: F401

pytestmark = pytest.mark.long
BASE = "docker.io/library/debian:12-slim"
# A slim Debian has no systemd.
SLIM = "DEBIAN_FRONTEND=noninteractive apt-get -y -q purge --autoremove systemd systemd-sysv"


class Buildah:
    def __init__(self, place):
        self.prefix = ["buildah", "--root", str(place / "store"), "--runroot", str(place / "run")]

    def __call__(self, *words):
        done = subprocess.run([*self.prefix, *map(str, words)], cwd=ROOT, capture_output=True, text=True,
                              env={**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"})
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()


@pytest.fixture
def buildah(place):
    if not shutil.which("buildah"):
        pytest.skip("SKIP: buildah is not installed")
    tool = Buildah(place)
    yield tool
    tool("rm", "--all")


def make_base(buildah, debian):
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, debian, "/")
    buildah("run", "--network", "host", container, "sh", "-c", SLIM)
    buildah("commit", "--quiet", container, BASE)
    buildah("rm", container)


class Container:
    """What `docker run` does, as far as process 1 can tell."""

    def __init__(self, tree, config):
        inside = ["chroot", f"--userspec={config['User']}:{config['User']}", tree, "env", "-i",
                  f"--chdir={config['WorkingDir']}", *config["Env"]]
        script = f"mount -t proc proc {tree}/proc && ip link set lo up && exec \"$@\""
        self.process = subprocess.Popen(
            ["unshare", *[name for name in NAMESPACES if name != "--cgroup"], "--fork", "--kill-child", "sh", "-c",
             script, "sh", *inside, *config["Entrypoint"], "--workers", "2"], stderr=subprocess.PIPE, text=True)
        self.inside = inside
        self.pid = await_true("it is there", self.first)

    def first(self):
        done = subprocess.run(["pgrep", "--parent", str(self.process.pid)], capture_output=True, text=True)
        return int(done.stdout) if done.stdout.strip() else None

    def execute(self, *argv):
        """docker exec"""
        return subprocess.run(["nsenter", "--target", str(self.pid), "--all", *self.inside, *argv],
                              capture_output=True, text=True, timeout=PATIENCE_S)


def test_image(buildah, debian):
    make_base(buildah, debian)
    buildah("bud", "--pull-never", "--network", "host", "--format", "docker", "-t", "colmeia", "-f",
            "etc/Dockerfile", ".")
    config = json.loads(buildah("inspect", "--type", "image", "colmeia"))["Docker"]["config"]
    assert (config["User"], config["StopSignal"], list(config["ExposedPorts"])) == ("colmeia", "SIGTERM", ["8000/tcp"])
    tree = buildah("mount", buildah("from", "--pull-never", "colmeia"))
    container = Container(tree, config)
    try:
        _, *health = config["Healthcheck"]["Test"]
        await_true("it is well", lambda: container.execute(*health).returncode == 0)
        status = json.loads(container.execute("colmeia", "ctl", "--json", "status").stdout)["status"]
        assert (status["pid"], status["listeners"][0]["address"]) == (1, "0.0.0.0:8000")
        # an orphan becomes its child, and is not left a zombie
        container.execute("sh", "-c", "(sleep 0.1 &)")
        await_true("the orphan is gone", lambda: "sleep" not in container.execute("ps", "ax").stdout)
        assert container.execute("colmeia", "ctl", "upgrade", "--wait").returncode == 0
        assert container.execute("sh", "-c", "id -u && touch /usr/x").returncode != 0, "it is nobody's master"
        os.kill(container.pid, signal.SIGSTOP)
        assert container.execute(*health).returncode != 0, "who does not answer is ill"
        os.kill(container.pid, signal.SIGCONT)
        os.kill(container.pid, signal.SIGTERM)
        assert container.process.wait(PATIENCE_S) == 0
    finally:
        container.process.kill()
        print(container.process.communicate()[1])
