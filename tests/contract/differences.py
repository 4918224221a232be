"""differences.py: every way in which answers differ from the captured ones of the original, on purpose.
The README shows this table; run as a script it prints it in Markdown:

    python3 tests/contract/differences.py
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    file: str      # vector file without .txt, or "*"
    row: str       # name of its row, or a pattern of such names (fnmatch)
    field: str     # "answer" (status and JSON body, with all that follows from them), "status",
                   # "body", or the name of a header
    ours: str      # "404 {…}" for an answer; a header's value; "{host}" stands for the test's own
    reason: str


ROUTING = "fast_zero_final_routing"
CREATE = "fast_zero_final_create_user"
JSON_ERRORS = "json_errors"

OFFERED = "reading one user is offered; there is no user 1 in an empty database"
NAN = "the original fails with 500; NaN and infinities are no JSON and are shown as null"
SURROGATE = "the original fails with 500; a lone surrogate is no text and is shown as U+FFFD"
BEYOND = "the original fails with 500 in its database; the bound is named"


def answer_422(kind, loc, msg, shown, ctx=""):
    return f'422 {{"detail":[{{"type":"{kind}","loc":{loc},"msg":"{msg}","input":{shown}{ctx}}}]}}'


def no_text(field, shown):
    return answer_422("string_type", f'["body","{field}"]', "Input should be a valid string", shown)


def no_unicode(field):
    return answer_422("string_unicode", f'["body","{field}"]', "Input should be a valid string, unable to parse raw "
                      "data as a unicode string", '"\ufffd"')


def no_object(shown):
    return answer_422("model_attributes_type", '["body"]', "Input should be a valid dictionary or object to extract "
                      "fields from", shown)


def too_large(field, shown):
    return answer_422("less_than_equal", f'["query","{field}"]', f"Input should be less than or equal to {2**63 - 1}",
                      f'"{shown}"', f',"ctx":{{"le":{2**63 - 1}}}')


DIFFERENCES = [
    Difference("*", "*", "server", "colmeia", "it says who it is"),
    Difference("*", "*", "location", "{host}", "the port is the one of the server under test"),
    Difference(ROUTING, "users/1 GET", "answer", '404 {"detail":"User not found"}', OFFERED),
    Difference(CREATE, "invalid json 17 NaN", "answer", no_object("null"), NAN),
    Difference(CREATE, "surrogate", "answer", no_unicode("username"), SURROGATE),
    Difference(JSON_ERRORS, "NaN is echoed", "answer", no_text("username", "null"), NAN),
    Difference(JSON_ERRORS, "Infinity is echoed", "answer", no_object("[null]"), NAN),
    Difference(JSON_ERRORS, "1e400 is echoed", "answer", no_text("username", "null"), NAN),
    Difference(JSON_ERRORS, "lone surrogate in what is echoed", "answer", no_object('["\ufffd"]'), SURROGATE),
    Difference(JSON_ERRORS, "lone surrogate in a password", "answer", no_unicode("password"), SURROGATE),
    Difference("types_422", "invalid UTF-8 of another type", "answer", no_object('"a\ufffd"'),
               "the original fails with 500; bytes that are no text are shown as U+FFFD"),
    Difference("lists", "limit beyond 64 bits", "answer", too_large("limit", 2**63), BEYOND),
    Difference("lists", "offset beyond 64 bits", "answer", too_large("offset", "9" * 20), BEYOND),
    Difference("tokens", "odd: *", "answer", '401 {"detail":"Could not validate credentials"}',
               "the original fails with 500; what is no token of ours opens nothing"),
    Difference("put_delete", "a token of before the change of *", "answer",
               '401 {"detail":"Could not validate credentials"}',
               "whoever changes a password ends the sessions that were begun with the old one"),
    Difference("paths", "GET /users/1 of nobody", "answer", '404 {"detail":"User not found"}', OFFERED),
    Difference("paths", "GET /healthcheck", "answer", '200 {"status":"ok"}',
               "load balancers ask for it; while the server stops it is 503"),
    Difference("paths", "GET /users/x", "answer", answer_422(
        "int_parsing", '["path","user_id"]', "Input should be a valid integer, unable to parse string as an integer",
        '"x"'), "reading one user is offered"),
]


def summary(ours):
    """An answer's status and body; of a 422 only what is wrong with what."""
    status, _, body = ours.partition(" ")
    if status != "422":
        return ours
    (problem,) = json.loads(body)["detail"]
    return f"422 {problem['type']} … {json.dumps(problem['input'], ensure_ascii=False)}"


def place(d):
    return "all" if d.row == "*" else d.file.removeprefix("fast_zero_final_") + ": " + d.row


def markdown():
    """The table as the README has it: a row for each reason."""
    reasons = {}
    for d in DIFFERENCES:
        reasons.setdefault((d.reason, d.field), []).append(d)
    rows = ["| exchanges | field | colmeia | why |", "|---|---|---|---|"]
    for (reason, field), group in reasons.items():
        ours = dict.fromkeys("`" + summary(d.ours).replace("|", "\\|") + "`" for d in group)
        rows.append(f"| {'; '.join(map(place, group))} | {field} | {', '.join(ours)} | {reason} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
