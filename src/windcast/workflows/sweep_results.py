"""What came of a sweep: its trials as a table, the best values as overrides, and two pictures."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
import yaml  # type: ignore[import-untyped, unused-ignore]
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from windcast.configs.sweep_space import coded
from windcast.configs.sweeps import Search
from windcast.evaluation.charts import sweeps as charts
from windcast.evaluation.charts.style import png
from windcast.workflows.sweep_record import Record
from windcast.workflows.sweep_study import KILLED, REASON, Study

LEAST_FOR_IMPORTANCE = 20  # complete trials; with fewer the best tenth of them is a single one


@dataclass(frozen=True)
class Trial:
    """state: complete, pruned, failed, running or waiting. values: by key. crps: share of capacity, of a complete trial
    over the validation span, of a pruned one after its last epoch. curve: crps by epoch. reason: why it failed.
    """

    number: int
    state: str
    values: dict[str, Any]
    crps: float | None
    curve: dict[int, float]
    seconds: float | None
    reason: str
    killed: bool

    @property
    def ended(self) -> bool:
        return self.state in ("complete", "pruned", "failed")


def trial_of(trial: FrozenTrial, search: Search) -> Trial:
    state = trial.state.name.lower()
    return Trial(
        number=trial.number,
        state="failed" if state == "fail" else state,
        values={key: search.space[key].value(drawn) for key, drawn in trial.params.items()},
        crps=trial.value if trial.values else None,
        curve=dict(trial.intermediate_values),
        seconds=None if trial.duration is None else trial.duration.total_seconds(),
        reason=str(trial.user_attrs.get(REASON, "")),
        killed=bool(trial.user_attrs.get(KILLED)),
    )


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials, the best first."""
    complete = [
        (trial.crps, trial.number, trial) for trial in trials if trial.state == "complete" and trial.crps is not None
    ]
    return [trial for *_, trial in sorted(complete, key=lambda one: one[:2])]


def table(trials: Sequence[Trial], search: Search) -> pl.DataFrame:
    """A row a trial: number, state, crps_percent (of capacity), seconds, epochs, the values by key, reason."""
    rows = [
        {
            "trial": trial.number,
            "state": "killed" if trial.killed else trial.state,
            "crps_percent": None if trial.crps is None else 100 * trial.crps,
            "seconds": trial.seconds,
            "epochs": len(trial.curve) or None,
            **{key: coded(trial.values.get(key)) for key in search.space},
            "reason": trial.reason or None,
        }
        for trial in trials
    ]
    kinds = {"trial": pl.Int64, "state": pl.String, "crps_percent": pl.Float64, "seconds": pl.Float64}
    schema: dict[str, Any] = kinds | {"epochs": pl.Int64}
    for key, one in search.space.items():
        mixed = pl.String if one.choices else pl.Int64 if one.whole else pl.Float64
        schema[key] = mixed
        if one.choices:
            for row in rows:
                row[key] = None if row[key] is None else str(row[key])
    return pl.DataFrame(rows, schema=schema | {"reason": pl.String})


def importance(study: Study) -> dict[str, float] | None:
    """How much each key decided whether a trial was among the best tenth, summing to 1; None with too few trials.

    PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).
    """
    complete = [trial for trial in study.trials() if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < LEAST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return None
    shares: dict[str, float] = get_param_importances(study.optuna, evaluator=PedAnovaImportanceEvaluator())
    return shares


def write_results(folder: Path, trials: Sequence[Trial], study: Study, record: Record) -> None:
    """trials.csv and history.png; with a complete trial also best.yaml and best.txt; with enough, importance.png."""
    if not trials:
        return
    _into_place(folder / "trials.csv", lambda part: table(trials, study.search).write_csv(part))
    numbers = np.array([trial.number for trial in trials])
    scores = np.array([np.nan if trial.crps is None else 100 * trial.crps for trial in trials])
    states = np.array([trial.state for trial in trials])
    history = png(charts.history(numbers, scores, states, title=folder.name), dpi=150)
    _into_place(folder / "history.png", lambda part: part.write_bytes(history))
    shares = importance(study)
    if shares is not None:
        picture = png(charts.importance(shares, title=folder.name), dpi=150)
        _into_place(folder / "importance.png", lambda part: part.write_bytes(picture))
    for best in ranked(trials)[:1]:
        _write_best(folder, best, record)


def _write_best(folder: Path, best: Trial, record: Record) -> None:
    overrides = best_overrides(best, record)
    document = {
        "study": folder.name,
        "trial": best.number,
        "validation_crps_percent": round(100 * (best.crps or 0), 4),
        "tuned_until": record.spans["tuned_until"],
        "values": best.values,
    }
    told = f"# windcast train {command(overrides)}\n{yaml.safe_dump(document, sort_keys=False)}"
    _into_place(folder / "best.yaml", lambda part: part.write_text(told, encoding="utf-8"))
    line = " ".join(f"{key}={value}" for key, value in overrides.items()) + "\n"
    _into_place(folder / "best.txt", lambda part: part.write_text(line, encoding="utf-8"))


def best_overrides(best: Trial, record: Record) -> dict[str, str]:
    """What makes the best trial's settings, with the time until which they were chosen."""
    chosen = {key: override(value) for key, value in best.values.items()}
    return record.overrides | chosen | {"tuned_until": record.spans["tuned_until"][:16]}


def command(overrides: dict[str, str]) -> str:
    return shlex.join(f"{key}={value}" for key, value in overrides.items())


def override(value: Any) -> str:
    """A value as Hydra's command line reads it, without spaces."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(override(one) for one in value)}]"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _into_place(file: Path, write: Callable[[Path], Any]) -> None:
    """Under a temporary name, then moved; of several processes the last to finish stays."""
    part = file.with_name(f".{file.name}.part")
    write(part)
    part.replace(file)
