"""The benchmark's own arithmetic, report and plot, on samples made up. Pure: nothing is measured."""

import contextlib
import io
import json
import xml.etree.ElementTree as xml
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench import checks, counting, items, loads, plot, processes, profiling, report
from bench.figures import GOALS, Goal, Summary, read_tsv, write_tsv
from bench.items import Sample
from bench.peers import APPS, BUILDS, PEERS, Place

SVG = "{http://www.w3.org/2000/svg}"


def samples():
    """Three repetitions; medians: colmeia 300, nginx 200 a second; W7: 250 µs and 1 s."""
    rates = {"colmeia": (100.0, 900.0, 300.0), "nginx": (200.0, 150.0, 4000.0)}
    found = [Sample(rep, "W1", peer, requests=int(rate), seconds=1.0, rate=rate, p50_us=100, p99_us=500 * rep,
                    cpu_us=5.0 * rep, worker_kib=1024 * rep)
             for peer, values in rates.items() for rep, rate in enumerate(values, 1)]
    found += [Sample(1, "W7", "colmeia", rate=389.0, p50_us=90, p99_us=250, served=0.999, logins=12.0, errors=2),
              Sample(1, "W7", "go", rate=40.0, p50_us=9000, p99_us=1_000_000, served=0.1, logins=13.0)]
    return found


def storms(*p99s):
    """W8s of colmeia: (of its own reads, quiet, of the onlooker's), a repetition each."""
    return [Sample(rep, "W8s", "colmeia", rate=390.0, p50_us=90, p99_us=own, quiet_p99_us=quiet, onlooker_p99_us=other,
                   served=1.0, logins=100.0, cpu_us=9.0) for rep, (own, quiet, other) in enumerate(p99s, 1)]


# ---- figures --------------------------------------------------------------------------------------

def test_medians_and_spread():
    summary = Summary(samples())
    assert summary.of("W1", "colmeia", "rate") == 300 and summary.of("W1", "nginx", "rate") == 200
    assert summary.spread("W1", "nginx", "rate") == (150, 4000)
    assert summary.ratio("W1", "colmeia", "nginx", "rate") == 0.5
    assert summary.of("W1", "colmeia", "cpu_us") == 10
    assert summary.of(None, "colmeia", "worker_kib") == 2048
    assert summary.errors("W7", "colmeia") == 2


def test_what_was_not_measured_is_none():
    summary = Summary(samples())
    assert summary.of("W2", "colmeia", "rate") is None and summary.spread("W2", "go", "rate") is None
    assert summary.ratio("W1", "colmeia", "go", "rate") is None
    assert Goal("W2", "rate", ">=", 1, ("go",)).judge(summary) is None
    assert Goal("W1", "rate", ">=", 1, ("go",)).judge(summary) is None


@pytest.mark.parametrize("goal,ratio,met", [
    (Goal("W1", "rate", ">=", 0.5, ("nginx",)), 0.5, True),
    (Goal("W1", "rate", ">=", 0.51, ("nginx",)), 0.5, False),
    (Goal("W1", "rate", ">=", 1.1, ("nginx", "colmeia")), 0.5, False),      # the best of those there are
    (Goal("W1", "cpu_us", "<=", 1.0, ("nginx",)), 1.0, True),
    (Goal("W1", "cpu_us", "<=", 0.9, ("nginx",)), 1.0, False),
    (Goal("W7", "p99_us", "<=", 249), 250.0, False),
    (Goal("W7", "served", ">=", 0.98), 0.999, True),
    (Goal("W7", "logins", ">=", 0.9, ("go", "fastapi")), 12 / 13, True),
    (Goal("W7", "logins", "<=", 0.13, ("@W1",)), 12 / 100, True),           # another item of its own
])
def test_goals(goal, ratio, met):
    assert goal.judge(Summary(samples())) == (pytest.approx(ratio), met)


