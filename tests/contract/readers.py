"""readers.py: asks colmeia's readers of foreign bytes, many documents at once, through the program
contract_reader (reader.c), and makes random documents to ask about."""

import random
import re
import struct
import subprocess
import tempfile

from harness.server import BINARY, clean_environment, without_aslr

READER = BINARY.parent / "tests" / "unit" / "contract_reader"
KEY = b"0123456789abcdef0123456789abcdef"    # agreed with reader.c
NOW_S = 1_800_000_000
TIMEOUT_S = 240


def ask(kind, documents):
    """What the reader of that kind (a letter of reader.c) makes of each document, bytes or a pair of
    them: [(verdict, bytes)], the verdict a letter."""
    with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as got, tempfile.TemporaryFile() as said:
        for document in documents:
            a, b = document if isinstance(document, tuple) else (document, b"")
            sent.write(kind.encode() + struct.pack("<II", len(a), len(b)) + a + b)
        sent.seek(0)
        done = subprocess.run(without_aslr([str(READER)]), stdin=sent, stdout=got, stderr=said,
                              env=clean_environment(), timeout=TIMEOUT_S)
        said.seek(0)
        assert done.returncode == 0, said.read().decode(errors="replace")
        got.seek(0)
        data = got.read()
    answers, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        answers.append((chr(data[at + 4]), data[at + 5:at + 4 + length]))
        at += 4 + length
    assert len(answers) == len(documents)
    return answers


def differences(kind, documents, expected):
    """[(document, ours, expected)] of those that differ."""
    return [(d, ours, theirs) for d, ours in zip(documents, ask(kind, documents))
            if ours != (theirs := expected(d))]


def mutated(rng, text, alphabet):
    """text (bytes or str) with a few places changed; what is inserted comes from *alphabet*."""
    for _ in range(rng.randrange(1, 4)):
        at, end = rng.randrange(len(text) + 1), rng.randrange(1, 4)
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + text[at + end:]
        elif kind == 1:
            text = text[:at] + rng.choice(alphabet) + text[at:]
        elif kind == 2:
            text = text[:at] + rng.choice(alphabet) + text[at + 1:]
        elif kind == 3:
            text = text[:at] + text[at:at + 8] * 2 + text[at + 8:]
        else:
            text = text[:at]
    return text


# ---- JSON -----------------------------------------------------------------------------------------

CHARACTERS = [*"abc zAZ019", "\x7f", "é", "ß", "\u07ff", "\u0800", "\u2028", "\ud7ff", "\ue000", "\ufeff",
              "\uffff", "\U00010000", "😀", "\U0010ffff"]
ESCAPES = ['\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0000", "\\u001f", "\\u00e9", "\\uD83D\\uDE00",
           "\\ud800", "\\uDFFF", "\\ud800\\u0041", "\\uD800\\uD800\\uDC00", "\\udc00\\ud800"]
BAD_STRINGS = ["\\x", "\\u12", "\\u12G4", "\\uD800\\u12", "\\", "\t", "\x00", "\x1f", "\n", "\\U0041", "\\'"]
NUMBERS = ["0", "-0", "1", "-1", "10", "9007199254740993", "18446744073709551616", "123456789012345678901234567890",
           "0.0", "-0.0", "1.5", "1.50", "100000.0", "1e22", "1E-7", "1e5", "123456789.12345679", "0.1", "1e16",
           "1e15", "123456789012345680.0", "1e400", "-1e400", "1e-400", "5e-324", "2.2250738585072014e-308",
           "1.7976931348623157e308", "1.7976931348623159e308", "0.30000000000000004", "9.5e-5", "0.0001",
           "NaN", "Infinity", "-Infinity"]
BAD_NUMBERS = ["01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "--1", "-01", "1_0", "1.5.5", "nan", "-NaN", "Inf",
               "１", "1e5e5"]
WORDS = ["null", "true", "false"]
BAD_WORDS = ["nul", "True", "None", "truefalse", "undefined", "'a'", "/**/", "\u00a0", "\ufeff", "\x0b", "\x0c"]
NAMES = ['"a"', '"b"', '"username"', '""', '"\\u0061"', '"é"', '"\\ud800"', '"\\udfff"']
BLANKS = ["", "", "", "", " ", "\n", "\t \r\n", "  "]
ALPHABET = [*'{}[]:,"\\', " ", "\n", "\t", "\x0b", "e", "E", ".", "-", "+", "0", "1", "u", "/", "\x00", "\x1f", "\x7f",
            "é", "\u2028", "\ufeff", "😀", "\ud800", "\udc00", "null", "NaN", '"a":', ",]", ",}", "\\u", "\\"]


