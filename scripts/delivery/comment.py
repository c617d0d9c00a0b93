"""A training's report as a comment on a pull request: `python scripts/delivery/comment.py`.

Reads results/report and results/run, writes results/comment.md and the plots beside it, which CML puts in the comment.
"""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from windcast.evaluation.charts import style
from windcast.evaluation.charts.leads import coverage_by_lead, crps_by_lead

COLUMNS = {"model": "model", "crps": "CRPS", "nmae": "NMAE", "coverage_90": "90 % band holds", "n": "values"}


def write(results: Path) -> Path:
    """The comment's file. Raises FileNotFoundError where the training left no report."""
    scores: dict[str, Any] = json.loads((results / "report" / "scores.json").read_text("utf-8"))
    leads = pl.read_csv(results / "report" / "leads.csv")
    board = pl.read_csv(results / "run" / "leaderboard.csv")
    model = str(scores["model"])
    plots = {"crps.png": crps_by_lead(leads), "coverage.png": coverage_by_lead(leads, model=model)}
    for name, figure in plots.items():
        (results / name).write_bytes(style.png(figure))
    lines = [
        f"## {_plain(model)}: CRPS {scores['crps']:.2f} % of capacity",
        "",
        *_table(board),
        "",
        "Errors in % of capacity. The whole report, with plots that this comment has no room for, is an artifact of "
        "the run.",
        "",
        "![CRPS by lead time](crps.png)",
        "![Coverage and width by lead time](coverage.png)",
        "",
    ]
    file = results / "comment.md"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _table(board: pl.DataFrame) -> list[str]:
    shown = {column: title for column, title in COLUMNS.items() if column in board.columns}
    rows = ["| " + " | ".join(_cell(row[column]) for column in shown) + " |" for row in board.iter_rows(named=True)]
    return ["| " + " | ".join(shown.values()) + " |", "|" + "---|" * len(shown), *rows]


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else _plain(str(value))


def _plain(text: str) -> str:
    """Nothing in it is Markdown or a mention."""
    return "".join(c if c.isalnum() or c in " ,.-_%" else " " for c in text)[:80]


if __name__ == "__main__":
    try:
        print(write(Path("results")))
    except FileNotFoundError as error:
        print(f"error: {error}. Fetch what the training left: make train-fetch.", file=sys.stderr)
        raise SystemExit(1) from None