def test_only_what_was_measured_in_the_same_repetition_is_compared():
    """A machine that halves its pace from one repetition to the next says nothing of the servers."""
    def measured(peer, *rates):
        return [Sample(rep, "W2", peer, rate=rate) for rep, rate in enumerate(rates, 1) if rate]
    summary = Summary(measured("colmeia", 90.0, 50.0, 80.0, None) + measured("ceil", 100.0, 50.0, None, 400.0)
                      + measured("go", 10.0, 60.0, 10.0, 10.0))
    assert summary.ratio("W2", "colmeia", "ceil", "rate") == pytest.approx(0.95)
    assert Goal("W2", "rate", ">=", 0.9, ("ceil",)).judge(summary) == (pytest.approx(0.95), True)
    # the best of each repetition: 100, 60, 10
    assert Goal("W2", "rate", ">=", 0.9, ("ceil", "go")).judge(summary) == (pytest.approx(0.9), True)
    assert Goal("W2", "rate", ">=", 0.9, ("fastapi",)).judge(summary) is None


def test_a_storm_is_judged_against_the_onlooker():
    """What the server adds to what the machine does to anybody; each repetition has its own onlooker."""
    summary = Summary(storms((900, 200, 600), (1600, 200, 800), (4000, 200, 1000)))
    (goal,) = [g for g in GOALS if g.item == "W8s" and g.name.endswith("_ratio")]
    assert goal.judge(summary) == (2.0, True) and summary.of("W8s", "colmeia", "quiet_ratio") == 8.0
    assert not goal.judge(Summary(storms((2001, 2000, 1000))))[1]
    assert goal.judge(Summary(storms((900, 200, None)))) is None


def test_tsv_there_and_back():
    file = io.StringIO()
    write_tsv(samples() + [Sample(1, "W2", "go", note="odd\tanswer")], file)
    file.seek(0)
    again = read_tsv(file)
    assert again[:len(samples())] == samples()
    assert again[-1].note == "odd\tanswer" and again[-1].rate is None


# ---- report and plot ------------------------------------------------------------------------------

@pytest.mark.parametrize("us,text", [(None, "–"), (0, "0 µs"), (999, "999 µs"), (1500, "1.5 ms"), (2.5e6, "2.50 s")])
def test_durations(us, text):
    assert report.duration(us) == text


def test_the_best_comes_first():
    summary = Summary(samples())
    rows = report.item_table(summary, "W1").splitlines()
    assert rows[2].startswith("| colmeia | 300 | 100 – 900 |") and rows[3].startswith("| nginx | 200 |")
    assert rows[3].endswith("| 0 | 0.50 |")
    assert [p for p, _ in plot.bar_rows(summary, "W7")] == ["colmeia", "go"]     # less is better


def test_report_names_who_was_left_out():
    text = report.report(Summary(samples() + [Sample(1, "W2", "go", note="answered nonsense")]), "here", "result.svg")
    assert "- W2: go: answered nonsense" in text
    assert "| W1: rate | at least 0.95 × nginx | 0.50 × | **missed** |" in text
    assert "| W2: rate | at least 2.2 × go | not measured |  |" in text


def test_report_of_a_storm():
    text = report.report(Summary(storms((900, 200, 600))), "here", "result.svg")
    assert "| served | orders/s beside | p99 quiet | p99 ÷ quiet | p99 of the onlooker | p99 ÷ onlooker's |" in text
    assert "| 100 % | 100 | 200 µs | 4.50 × | 600 µs | 1.50 × |" in text
    assert "| W8s: p99 ÷ onlooker's p99 | at most 2.00 × | 1.50 × (p99 ÷ quiet p99: 4.50 ×) | met |" in text
    remark = f"\n\nW8s: {items.ITEMS['W8s'].remark}\n"
    assert remark in text and remark in report.readme_part(Summary(storms((900, 200, 600))), "here", "plot.svg")
    assert "logins/s beside" in report.item_table(Summary(samples()), "W7")
    assert items.ITEMS["W8s"].remark not in report.report(Summary(samples()), "here", "result.svg")


