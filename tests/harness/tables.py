"""tables.py: the program's tables (*.def), as tests read them: rows of macros with C literals."""

import re

from harness.server import ROOT


def rows(path, macro):
    """[[column, …], …]: texts without their quotes, joined where C joins them."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)
    found = []
    for match in re.finditer(rf'^{macro}\(((?:"(?:[^"\\]|\\.)*"|[^")])*)\)', text, re.MULTILINE):
        columns = [""]
        for literal, word, comma in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s,"]+)|(,)', match.group(1)):
            if comma:
                columns.append("")
            else:
                columns[-1] += literal or word
        found.append(columns)
    assert found, f"no {macro} in {path}"
    return found
