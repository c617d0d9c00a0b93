"""Rolling-origin backtest: refit now and then, forecast from every issue time in between, as production would have."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import FarmData, Times
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.errors import ConfigError, TaskError
from windcast.models.base import Forecaster, build
from windcast.models.calibration import Calibrated, CalibratedConfig
from windcast.models.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When to fit and when to forecast. All times UTC.

    start, end: first and last issue time that is scored; None for end means the last with a full horizon of data.
    refit_every: None fits once, at start. train_from: None means from the farm's first row.
    issue_every, issue_offset: issue times lie at midnight + offset + k × issue_every, for scoring and for training.
    """

    start: datetime
    end: datetime | None = None
    refit_every: timedelta | None = None
    train_from: datetime | None = None
    issue_every: timedelta = timedelta(hours=1)
    train_every: timedelta = timedelta(hours=1)
    issue_offset: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        for name in ("issue_every", "train_every"):
            if getattr(self, name) <= timedelta(0):
                raise ConfigError(f"backtest.{name} is {getattr(self, name)}; it must be positive.")
        if self.refit_every is not None and self.refit_every <= timedelta(0):
            raise ConfigError(f"backtest.refit_every is {self.refit_every}; it must be positive, or null for never.")


@dataclass(frozen=True)
class Fold:
    """One fit and the issue times [N] forecast with it."""

    fitted_at: datetime
    issue_times: Times


@dataclass(frozen=True)
class Backtest:
    """Forecasts of several models for the same issue times, and what then happened.

    observed [B, H] MW, NaN where unknown. seconds: fit and predict time by model; one that is only calibrated counts
    the fit it shares.
    """

    farm: FarmData
    task: ForecastTask
    plan: Plan
    forecasts: dict[str, Forecast]
    observed: NDArray[np.float32]
    folds: list[Fold]
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    fitted: dict[str, Forecaster] = field(default_factory=dict)

    def to_frame(self, levels: tuple[float, ...] | None = None) -> pl.DataFrame:
        """One row a model, issue time and lead, with `observed_mw` beside the quantiles."""
        parts = []
        for name, forecast in self.forecasts.items():
            frame = forecast.to_frame(levels, interval=self.farm.interval)
            observed = pl.Series("observed_mw", self.observed.ravel()).fill_nan(None)
            parts.append(frame.insert_column(0, pl.Series("model", [name] * frame.height)).insert_column(4, observed))
        return pl.concat(parts)

    def write(self, file: Path, levels: tuple[float, ...] | None = None) -> None:
        """As Parquet, under a temporary name first."""
        part = file.with_suffix(".part")
        self.to_frame(levels).write_parquet(part)
        part.replace(file)


def folds(farm: FarmData, task: ForecastTask, plan: Plan) -> list[Fold]:
    """Raises TaskError if the plan leaves nothing to learn from or nothing to forecast."""
    last = farm.end - task.horizon * task.resolution if plan.end is None else plan.end
    issues = issue_times(plan.start, last, every=plan.issue_every, offset=plan.issue_offset)
    if not len(issues):
        raise TaskError(
            f"no issue time between {plan.start:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC. "
            f"{farm.name} has data from {farm.start:%Y-%m-%d} to {farm.end:%Y-%m-%d}: move backtest.start."
        )
    if plan.start <= farm.start:
        raise TaskError(f"backtest.start is {plan.start:%Y-%m-%d}, but {farm.name} begins {farm.start:%Y-%m-%d}.")
    starts = [plan.start]
    while plan.refit_every is not None and starts[-1] + plan.refit_every <= last:
        starts.append(starts[-1] + plan.refit_every)
    cuts = np.searchsorted(issues, np.array([_us(s) for s in starts[1:]]).astype("datetime64[us]"))
    return [Fold(s, part) for s, part in zip(starts, np.split(issues, cuts), strict=True) if len(part)]


