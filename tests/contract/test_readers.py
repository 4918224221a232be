"""test_readers.py: colmeia's readers beside Python's own, on documents made at random."""

import json
import re
import sys
import urllib.parse
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


# ---- query strings, forms, numbers ----------------------------------------------------------------

def python_pairs(data):
    """As Starlette reads a query string: the bytes are Latin-1, names and values quoted UTF-8."""
    pairs = urllib.parse.parse_qsl(data.decode("latin-1"), keep_blank_values=True)
    return "o", SURROGATE.sub("\ufffd".encode(), json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize("seed", range(2))
def test_query(seed):
    found = readers.differences("q", readers.some(10_000, seed, readers.random_query), python_pairs)
    assert not found, report(found)


def python_form(document):
    """As python-multipart cuts a form and Starlette decodes it: the same as a query string."""
    _, pairs = python_pairs(document[1])
    return "o", json.dumps([[*p, False] for p in json.loads(pairs)], ensure_ascii=False, separators=(",", ":")).encode()


def test_urlencoded_form():
    kind = b"application/x-www-form-urlencoded"
    documents = [(kind, q) for q in readers.some(10_000, 2, readers.random_query)]
    found = readers.differences("f", documents, python_form)
    assert not found, report(found)


BLANKS = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
INTEGER = re.compile(rf"[{BLANKS}]*[+-]?(?:(?:0[0_]*)?([1-9](?:_?[0-9])*)|0(?:[0_]*0)?)(?:\.0+)?[{BLANKS}]*")


def pydantic_int(data):
    """The number in the text, as pydantic's rules have it, for texts that keep clear of their odd ends."""
    match = INTEGER.fullmatch(data.decode())
    if not match:
        return "m", b""
    value = int(match[1].replace("_", "")) if match[1] else 0
    value = -value if "-" in match[0] else value
    bound = min(max(value, -2**63), 2**63 - 1)
    return ("o" if bound == value else "O"), b"%d" % bound


def test_integers():
    documents = [d for d in readers.some(30_000, 3, readers.random_integer) if not readers.ODD_INTEGER.search(d)]
    verdicts = [pydantic_int(d)[0] for d in documents]
    assert all(verdicts.count(v) > 100 for v in "omO")
    found = readers.differences("i", documents, pydantic_int)
    assert not found, report(found)


# ---- what no document may do ----------------------------------------------------------------------

def test_deep_documents():
    """Deeper than Python reads here: the verdict is known without it."""
    deep = 100_000
    documents = [b"[" * deep, b"[" * (deep + 1), b"[" * deep + b"]" * deep, b'{"a":' * deep, b'{"a":' * (deep + 1)]
    assert readers.ask("j", documents) == [
        ("s", b"%d Expecting value" % deep), ("u", b""), ("o", documents[2]),
        ("s", b"%d Expecting value" % (5 * deep)), ("u", b"")]


def test_many_containers():
    """Side by side is not deep."""
    text = b"[" + b",".join([b'[{"a":[]}]'] * 60_000) + b"]"
    assert readers.ask("j", [text]) == [("o", text)]


def test_many_names():
    """Time grows with the text, whatever names an object has."""
    names = [b'"%d":%d' % (i % 50_000, i) for i in range(100_000)]
    ((verdict, text),) = readers.ask("j", [b"{" + b",".join(names) + b"}"])
    assert verdict == "o" and json.loads(text) == {str(i): i + 50_000 for i in range(50_000)}


@pytest.mark.long
def test_json_for_a_long_time():
    for seed in range(1000, 1400):
        found = readers.differences("j", readers.some(25_000, seed, readers.random_json), python_json)
        assert not found, f"seed {seed}\n{report(found)}"
