"""The jobs: backtest and train. Each checks where it will write before it computes."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.configs import Settings
from windcast.data.task import ForecastTask
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.evaluation.backtest import Backtest, backtest, folds, training_windows
from windcast.evaluation.ladder import ladder
from windcast.evaluation.leaderboard import leaderboard, score_all
from windcast.evaluation.report import write_report
from windcast.models.base import build
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Forecast, Rung, column_of
from windcast.registry import bundles, runs
from windcast.registry.tracking import NOWHERE, Destination
from windcast.workflows import recording

Progress = Callable[[str, int, int], None]


def quiet(_what: str, _done: int, _of: int) -> None:
    """No progress shown."""


@dataclass(frozen=True)
class Run:
    folder: Path
    record: runs.Record
    backtest: Backtest
    tracking: Destination = NOWHERE


def run_backtest(settings: Settings, folder: Path, *, command: str, on_progress: Progress = quiet) -> Run:
    """Backtests the settings' contenders and writes record, forecasts, leaderboard and report into `folder`."""
    watch = recording.Watch()
    runs.check_place(folder)
    farm = settings.farm()
    task, plan = settings.task(farm), settings.plan(farm)
    result = backtest(farm, task, settings.contenders(), plan, on_progress=on_progress)
    scores = score_all(result)
    record = runs.Record(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.document,
        data_checksum=farm.checksum,
        code=runs.code_version(),
        packages=bundles.versions() | _loaded(),
        seconds=result.seconds,
        scores={name: dict(scored.overall) for name, scored in scores.items()},
        fingerprint=runs.fingerprint(result),
        ladder=ladder(result, list(result.fitted)[-1]),
    )
    with runs.written(folder) as part:
        result.write(part / runs.FORECASTS)
        leaderboard(result).write_csv(part / "leaderboard.csv")
        write_run_report(result, record, folder, file=part / "report.html")
        record.write(part)
    recording.backtested(settings.tracking, record, folder, result, scores, watch)
    return Run(folder, record, result, settings.tracking)


def _loaded() -> dict[str, str]:
    """Versions of the packages that only networks use, where this process used them."""
    return {name: version(name) for name in ("torch", "onnxruntime") if name in sys.modules}


def write_run_report(result: Backtest, record: runs.Record, folder: Path, *, file: Path | None = None) -> Path:
    """The report of the run in `folder`, to `file` (default: report.html in that folder)."""
    provenance = {
        "command": record.command,
        "code": record.code,
        "data sha256": record.data_checksum,
        "seed": str(record.settings["seed"]),
        "made": record.created,
        **{name: found for name, found in record.packages.items() if name != "windcast"},
    }
    commands = (record.command, f"windcast reproduce {shlex.quote(str(folder))}")
    return write_report(result, file or folder / "report.html", commands=commands, provenance=provenance)


def train(
    settings: Settings,
    folder: Path,
    *,
    until: datetime | None = None,
    promised_by: Path | None = None,
    command: str = "",
    on_progress: Progress = quiet,
) -> bundles.Bundle:
    """Fits the model on all that was known at `until` (default: the end of the data) and writes its bundle.

    promised_by: a run of the same task and model, whose scores the bundle then carries.
    """
    watch = recording.Watch()
    if folder.exists() and not (folder / bundles.MANIFEST).is_file():
        raise BundleError(f"{folder}: exists and is not a bundle. Choose another folder.")
    promise = None if promised_by is None else _promise(settings, promised_by)
    farm = settings.farm()
    task = settings.task(farm)
    everything = farm.end + farm.power_delay
    until = min(until or everything, everything)
    if until <= farm.start:
        raise TaskError(f"nothing is known of {farm.name} at {until:%Y-%m-%d %H:%M} UTC; its data begin {farm.start}.")
    plan = replace(settings.plan(farm), start=until, end=until)
    on_progress("windows", 0, 3)
    lessons = training_windows(farm, task, plan, until)
    on_progress(f"fitting {settings.model_name} on {len(lessons):,} issue times", 1, 3)
    forecaster = build(settings.forecaster()).fit(lessons)
    on_progress("writing the bundle", 2, 3)
    scores, steps = (
        (None, None) if promise is None else (promise.scores[list(settings.contenders())[-1]], promise.ladder)
    )
    bundles.save(folder, forecaster, farm, trained_until=until, config=settings.document, scores=scores, ladder=steps)
    on_progress("done", 3, 3)
    bundle = bundles.open_bundle(folder)
    recording.trained(settings.tracking, bundle, watch, command)
    return bundle


