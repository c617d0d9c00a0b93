"""Runs benchmarks: `python benchmarks/bench.py [NAME …]`. Prints a table each, writes results/NAME.json.

Exit status: 0 if every target is met, 1 if one is missed. A benchmark whose data are absent is skipped, and says so.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from measure import Measurement
from rich.console import Console
from rich.table import Table

from windcast.errors import SourceError

NAMES = (
    "klim_accuracy",
    "gefcom_accuracy",
    "la_haute_borne_accuracy",
    "speed",
    "serving",
    "original",
    "peers",
    "ablations",
    "promotion",
    "sweep",
)
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    os.environ.setdefault("WINDCAST_TRACKING", "none")  # no sender beside what is timed
    missed = 0
    for name in names or NAMES:
        if name not in NAMES:
            print(f"unknown benchmark '{name}'. Known: {', '.join(NAMES)}.", file=sys.stderr)
            return 2
        try:
            measured = import_module(name).run()
        except SourceError as error:
            print(f"{name}: skipped, {error}")
            continue
        show(name, measured)
        RESULTS.mkdir(exist_ok=True)
        rows = [m.to_dict(command=f"make bench NAME={name}") for m in measured]
        (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
        missed += sum(not m.met for m in measured)
    return 1 if missed else 0


def show(name: str, measured: list[Measurement]) -> None:
    table = Table(title=name, title_justify="left")
    for column in ("", "value", "target", "aim", "unit", "data"):
        table.add_column(column, justify="right" if column in ("value", "target", "aim") else "left")
    for m in measured:
        style = "" if m.target is None else "green" if m.met else "red"
        texts = [m.text(x) for x in (m.value, m.target, m.aim)]
        table.add_row(m.name, texts[0], texts[1], texts[2], m.unit, m.data, style=style)
    Console(width=150).print(table)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
