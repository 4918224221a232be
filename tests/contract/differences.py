"""differences.py: every way in which answers differ from the captured ones of the original, on purpose.
The README shows this table; run as a script it prints it in Markdown:

    python3 tests/contract/differences.py
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    file: str      # vector file without .txt, or "*"
    row: str       # name of its row, or "*"
    field: str     # "answer" (status and JSON body, with all that follows from them), "status",
                   # "body", or the name of a header
    ours: str      # "404 {…}" for an answer; a header's value; "{host}" stands for the test's own
    reason: str


ROUTING = "fast_zero_final_routing"
CREATE = "fast_zero_final_create_user"

DIFFERENCES = [
    Difference("*", "*", "server", "colmeia", "it says who it is"),
    Difference("*", "*", "location", "{host}", "the port is the one of the server under test"),
    Difference(ROUTING, "users/1 GET", "answer", '404 {"detail":"User not found"}',
               "reading one user is offered; there is no user 1 in an empty database"),
    Difference(CREATE, "invalid json 17 NaN", "answer",
               '422 {"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid '
               'dictionary or object to extract fields from","input":null}]}',
               "the original fails with 500; NaN is no JSON and is shown as null"),
    Difference(CREATE, "surrogate", "answer",
               '422 {"detail":[{"type":"string_unicode","loc":["body","username"],"msg":"Input should be a valid '
               'string, unable to parse raw data as a unicode string","input":"\ufffd"}]}',
               "the original fails with 500; a lone surrogate is no text and is shown as U+FFFD"),
]


def markdown():
    """The table as the README has it."""
    def code(text):
        return "`" + text.replace("|", "\\|") + "`"

    rows = ["| exchange | field | colmeia | why |", "|---|---|---|---|"]
    for d in DIFFERENCES:
        where = "all" if d.row == "*" else d.file.removeprefix("fast_zero_final_") + ": " + d.row
        rows.append(f"| {where} | {d.field} | {code(d.ours)} | {d.reason} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
