"""A backtest or a training made again from its record, and what is not as it was."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from windcast.configs import Settings
from windcast.errors import ConfigError, WindcastError
from windcast.models.forecast import Forecast
from windcast.registry import bundles, production, runs
from windcast.workflows import jobs, recording

COMPARED = 200  # latest issue times whose forecasts by two bundles are compared


@dataclass(frozen=True)
class Reproduction:
    """kind: backtest or training. exact: every forecast, or every file of the model, has the same bits.

    differences: what is not as it was, a sentence each.
    """

    kind: str
    exact: bool
    differences: list[str]


def reproduce(
    run: Path | str, into: Path, *, store: Path = Path("runs"), on_progress: jobs.Progress = jobs.quiet
) -> Reproduction:
    """Makes a backtest or a training again from its record and compares data, code, packages, scores and every bit.

    run: its folder, or the name or id that it has among the tracked runs in `store`; the folder itself may be gone.
    """
    past, code, folder = recording.found(str(run), store)
    if into.resolve() == folder.resolve():
        raise ConfigError(f"{into}: is the run itself. Choose another folder for its repetition.")
    command = f"windcast reproduce {shlex.quote(str(run))}"
    if isinstance(past, runs.Record):
        return _backtest(past, folder, into, command, on_progress)
    return _training(past, code, folder, into, command, on_progress)


def _backtest(before: runs.Record, folder: Path, into: Path, command: str, on_progress: jobs.Progress) -> Reproduction:
    run = jobs.run_backtest(Settings(before.settings), into, command=command, on_progress=on_progress)
    after = run.record
    differences = _surroundings(
        (before.data_checksum, before.code, before.packages), (after.data_checksum, after.code, after.packages)
    )
    exact = after.fingerprint == before.fingerprint
    stored = {} if exact else _stored(folder)
    for name in dict.fromkeys((*before.fingerprint, *after.fingerprint)):
        if before.fingerprint.get(name) == after.fingerprint.get(name):
            continue
        scores = [record.scores.get(name, {}).get("crps") for record in (before, after)]
        shown = ["none" if value is None else f"{value:.6f}" for value in scores]
        here = run.backtest.forecasts.get(name)
        apart = _apart(stored.get(name), here, run.backtest.farm.capacity_mw)
        differences.append(f"forecasts of {name}: CRPS {shown[0]} then, {shown[1]} here{apart}")
    return Reproduction("backtest", exact, differences)


def _stored(folder: Path) -> dict[str, Forecast]:
    try:
        return jobs.stored_backtest(folder)[0].forecasts
    except WindcastError:  # gone, or of other data: then there is nothing to hold the forecasts to
        return {}


def _training(
    before: dict[str, Any], code: str, folder: Path, into: Path, command: str, on_progress: jobs.Progress
) -> Reproduction:
    until = datetime.fromisoformat(before["trained_until"])
    bundle = jobs.train(Settings(before["config"]), into, until=until, command=command, on_progress=on_progress)
    after = bundle.manifest
    differences = _surroundings(
        (before["data_checksum"], code, before["versions"]),
        (after["data_checksum"], runs.code_version() if code else "", after["versions"]),
    )
    files = [
        name
        for name in sorted(before["files"] | after["files"])
        if before["files"].get(name) != after["files"].get(name)
    ]
    if files:
        differences.append(f"files of the model: {', '.join(files)}{_forecasts_apart(folder, bundle)}")
    return Reproduction("training", not files, differences)


def _forecasts_apart(folder: Path, after: bundles.Bundle) -> str:
    """How far forecasts of the latest issue times are apart, where the earlier bundle is still there."""
    farm = Settings(after.manifest["config"]).farm()
    times = production.grid(farm.end - COMPARED * farm.resolution, farm.end, farm.resolution)
    try:
        before = production.out_of_sample(bundles.open_bundle(folder), farm, times)
    except WindcastError:  # gone, or of other data
        return ""
    return _apart(before, production.out_of_sample(after, farm, times), farm.capacity_mw)


def _apart(before: Forecast | None, after: Forecast | None, capacity_mw: float) -> str:
    if before is None or after is None or before.values.shape != after.values.shape:
        return ""
    largest = 100 * float(np.abs(before.values - after.values).max()) / capacity_mw
    return f"; forecasts at most {largest:.2g} % of capacity apart"


def _surroundings(before: tuple[str, str, dict[str, str]], after: tuple[str, str, dict[str, str]]) -> list[str]:
    """What else is not as it was: data, code, packages."""
    differences = []
    if after[0] != before[0]:
        differences.append(f"data: sha256 {before[0][:12]} then, {after[0][:12]} here")
    if after[1] != before[1]:
        differences.append(f"code: {before[1]} then, {after[1]} here")
    for name, found in after[2].items():
        if before[2].get(name) != found:
            differences.append(f"{name}: {before[2].get(name)} then, {found} here")
    return differences