def test_every_row_of_a_table_has_as_many_columns():
    summary = Summary(samples() + storms((900, 200, 600)))
    tables = [report.item_table(summary, "W1"), report.item_table(summary, "W7"), report.item_table(summary, "W8s"),
              report.memory_table(summary), report.goal_table(summary)]
    for text in tables:
        assert len({line.count("|") for line in text.splitlines()}) == 1, text


@pytest.mark.parametrize("part", [report.SPEED, report.SCALE])
def test_rewriting_the_readme(part):
    begin, end = report.marks(part)
    old = f"before\n{begin}\nold\n{end}\nafter\n"
    assert report.rewrite(old, part, "new") == f"before\n{begin}\nnew\n{end}\nafter\n"
    for wrong in ("no marks", begin, end, old + old):
        with pytest.raises(ValueError):
            report.rewrite(wrong, part, "new")
    readme = (command.ROOT / "README.md").read_text()
    assert readme.count(begin) == readme.count(end) == 1


def test_the_plot_is_in_the_readme():
    readme = (command.ROOT / "README.md").read_text()
    assert (command.ROOT / command.PLOT).exists() and str(command.PLOT) in readme


def test_the_readmes_part():
    part = report.readme_part(Summary(samples()), "here and now", "a/plot.svg")
    assert part.startswith("here and now\n\n![colmeia, nginx, go side by side](a/plot.svg)\n\n|")
    assert "| W1: GET / (requests/s) | **300** | 200 |  |" in part
    assert "| **250 µs (100 %)** |  | 1.00 s (10 %) |" in part and "\n- `nginx`: `return 200`" in part
    assert "| memory of an idle worker | 2.0 MiB | 2.0 MiB |  |" in part
    assert report.goal_table(Summary(samples())) in part


def test_bars_are_in_proportion():
    assert plot.scaled([50, 100, 0], 300) == [150, 300, plot.SMALLEST]
    assert plot.scaled([0, 0], 300) == [plot.SMALLEST] * 2 and plot.scaled([], 300) == []


def test_the_plot_is_sound():
    """Well-formed, nothing outside, a bar for each peer, and the longest is the best."""
    root = xml.fromstring(plot.svg(Summary(samples()), "a < b & c"))
    _, _, width, height = map(float, root.get("viewBox").split())
    bars = root.findall(f"{SVG}rect")
    assert len(bars) == 4
    for b in bars:
        assert 0 <= float(b.get("x")) and float(b.get("x")) + float(b.get("width")) <= width
        assert 0 <= float(b.get("y")) and float(b.get("y")) + float(b.get("height")) <= height
    assert max(bars, key=lambda b: float(b.get("width"))).get("class") in ("ours", "server")
    words = [t.text for t in root.findall(f"{SVG}text")]
    assert "300" in words and "a < b & c" in words and "1.00 s, 10 % served" in words


# ---- the pieces -----------------------------------------------------------------------------------

def test_each_repetition_passes_through_all_peers():
    peers = ["colmeia", "nginx", "go"]
    turns = command.plan(20, ["W1", "W2"], peers)
    assert [t.rep for t in turns] == [rep for rep in range(1, 21) for _ in range(5)]
    assert [t.item for t in turns[:5]] == ["W1"] * 3 + ["W2"] * 2
    orders = [[t.peer for t in turns if (t.rep, t.item) == (rep, "W1")] for rep in range(1, 21)]
    assert all(sorted(o) == sorted(peers) for o in orders)
    follows = {pair for o in orders for pair in zip(o, o[1:])}
    assert len(follows) == 6, "someone never comes behind someone"
    assert turns == command.plan(20, ["W1", "W2"], peers)


def test_choosing_items():
    parse = command.some_of(items.ITEMS, "item")
    assert parse("W2, W1") == ["W1", "W2"]
    for wrong in ("W99", "W0"):
        with pytest.raises(command.argparse.ArgumentTypeError):
            parse(wrong)


