"""figures.py: what the samples say: medians, ratios and goals. Pure: samples in, numbers out."""

import csv
import statistics
from dataclasses import astuple, dataclass, fields

from bench.items import Sample


# ---- TSV ------------------------------------------------------------------------------------------

def as_text(value):
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_tsv(samples, file):
    rows = csv.writer(file, delimiter="\t", lineterminator="\n")
    rows.writerow([f.name for f in fields(Sample)])
    rows.writerows([as_text(v) for v in astuple(s)] for s in samples)


def read_tsv(file):
    def number(text):
        return None if text == "" else float(text) if "." in text else int(text)
    return [Sample(**{k: v if k in ("item", "peer", "note") else number(v) for k, v in row.items()})
            for row in csv.DictReader(file, delimiter="\t")]


# ---- medians --------------------------------------------------------------------------------------

def median_ratio(own, reference):
    """Of {repetition: value} each. Only what was measured in the same repetition is compared: in the time
    that passes between two of them, machines change their pace by more than the servers differ."""
    ratios = [own[rep] / reference[rep] for rep in own if reference.get(rep)]
    return statistics.median(ratios) if ratios else None


class Summary:
    """Of all repetitions: of(item, peer, field) and so on give None where nothing was measured."""

    def __init__(self, samples):
        self.samples = samples

    def values(self, item, peer, name):
        """*item* None: of all items."""
        found = (getattr(s, name) for s in self.samples if item in (None, s.item) and s.peer == peer)
        return [v for v in found if v is not None]

    def of(self, item, peer, name):
        values = self.values(item, peer, name)
        return statistics.median(values) if values else None

    def spread(self, item, peer, name):
        values = self.values(item, peer, name)
        return (min(values), max(values)) if values else None

    def by_repetition(self, item, peer, name):
        """{repetition: value}"""
        found = {s.rep: getattr(s, name) for s in self.samples if s.item == item and s.peer == peer}
        return {rep: value for rep, value in found.items() if value is not None}

    def errors(self, item, peer):
        return sum(self.values(item, peer, "errors"))

    def ratio(self, item, peer, other, name):
        return median_ratio(self.by_repetition(item, peer, name), self.by_repetition(item, other, name))

    def peers(self, item=None):
        """In the order of their first measurement."""
        return list(dict.fromkeys(s.peer for s in self.samples if item in (None, s.item) and not s.note))

    def items(self):
        return list(dict.fromkeys(s.item for s in self.samples))


# ---- goals ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Goal:
    """*item*'s *name* of colmeia must be *relation* *factor* times that of the best of *against*: peers,
    or another item of colmeia's ("@W5"), in the median of the repetitions. Without *against* the factor is
    the bound itself."""
    item: str
    name: str
    relation: str      # ">=" or "<="
    factor: float
    against: tuple = ()
    beside: str = ""   # a field that is shown beside it and not judged

    def reference(self, summary):
        """{repetition: the best of *against*}"""
        best = max if self.relation == ">=" else min
        found = {}
        for a in self.against:
            values = (summary.by_repetition(a[1:], "colmeia", "rate") if a.startswith("@")
                      else summary.by_repetition(self.item, a, self.name))
            for rep, value in values.items():
                found[rep] = best(value, found.get(rep, value))
        return found

    def judge(self, summary):
        """(ratio, met), or None when it was not measured."""
        if self.against:
            found = median_ratio(summary.by_repetition(self.item, "colmeia", self.name), self.reference(summary))
        else:
            found = summary.of(self.item, "colmeia", self.name)
        if found is None:
            return None
        return found, found >= self.factor if self.relation == ">=" else found <= self.factor


GOALS = [
    Goal("W1", "rate", ">=", 0.95, ("nginx",)),
    Goal("W1", "cpu_us", "<=", 1.0, ("nginx",)),
    Goal("W2", "rate", ">=", 2.2, ("go",)),
    Goal("W2", "rate", ">=", 0.85, ("ceil",)),
    Goal("W3", "rate", ">=", 3.2, ("go",)),
    Goal("W3", "rate", ">=", 0.9, ("ceil",)),
    Goal("W4", "rate", ">=", 2.0, ("go",)),
    Goal("W5", "rate", ">=", 1.6, ("go", "fastapi")),
    Goal("W5", "rate", ">=", 0.97, ("ceil",)),
    Goal("W6", "rate", ">=", 1.6, ("go", "fastapi")),
    Goal("W6", "rate", ">=", 0.97, ("ceil",)),
    Goal("W7", "p99_us", "<=", 500),
    Goal("W7", "served", ">=", 0.98),
    Goal("W7", "logins", ">=", 0.9, ("@W5",)),
    Goal("W7s", "logins", ">=", 0.25, ("@W5",)),
    Goal("W9", "rate", ">=", 4.0, ("ceil-each",)),
    Goal("W10", "rate", ">=", 0.75, ("@W2",)),
    Goal("W8", "p50_us", "<=", 350_000),
    Goal("W8s", "onlooker_ratio", "<=", 2.0, beside="quiet_ratio"),
    Goal("W8s", "cpu_us", "<=", 20),
    Goal(None, "worker_kib", "<=", 3 * 1024),
    Goal(None, "master_kib", "<=", 2.5 * 1024),
]
