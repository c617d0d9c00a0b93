"""Small farms of every source, a small configuration of every model, and what is fitted on them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from windcast.data import sources
from windcast.data.farm import FarmData, Times
from windcast.data.sources import gefcom2014, klim, published
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.evaluation.backtest import Plan, training_windows
from windcast.models.base import MODELS, Forecaster, build

LEVELS = tuple(round(k / 20, 2) for k in range(1, 20))
LEARNED = ("gbm", "forest", "mlp", "patchtst", "pool")
MISSING = {
    "no_power": Windows.without_power,
    "no_weather": Windows.without_weather,
    "nothing": lambda w: w.without_power().without_weather(),
    "newest_run": Windows.with_earlier_run,
}

_GBM = {
    "name": "gbm",
    "knots": [0.05, 0.3, 0.5, 0.7, 0.95],
    "rounds": 8,
    "num_leaves": 7,
    "learning_rate": 0.3,
    "min_data_in_leaf": 20,
    "max_rows": 1500,
    "missing_share": 0.2,
    "threads": 1,
}
_FOREST = {
    "name": "forest",
    "trees": 6,
    "num_leaves": 40,
    "max_rows": 1500,
    "missing_share": 0.2,
    "threads": 1,
}
_MLP = {
    "name": "mlp",
    "knots": [0.05, 0.3, 0.5, 0.7, 0.95],
    "hidden": [12],
    "seeds": 2,
    "epochs": 4,
    "batch": 64,
    "max_issue_times": 600,
    "missing_share": 0.2,
    "threads": 1,
}
_PATCHTST = {
    "name": "patchtst",
    "knots": [0.05, 0.3, 0.5, 0.7, 0.95],
    "patch": 4,
    "stride": 4,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "feedforward": 8,
    "hidden": [12],
    "seeds": 1,
    "epochs": 4,
    "learning_rate": 0.002,
    "holdout": 0.1,
    "batch": 64,
    "max_issue_times": 600,
    "missing_share": 0.2,
    "threads": 1,
}
_SHARED = {
    "name": "shared",
    "reach": 3,
    "hidden": [12],
    "seeds": 2,
    "epochs": 4,
    "batch": 64,
    "max_rows": 1500,
    "missing_share": 0.2,
    "threads": 1,
}
_TSAI_PATCHTST = {
    "name": "tsai_patchtst",
    "history": 16,
    "layers": 1,
    "heads": 2,
    "d_model": 8,
    "d_ff": 16,
    "patch": 6,
    "dropout": 0.1,
    "epochs": 4,
    "batch": 32,
    "threads": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "climatology": {"name": "climatology"},
    "persistence": {"name": "persistence"},
    "power_curve": {"name": "power_curve"},
    "gbm": _GBM,
    "forest": _FOREST,
    "mlp": _MLP,
    "patchtst": _PATCHTST,
    "tsai_patchtst": _TSAI_PATCHTST,
    "shared": _SHARED,
    "pool": {
        "name": "pool",
        "members": {"trees": {**_FOREST, "trees": 3}, "net": _MLP, "curve": {"name": "power_curve"}},
        "weights": {"trees": 0.6, "net": 0.3},
    },
    "calibrated": {"name": "calibrated", "model": {**_GBM, "rounds": 3}, "rate": 0.02, "holdout": 0.4},
}
assert set(CONFIGS) == set(MODELS)
NEEDS = {
    "patchtst": ("deep", ("torch", "lightning", "onnx", "onnxruntime", "safetensors")),
    "shared": ("deep", ("torch", "lightning", "onnx", "onnxruntime", "safetensors")),
    "tsai_patchtst": ("tsai", ("torch", "tsai", "safetensors")),
}
UNTRAINABLE = {
    name: f"{missing} is not installed; it comes with windcast[{extra}]"
    for name, (extra, modules) in NEEDS.items()
    for missing in modules
    if find_spec(missing) is None
}


def models(names: Iterable[str] = MODELS) -> list[Any]:
    """Parameters for pytest: these models, skipped where what they need is not installed."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(name in UNTRAINABLE, reason=UNTRAINABLE.get(name, "")))
        for name in names
    ]


def simulated(*, minutes: int = 60, days: int = 30, seed: int = 5, **options: Any) -> FarmData:
    return sources.load("simulation", {"resolution_minutes": minutes, "days": days, "seed": seed, **options})


def task_of(farm: FarmData, **changes: Any) -> ForecastTask:
    given = {"horizon": 3, "history": 8, "weather_history": 4, "weather_lookahead": 2, "levels": LEVELS}
    return ForecastTask(resolution=farm.resolution, capacity_mw=farm.capacity_mw, **(given | changes))


def weeks(farm: FarmData, start: datetime, count: float) -> FarmData:
    """Some weeks of a farm, with the weather that belongs to them."""
    end = start + count * timedelta(weeks=1)
    reach = end + timedelta(days=3)
    within = pl.col("time").is_between(start, end, closed="right")
    return replace(
        farm,
        power=farm.power.filter(within),
        weather=farm.weather.filter(pl.col("valid_time").is_between(start, reach)),
        availability=None if farm.availability is None else farm.availability.filter(within),
        curtailment=None if farm.curtailment is None else farm.curtailment.filter(within),
    )


