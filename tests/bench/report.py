"""report.py: the figures in words and tables: Markdown for people, and the marked parts of the README.
Pure: a summary in, text out."""

from bench.figures import GOALS
from bench.items import ITEMS, LEFT_OUT
from bench.peers import PEERS

SPEED, SCALE = "speed", "scale"     # the README's parts
NAMES = {"rate": "rate", "cpu_us": "CPU per request", "p99_us": "p99", "served": "reads served",
         "logins": "logins beside", "p50_us": "median", "quiet_ratio": "p99 ÷ quiet p99",
         "onlooker_ratio": "p99 ÷ onlooker's p99",
         "worker_kib": "memory of a worker", "master_kib": "memory of the master"}


# ---- numbers for people ---------------------------------------------------------------------------

def number(value):
    """1234567 → 1,234,567; 12.34 → 12.3."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def duration(us):
    if us is None:
        return "–"
    return f"{us / 1e6:.2f} s" if us >= 1e6 else f"{us / 1e3:.1f} ms" if us >= 1e3 else f"{us:.0f} µs"


def cpu(us):
    return "–" if us is None else f"{us:.1f} µs" if us < 1e3 else duration(us)


def mebibytes(kib):
    return "–" if kib is None else f"{kib / 1024:.1f} MiB"


def percent(part):
    return "–" if part is None else f"{100 * part:.0f} %"


def times(ratio):
    return "–" if ratio is None else f"{ratio:.2f} ×"


def value_of(name, value):
    show = {"p50_us": duration, "p99_us": duration, "cpu_us": cpu, "served": percent,
            "quiet_p99_us": duration, "onlooker_p99_us": duration, "quiet_ratio": times, "onlooker_ratio": times,
            "worker_kib": mebibytes, "master_kib": mebibytes, "loaded_kib": mebibytes}.get(name, number)
    return show(value)


def table(head, rows, right=True):
    """The first column left, the others right."""
    lines = [head, ["---"] + ["---:" if right else "---"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# ---- the report -----------------------------------------------------------------------------------

# of what few items have: field, head of its column
FEW_HAVE = [("served", "served"), ("logins", "{beside}/s beside"), ("quiet_p99_us", "p99 quiet"),
            ("quiet_ratio", "p99 ÷ quiet"), ("onlooker_p99_us", "p99 of the onlooker"),
            ("onlooker_ratio", "p99 ÷ onlooker's")]


def item_table(summary, item):
    """Every peer of an item, the best first."""
    measure = ITEMS[item].measure
    peers = [p for p in summary.peers(item) if summary.of(item, p, measure) is not None]
    peers.sort(key=lambda p: summary.of(item, p, measure), reverse=not measure.endswith("_us"))
    few = [(name, head) for name, head in FEW_HAVE if any(summary.of(item, p, name) is not None for p in peers)]
    head = ["", "per second", "lowest – highest", "p50", "p99", "p99: lowest – highest", "CPU per request"]
    head += [h.format(beside=ITEMS[item].beside) for _, h in few]
    rows = []
    for p in peers:
        row = [p, number(summary.of(item, p, "rate")), spread_text(summary.spread(item, p, "rate"), number),
               duration(summary.of(item, p, "p50_us")), duration(summary.of(item, p, "p99_us")),
               spread_text(summary.spread(item, p, "p99_us"), duration), cpu(summary.of(item, p, "cpu_us"))]
        row += [value_of(name, summary.of(item, p, name)) for name, _ in few]
        rows.append(row + [str(summary.errors(item, p)), colmeia_ratio(summary, item, p, measure)])
    return table(head + ["errors", f"colmeia's {NAMES[measure]} ÷ this"], rows)


def spread_text(spread, show):
    return "–" if spread is None else f"{show(spread[0])} – {show(spread[1])}"


def colmeia_ratio(summary, item, peer, measure):
    ratio = summary.ratio(item, "colmeia", peer, measure)
    return "" if peer == "colmeia" or ratio is None else f"{ratio:.2f}"


def memory_table(summary):
    rows = [[p, *(mebibytes(summary.of(None, p, n)) for n in ("worker_kib", "master_kib", "loaded_kib"))]
            for p in summary.peers()]
    return table(["Pss", "a worker, idle", "the master", "all, after a load"], rows)


def goal_line(goal, summary):
    what = f"{goal.item or 'all'}: {NAMES[goal.name]}"
    relation = {">=": "at least", "<=": "at most"}[goal.relation]
    bound = f"{goal.factor:g} ×" if goal.against else value_of(goal.name, goal.factor)
    against = " / ".join(f"own {a[1:]}" if a.startswith("@") else a for a in goal.against)
    judged = goal.judge(summary)
    found = "not measured" if judged is None else times(judged[0]) if goal.against else value_of(goal.name, judged[0])
    if judged and goal.beside:
        found += f" ({NAMES[goal.beside]}: {value_of(goal.beside, summary.of(goal.item, 'colmeia', goal.beside))})"
    verdict = "" if judged is None else "met" if judged[1] else "**missed**"
    return [what, f"{relation} {bound} {against}".strip(), found, verdict]


def goal_table(summary):
    return table(["goal", "", "measured", ""], [goal_line(g, summary) for g in GOALS], right=False)


def remarks(summary):
    """[what is to be known of the items that were measured]"""
    return [f"{i}: {ITEMS[i].remark}" for i in summary.items() if ITEMS[i].remark]


def not_measured():
    return " ".join(f"{item} is not measured: {why}." for item, why in LEFT_OUT.items())


def report(summary, surroundings, plot_name):
    """The whole report. *surroundings*: see __main__.surroundings()."""
    parts = ["# Benchmark", surroundings, f"![plot]({plot_name})"]
    for item in summary.items():
        parts += [f"## {item}: {ITEMS[item].title}", item_table(summary, item)]
    parts += ["## Memory", memory_table(summary), "## Goals", goal_table(summary), *remarks(summary)]
    failed = sorted({f"{s.item}: {s.peer}: {s.note}" for s in summary.samples if s.note})
    if failed:
        parts += ["## Left out", "\n".join(f"- {f}" for f in failed)]
    parts.append(not_measured())
    return "\n\n".join(parts) + "\n"


# ---- the README's part ----------------------------------------------------------------------------

def cell(summary, item, peer):
    measure = ITEMS[item].measure
    value = summary.of(item, peer, measure)
    if value is None:
        return ""
    text = value_of(measure, value)
    if item in ("W7", "W8s"):
        text += f" ({percent(summary.of(item, peer, 'served'))})"
    return f"**{text}**" if peer == "colmeia" else text


def readme_part(summary, surroundings, plot_path):
    peers = sorted(summary.peers(), key=list(PEERS).index)
    rows = [[f"{i}: {ITEMS[i].title} ({ITEMS[i].unit})", *(cell(summary, i, p) for p in peers)]
            for i in summary.items()]
    for i in ("W1", "W2"):
        if i in summary.items():
            rows.append([f"CPU per request, {i}", *(cell_of(summary, i, p, "cpu_us") for p in peers)])
    rows.append(["memory of an idle worker", *(cell_of(summary, None, p, "worker_kib") for p in peers)])
    who = "\n".join(f"- `{p}`{' (no server, a bound)' if PEERS[p].kind == 'bound' else ''}: {PEERS[p].what}"
                    for p in peers)
    return "\n\n".join([surroundings, f"![{', '.join(peers)} side by side]({plot_path})",
                        table(["", *peers], rows), goal_table(summary),
                        f"In brackets: the part of the reads due that was served. {not_measured()}".strip(), *remarks(summary), who])


def cell_of(summary, item, peer, name):
    value = summary.of(item, peer, name)
    return "" if value is None else value_of(name, value)


def marks(part):
    return f"<!-- {part}:begin -->", f"<!-- {part}:end -->"


def rewrite(text, part, content):
    """The README's text with one of its parts replaced."""
    begin, end = marks(part)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"no {begin} … {end} in it")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
