"""`colmeia ctl top` as people have it: on a terminal of some size, on one that is dumb, in a pipe; while
it is resized, interrupted, ended, and while the server goes away and comes back."""

import os
import re
import signal
import termios
import threading

import pytest

from harness.screen import Screen
from harness.server import FAST, await_true, run_verb
from harness.wire import Wire

TOP = ("ctl", "--control", "ctl.sock", "top")
HEADS = "SLOT     PID GEN STATE        UP   REQ/S    P50    P99    LAG CONNS  CPU   MEM"


def rows(lines):
    """The workers' rows, split; a head line comes before them."""
    starts = [i for i, line in enumerate(lines) if line.startswith("SLOT ")]
    return [line.split() for line in lines[starts[0] + 1:] if re.match(r" *\d+ ", line)] if starts else []


def requests_per_second(lines):
    found = re.search(r"^load +([\d.]+) requests/s", "\n".join(lines), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_shows_workers_and_their_load(serve, place):
    server = serve(workers=2)
    over = threading.Event()

    def load():
        while not over.is_set():
            with Wire(server.tcp()) as wire:
                wire.get("/users/1")
    client = threading.Thread(target=load)
    client.start()
    try:
        with Screen(place, *TOP) as screen:
            lines = screen.await_screen("a rate", lambda lines: requests_per_second(lines) > 0 and lines)
            assert lines[0].startswith(f"colmeia 0.1.0: ready, pid {server.process.pid}, up ")
            assert re.search(r"\d\d:\d\d:\d\d$", lines[0])
            assert lines[1] == "workers  2 of 2 ready"
            assert lines[3].startswith("queues   ") and " hashes, " in lines[3]
            assert HEADS in lines and lines[-1] == "q quits" and len(lines) == 24
            assert {int(row[1]) for row in rows(lines)} == set(server.workers())
            # whoever works has a rate and percentiles; figures are made anew
            screen.await_screen("percentiles", lambda lines: any(
                float(row[5]) > 0 and re.match(r"[\d.]+(us|ms|s)$", row[6]) for row in rows(lines)))
            assert screen.is_full_screen() and not screen.echoes
            screen.type("q")
            assert screen.wait() == 0
            assert screen.is_as_before and not screen.is_full_screen()
    finally:
        over.set()
        client.join()


def test_reload_is_seen_under_way(serve, place):
    server = serve(workers=1, config={**FAST, "supervisor.settle": "2s"})
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        server.ctl("reload")
        screen.await_screen("progress", lambda lines: re.match(r"now +reload 1: (start|settle), ", lines[4]))
        screen.await_screen("both generations", lambda lines: {row[2] for row in rows(lines)} == {"1", "2"})
        screen.await_screen("its end", lambda lines: re.match(r"reload +ok, .* ago: reload 1: ", lines[4]))


def test_death_is_seen(serve, place):
    server = serve(workers=1)
    server.await_served()
    (pid,) = server.workers()
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        os.kill(pid, signal.SIGKILL)
        screen.await_screen("the death", lambda lines: re.match(
            rf"death +worker 0 \(pid {pid}, gen 1\) killed by signal 9", lines[5]))
        screen.await_screen("the next one", lambda lines: [row[1] != str(pid) for row in rows(lines)] == [True])


@pytest.mark.parametrize("columns, height", [(120, 40), (40, 10), (20, 6), (80, 24)])
def test_resize(serve, place, columns, height):
    serve(workers=2)
    with Screen(place, *TOP, columns=60, rows=20) as screen:
        screen.await_screen("the table", lambda lines: rows(lines) and lines[19] == "q quits")
        screen.resize(columns, height)
        heads = {20: "SLOT STATE", 40: "SLOT     PID STATE      REQ/S    P99", 80: HEADS,
                 120: HEADS.replace("  CPU", " BUSY  CPU") + " HASHES CALLS  RETRY"}[columns]
        lines = screen.await_screen("the new size", lambda lines: lines[0].startswith("colmeia 0.1.0: read")
                                    and heads in lines and lines[-1].startswith("q quits") and lines)
        assert len(lines) == height
        screen.type("q")
        assert screen.wait() == 0


def test_scrolls(serve, place):
    serve(workers=12)
    with Screen(place, *TOP, columns=50, rows=10) as screen:
        screen.await_screen("the first", lambda lines: rows(lines) and rows(lines)[0][0] == "0")
        screen.type("j")
        screen.await_screen("the second", lambda lines: rows(lines)[0][0] == "1")
        screen.type("\x1b[B\x1bOB")
        screen.await_screen("the fourth", lambda lines: rows(lines)[0][0] == "3")
        screen.type(" " * 20)
        screen.await_screen("the last", lambda lines: rows(lines)[-1][0] == "11")
        screen.type("\x1b[5~" * 20)
        screen.await_screen("the first", lambda lines: rows(lines)[0][0] == "0")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM),
                                          (signal.SIGHUP, -signal.SIGHUP), (signal.SIGQUIT, -signal.SIGQUIT)])
