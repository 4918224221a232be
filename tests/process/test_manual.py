"""The man pages and --help: made without a complaint of those who read them, and nothing is missing in
them that the program understands."""

import re
import subprocess

import pytest

from harness.server import BINARY, run_verb
from harness.tables import rows

PAGES = BINARY.parent / "etc" / "man"
NAMES = ["colmeia.8", "colmeia.ini.5", "colmeia-ctl.1"]
OPTIONS = rows("shared/options.def", "OPTION")
VERBS = [row for row in rows("master/verbs.def", "VERB") if row[2]]
COMMANDS = rows("master/commands.def", "COMMAND")
SWITCHES = {"--config", "--env-file", "--help"}


def plain(text):
    """A page as it is read, on one line."""
    return re.sub(r"\s+", " ", re.sub(".\x08", "", text))


@pytest.fixture(scope="module")
def pages():
    """{name: text}"""
    found = {}
    for name in NAMES:
        shown = subprocess.run(["man", "-l", "--warnings", "--nh", "--nj", str(PAGES / name)], capture_output=True,
                               text=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "200", "LC_ALL": "C.UTF-8"})
        assert shown.returncode == 0 and shown.stderr == "", shown.stderr
        found[name] = plain(shown.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_lint(name):
    lint = subprocess.run(["mandoc", "-Tlint", "-W", "all", str(PAGES / name)], capture_output=True, text=True)
    complaints = [line for line in (lint.stdout + lint.stderr).splitlines()
                  # the others are not where it looks before they are installed
                  if not re.search(r"referenced manual not found: Xr colmeia", line)]
    assert complaints == []


def test_every_verb(pages, place):
    text = run_verb(place, "--help").stdout
    for name, synopsis, summary, *_ in VERBS:
        assert f"{name} {synopsis}".strip() in pages["colmeia.8"], name
        assert summary in pages["colmeia.8"], name
        assert re.search(rf"^  {name} +{re.escape(summary)}", text, re.MULTILINE), name
        if name != "ctl":
            assert synopsis in run_verb(place, name, "--help").stdout


def test_every_option(pages, place):
    text, ini = run_verb(place, "--help").stdout, pages["colmeia.ini.5"]
    for section, key, _, fallback, _, flags, flag, environment, help_ in OPTIONS:
        start = ini.index(f"Section {section} ")
        entry = ini.find(f" {key} = ", start)
        assert entry > 0, key
        assert plain(help_) in ini[entry:], key
        if fallback not in ("NULL", "", "no"):
            assert f"Default: {fallback}." in ini[entry:entry + 600], key
        if "RESTART" in flags:
            assert "A change needs a restart." in ini[entry:entry + 600], key
        if environment:
            assert environment in ini[entry:entry + 600], key
        if flag:
            assert f" {flag} " in pages["colmeia.8"] and re.search(rf"^  {flag}\b", text, re.MULTILINE), flag


def test_every_command(pages, place):
    text = run_verb(place, "ctl", "--help").stdout
    for _, word, _, _, usage, help_ in COMMANDS:
        for shown in (pages["colmeia-ctl.1"], plain(text)):
            assert f" {word} {usage}".rstrip() in shown, word
            assert plain(help_) in shown, word


def test_every_exit_code(pages, place):
    for path, macro, page, words in (("shared/exit_codes.def", "EXIT_CODE", "colmeia.8", ["--help"]),
                                     ("master/ctl_codes.def", "CTL_CODE", "colmeia-ctl.1", ["ctl", "--help"])):
        text = run_verb(place, *words).stdout
        for _, number, *_, meaning in rows(path, macro):
            assert f" {number} {meaning}" in pages[page]
            assert re.search(rf"^ +{number}  {re.escape(meaning)}$", text, re.MULTILINE)


def test_pages_name_nothing_that_is_not_there(pages):
    """Options in the prose of templates are typed by hand."""
    known = SWITCHES | {row[6] for row in OPTIONS} | {
        word for row in VERBS for word in re.findall(r"--[a-z-]+", row[1] + row[3])} | {
        word for row in COMMANDS for word in re.findall(r"--[a-z-]+", row[4])} | {
        "--json", "--timeout", "--control", "--host", "--port", "--uds", "--version"}
    for name, text in pages.items():
        assert set(re.findall(r"(?<![\w-])--[a-z-]*[a-z]", text)) <= known, name
