"""plot.py: the medians as bars, one panel an item, as an SVG for light and dark backgrounds. Pure."""

from html import escape

from bench.items import ITEMS
from bench.peers import PEERS
from bench.report import percent, value_of

WIDTH, COLUMNS, GAP = 960, 2, 28
TITLE, BAR, PITCH, BOTTOM = 30, 15, 21, 18
LABEL, VALUE = 76, 92          # room for a name on the left and a value on the right
SMALLEST = 1.5                 # a bar that is there is seen

# The middle tones can be read on white and on black where the media query is not known.
STYLE = """
text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #757d87; }
.title { font-weight: 600; }
.name { text-anchor: end; }
.ours { fill: #d98a00; } text.ours { font-weight: 600; }
.server { fill: #5b8bc0; }
.bound { fill: #5b8bc0; fill-opacity: .16; stroke: #5b8bc0; stroke-dasharray: 3 2; }
text.bound, text.server { fill: #757d87; fill-opacity: 1; stroke: none; }
@media (prefers-color-scheme: dark) { text, text.bound, text.server { fill: #a9b4c0; } }
@media (prefers-color-scheme: light) { text, text.bound, text.server { fill: #4d5661; } text.ours { fill: #a56900; } }
"""


def scaled(values, width):
    """Lengths of the bars: in proportion, the largest as long as there is room."""
    largest = max(values, default=0)
    return [max(SMALLEST, width * v / largest) if largest else SMALLEST for v in values]


def bar_rows(summary, item):
    """[(peer, value)], the best first; a lower one is better for times."""
    measure = ITEMS[item].measure
    rows = [(p, summary.of(item, p, measure)) for p in summary.peers(item)]
    return sorted(((p, v) for p, v in rows if v is not None), key=lambda r: r[1],
                  reverse=not measure.endswith("_us"))


def value_text(summary, item, peer, value):
    text = value_of(ITEMS[item].measure, value)
    served = summary.of(item, peer, "served")
    return text if served is None else f"{text}, {percent(served)} served"


def bar(x, y, length, peer, text):
    kind = PEERS[peer].kind
    base = y + BAR / 2 + 4      # of letters 12 px high: dominant-baseline is not known everywhere
    return (f'<text class="name {kind}" x="{x - 6}" y="{base:.1f}">{escape(peer)}</text>'
            f'<rect class="{kind}" x="{x}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
            f'<text class="value {kind}" x="{x + length + 6:.1f}" y="{base:.1f}">{escape(text)}</text>')


def panel(summary, item, x, y, width):
    rows = bar_rows(summary, item)
    note = ": less is better" if ITEMS[item].measure.endswith("_us") else ""
    out = [f'<text class="title" x="{x}" y="{y + 14}">{escape(f"{item}  {ITEMS[item].title}")}</text>',
           f'<text x="{x}" y="{y + 29}">{escape(ITEMS[item].unit + note)}</text>']
    room = VALUE + (70 if item == "W7" else 0)
    for i, ((peer, value), length) in enumerate(zip(rows, scaled([v for _, v in rows], width - LABEL - room))):
        out.append(bar(x + LABEL, y + TITLE + 8 + i * PITCH, length, peer, value_text(summary, item, peer, value)))
    return out


def height_of(summary, item):
    return TITLE + 8 + PITCH * len(bar_rows(summary, item)) + BOTTOM


def svg(summary, caption=""):
    """Panels fill two columns, always the shorter one next."""
    width = (WIDTH - GAP * (COLUMNS - 1)) // COLUMNS
    heights, body = [0] * COLUMNS, []
    for item in (i for i in summary.items() if bar_rows(summary, i)):
        column = heights.index(min(heights))
        body += panel(summary, item, column * (width + GAP), heights[column], width)
        heights[column] += height_of(summary, item)
    height = max(heights) + (20 if caption else 0)
    body.append(f'<text x="0" y="{height - 6}">{escape(caption)}</text>' if caption else "")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="benchmark">\n<style>{STYLE}</style>\n' + "\n".join(filter(None, body)) + "\n</svg>\n")
