"""Writes the tables of docs/models.md from benchmarks/results: what was measured. A test holds the page to it."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def filled(page: str) -> str:
    """The page with every table between `<!-- table: NAME -->` and `<!-- end -->` as the results have it."""
    return MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", page)


def results(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    return rows


def klim() -> str:
    value = {row["name"]: row["value"] for row in results("klim_accuracy")}
    found = (re.fullmatch(r"CRPS of (.+), 1 h", name) for name in value)
    models = sorted(
        (f[1] for f in found if f), key=lambda m: sum(value[f"CRPS of {m}, {lead} h"] for lead in (1, 2, 3))
    )
    rows = []
    for model in models:
        crps, nmae = (
            [f"{value[f'{score} of {model}, {lead} h']:.2f}" for lead in (1, 2, 3)] for score in ("CRPS", "NMAE")
        )
        held = [
            100 * share for name, share in value.items() if re.match(rf"90 % band of {re.escape(model)}, \d h ", name)
        ]
        rows.append([model, *crps, *nmae, " to ".join(sorted({f"{min(held):.1f}", f"{max(held):.1f}"})) + " %"])
    return table(["", "CRPS 1 h", "2 h", "3 h", "NMAE 1 h", "2 h", "3 h", "90 % band holds"], rows)


def la_haute_borne() -> str:
    value = {row["name"]: row["value"] for row in results("la_haute_borne_accuracy")}
    models = sorted(
        (n.removeprefix("CRPS of ") for n in value if n.startswith("CRPS of ")), key=lambda m: value[f"CRPS of {m}"]
    )
    rows = [
        [
            m,
            f"{value[f'CRPS of {m}']:.2f}",
            f"{value[f'NMAE of {m}']:.2f}",
            f"{value[f'coverage of the 90 % band of {m}']:.1f} %",
        ]
        for m in models
    ]
    return table(["", "CRPS", "NMAE", "90 % band holds"], rows)


def gefcom2014() -> str:
    value = {row["name"]: row for row in results("gefcom_accuracy")}
    means = [
        (n.removesuffix(", mean of tasks 4 to 12"), r["value"])
        for n, r in value.items()
        if n.endswith("mean of tasks 4 to 12")
    ]
    return table(["", "mean pinball loss"], [[n, f"{v:.5f}"] for n, v in sorted(means, key=lambda pair: pair[1])])


def gefcom2014_tasks() -> str:
    rows = [row for row in results("gefcom_accuracy") if row["name"].startswith("pool, task")]
    named = [row["name"].removeprefix("pool, task ").removesuffix(" (winner's)") for row in rows]
    return table(
        ["task", *named],
        [["pool", *(f"{r['value']:.5f}" for r in rows)], ["winner", *(f"{r['target']:.5f}" for r in rows)]],
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {
    "klim": klim,
    "la_haute_borne": la_haute_borne,
    "gefcom2014": gefcom2014,
    "gefcom2014_tasks": gefcom2014_tasks,
}

if __name__ == "__main__":
    main()
