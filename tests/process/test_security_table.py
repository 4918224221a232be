"""The README's chapter on security names a test for each row, and each of them is there."""

import re

import pytest

from harness.server import ROOT

BEGIN, END = "<!-- owasp:begin -->", "<!-- owasp:end -->"


def rows():
    """[(requirement, what we do, [test, …]), …]"""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index(BEGIN):text.index(END)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    return [(asked, done, re.findall(r"`([^`]+)`", held)) for asked, done, held in cells
            if not re.fullmatch(r"-+|ASVS 5\.0|API Top 10, 2023", asked)]


@pytest.mark.parametrize("asked, done, held", rows(), ids=[re.sub(r"\W+", "-", row[0]) for row in rows()])
def test_is_held(asked, done, held):
    assert done and held, "nothing is said"
    missing = [test for test in held if not any((ROOT / "tests" / f"{test}{end}").is_file() for end in (".py", ".c"))]
    assert missing == []


def test_nothing_is_left_out():
    """Every chapter of the standard, and all ten."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = text[text.index(BEGIN):text.index("## ", text.index(END))]
    assert {f"V{n}" for n in range(1, 18)} <= set(re.findall(r"\bV\d+", told))
    assert [asked.split()[0] for asked, _, _ in rows() if asked.startswith("API")] == [f"API{n}" for n in range(1, 11)]