def test_every_peer_can_be_built_and_measured():
    for peer in PEERS.values():
        assert set(peer.items) <= set(items.ITEMS) and peer.needs in ("", *BUILDS)
    for _, sources, _ in BUILDS.values():
        assert all((APPS / s).exists() for s in sources)


def test_cpu_time_of_a_process_with_an_odd_name():
    ticks = processes.TICKS
    line = f"42 (a) b (c) S 7 40 41 0 -1 4194560 1 2 3 4 {ticks} {2 * ticks} {3 * ticks} {4 * ticks} 20 0 2 0 900 1"
    assert processes.parse_stat(line) == processes.Process(42, 7, 900, True, 10.0)
    assert processes.parse_stat(line.replace(" S ", " Z ")).lives          # its other thread does
    assert not processes.parse_stat(line.replace(" S ", " Z ").replace(" 20 0 2 ", " 20 0 1 ")).lives


def test_what_the_host_took():
    text = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
    assert processes.stolen_and_all(text) == (80, 360)      # guests' time is in user's already
    with processes.Stolen() as stolen:
        assert stolen.part is None
    assert 0 <= stolen.part <= 1


@pytest.mark.parametrize("stolen,counts,tries", [
    ([0.005, 0.0], 0, 1), ([0.006, 0.004, 0.0], 1, 2), ([0.03, 0.01, 0.02], 1, 3), ([0.02, 0.03, 0.01], 2, 3)])
def test_the_least_disturbed_counts(stolen, counts, tries):
    """Whatever it found: the figures do not decide."""
    all_of_it = [Sample(1, "W7", "colmeia", p99_us=9 - i, stolen=s) for i, s in enumerate(stolen)]
    left = list(all_of_it)
    assert command.least_disturbed(3, lambda: left.pop(0)) is all_of_it[counts]
    assert len(all_of_it) - len(left) == tries


def test_who_failed_has_no_second_try():
    failed = Sample(1, "W7", "colmeia", note="it fell over")
    left = [Sample(1, "W7", "colmeia", stolen=0.1), failed]
    assert command.least_disturbed(3, lambda: left.pop(0)) is failed


def test_what_is_said_of_the_host():
    samples = [Sample(1, "W1", "colmeia", stolen=s) for s in (0.001, 0.002, 0.03, None)]
    assert "gave 0.2 % of the cores' time to others (median of the measurements; at most 3.0 %)" in \
        command.stolen_from(samples)
    assert command.stolen_from([Sample(1, "W1", "colmeia", stolen=0.0)]) == command.stolen_from([]) == ""


def test_figures_of_a_load():
    text = 'Running\nfigures {"requests":110,"seconds":2.0,"p50_us":3,"p99_us":4,"errors":1,"refused":10}\n'
    assert loads.figures_in(text).rate == 50.0
    with pytest.raises(processes.Trouble):
        loads.figures_in("no such host")


class NoLoad:
    """In place of loads.Load: has a p99 of as many microseconds as its port says."""
    begun = []

    def __init__(self, argv, _, away=False, among=False):
        self.argv, self.away, self.among = [str(a) for a in argv], away, among
        self.begun.append(self)

    __enter__ = __exit__ = lambda self, *_: self

    def output(self):
        p99_us = int(self.argv[1]) if self.argv[0].endswith("paced") else 1
        return f"figures {json.dumps(dict(requests=1, seconds=1.0, p50_us=1, p99_us=p99_us, errors=0, refused=0))}"


