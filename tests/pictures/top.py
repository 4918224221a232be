"""top.py: draws tests/pictures/top.svg, for the README: what `colmeia ctl top` shows of a server with
four workers under load, one of which was killed, in the middle of a reload.

    PYTHONPATH=tests python3 tests/pictures/top.py        (after cmake --build --preset release)"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent.parent
os.environ.setdefault("COLMEIA_BINARY", str(ROOT / "build" / "release" / "colmeia"))
sys.path.insert(0, str(ROOT / "tests"))

from harness.screen import Screen                 # noqa: E402 (these look at the environment)
from harness.server import Server, await_gone     # noqa: E402

COLUMNS, ROWS = 80, 19
WIDTH, HEIGHT, MARGIN = 8.4, 18, 12     # of a character, and around them
COLOURS = {"default": "#d8dee9", "green": "#7ec699", "brown": "#e5c07b", "red": "#f2777a"}
BACKGROUND = "#1b1f27"


def runs(row):
    """(first column, text, style) of each stretch of characters that look alike."""
    stretch = []
    for column in range(COLUMNS):
        cell = row[column]
        style = (cell.fg, cell.bold, cell.reverse)
        if stretch and stretch[-1][2] == style:
            stretch[-1][1] += cell.data
        else:
            stretch.append([column, cell.data, style])
    return stretch


def draw_run(line, column, text, style):
    fg, bold, reverse = style
    x, y = MARGIN + column * WIDTH, MARGIN + line * HEIGHT
    colour = COLOURS.get(fg, COLOURS["default"])
    if reverse:
        yield (f'<rect x="{x:.1f}" y="{y}" width="{len(text) * WIDTH:.1f}" height="{HEIGHT}" '
               f'fill="{colour}"/>')
    if text.strip():
        yield (f'<text x="{x:.1f}" y="{y + 13.5}" fill="{BACKGROUND if reverse else colour}" '
               f'textLength="{len(text) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
               f'{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""}>{escape(text)}</text>')


def as_svg(emulator):
    width, height = 2 * MARGIN + COLUMNS * WIDTH, 2 * MARGIN + ROWS * HEIGHT
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
           f'viewBox="0 0 {width:.0f} {height}" role="img" '
           f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">')
    yield "<title>colmeia ctl top</title>"
    yield f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>'
    for line in range(ROWS):
        for column, text, style in runs(emulator.buffer[line]):
            yield from draw_run(line, column, text, style)
    yield "</svg>"


def main():
    place = Path(tempfile.mkdtemp(prefix="colmeia-"))
    server = Server(place, workers=4, config={"log.access": "off", "debug.enabled": "no", "log.level": "info"})
    server.start().await_served()
    load = subprocess.Popen(["wrk", "-t1", "-c64", "-d60", f"{server.url}/users/1"], stdout=subprocess.DEVNULL)
    try:
        with Screen(place, "ctl", "--control", "ctl.sock", "top", columns=COLUMNS, rows=ROWS) as screen:
            screen.await_screen("a load", lambda lines: "workers  4 of 4" in lines[1])
            victim = sorted(server.workers())[2]
            os.kill(victim, signal.SIGKILL)
            await_gone(victim)
            server.await_workers(4, without=[victim])
            screen.await_screen("the death", lambda lines: f"pid {victim}" in lines[5])
            server.ctl("reload")
            screen.await_screen("the reload", lambda lines: "settle, 4 of 4" in lines[4])
            picture = "\n".join(as_svg(screen.emulator)) + "\n"
            screen.type("q")
            screen.wait()
    finally:
        load.kill()
        load.wait()
        server.stop()
        shutil.rmtree(place)
    (Path(__file__).parent / "top.svg").write_text(picture)


if __name__ == "__main__":
    main()
