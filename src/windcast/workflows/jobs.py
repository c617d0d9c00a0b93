"""The jobs: backtest, train, reproduce. Each takes settings and gives back what it made."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.configs import Settings
from windcast.data.farm import FarmData, Times
from windcast.data.windows import build_windows
from windcast.errors import BundleError
from windcast.evaluation.backtest import Backtest, Plan, backtest, folds, training_windows
from windcast.evaluation.leaderboard import leaderboard
from windcast.evaluation.report import write_report
from windcast.evaluation.scores import score
from windcast.models.base import build
from windcast.models.forecast import Forecast, Rung, column_of
from windcast.registry import bundles, runs

Progress = Callable[[str, int, int], None]


def quiet(_what: str, _done: int, _of: int) -> None:
    """No progress shown."""


@dataclass(frozen=True)
class Run:
    folder: Path
    record: runs.Record
    backtest: Backtest


def run_backtest(settings: Settings, folder: Path, *, command: str, on_progress: Progress = quiet) -> Run:
    """Backtests the settings' contenders and writes record, forecasts, leaderboard and report into `folder`."""
    farm = settings.farm()
    task, plan = settings.task(farm), settings.plan(farm)
    result = backtest(farm, task, settings.contenders(), plan, on_progress=on_progress)
    record = runs.Record(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.document,
        data_checksum=farm.checksum,
        code=runs.code_version(),
        packages=bundles.versions(),
        seconds=result.seconds,
        scores={name: dict(score(f, result.observed).overall) for name, f in result.forecasts.items()},
        fingerprint=runs.fingerprint(result),
    )
    folder.mkdir(parents=True, exist_ok=True)
    result.write(folder / "forecasts.parquet")
    leaderboard(result).write_csv(folder / "leaderboard.csv")
    write_run_report(result, record, folder)
    record.write(folder)
    return Run(folder, record, result)


def write_run_report(result: Backtest, record: runs.Record, folder: Path) -> Path:
    provenance = {
        "command": record.command,
        "code": record.code,
        "data sha256": record.data_checksum,
        "seed": str(record.settings["seed"]),
        "made": record.created,
        **{name: found for name, found in record.packages.items() if name != "windcast"},
    }
    commands = (record.command, f"windcast reproduce {folder}")
    return write_report(result, folder / "report.html", commands=commands, provenance=provenance)


def train(
    settings: Settings, folder: Path, *, until: datetime | None = None, on_progress: Progress = quiet
) -> bundles.Bundle:
    """Fits the model on all that was known at `until` (default: the end of the data) and writes its bundle."""
    farm = settings.farm()
    task = settings.task(farm)
    until = until or farm.end + farm.power_delay
    plan = Plan(**(settings.plan(farm).__dict__ | {"start": until, "end": until}))
    on_progress("windows", 0, 3)
    lessons = training_windows(farm, task, plan, until)
    on_progress(f"fitting {settings.model_name} on {len(lessons):,} issue times", 1, 3)
    forecaster = build(settings.forecaster()).fit(lessons)
    on_progress("writing the bundle", 2, 3)
    bundles.save(folder, forecaster, farm, trained_until=until, config=settings.document)
    on_progress("done", 3, 3)
    return bundles.open_bundle(folder)


def forecast(bundle: bundles.Bundle, farm: FarmData, issue_time: datetime | None = None) -> tuple[Forecast, datetime]:
    """The forecast of one issue time (default: the last at which power is known), and that time.

    Online calibration first catches up: forecasts are made for the issue times since training that the files cover,
    at most 60 days of them, and compared with the power that has arrived since.
    """
    bundle.check_farm(farm)
    task = bundle.forecaster.task
    known = farm.power.drop_nulls("power_mw")
    issue = issue_time or (known["time"][-1] if known.height else farm.end) + farm.power_delay
    issue = _floor(issue, farm.resolution)
    first = max(bundle.trained_until, farm.start, issue - timedelta(days=60))
    step = np.timedelta64(farm.resolution, "us")
    times = np.arange(_us(_floor(first, farm.resolution)) + step, _us(issue) + step, step)
    if bundle.forecaster.name != "calibrated" or not len(times):
        times = np.array([_us(issue)])
    windows = build_windows(farm, task, times).without_target()
    return bundle.forecaster.step(windows)[0].take(slice(-1, None)), issue


def stored_backtest(folder: Path) -> tuple[Backtest, runs.Record]:
    """A run's backtest read back from disk. Raises BundleError if its data have changed since."""
    record = runs.read(folder)
    settings = Settings(record.settings)
    farm = settings.farm()
    if farm.checksum != record.data_checksum:
        raise BundleError(f"{folder}: the data of {farm.name} have changed since this run. Backtest again.")
    task, plan = settings.task(farm), settings.plan(farm)
    frame = pl.read_parquet(folder / "forecasts.parquet")
    columns = [column_of(level) for level in task.levels]
    forecasts, observed = {}, np.empty((0, task.horizon), np.float32)
    for (name,), part in frame.group_by("model", maintain_order=True):
        values = part.select(columns).to_numpy().astype(np.float32)
        rung = np.array([Rung[r.upper()] for r in part["inputs"]], np.int8).reshape(-1, task.horizon)
        forecasts[str(name)] = Forecast(
            task=task,
            issue_times=part["issue_time"].dt.replace_time_zone(None).to_numpy()[:: task.horizon],
            values=values.reshape(-1, task.horizon, len(columns)),
            rung=rung,
            reanalysis=farm.weather_kind == "reanalysis",
        )
        observed = part["observed_mw"].to_numpy().astype(np.float32).reshape(-1, task.horizon)
    parts = folds(farm, task, plan)
    return Backtest(farm, task, plan, forecasts, observed, parts, record.seconds), record


@dataclass(frozen=True)
class Reproduction:
    """differences: a sentence each; none means the same bits (or, where `exact` is False, the same scores)."""

    exact: bool
    differences: list[str]


def reproduce(folder: Path, into: Path, *, on_progress: Progress = quiet) -> Reproduction:
    """Makes a run again from its record and compares: data, code, packages, scores and every forecast value."""
    before = runs.read(folder)
    command = f"windcast reproduce {shlex.quote(str(folder))}"
    after = run_backtest(Settings(before.settings), into, command=command, on_progress=on_progress).record
    differences = []
    if after.data_checksum != before.data_checksum:
        differences.append(f"data: sha256 {before.data_checksum[:12]} then, {after.data_checksum[:12]} here")
    if after.code != before.code:
        differences.append(f"code: {before.code} then, {after.code} here")
    for name, found in after.packages.items():
        if before.packages.get(name) != found:
            differences.append(f"{name}: {before.packages.get(name)} then, {found} here")
    exact = after.fingerprint == before.fingerprint
    for name, then in before.scores.items():
        here = after.scores.get(name, {}).get("crps")
        if here != then["crps"]:
            differences.append(f"CRPS of {name}: {then['crps']:.6f} then, {here:.6f} here")
    return Reproduction(exact, differences)


def _floor(time: datetime, step: timedelta) -> datetime:
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (time - midnight) // step * step


def _us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def recent_power(farm: FarmData, forecast: Forecast, *, steps: int = 48) -> tuple[Times, NDArray[np.float32]]:
    """Times [N] and MW [N] of the power that was known when a single forecast was issued, the last `steps` of it."""
    task = replace(forecast.task, history=steps)
    windows = build_windows(farm, task, forecast.issue_times[:1])
    step = np.timedelta64(task.resolution, "us")
    return windows.issue_times[0] + step * np.arange(1 - steps, 1), windows.power[0]