def test_signals_leave_the_terminal_as_it_was(serve, place, number, code):
    serve(workers=1)
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        assert not screen.is_as_before
        screen.process.send_signal(number)
        assert screen.wait() == code
        assert screen.is_as_before and not screen.is_full_screen()
        assert screen.shown.endswith("\x1b[?25h\x1b[?7h\x1b[?1049l")


def test_ctrl_c_and_ctrl_z(serve, place):
    serve(workers=1)
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        screen.type("\x1a")
        stopped = lambda: os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOHANG)
        await_true("it stops", stopped)
        while screen._read(0):
            pass
        assert screen.is_as_before and not screen.is_full_screen()
        screen.seen = len(screen.shown)
        screen.process.send_signal(signal.SIGCONT)
        screen.await_text(re.escape("\x1b[?1049h"))
        screen.await_text("workers  1 of 1 ready")
        assert not screen.echoes
        screen.type("\x03")
        assert screen.wait() == 0
        assert screen.is_as_before


def test_terminal_that_hangs_up(serve, place):
    serve(workers=1)
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        screen.close_our_side()
        assert screen.process.wait() in (0, -signal.SIGHUP)


def test_server_goes_and_comes_back(serve, place):
    server = serve(workers=1)
    with Screen(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        server.stop()
        screen.await_screen("the word", lambda lines: re.match(
            r"GONE +(the server has closed the connection|cannot connect to the control socket)", lines[1]))
        assert rows(screen.lines), "what was known last stays"
        server.spawn().await_ready(server.mark())
        screen.await_screen("the new one", lambda lines: f"pid {server.process.pid}," in lines[0]
                            and not lines[1].startswith("GONE"))
        server.stop()
        screen.await_screen("the word", lambda lines: lines[1].startswith("GONE"))
        screen.type("q")
        assert screen.wait() == 3
        assert screen.is_as_before
        assert "colmeia: " in screen.shown.rpartition("\x1b[?1049l")[2]


def test_server_that_never_was(place):
    with Screen(place, *TOP) as screen:
        assert screen.wait() == 3
        assert "there is no such socket; is the server running?" in screen.shown
        assert "\x1b" not in screen.shown and screen.is_as_before


def test_stopped_server_is_complained_of(serve, place):
    server = serve(workers=1)
    with Screen(place, *TOP, "--timeout", "1") as screen:
        screen.await_screen("the table", rows)
        server.send_signal(signal.SIGSTOP)
        try:
            screen.await_screen("the word", lambda lines: lines[1].startswith("GONE     no answer within 1000 ms"))
        finally:
            server.send_signal(signal.SIGCONT)
        screen.await_screen("the answer", lambda lines: not lines[1].startswith("GONE"))


@pytest.mark.parametrize("term", ["dumb", ""])
def test_dumb_terminal(serve, place, term):
    serve(workers=1)
    with Screen(place, *TOP, term=term) as screen:
        assert screen.wait() == 0
        assert "\x1b" not in screen.shown and screen.is_as_before
        assert screen.shown.count("workers  1 of 1 ready\r\n") == 1


def test_without_a_terminal(serve, place):
    server = serve(workers=2)
    once = run_verb(place, *TOP)
    assert once.returncode == 0 and once.stderr == ""
    assert "\x1b" not in once.stdout and len(rows(once.stdout.splitlines())) == 2
    twice = run_verb(place, *TOP, "--count", "2")
    assert twice.stdout.count("workers  2 of 2 ready\n") == 2
    assert server.ctl("top")["status"]["state"] == "ready"    # --json
    server.stop()
    gone = run_verb(place, *TOP, "--count", "2")
    assert gone.returncode == 3 and "no such socket" in gone.stderr


def test_count_is_plain_on_a_terminal_too(serve, place):
    serve(workers=1)
    with Screen(place, *TOP, "--count", "2", columns=40) as screen:
        assert screen.wait() == 0
        assert "\x1b" not in screen.shown and screen.is_as_before
        assert screen.shown.count("workers  1 of 1 ready") == 2
        assert all(len(line) <= 40 for line in screen.shown.splitlines())


def test_modes_of_the_terminal_do_not_matter(serve, place):
    """One that was raw, without echo, is that again."""
    serve(workers=1)

    class Raw(Screen):
        def prepare(self):
            super().prepare()
            modes = termios.tcgetattr(self.theirs)
            modes[3] &= ~(termios.ECHO | termios.ISIG)
            termios.tcsetattr(self.theirs, termios.TCSANOW, modes)
    with Raw(place, *TOP) as screen:
        screen.await_screen("the table", rows)
        screen.type("\x03")    # a key like any other there
        assert screen.wait() == 0
        assert screen.is_as_before and not screen.echoes
