"""`colmeia calibrate`: measures, shows, recommends."""

import re

import pytest

from harness.server import run_verb
from harness.terminal import Terminal

ROW = re.compile(r"^ *(\d+)m +(\d) +([\d.]+) ms +([\d.]+) ms +([\d.]+) +(\d+)m$", re.MULTILINE)


def test_quick(place):
    done = run_verb(place, "calibrate", "--quick", "--target=10s")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    cores = int(re.search(r"argon2id, (\d+) at a time", done.stdout).group(1))
    rows = ROW.findall(done.stdout)
    assert rows and {(r[0], r[1]) for r in rows} <= {(m, t) for m in ("16", "32", "64") for t in "13"}
    for memory, passes, alone, busy, logins, in_all in rows:
        assert float(alone) > 0 and float(busy) > 0 and int(in_all) == cores * int(memory)
        assert float(logins) == pytest.approx(cores * 1000 / float(busy), rel=0.1)
    strong = [(int(m), int(t)) for m, t, *_ in rows if int(m) * int(t) >= 46]
    memory, passes = max(strong)
    assert f"[auth]\nhash_memory = {memory}m\nhash_iterations = {passes}\n" in done.stdout
    assert "(now: 65536k, 3)" in done.stdout


def test_recommendation_is_a_configuration(place):
    done = run_verb(place, "calibrate", "--quick", "--target", "10ms")
    assert done.returncode == 0
    ini = place / "made.ini"
    ini.write_text(done.stdout[done.stdout.index("[auth]"):done.stdout.index("(now")])
    assert run_verb(place, "check", "--config", str(ini)).returncode == 0
    assert list(place.glob("database*")) == []


def test_progress_on_a_terminal(place):
    with Terminal(place, "calibrate", "--quick") as t:
        t.await_text(r"measuring 16m, 1 \(1 of 6\)")
        t.await_text(r"measuring 64m, 3 \(6 of 6\)")
        assert t.wait() == 0


def test_ctrl_c(place):
    with Terminal(place, "calibrate") as t:
        t.await_text("measuring")
        t.type("\x03")
        assert t.wait() < 0 and "[auth]" not in t.shown


@pytest.mark.parametrize("words", [["--target", "0"], ["--target=1h"], ["--target"], ["x"], ["--slow"], ["--quick=1"]])
def test_usage(place, words):
    done = run_verb(place, "calibrate", *words)
    assert done.returncode == 2 and done.stdout == ""