@pytest.mark.parametrize("rep,ports", [(1, ["8000", "8000", "8003"]), (2, ["8000", "8003", "8000"])])
def test_who_is_read_in_a_storm(monkeypatch, tmp_path, rep, ports):
    """The server when it is quiet, then both; and what stands for other machines gives way."""
    place = Place(tmp_path, 8000, tmp_path / "database.db", tmp_path, False, orders=True)
    place.database.touch()
    monkeypatch.setattr(NoLoad, "begun", [])
    monkeypatch.setattr(loads, "Load", NoLoad)
    monkeypatch.setattr(items, "serve", lambda peer, at: contextlib.nullcontext())
    monkeypatch.setattr(items.checks, "order", lambda _: items.checks.ORDER)
    monkeypatch.setattr(items, "upstream_calls", lambda _: 0)
    monkeypatch.setattr(items, "port_is_free", lambda _: False)
    monkeypatch.setattr(items.time, "sleep", lambda _: None)
    sample = Sample(rep, "W8s", "colmeia")
    server = SimpleNamespace(cpu_s=lambda: 1.0)
    items.ITEMS["W8s"].perform(items.Run(server, PEERS["colmeia"], place, 1, "r"), sample)
    assert (sample.quiet_p99_us, sample.p99_us, sample.onlooker_p99_us) == (8000, 8000, 8003)
    readers = [load.argv for load in NoLoad.begun if load.argv[0].endswith("paced")]
    assert [argv[1] for argv in readers] == ports
    assert all(load.among == (load.argv in readers) for load in NoLoad.begun)
    assert [load.argv[0].rpartition("/")[2] for load in NoLoad.begun if load.away] == ["orders", "wrk"]
    assert len(NoLoad.begun) == 5


@pytest.mark.parametrize("new,good", [(100, True), (164, True), (99, False), (165, False)])
def test_acknowledged_sign_ups_must_be_there(new, good):
    figures = loads.Figures(100, 1.0, 1, 1, 0, 0)
    if good:
        items.judge_acknowledged(figures, 64, new)
    else:
        with pytest.raises(processes.Trouble):
            items.judge_acknowledged(figures, 64, new)


def test_tokens_are_verified():
    head, claims = "eyJhbGciOiJIUzI1NiJ9", checks.base64.urlsafe_b64encode(
        b'{"sub":"alice@example.com","exp":4102444800}').rstrip(b"=").decode()
    mac = checks.hmac.digest(checks.SECRET.encode(), f"{head}.{claims}".encode(), "sha256")
    token = f"{head}.{claims}." + checks.base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    body = checks.compact({"access_token": token, "token_type": "bearer"})
    assert checks.token_fault(body) == ""
    assert checks.token_fault(body.replace(b"eyJh", b"eyJi")) == "the signature is wrong"
    assert checks.token_fault(b"{}").startswith("no token")


def test_counts_of_system_calls():
    perf = "# started\n120,,raw_syscalls:sys_enter,1,100.00,,\n<not counted>,,syscalls:sys_enter_fcntl,0,0.00,,\n" \
           "7,,syscalls:sys_enter_read,1,100.00,,\n"
    assert counting.perf_counts(perf) == {"all": 120, "fcntl": 0, "read": 7}
    strace = "% time     seconds  usecs/call     calls    errors syscall\n" \
             "------ ----------- ----------- --------- --------- ----------------\n" \
             " 60.00    0.000300           3       100           read\n" \
             " 40.00    0.000200           2        50         7 futex\n" \
             "------ ----------- ----------- --------- --------- ----------------\n" \
             "100.00    0.000500           3       150         7 total\n"
    assert counting.strace_counts(strace) == {"read": 100, "futex": 50, "all": 150}
    assert counting.breakdown(100, {"all": 300, "read": 150, "write": 100}) == "read 1.500, write 1.000, others 0.500"


def test_modules_of_a_profile():
    text = "# Overhead  Shared Object  Symbol\n    60.50%  [kernel.kallsyms]  [k] tcp_ack\n" \
           "    30.00%  colmeia            [.] router_match.lto_priv.0\n     9.50%  libsqlite3.so.0    [.] x y\n"
    rows = profiling.parse_report(text)
    ours = {"router_match": profiling.module_of_source("worker/http/router.c")}
    assert profiling.by_module(rows, ours) == [("kernel", 60.5), ("router", 30.0), ("store (SQLite)", 9.5)]
    assert profiling.module_of_source("worker/store/sqlite_read.c") == "store"
    assert profiling.module_of_source("/usr/share/llhttp/llhttp.c") == "parser (llhttp)"
