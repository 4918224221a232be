"""test_fuzzing.py: what all long runs of a target come to together."""

import pytest

from fuzz import fuzzing


@pytest.fixture
def enter(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "LEDGER", tmp_path / "ledger.json")
    program = tmp_path / "fuzz_json"

    def enter(version="first", name="fuzz_json", **run):
        program.write_text(version)
        figures = {"executions": 1000, "seconds": 120, "cpu_s": 60, "since_new_s": 120, **run}
        return fuzzing.enter(fuzzing.Run(name, **figures), program)

    return enter


def test_runs_add_up(enter):
    enter(since_new_s=60, new_edges=3)
    assert enter().note() == "in all 2000 runs, 2.0 CPU-minutes, the last 1.5 without a new edge"


def test_a_new_edge_begins_anew(enter):
    enter()
    account = enter(new_edges=1, since_new_s=30)
    assert (account.executions, account.cpu_s, account.quiet_cpu_s) == (2000, 120, 15)


def test_so_does_another_program(enter):
    enter()
    account = enter("second")
    assert (account.executions, account.quiet_cpu_s) == (2000, 60)


def test_after_a_crash_nothing_is_quiet(enter):
    enter()
    assert enter(failed=True).quiet_cpu_s == 0
    assert enter().quiet_cpu_s == 60


def test_each_target_has_its_own(enter):
    enter()
    assert enter(name="fuzz_form").executions == 1000
    assert enter().executions == 2000
