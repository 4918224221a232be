"""test_scaling.py: what counts as growth."""

import pytest

from bench.scaling import beyond_the_floor, in_turns

FLOOR = {1: 40.0, 64: 5.0, 4096: 8.0}


def test_who_grows_as_the_floor_does_not_grow():
    assert beyond_the_floor({n: 1.5 * us for n, us in FLOOR.items()}, FLOOR) == pytest.approx(1.0)


def test_what_comes_on_top_counts_where_it_is_most():
    assert beyond_the_floor({1: 40.0, 64: 6.0, 4096: 12.0}, FLOOR) == pytest.approx(1.25)


def test_a_lone_connection_that_costs_the_floor_less_is_no_growth():
    assert beyond_the_floor({1: 20.0, 64: 6.0, 4096: 9.6}, FLOOR) == pytest.approx(1.0)


def test_medians_of_turns():
    figures = iter([1.0, 10.0, 9.0, 30.0, 2.0, 20.0])
    asked = []

    def measure(name):
        asked.append(name)
        return next(figures)
    assert in_turns(("a", "b"), measure) == {"a": 2.0, "b": 20.0}
    assert asked == ["a", "b"] * 3