# ---- a farm of every source ----


@dataclass(frozen=True)
class Source:
    """fit_at: where the training ends.  issues: issue times to forecast after it, in steps from `fit_at`."""

    farm: FarmData
    task: ForecastTask
    fit_at: datetime
    issues: tuple[int, ...] = tuple(range(4))
    train_every: timedelta = timedelta(hours=1)

    @property
    def plan(self) -> Plan:
        return Plan(start=self.fit_at, train_every=self.train_every)

    @property
    def issue_times(self) -> Times:
        first = np.datetime64(self.fit_at.replace(tzinfo=None), "us")
        return first + np.timedelta64(self.farm.resolution, "us") * np.array(self.issues)


def _simulation(minutes: int) -> Source:
    farm = simulated(minutes=minutes, days=26 if minutes == 60 else 9, run_horizon_hours=24)
    # power that comes late makes "not yet known" differ from "not yet measured"
    farm = replace(farm, power_delay=timedelta(minutes=minutes))
    fit_at = farm.start + timedelta(days=24 if minutes == 60 else 8)
    return Source(farm, task_of(farm), fit_at.replace(minute=0))


def _la_haute_borne(minutes: int) -> Source:
    farm = sources.load("la_haute_borne", {"resolution_minutes": minutes})
    start = datetime(2014, 3, 3, tzinfo=UTC)
    farm = weeks(farm, start, 5 if minutes == 60 else 2)
    return Source(farm, task_of(farm), start + timedelta(days=32 if minutes == 60 else 12))


def _klim() -> Source:
    start = datetime(2001, 3, 1, tzinfo=UTC)
    farm = weeks(klim.load(), start, 5)
    return Source(farm, task_of(farm, weather_lookahead=0), start + timedelta(days=32))


def _gefcom2014() -> Source:
    start = datetime(2012, 9, 1, tzinfo=UTC)
    farm = weeks(gefcom2014.load(), start, 9.5)
    month = timedelta(days=31)
    return Source(
        # half of the issue times before, half after the month's power becomes known
        farm,
        task_of(farm, history=12, horizon=4, weather_lookahead=1),
        datetime(2012, 10, 1, tzinfo=UTC),
        issues=tuple(range(int(month / timedelta(hours=1)) - 2, int(month / timedelta(hours=1)) + 3)),
    )


def _files(minutes: int) -> Source:
    """CSV and YAML of a farm that learns late of its power, with weather by issue time on a coarser grid."""
    folder = Path(mkdtemp(prefix="windcast-test-"))
    origin = simulated(minutes=minutes, days=26 if minutes == 60 else 9, run_horizon_hours=24, seed=6)
    stamp = pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M")
    origin.power.with_columns(stamp).write_csv(folder / "power.csv")
    weather = origin.weather.filter(pl.col("valid_time").dt.minute() == 0, pl.col("valid_time").dt.hour() % 3 == 0)
    weather.with_columns(stamp).write_csv(folder / "weather.csv")
    document = {
        "name": "from_files",
        "capacity_mw": origin.capacity_mw,
        "power_delay_minutes": minutes // 2,
        "power": {"file": "power.csv", "time": "time", "column": "power_mw", "unit": "MW"},
        "weather": {
            "file": "weather.csv",
            "issue_time": "available_at",
            "valid_time": "valid_time",
            "variables": {
                "wind_speed_100m": {"column": "wind_speed_100m", "unit": "m/s"},
                "wind_direction_100m": {"column": "wind_direction_100m", "unit": "degrees"},
            },
        },
    }
    (folder / "farm.yaml").write_text(yaml.safe_dump(document))
    farm = sources.load("files", {"config": str(folder / "farm.yaml")})
    fit_at = farm.start + timedelta(days=24 if minutes == 60 else 8)
    return Source(farm, task_of(farm), fit_at.replace(minute=0))


SOURCES = {
    "simulation": lambda: _simulation(60),
    "simulation_10min": lambda: _simulation(10),
    "la_haute_borne": lambda: _la_haute_borne(60),
    "la_haute_borne_10min": lambda: _la_haute_borne(10),
    "klim": _klim,
    "gefcom2014": _gefcom2014,
    "files": lambda: _files(60),
    "files_10min": lambda: _files(10),
}
ABSENT = {
    name: f"{file} is not below WINDCAST_DATA or ../shared/data"
    for name, file in (("klim", f"klim/{klim.FILE}"), ("gefcom2014", gefcom2014.FILE))
    if published.find(file) is None
}


@lru_cache
def source(name: str) -> Source:
    return SOURCES[name]()


@lru_cache
def lessons(name: str) -> Windows:
    made = source(name)
    return training_windows(made.farm, made.task, made.plan, made.fit_at)


@lru_cache
def ahead(name: str) -> Windows:
    made = source(name)
    return build_windows(made.farm, made.task, made.issue_times).without_target()


@lru_cache
def fitted(model: str, name: str) -> Forecaster:
    return build(CONFIGS[model]).fit(lessons(name))
