"""conform.py: what RFC 9110 and 9112 ask of every answer, and what the operator asks: nothing about the program
but its name."""

import re

DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                  r"\d\d:\d\d:\d\d GMT$")
# Every field an answer may have, in no order; a new one is a decision.
FIELDS = {"date", "server", "www-authenticate", "allow", "retry-after", "content-type", "content-length", "location",
          "connection", "cache-control", "pragma", "etag", "vary", "content-encoding", "content-security-policy",
          "x-content-type-options", "x-frame-options", "referrer-policy", "strict-transport-security"}
# Refused before the message was understood, or without reading it to its end: what follows cannot be found.
LAST = {408, 413, 414, 417, 431, 501, 505}


def conform(answer):
    """Raises AssertionError. 1xx have no fields; all others end by their length, and say when and who."""
    assert answer.version == "HTTP/1.1", answer
    assert answer.names == [name.lower() for name in answer.names], answer
    assert len(set(answer.names)) == len(answer.names), f"a field twice: {answer}"
    assert all(re.fullmatch(r"[\t -~\x80-\xff]*", value) for _, value in answer.headers), answer
    if answer.status < 200:
        assert (answer.status, answer.headers) == (100, []), answer
        return
    assert set(answer.names) <= FIELDS, answer
    assert DATE.match(answer.header("date")), answer
    assert answer.header("server") == "colmeia", answer
    assert re.fullmatch(r"\d+", answer.header("content-length")), answer    # 204 and 304 are never sent
    assert answer.header("connection") in (None, "close"), answer
    assert (answer.header("allow") is not None) == (answer.status == 405), answer
    assert (answer.header("location") is not None) == (answer.status == 307), answer
    assert answer.status != 401 or answer.header("www-authenticate") == "Bearer", answer
    assert answer.status not in LAST or answer.header("connection") == "close", answer
