"""What models that learn from Features share when they forecast.

What they see of some issue times is made once, for as many of them as look at it; and trees answer each row once.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.models.base import Array, Forecaster
from windcast.models.features import Features, as_table, of_weather
from windcast.models.training import by_weather, lead_groups
from windcast.models.trees import distinct

Floats = NDArray[np.float32]


class Seen:
    """Some issue times as learned models see them: `columns` holds every feature of every lead."""

    def __init__(self, windows: Windows, features: Features, threads: int) -> None:
        self.task, self.variables, self.count = windows.task, windows.variables, len(windows)
        self.groups = lead_groups(windows.task)
        self.columns = features.columns(windows, np.arange(1, windows.task.horizon + 1), threads=threads)

    def rows(self, group: int) -> tuple[Floats, NDArray[np.int64] | slice]:
        """Inputs [U, F] of trees for a lead group, and the row among them of each issue time and lead [B × K]."""
        leads = self.groups[group]
        if by_weather(self.task, self.variables, leads):
            return self._far
        table = self._near[:, leads[0] - 1 : leads[-1]]
        return table.reshape(-1, table.shape[-1]), slice(None)

    @cached_property
    def _near(self) -> Floats:
        last = max(g[-1] for g in self.groups if not by_weather(self.task, self.variables, g))
        return as_table(self.columns, np.arange(1, last + 1))

    @cached_property
    def _far(self) -> tuple[Floats, NDArray[np.int64] | slice]:
        table = as_table(of_weather(self.columns), self.groups[-1])
        table = table.reshape(-1, table.shape[-1])
        if self.count == 1:
            return table, slice(None)  # a forecast has no hour twice
        first, which = distinct(table)
        return table[first], which


def by_lead_group(seen: Seen, answer: Callable[[int, Floats], NDArray[np.floating]]) -> Array:
    """[B, H, Q] from answer(group, inputs [U, F]) -> [U, Q]."""
    out = np.empty((seen.count, seen.task.horizon, len(seen.task.levels)), np.float32)
    for group, leads in enumerate(seen.groups):
        inputs, which = seen.rows(group)
        out[:, leads[0] - 1 : leads[-1]] = answer(group, inputs)[which].reshape(seen.count, len(leads), -1)
    return out


class Learned(Forecaster):
    """A forecaster that goes by Features."""

    features: Features

    def _predict(self, windows: Windows) -> Array:
        return self.of_seen(Seen(windows, self.features, self.config.threads))

    @abstractmethod
    def of_seen(self, seen: Seen) -> Array:
        """[B, H, Q] MW at task.levels, as `_predict`."""


class Trees(Learned):
    """A learned forecaster with one model a lead group, whose answers depend on one row of inputs alone."""

    def of_seen(self, seen: Seen) -> Array:
        return by_lead_group(seen, self.of_rows)

    @abstractmethod
    def of_rows(self, group: int, inputs: Floats) -> Array:
        """[U, Q] MW at task.levels, for inputs [U, F] of a lead group."""
