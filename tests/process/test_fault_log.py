"""Standard error that takes nothing: a pipe that nobody reads, a full device. Lines are dropped and counted;
neither a loop nor the master waits for it; when it takes lines again, it says how many are lost."""

import os
import signal
import subprocess

import pytest

from harness.server import Server, await_true, clean_environment, without_aslr, write_ini
from harness.wire import Wire


class Silent(Server):
    """Its log goes where the test says; what it listens on is known beforehand."""

    def start_with(self, stderr):
        ini = write_ini(self.directory, self.config)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *without_aslr([str(self.binary), "--config", str(ini), *self.args])],
            cwd=self.directory, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=stderr, start_new_session=True)
        await_true("it listens", lambda: (self.directory / "http.sock").exists())
        await_true("it is ready", lambda: self.process.poll() is None and self.answers())
        return self

    def answers(self):
        try:
            return self.status()["workers"]["by_state"].get("ready") == 1
        except OSError:
            return False

    def get(self, target="/"):
        with Wire(str(self.directory / "http.sock")) as wire:
            return wire.get(target).status


@pytest.fixture
def silent(place):
    server = Silent(place, workers=1, bind="unix:http.sock")
    yield server
    server.kill()


def dropped(server):
    return server.status()["totals"]["log_lines_dropped"]


def test_full_device(silent):
    with open("/dev/full", "w", encoding="ascii") as full:
        silent.start_with(full)
    assert [silent.get() for _ in range(20)] == [200] * 20
    await_true("they were counted", lambda: dropped(silent) >= 20)
    assert "1 worker replaced" in silent.reload()
    silent.send_signal(signal.SIGTERM)
    assert silent.process.wait(60) == 0


def test_pipe_that_nobody_reads(silent):
    reader, writer = os.pipe()
    silent.start_with(writer)
    os.close(writer)
    lines = 0
    while dropped(silent) == 0:
        lines += 20
        assert [silent.get("/" + "x" * 1500) for _ in range(20)] == [404] * 20
        assert lines < 10_000
    assert "1 worker replaced" in silent.reload()
    silent.ctl("scale", "2")
    silent.await_workers(2)
    told = b""
    while b"lines of this log are lost: standard error took no more" not in told:
        told = told[-200:] + os.read(reader, 1 << 16)
    silent.send_signal(signal.SIGTERM)
    assert silent.process.wait(60) == 0
    os.close(reader)