def _promise(settings: Settings, folder: Path) -> runs.Record:
    """The record of a run. Raises ConfigError unless it was of the same task and model."""
    record = runs.read(folder)
    for key in ("task", "model", "calibration"):
        if record.settings.get(key) != settings.document[key]:
            raise ConfigError(
                f"{folder}: is a backtest of another {key}, so its scores say nothing of this model. "
                "Backtest with the same settings, or train without --scores."
            )
    return record


def keep(run: Run, folder: Path) -> bundles.Bundle:
    """Writes the model that the run ended with as a bundle, with the scores it had there.

    Calibration starts afresh: a forecast makes it catch up with every hour, not only with the run's issue times.
    """
    watch = recording.Watch()
    name, fitted = list(run.backtest.fitted.items())[-1]
    if isinstance(fitted, Calibrated):
        fitted = Calibrated.around(fitted.model, fitted.config)
    bundles.save(
        folder,
        fitted,
        run.backtest.farm,
        trained_until=run.backtest.folds[-1].fitted_at,
        config=run.record.settings,
        scores=run.record.scores[name],
        ladder=run.record.ladder,
    )
    bundle = bundles.open_bundle(folder)
    recording.trained(run.tracking, bundle, watch, run.record.command)
    return bundle


def stored_backtest(folder: Path) -> tuple[Backtest, runs.Record]:
    """A run's backtest read back from disk. Raises BundleError if its data have changed since, or it is unreadable."""
    record = runs.read(folder)
    settings = Settings(record.settings)
    farm = settings.farm()
    if farm.checksum != record.data_checksum:
        raise BundleError(f"{folder}: the data of {farm.name} have changed since this run. Backtest again.")
    task, plan = settings.task(farm), settings.plan(farm)
    file = folder / runs.FORECASTS
    try:
        forecasts, observed = _read_forecasts(file, task, reanalysis=farm.weather_kind == "reanalysis")
    except (OSError, pl.exceptions.PolarsError, ValueError, LookupError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{file}: not the forecasts of a run ({reason}). Backtest again.") from None
    parts = folds(farm, task, plan)
    # not fitted: a run keeps what its models were asked to be, not their weights
    models = {name: build(config) for name, config in settings.contenders().items()}
    return Backtest(farm, task, plan, forecasts, observed, parts, record.seconds, models), record


def _read_forecasts(
    file: Path, task: ForecastTask, *, reanalysis: bool
) -> tuple[dict[str, Forecast], NDArray[np.float32]]:
    """Forecasts by model and what was observed [B, H], as `Backtest.write` wrote them."""
    frame = pl.read_parquet(file)
    columns = [column_of(level) for level in task.levels]
    forecasts, observed = {}, np.empty((0, task.horizon), np.float32)
    for (name,), part in frame.group_by("model", maintain_order=True):
        values = part.select(columns).to_numpy().astype(np.float32)
        forecasts[str(name)] = Forecast(
            task=task,
            issue_times=part["issue_time"].dt.replace_time_zone(None).to_numpy()[:: task.horizon],
            values=values.reshape(-1, task.horizon, len(columns)),
            rung=np.array([Rung[r.upper()] for r in part["inputs"]], np.int8).reshape(-1, task.horizon),
            reanalysis=reanalysis,
        )
        observed = part["observed_mw"].to_numpy().astype(np.float32).reshape(-1, task.horizon)
    return forecasts, observed
