"""The pictures of a report, as files of their own: they need not be drawn again."""

import re
from base64 import b64decode
from pathlib import Path

REPORT, FOLDER = "report.html", "plots"
SVG = re.compile(r'<svg role="img" .*?</svg>', re.DOTALL)
PNG = re.compile(r'<img alt="[^"]*" src="data:image/png;base64,([^"]+)">')
NAME = re.compile(r'id="([a-z][a-z-]*)-\d')
OPENING = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '


def extract(folder: Path) -> None:
    """Writes the pictures of report.html in `folder`, if there is one, to plots/ beside it."""
    file = folder / REPORT
    if not file.is_file():
        return
    page, place = file.read_text(encoding="utf-8"), folder / FOLDER
    place.mkdir(exist_ok=True)
    for number, found in enumerate(SVG.findall(page)):
        named = NAME.search(found)
        name = f"{number + 1:02d}-{named[1]}" if named else f"{number + 1:02d}"
        (place / f"{name}.svg").write_text(found.replace("<svg ", OPENING, 1), encoding="utf-8")
    for number, found in enumerate(PNG.findall(page)):
        (place / f"picture-{number + 1:02d}.png").write_bytes(b64decode(found))
