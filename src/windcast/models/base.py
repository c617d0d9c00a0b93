"""Forecaster: the one interface of every model, and how a model lies on disk.

A model is one file with a subclass that fills in `_fit`, `_predict`, `_save` and `_load`; this class holds what is
common: that windows fit the model, that quantiles never cross, and what a forecast stood on.
"""

import json
import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.errors import BundleError, ConfigError, TaskError, unknown_name
from windcast.models.forecast import Forecast, power_lag, rungs

Array = NDArray[np.float32]

MODELS = {
    "climatology": "climatology:Climatology",
    "persistence": "persistence:Persistence",
    "power_curve": "power_curve:PowerCurve",
    "gbm": "gbm:GBM",
    "forest": "forest:QuantileForest",
    "mlp": "mlp:MLP",
    "patchtst": "patchtst:PatchTST",
    "tsai_patchtst": "tsai_patchtst:TsaiPatchTST",
    "shared": "shared:Shared",
    "pool": "pool:Pool",
    "calibrated": "calibration:Calibrated",
}
HEADER = "forecaster.json"
WORTH_A_THREAD = 500  # issue times
MOST_ROWS = 60_000  # issue times and leads whose features fit into memory together


class Forecaster(ABC):
    """A probabilistic forecaster.

    `config` is a frozen dataclass. A fitted forecaster also has `task`, `variables`, `usual_age` [H] (hours since the
    weather run arrived) and `usual_lag` (steps between the newest power and the issue time), which say what is late.
    """

    name: ClassVar[str]
    Config: ClassVar[type]

    task: ForecastTask
    variables: tuple[str, ...]
    usual_age: NDArray[np.float64]
    usual_lag: int

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def fit(self, windows: Windows) -> Self:
        """Learns from every known target that the farm reached freely. Raises TaskError if there is none."""
        self._note(windows)
        self._fit(windows)
        return self

    def _note(self, windows: Windows) -> None:
        """What every fitted forecaster knows of its windows. Raises TaskError if they have no known target."""
        if not (np.isfinite(windows.target) & windows.free).any():
            raise TaskError(
                "no issue time has a known, uncurtailed target to learn from. Give more data or a later cut."
            )
        self.task, self.variables = windows.task, windows.variables
        self.usual_lag = int(np.median(power_lag(windows))) if self.task.history else 0
        age = windows.weather_age[:, windows.future]
        known = np.isfinite(age).any(axis=0)
        self.usual_age = np.zeros(self.task.horizon)
        if known.any():
            # ages lie evenly from one run's arrival to the next: middle and upper end tell the greatest, outages aside
            middle, upper = np.nanquantile(age[:, known].astype(np.float64), (0.5, 0.95), axis=0)
            self.usual_age[known] = upper + (upper - middle) / 9

    def predict(self, windows: Windows) -> Forecast:
        """Quantiles for every issue time, from these windows alone. Raises TaskError if they do not fit the model."""
        self.check(windows)
        rung = rungs(windows, self.usual_age, usual_lag=self.usual_lag)
        return Forecast.of(windows, self._in_parallel(windows), rung)

    def _in_parallel(self, windows: Windows) -> NDArray[np.floating]:
        """`_predict` in parts, dealt out to the cores; a forecast does not depend on those beside it."""
        share = -(-len(windows) // (os.cpu_count() or 1))
        alone = share < WORTH_A_THREAD
        size = at_once(self.task) if alone else min(share, at_once(self.task))
        if 0 < len(windows) <= size:
            return self._predict(windows)
        out = np.empty((len(windows), self.task.horizon, len(self.task.levels)), np.float32)

        def fill(start: int) -> None:
            rows = slice(start, start + size)
            out[rows] = self._predict(windows.take(rows))

        starts = range(0, len(windows), size)
        if alone:
            for start in starts:
                fill(start)
        else:
            with ThreadPoolExecutor() as workers:
                list(workers.map(fill, starts))
        return out

    def step(self, windows: Windows) -> tuple[Forecast, "Forecaster"]:
        """Forecasts in order of issue time, and the forecaster as it stands after them.

        Only online calibration changes: it absorbs the truth that these windows brought. In bulk or one issue time at a
        time, the forecasts are the same.
        """
        return self.predict(windows), self

    def check(self, windows: Windows) -> None:
        self._check_fitted()
        if windows.task != self.task:
            theirs, ours = windows.task.to_dict(), self.task.to_dict()
            different = ", ".join(f"{k} {theirs[k]} (model: {ours[k]})" for k in ours if theirs[k] != ours[k])
            raise TaskError(f"the windows are of another task than the model: {different[:300]}.")
        if windows.variables != self.variables:
            raise TaskError(
                f"the model was fitted with weather {', '.join(self.variables) or 'none'}; "
                f"the windows have {', '.join(windows.variables) or 'none'}."
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "task"):
            raise TaskError(f"{self.name} has not been fitted. Call fit(windows) or load a bundle.")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The forecaster of this class that `save` wrote. Raises BundleError if it is of another or unreadable."""
        forecaster = load(folder)
        if not isinstance(forecaster, cls):
            raise BundleError(f"{folder}: holds a {forecaster.name}, not a {cls.name}.")
        return forecaster

    def save(self, folder: Path) -> None:
        """Writes the fitted forecaster into an empty or absent folder, in formats that cannot run code."""
        self._check_fitted()
        folder.mkdir(parents=True, exist_ok=True)
        header = {
            "model": self.name,
            "config": asdict(self.config),
            "task": self.task.to_dict(),
            "variables": list(self.variables),
            "usual_age_hours": self.usual_age.tolist(),
            "usual_lag_steps": self.usual_lag,
        }
        self._save(folder)
        (folder / HEADER).write_text(json.dumps(header, indent=1))

    @abstractmethod
    def _fit(self, windows: Windows) -> None: ...

    @abstractmethod
    def _predict(self, windows: Windows) -> NDArray[np.floating]:
        """[B, H, Q] MW at task.levels, B ≤ at_once(task); may cross or leave the bounds, must be finite."""

    @abstractmethod
    def _save(self, folder: Path) -> None: ...

    @abstractmethod
    def _load(self, folder: Path) -> None:
        """Restores what `_save` wrote; task, variables and usual_age are already set."""


def at_once(task: ForecastTask) -> int:
    """Issue times that are forecast together."""
    return max(1, MOST_ROWS // task.horizon)


def model_class(name: str) -> type[Forecaster]:
    if name not in MODELS:
        raise ConfigError(unknown_name("model", name, MODELS))
    module, _, attribute = MODELS[name].partition(":")
    found: type[Forecaster] = getattr(import_module(f"windcast.models.{module}"), attribute)
    return found


def build(config: dict[str, Any]) -> Forecaster:
    """An unfitted forecaster from `{"name": …, key: value, …}`; nested models are such dictionaries themselves.

    Raises ConfigError for an unknown model or key, with the nearest known one.
    """
    given = dict(config)
    cls = model_class(str(given.pop("name", "")))
    known = [f.name for f in fields(cls.Config)]
    for key in given:
        if key not in known:
            raise ConfigError(unknown_name(f"key of model '{cls.name}'", key, known))
    try:
        settings = cls.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model '{cls.name}': {error}") from None
    return cls(settings)


def load(folder: Path) -> Forecaster:
    """The forecaster that `save` wrote. Raises BundleError if a part is missing or unreadable."""
    try:
        header = json.loads((folder / HEADER).read_text())
        forecaster = build({"name": header["model"], **header["config"]})
        forecaster.task = ForecastTask.from_dict(header["task"])
        forecaster.variables = tuple(header["variables"])
        forecaster.usual_age = np.array(header["usual_age_hours"])
        forecaster.usual_lag = int(header["usual_lag_steps"])
        forecaster._load(folder)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, AssertionError, ConfigError) as error:
        raise BundleError(f"{folder}: not a readable forecaster ({error!r}). Train or copy the bundle again.") from None
    return forecaster
