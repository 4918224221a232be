"""report.py: a pytest plugin that tells tests/runner.py how each test went, a JSON line each."""

import json
import os

FD = int(os.environ.get("COLMEIA_REPORT_FD", "-1"))


class Told:
    def __init__(self):
        self.seconds = 0.0
        self.state = "passed"
        self.output = ""


tests = {}


def pytest_runtest_logreport(report):
    told = tests.setdefault(report.nodeid, Told())
    told.seconds += report.duration
    if report.failed:
        told.state = "failed"
        sections = "".join(f"\n---- {title} ----\n{text}" for title, text in report.sections)
        told.output += f"{report.longreprtext}{sections}\n"
    elif report.skipped and told.state == "passed":
        told.state = "skipped"
        told.output = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext


def pytest_runtest_logfinish(nodeid, location):
    told = tests.pop(nodeid, None)
    if FD < 0 or told is None:
        return
    line = json.dumps({"name": nodeid, "state": told.state, "seconds": told.seconds, "output": told.output})
    os.write(FD, (line + "\n").encode())