def random_string(rng):
    parts = [rng.choice(CHARACTERS) for _ in range(rng.randrange(5))]
    if rng.random() < 0.4:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(ESCAPES))
    if rng.random() < 0.03:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(BAD_STRINGS))
    return '"' + "".join(parts) + '"'


def random_number(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return str(rng.randrange(-10**rng.randrange(1, 40), 10**rng.randrange(1, 40)))
    if kind == 1:      # any double at all
        (number,) = struct.unpack("<d", rng.randbytes(8))
        return repr(number) if number == number and abs(number) != float("inf") else "1.0"
    if kind == 2:
        return f"{rng.randrange(10**6)}.{rng.randrange(10**rng.randrange(1, 20))}e{rng.randrange(-40, 40)}"
    return rng.choice(NUMBERS if rng.random() < 0.9 else BAD_NUMBERS)


def random_value(rng, depth=0):
    kind = rng.randrange(10 if depth < 4 else 7)
    if kind < 2:
        return random_number(rng)
    if kind < 5:
        return random_string(rng)
    if kind < 7:
        return rng.choice(WORDS if rng.random() < 0.93 else BAD_WORDS)
    blank = lambda: rng.choice(BLANKS)
    if kind == 7:
        items = [blank() + random_value(rng, depth + 1) + blank() for _ in range(rng.randrange(4))]
        return "[" + (",".join(items) or blank()) + "]"
    members = [blank() + (rng.choice(NAMES) if rng.random() < 0.8 else random_string(rng)) + blank() + ":" + blank()
               + random_value(rng, depth + 1) + blank() for _ in range(rng.randrange(4))]
    return "{" + (",".join(members) or blank()) + "}"


def random_text(rng):
    text = rng.choice(BLANKS) + random_value(rng) + rng.choice(BLANKS)
    return mutated(rng, text, ALPHABET) if rng.random() < 0.5 else text


ENCODINGS = ["utf-8"] * 14 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
BYTES = [b"\x00", b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
         b"\xe2\x82", b"\x80", b"\xf0\x9f", b"\xd8", b"\xdc", b"\x11\x00\x00"]


def random_json(rng):
    """A document as bytes: mostly JSON, often with something wrong, sometimes in another encoding."""
    encoding = rng.choice(ENCODINGS)
    data = random_text(rng).encode(encoding, "surrogatepass")
    if encoding == "utf-16" and rng.random() < 0.5:
        data = b"\xfe\xff" + data[2:][::-1] if rng.random() < 0.2 else data
    return mutated(rng, data, BYTES) if rng.random() < 0.08 else data


# ---- query strings and numbers --------------------------------------------------------------------

QUERY_PARTS = [b"a", b"username", b"=", b"=", b"&", b"&", b"+", b"%20", b"%zz", b"%", b"%4", b"%C3%A9", b"%ff", b"\xc3\xa9",
               b"\xff", b";", b"%26", b"%3D", b"%00", b"%ED%A0%80", b"%F0%9F%98%80", b"\x00", b" ", b"\r\n", b"%2B", b"%e2%82",
               b"#", b"?", b"%25", b"%u0041"]
INTEGER_PARTS = ["0", "0", "1", "2", "9", "-", "+", "_", ".", ".0", " ", "\t", "\x85", "\xa0", "\x1c", "\u0663", "e", "x", "00",
                 "1_0", "9223372036854775807", "9223372036854775808", "9" * 20, "\u2003", "\n"]
# Zeros, underscores and signs in orders that pydantic takes by chance; test_pyint.c has them.
ODD_INTEGER = re.compile(rb"_\.|0[0_]*-|^_|__|_$|_[^0-9]|\.0+_|-[^0-9]")


def random_query(rng):
    return b"".join(rng.choice(QUERY_PARTS) for _ in range(rng.randrange(9)))


def random_integer(rng):
    return "".join(rng.choice(INTEGER_PARTS) for _ in range(rng.randrange(7))).encode()


def some(count, seed, make):
    rng = random.Random(seed)
    return [make(rng) for _ in range(count)]
