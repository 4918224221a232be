"""terminal.py: the real binary on a pseudo-terminal, as a person has it: what it shows, what is typed,
whether the terminal echoes, and how it is left behind."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

from harness.server import BINARY, PATIENCE_S, REPORTS, clean_environment, without_aslr


class Terminal:
    def __init__(self, directory, *words, env=None, argv=None, held=False):
        """Starts `colmeia words…` (or argv) in the foreground of a terminal of its own. held: whoever
        writes to it waits until let_go()."""
        self.shown = ""
        self.seen = 0            # of shown: await_text() looks behind it
        self.ours, self.theirs = pty.openpty()
        self.prepare()
        self.before = termios.tcgetattr(self.theirs)
        if held:
            termios.tcflow(self.theirs, termios.TCOOFF)
        self.process = subprocess.Popen(
            argv or without_aslr([str(BINARY), *words]), cwd=directory, env=clean_environment(env),
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def prepare(self):
        """Before the program starts."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def _read(self, patience_s):
        ready, _, _ = select.select([self.ours], [], [], patience_s)
        if ready:
            self.shown += os.read(self.ours, 65536).decode(errors="replace")
        return bool(ready)

    def await_text(self, pattern):
        """Waits until the pattern is shown, behind what was awaited before; its match."""
        end = time.monotonic() + PATIENCE_S
        while True:
            match = re.compile(pattern).search(self.shown, self.seen)
            if match:
                self.seen = match.end()
                return match
            assert time.monotonic() < end, f"never shown: {pattern!r} in {self.shown!r}"
            self._read(1)

    def let_go(self):
        termios.tcflow(self.theirs, termios.TCOON)

    def type(self, text):
        os.write(self.ours, text.encode())

    @property
    def echoes(self):
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    @property
    def is_as_before(self):
        return termios.tcgetattr(self.theirs) == self.before

    def wait(self):
        """Waits for the end; the exit code (-N: of signal N). All it showed is then in *shown*."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end: {self.shown!r}"
            self._read(0.05)
        while self._read(0):
            pass
        assert not REPORTS.search(self.shown), self.shown
        return self.process.returncode
