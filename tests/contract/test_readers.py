"""test_readers.py: colmeia's readers beside Python's own, on documents made at random."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import readers

SURROGATE = re.compile(b"\xed[\xa0-\xbf][\x80-\xbf]")


def report(found):
    """The first few of what differs, the shortest first."""
    found = sorted(found, key=lambda f: len(f[0]))
    return "\n".join(f"{len(found)} differ" * (i == 0) + f"\n  {d!r}\n  colmeia {ours}\n  Python  {theirs}"
                     for i, (d, ours, theirs) in enumerate(found[:5]))


# ---- JSON -----------------------------------------------------------------------------------------

def newer(error):
    """Message and position of json.JSONDecodeError as Python has them since 3.13, where a comma before
    the end of an array or object is named."""
    if sys.version_info >= (3, 13) or error.doc[error.pos:error.pos + 1] not in ("]", "}"):
        return error.msg, error.pos
    before = error.doc[:error.pos].rstrip(" \t\n\r")
    if before.endswith(","):
        if error.msg == "Expecting property name enclosed in double quotes" and error.doc[error.pos] == "}":
            return "Illegal trailing comma before end of object", len(before) - 1
        if error.msg == "Expecting value" and error.doc[error.pos] == "]":
            return "Illegal trailing comma before end of array", len(before) - 1
    return error.msg, error.pos


def plain(value):
    """What JSON cannot say is shown as null."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, list):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def python_json(data):
    """('o', the value printed again), ('s', position and message) or ('u', nothing)."""
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        message, position = newer(error)
        return "s", b"%d %s" % (position, message.encode())
    except (ValueError, RecursionError):
        return "u", b""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return "o", SURROGATE.sub("\ufffd".encode(), text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("seed", range(4))
def test_json(seed):
    documents = readers.some(25_000, seed, readers.random_json)
    verdicts = [v for v, _ in map(python_json, documents)]
    assert all(verdicts.count(v) > 100 for v in "osu"), "the documents are of all kinds"
    found = readers.differences("j", documents, python_json)
    assert not found, report(found)
