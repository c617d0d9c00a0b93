"""Compares what benchmarks measured with the committed results: `python scripts/delivery/regression.py MEASURED …`.

Machines differ, so seconds, rates and megabytes only warn, and only beyond a factor of two. What does not depend on the
machine (errors, shares, ratios) fails beyond five per cent. Rows that explain another (…) and coverages, which have no
better side, only warn. A measurement that is no longer made fails.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = "benchmarks/results"
OF_THE_MACHINE = ("s", "ms", "1/s", "MB", "kB")
WORSE, FAR_WORSE = 1.05, 2.0
NOTHING = 1e-9


@dataclass(frozen=True)
class Finding:
    fails: bool
    said: str


def compare(committed: list[dict[str, Any]], measured: list[dict[str, Any]]) -> list[Finding]:
    """One finding for each value that is worse beyond its bound, or missing."""
    found = {_name(row): row for row in measured}
    findings = []
    for row in committed:
        name, value = _name(row), row["value"]
        if name not in found:
            findings.append(Finding(True, f"{name}: is not measured any more"))
            continue
        ratio = _worse(value, found[name]["value"], row["better"])
        timed = row["unit"] in OF_THE_MACHINE
        if ratio > (FAR_WORSE if timed else WORSE):
            said = f"{name}: {found[name]['value']:.4g} {row['unit']}, committed {value:.4g}, {ratio:.2f} times worse"
            told_only = timed or row["name"].startswith("…") or "cover" in row["name"]
            findings.append(Finding(not told_only, said))
    return findings


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']} ({row['data']})"


def _worse(committed: float, measured: float, better: str) -> float:
    """How many times worse; below 1 where it is better."""
    good, bad = (committed, measured) if better == "lower" else (measured, committed)
    return (abs(bad) + NOTHING) / (abs(good) + NOTHING)


def committed(name: str) -> list[dict[str, Any]]:
    """The results as the last commit has them: a run of the benchmark has overwritten the file."""
    shown = subprocess.run(["git", "show", f"HEAD:{RESULTS}/{name}.json"], capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(shown.stdout)
    return rows


def main(names: list[str]) -> int:
    failed = False
    for name in names:
        for one in compare(committed(name), json.loads((Path(RESULTS) / f"{name}.json").read_text("utf-8"))):
            print(f"::{'error' if one.fails else 'warning'} title=Benchmark {name}::{one.said}")
            failed = failed or one.fails
    print("A result is worse than the committed one." if failed else "No result is worse than the committed one.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
