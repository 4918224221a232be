"""vectors.py: reads the exchanges beside this file (*.txt). fast_zero_final_*.txt were captured from
the original; the others were written after its contract, and say what the original answers, not what
colmeia does (see differences.py). A row of them is

    ### name
    > METHOD path headers body      headers and body as Python literals, or nothing
    < status headers                headers as JSON
    < body

In headers and bodies, «any» stands for any text; in a header that is sent, «login EMAIL PASSWORD» for
the token that a login gives, «once EMAIL PASSWORD» for the one that the first such login of its file gave,
and «jwt HEADER PAYLOAD» for one made by hand (test_vectors.py).
"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUEST = re.compile(r"> (\S+) (\S+) (\{.*?\})? ?(b['\"].*)?$")
ANSWER = re.compile(r"< (\d+) (\{.*\})$")


@dataclass
class Exchange:
    file: str        # "fast_zero_final_routing"
    index: int
    name: str
    method: str
    target: str
    headers: list    # [(name, value)] to be sent
    body: bytes      # None: none
    status: int
    answer_headers: dict
    answer_body: bytes

    @property
    def id(self):
        short = self.file.removeprefix("fast_zero_final_")
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.name.split("'")[0]).strip("-")
        return f"{short}-{self.index:03}-{slug}"


def parse(text, file=""):
    """Every exchange of a file, in order. Anything not understood is an error."""
    exchanges = []
    for index, part in enumerate(re.split(r"^### ", text, flags=re.MULTILINE)[1:]):
        name, sent, got, body = part.removesuffix("\n").split("\n", 3)
        request, answer = REQUEST.match(sent), ANSWER.match(got)
        if not request or not answer or not body.startswith("< "):
            raise ValueError(f"{file}: cannot read the row {name!r}")
        headers = ast.literal_eval(request[3]) if request[3] else {}
        exchanges.append(Exchange(
            file=file, index=index, name=name, method=request[1], target=request[2],
            headers=list(headers.items()), body=ast.literal_eval(request[4]) if request[4] else None,
            status=int(answer[1]), answer_headers=json.loads(answer[2]), answer_body=body[2:].encode()))
    return exchanges


def load(file):
    return parse((HERE / f"{file}.txt").read_text(encoding="utf-8"), file)


FILES = sorted(p.stem for p in HERE.glob("*.txt"))
