"""The pipeline of a project folder for DVC: prepare, backtest, train, report, each with its own parameters."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import yaml  # type: ignore[import-untyped, unused-ignore]

from windcast.configs import Settings, document
from windcast.data.sources import mapping
from windcast.errors import ConfigError
from windcast.evaluation.leaderboard import by_lead, leaderboard
from windcast.workflows import jobs

PIPELINE, PARAMETERS, IGNORED = "dvc.yaml", "params.yaml", ".dvcignore"
RESULTS = "results"
PREPARED, RUN, BUNDLE, REPORT = (f"{RESULTS}/{name}" for name in ("prepared", "run", "bundle", "report"))
SCORES, LEADS = "scores.json", "leads.csv"
HEADLINE = ("crps", "nmae", "nrmse", "bias", "coverage_90", "width_90", "skill_persistence", "skill_climatology")
HEAD = """\
# Written by `windcast pipeline init`. `dvc repro` redoes what a change of data or of params.yaml makes necessary.
"""
IGNORE = """\
# What DVC need not look at.
__pycache__/
.venv/
/runs/
/demo/
"""


def init(chosen: Settings, folder: Path, *, replace: bool = False) -> list[Path]:
    """Writes dvc.yaml, params.yaml and .dvcignore into `folder` and returns them; an .dvcignore that is there stays.

    Raises ConfigError, before anything is written, for a file that is there unless `replace`, and for data that
    cannot be described.
    """
    stages = pipeline(chosen, folder)
    texts = {PIPELINE: HEAD + yaml.safe_dump(stages, sort_keys=False, width=120), PARAMETERS: document.to_yaml(chosen)}
    for name in texts:
        if (folder / name).exists() and not replace:
            raise ConfigError(f"{folder / name}: exists already. Replace it with --force.")
    if not (folder / IGNORED).exists():
        texts[IGNORED] = IGNORE
    for name, text in texts.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
    return [folder / name for name in texts]


def pipeline(chosen: Settings, folder: Path) -> dict[str, Any]:
    """The stages as dvc.yaml holds them."""
    given = f"--config {PARAMETERS}"
    prepared = f"data=prepared data.folder={PREPARED}"
    model = ["seed", "threads", "task", "model", "calibration", "backtest"]
    if "model_choice" in document.document_of(chosen):
        model.insert(2, "model_choice")
    files = source_files(chosen, folder)
    return {
        "stages": {
            "prepare": {
                "cmd": f"windcast data prepare {given} --out {PREPARED}",
                **({"deps": files} if files else {}),
                "params": ["data"],
                "outs": [PREPARED],
            },
            "backtest": {
                "cmd": f"windcast backtest {given} {prepared} --out {RUN}",
                "deps": [PREPARED],
                "params": model,
                "outs": [RUN],
            },
            "train": {
                "cmd": f"windcast train {given} {prepared} --scores {RUN} --out {BUNDLE}",
                "deps": [PREPARED, RUN],
                "params": [*model],
                "outs": [BUNDLE],
            },
            "report": {
                "cmd": f"windcast report {RUN} --out {REPORT}",
                "deps": [PREPARED, RUN],
                "outs": [f"{REPORT}/report.html", {f"{REPORT}/{LEADS}": {"cache": False}}],
                "metrics": [{f"{REPORT}/{SCORES}": {"cache": False}}],
            },
        },
        "plots": [
            _plot("crps", "CRPS by lead time", "% of capacity"),
            _plot("coverage_90", "Observations within the 90 % band", "%"),
        ],
    }


def write_results(run: Path, folder: Path) -> list[Path]:
    """A run's report, the scores of its last model (%, and n) as JSON, and those by lead time as CSV, into `folder`."""
    result, record = jobs.stored_backtest(run)
    name = list(result.forecasts)[-1]
    named = pl.col("model") == name
    row = leaderboard(result).row(by_predicate=named, named=True)
    scores = {"n": row["n"]} | {key: round(row[key], 4) for key in HEADLINE if row[key] is not None}
    leads = by_lead(result).filter(named)
    folder.mkdir(parents=True, exist_ok=True)
    page = jobs.write_run_report(result, record, run, file=folder / "report.html")
    leads.write_csv(folder / LEADS, float_precision=4)
    (folder / SCORES).write_text(json.dumps({"model": name, **scores}, indent=1) + "\n", encoding="utf-8")
    return [page, folder / SCORES, folder / LEADS]


def _plot(column: str, title: str, unit: str) -> dict[str, Any]:
    file = f"{REPORT}/{LEADS}"
    axes = {"x": "lead_minutes", "y": {file: column}, "x_label": "lead time, minutes", "y_label": unit}
    return {column: {"title": title, **axes}}


def source_files(chosen: Settings, folder: Path) -> list[str]:
    """The files that the data come from, as the stage sees them; none where a source brings its own."""
    data = chosen.document["data"]
    if data["source"] != "files":
        named = [data.get("path"), data.get("folder")]
    else:
        config = Path(data["config"]).expanduser()
        said = mapping.read(folder / config)
        inside = {
            name: str(config.parent / Path(series.file).expanduser())
            for name in ("power", "weather", "availability", "curtailment")
            if (series := getattr(said, name)) is not None and series.file is not None
        }
        inside |= {name: data[name] for name in ("power", "weather") if data[name] is not None}
        named = [str(config), *inside.values()]
    return list(dict.fromkeys(str(Path(file)) for file in named if file))
