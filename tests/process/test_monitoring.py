"""Alert rules and dashboard fit the metrics' names: what they ask for, a server has."""

import json
import re
import shutil
import subprocess

import pytest

from harness.server import FAST, ROOT
from process.test_admin import ADMIN, Admin

ALERTS, DASHBOARD = ROOT / "etc" / "prometheus-alerts.yml", ROOT / "etc" / "grafana-dashboard.json"
OF_PROMETHEUS = {"instance", "job"}     # labels that it adds


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def dashboard_queries():
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def alert_queries():
    """The rules' expressions; YAML's folded ones are joined."""
    text = ALERTS.read_text()
    return [" ".join(found.split()) for found in re.findall(r"^ +expr: (?:>-\n)?((?:.|\n)*?)\n +(?:for|labels):", text,
                                                            re.MULTILINE)]


def asked(query):
    """[(name, [(label, value)])] of what a query selects; values of "=" only, None for others."""
    found = []
    for name, matchers in re.findall(r"\b(colmeia_\w+)(?:\{([^}]*)\})?", query):
        labels = re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers)
        found.append((name, [(label, value if how == "=" else None) for label, how, value in labels]))
    return found


@pytest.fixture
def samples(serve):
    """[(name, {label: value})] of a server that has seen a bit of everything."""
    server = serve(workers=1, config={**FAST, **ADMIN})
    with server.api() as api:
        assert api.sign_up("first").status_code == 201
    server.reload()
    admin = Admin(server).await_ready()
    return [(name.partition("{")[0], dict(re.findall(r'(\w+)="([^"]*)"', name))) for name in admin.metrics()]


def test_every_name_is_a_metric(samples):
    queries = dashboard_queries() + alert_queries()
    assert len(alert_queries()) == ALERTS.read_text().count("- alert:") > 8
    assert len(dashboard_queries()) > 20
    for query in queries:
        for name, labels in asked(query):
            having = [row for named, row in samples if named == name]
            assert having, f"{name} in {query}"
            for label, value in labels:
                if label not in OF_PROMETHEUS:
                    assert any(label in row and value in (None, row[label]) for row in having), (label, value, query)


def test_sums_and_legends_name_labels(samples):
    """by (…) and {{…}} of labels that the metric has."""
    for panel in panels():
        for target in panel["targets"]:
            names = [name for name, _ in asked(target["expr"])]
            known = {label for named, row in samples if named in names for label in row} | OF_PROMETHEUS
            wanted = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            wanted += re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])))
            assert set(wanted) <= known, target


def test_dashboard_is_laid_out():
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells, panel["title"]
        places |= cells


def promtool(*words, **options):
    if not shutil.which("promtool"):
        pytest.skip("SKIP: promtool (Debian package prometheus) is not here")
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, **options)


def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(alert_queries())} rules found" in done.stdout


def test_prometheus_understands_the_dashboard(place):
    """Its queries as recording rules, with what Grafana puts into them."""
    rules = [{"record": f"q{i}", "expr": query.replace("$__rate_interval", "1m").replace("$instance", ".*")}
             for i, query in enumerate(dashboard_queries())]
    file = place / "rules.json"      # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
