"""Climatology: the quantiles of all power known so far, the same for every hour. What a forecast must beat."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from windcast.data.windows import Windows
from windcast.models import arrays
from windcast.models.base import Array, Forecaster


@dataclass(frozen=True)
class ClimatologyConfig:
    pass


class Climatology(Forecaster):
    """Needs no input at all, so it is also where every other forecast falls back to.

    Learns from each known hour once, however many issue times had it as a target.
    """

    name = "climatology"
    Config = ClimatologyConfig
    quantiles: Array  # [Q] MW

    def _fit(self, windows: Windows) -> None:
        _, once = np.unique(windows.valid_times, return_index=True)
        values = np.where(windows.free, windows.target, np.nan).ravel()[once]
        self.quantiles = np.nanquantile(values.astype(np.float64), self.task.levels).astype(np.float32)

    def _predict(self, windows: Windows) -> Array:
        return np.broadcast_to(self.quantiles, (len(windows), self.task.horizon, len(self.quantiles)))

    def _save(self, folder: Path) -> None:
        arrays.save(folder, quantiles=self.quantiles)

    def _load(self, folder: Path) -> None:
        self.quantiles = arrays.load(folder)["quantiles"]
