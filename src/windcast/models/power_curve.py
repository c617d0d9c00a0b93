"""Power curve: the distribution of power given the forecast wind speed, one a lead: it holds the forecast's error."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.models import wind
from windcast.models.base import Array, Forecaster
from windcast.models.climatology import Climatology
from windcast.models.conditional import ConditionalQuantiles
from windcast.models.persistence import load_by_lead, save_by_lead


@dataclass(frozen=True)
class PowerCurveConfig:
    pass


class PowerCurve(Forecaster):
    """Fitted, not the manufacturer's: what this farm made of the wind forecast. Climatology without weather."""

    name = "power_curve"
    Config = PowerCurveConfig
    by_lead: list[ConditionalQuantiles]
    fallback: Climatology

    def _fit(self, windows: Windows) -> None:
        levels = np.array(self.task.levels)
        speed = self._speed(windows)
        target = np.where(windows.free, windows.target, np.nan)
        self.by_lead = [ConditionalQuantiles.fit(speed[:, h], target[:, h], levels) for h in range(self.task.horizon)]
        self.fallback = Climatology().fit(windows)

    def _predict(self, windows: Windows) -> Array:
        speed = self._speed(windows)
        values = np.stack([given.at(speed[:, h]) for h, given in enumerate(self.by_lead)], axis=1)
        return np.where(np.isfinite(values), values, self.fallback.quantiles)

    def _speed(self, windows: Windows) -> NDArray[np.float32]:
        """[B, H] m/s, mean over all speeds that the weather has; NaN without any."""
        speeds = wind.speeds(windows.weather[:, windows.future], windows.variables)
        return wind.mean_known(speeds)

    def _save(self, folder: Path) -> None:
        save_by_lead(folder, self.by_lead)
        self.fallback.save(folder / "fallback")

    def _load(self, folder: Path) -> None:
        self.by_lead = load_by_lead(folder)
        self.fallback = Climatology.read(folder / "fallback")
