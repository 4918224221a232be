"""vectors.py: reads the tables beside this file (*.txt): requests as bytes, and what becomes of them.

    [9112 6.2 Content-Length; 9110 8.6]     RFC, section and subject of the rows below
    five bytes | POST … | 422=hello open    what it is, the bytes that are sent, the verdict

In the bytes ⏎ is CR LF, \\x00, \\r, \\n, \\t and \\\\ are as in Python, {text*8} is that text eight times, and every
other character is itself. The verdict is the statuses of all answers in their order, each perhaps with

    h           it answers HEAD: a head that announces a body, and no body
    =TEXT       the input that a 422 shows: what arrived as body, path parameter or query parameter
    >URL        the location of a redirection
    ^METHOD     the methods that a 405 allows
    ( )         may come or not

and then what becomes of the connection: "open" (the next request on it is answered), "close" (the last answer says
so, and it is), or "more" (the server waits for the rest; when none comes it closes without another word)."""

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENDS = ("open", "close", "more")
EXPECTED = re.compile(r"(\()?(\d{3})(h)?(?:\^([^=>]+))?(?:>(\S+))?(?:=(\S+))?\)?$")


@dataclass
class Expected:
    """One answer."""
    status: int
    optional: bool
    head: bool
    allow: str       # None: not said
    location: str
    input: str


@dataclass
class Vector:
    section: str     # "9112 6.2 Content-Length; 9110 8.6"
    name: str
    data: bytes
    answers: list    # of Expected
    end: str         # one of ENDS

    @property
    def title(self):
        return f"{self.section}: {self.name}"


def unescape(text):
    return re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[rnt\\])",
                  lambda m: m[0].encode().decode("unicode_escape"), text)


def repeat(text):
    return re.sub(r"\{([^{}]*)\*(\d+)\}", lambda m: m[1] * int(m[2]), text)


def read_answer(word):
    match = EXPECTED.match(word)
    if not match:
        raise ValueError(f"no answer: {word!r}")
    optional, status, head, allow, location, shown = match.groups()
    return Expected(int(status), bool(optional), bool(head), allow and unescape(allow), location,
                    shown and unescape(shown))


def parse_row(section, line):
    name, data, verdict = (part.strip(" ") for part in line.split(" | "))
    # letters above ASCII are not for the bytes: \\xc3 is
    sent = unescape(repeat(data).replace("⏎", "\r\n")).encode("latin-1")
    *answers, end = repeat(verdict).split()
    if end not in ENDS:
        raise ValueError(f"{name}: {end!r} is no end")
    return Vector(section, name, sent, [read_answer(word) for word in answers], end)


def load(file):
    """Every row of a table, in order. Anything not understood is an error."""
    vectors, section = [], None
    for line in (HERE / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            vectors.append(parse_row(section, line))
    return vectors


FILES = sorted(p.stem for p in HERE.glob("*.txt"))
