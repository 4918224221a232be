"""Completion on bash's command line: bash itself runs it, with the words as it would split them."""

import subprocess

import pytest

from harness.server import BINARY
from harness.tables import rows

SCRIPT = BINARY.parent / "etc" / "completion.bash"
RUN = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_colmeia
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words, cwd="/"):
    """What is offered for the last of the words."""
    done = subprocess.run(["bash", "--norc", "-c", RUN, "bash", str(SCRIPT), "colmeia", *words],
                          capture_output=True, text=True, cwd=cwd, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return set(done.stdout.split())


VERBS = {row[0] for row in rows("master/verbs.def", "VERB") if row[2]}
COMMANDS = {row[1] for row in rows("master/commands.def", "COMMAND")}
FLAGS = {row[6] for row in rows("shared/options.def", "OPTION") if row[6]}


def test_everything_there_is():
    assert complete("") == VERBS
    assert complete("help", "") == VERBS
    assert complete("ctl", "") == COMMANDS
    assert FLAGS <= complete("--")
    assert FLAGS <= complete("check", "--")
    assert {"--json", "--timeout", "--control"} <= complete("ctl", "--")


@pytest.mark.parametrize("words, offered", [
    (["do"], {"doctor"}),
    (["xyz"], set()),
    (["--work"], {"--workers"}),
    (["run", "--rel"], {"--reload"}),
    (["--workers", ""], {"auto"}),
    (["--workers", "=", "a"], {"auto"}),
    (["--workers", "="], {"auto"}),
    (["--log-level", "w"], {"warning"}),
    (["--log-level", "=", ""], {"debug", "info", "warning", "error"}),
    (["--debug", ""], VERBS),                   # a switch has no value
    (["--workers", "3", "mig"], {"migrate"}),
    (["--workers", "=", "3", "mig"], {"migrate"}),
    (["--log-level", "debug", "migrate", ""], {"upgrade", "current", "history"}),
    (["migrate", "current", ""], set()),
    (["user", ""], {"add", "list", "passwd", "delete"}),
    (["config", "--or"], {"--origin"}),
    (["ctl", "re"], {"reload", "recycle", "retry"}),
    (["ctl", "--control", "/x", "to"], {"top"}),
    (["ctl", "--timeout", ""], set()),
    (["ctl", "reload", ""], {"--wait", "--dry-run"}),
    (["ctl", "reload", "--w"], {"--wait"}),
    (["ctl", "scale", ""], {"reset"}),
    (["ctl", "debug", "o"], {"on", "off"}),
    (["ctl", "log", "l"], {"level"}),
    (["ctl", "log", "level", "wa"], {"warning"}),
    (["ctl", "why", "--js"], {"--json"}),
])
def test_words(words, offered):
    assert complete(*words) == offered


def test_files(place):
    (place / "a.ini").touch()
    (place / "a.env").touch()
    assert complete("--config", "a.i", cwd=place) == {"a.ini"}
    assert complete("--config", "=", "a.i", cwd=place) == {"a.ini"}
    assert complete("check", "--env-file", "", cwd=place) == {"a.ini", "a.env"}
    assert complete("backup", "a.e", cwd=place) == {"a.env"}
    assert complete("ctl", "upgrade", "--binary", "a.i", cwd=place) == {"a.ini"}


def test_bash_takes_it():
    """As it is: whatever completes a word runs without -e, -u or options of a shell's own."""
    done = subprocess.run(["bash", "--norc", "-uec", 'source "$1"; complete -p colmeia', "bash", str(SCRIPT)],
                          capture_output=True, text=True)
    assert done.stdout == "complete -F _colmeia colmeia\n", done.stderr
