"""Persistence, probabilistic: the distribution of power h steps after a power like the last one known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.models import arrays
from windcast.models.base import Array, Forecaster
from windcast.models.climatology import Climatology
from windcast.models.conditional import ConditionalQuantiles


@dataclass(frozen=True)
class PersistenceConfig:
    pass


class Persistence(Forecaster):
    """One conditional distribution a lead, given the newest power in the window; climatology where there is none."""

    name = "persistence"
    Config = PersistenceConfig
    by_lead: list[ConditionalQuantiles]
    fallback: Climatology

    def _fit(self, windows: Windows) -> None:
        levels = np.array(self.task.levels)
        last = last_power(windows)
        target = np.where(windows.free, windows.target, np.nan)
        self.by_lead = [ConditionalQuantiles.fit(last, target[:, h], levels) for h in range(self.task.horizon)]
        self.fallback = Climatology().fit(windows)

    def _predict(self, windows: Windows) -> Array:
        last = last_power(windows)
        values = np.stack([given.at(last) for given in self.by_lead], axis=1)
        return np.where(np.isfinite(values), values, self.fallback.quantiles)

    def _save(self, folder: Path) -> None:
        save_by_lead(folder, self.by_lead)
        self.fallback.save(folder / "fallback")

    def _load(self, folder: Path) -> None:
        self.by_lead = load_by_lead(folder)
        self.fallback = Climatology.read(folder / "fallback")


def last_power(windows: Windows) -> NDArray[np.float32]:
    """[B] newest known power in the window, NaN where there is none."""
    if not windows.power.shape[1]:
        return np.full(len(windows), np.nan, np.float32)
    known = np.isfinite(windows.power)
    newest = windows.power.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    picked: NDArray[np.float32] = windows.power[np.arange(len(windows)), newest]
    return picked


def save_by_lead(folder: Path, by_lead: list[ConditionalQuantiles]) -> None:
    sizes = np.array([len(c.places) for c in by_lead])
    arrays.save(
        folder,
        sizes=sizes,
        places=np.concatenate([c.places for c in by_lead]),
        quantiles=np.concatenate([c.quantiles for c in by_lead]),
    )


def load_by_lead(folder: Path) -> list[ConditionalQuantiles]:
    content = arrays.load(folder)
    cuts = np.cumsum(content["sizes"])[:-1]
    places, quantiles = np.split(content["places"], cuts), np.split(content["quantiles"], cuts)
    return [ConditionalQuantiles(p, q) for p, q in zip(places, quantiles, strict=True)]
