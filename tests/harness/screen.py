"""screen.py: a terminal of some size with somebody who looks at it: what `colmeia ctl top` draws there
(pyte understands its sequences), what is typed, and how the terminal is left behind."""

import fcntl
import os
import struct
import termios
import time

import pyte

from harness.server import PATIENCE_S
from harness.terminal import Terminal

DRAWN = "\x1b[J"     # ends what `colmeia ctl top` draws at a time


class Screen(Terminal):
    def __init__(self, directory, *words, columns=80, rows=24, term="xterm-256color", env=None):
        self.emulator = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.emulator)
        self.fed = 0
        self.size = (columns, rows)
        super().__init__(directory, *words, env={"TERM": term, **(env or {})})

    def prepare(self):
        self.resize(*self.size)

    def resize(self, columns, rows):
        """The kernel tells whoever is in the foreground by SIGWINCH."""
        self.emulator.resize(rows, columns)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def lines(self):
        """What is on the screen, from the top, when it was last drawn to its end; without blanks at the
        lines' ends."""
        end = self.shown.rfind(DRAWN) + len(DRAWN)
        if end > self.fed:
            self.stream.feed(self.shown[self.fed:end])
            self.fed = end
        return [line.rstrip() for line in self.emulator.display]

    def await_screen(self, what, predicate):
        """Waits until predicate(lines) is true; what it gave."""
        end = time.monotonic() + PATIENCE_S
        while True:
            value = predicate(self.lines)
            if value:
                return value
            assert time.monotonic() < end, f"never on the screen: {what}\n" + "\n".join(self.lines)
            assert self.process.poll() is None, "it has ended:\n" + self.shown
            self._read(1)

    def is_full_screen(self):
        """In the alternate screen, without a cursor, by the sequences that were sent so far."""
        return self.shown.rfind("\x1b[?1049h") > self.shown.rfind("\x1b[?1049l")

    def close_our_side(self):
        """The terminal hangs up."""
        os.close(self.ours)
        self.ours = os.open("/dev/null", os.O_RDWR)