def issue_times(start: datetime, end: datetime, *, every: timedelta, offset: timedelta = timedelta(0)) -> Times:
    """Every midnight + offset + k × every, from start to end, both included."""
    step = np.timedelta64(every, "us")
    origin = _us(start).astype("datetime64[D]").astype("datetime64[us]") + np.timedelta64(offset % every, "us")
    times = np.arange(origin - step, _us(end) + step, step)
    return times[(times >= _us(start)) & (times <= _us(end))]


def training_windows(farm: FarmData, task: ForecastTask, plan: Plan, until: datetime) -> Windows:
    """What a model fitted at `until` may learn from: issue times before it, targets known by then."""
    start = max(plan.train_from or farm.start, farm.start)
    times = issue_times(start, until, every=plan.train_every, offset=plan.issue_offset)
    times = times[times < _us(until)]
    if not len(times):
        raise TaskError(f"no issue time before {until:%Y-%m-%d %H:%M} UTC to learn from. Move backtest.start.")
    return build_windows(farm, task, times, truth_known_at=until)


def backtest(
    farm: FarmData,
    task: ForecastTask,
    models: Mapping[str, dict[str, Any]],
    plan: Plan,
    *,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Backtest:
    """Every model over every fold, all on the same windows.

    models: name -> configuration for `models.base.build`. on_progress(what, done, of) is called as it goes.
    """
    parts = folds(farm, task, plan)
    forecasts: dict[str, list[Forecast]] = {name: [] for name in models}
    seconds = {name: {"fit": 0.0, "predict": 0.0} for name in models}
    fitted: dict[str, Forecaster] = {}
    done, of = 0, len(parts) * len(models)
    for fold in parts:
        lessons = training_windows(farm, task, plan, fold.fitted_at)
        ahead = build_windows(farm, task, fold.issue_times).without_target()
        spent: dict[str, float] = {}
        for name, config in models.items():
            on_progress(f"{name}, fitted {fold.fitted_at:%Y-%m-%d}", done, of)
            began = time.perf_counter()
            inner = _twin(config, models, done=list(models).index(name))
            if inner is not None:
                calibrated = Calibrated.around(fitted[inner], CalibratedConfig(**_options(config)))
                between = time.perf_counter()
                seconds[name]["fit"] += spent[inner]
                forecast, fitted[name] = calibrated.calibrate(forecasts[inner][-1], ahead)
            else:
                forecaster = build(config).fit(lessons)
                between = time.perf_counter()
                forecast, fitted[name] = forecaster.step(ahead)
            forecasts[name].append(forecast)
            spent[name] = between - began
            seconds[name]["fit"] += spent[name]
            seconds[name]["predict"] += time.perf_counter() - between
            done += 1
    on_progress("done", of, of)
    joined = {name: Forecast.concatenate(pieces) for name, pieces in forecasts.items()}
    issued = np.concatenate([fold.issue_times for fold in parts])
    observed = build_windows(farm, task, issued).target
    return Backtest(farm, task, plan, joined, observed, parts, seconds, fitted)


def _options(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "name"}


def _twin(config: dict[str, Any], models: Mapping[str, dict[str, Any]], *, done: int) -> str | None:
    """The contender, of the first `done`, that this one only calibrates, so that it need not be fitted again."""
    if config["name"] != "calibrated" or config.get("holdout", CalibratedConfig.holdout):
        return None
    return next((name for name in list(models)[:done] if models[name] == config.get("model")), None)


def replay(forecaster: Forecaster, farm: FarmData, times: Times) -> Iterator[Forecast]:
    """The live path: for each issue time in turn, cut the farm to what was known, build windows, forecast, learn."""
    for issue in times:
        moment = issue.astype("datetime64[us]").item()
        windows = build_windows(farm.known_until(moment), forecaster.task, np.array([issue]))
        forecast, forecaster = forecaster.step(windows.without_target())
        yield forecast


def _us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None).isoformat(), "us")
