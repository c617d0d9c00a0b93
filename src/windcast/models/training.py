"""What learned models share: which leads go together, which rows to learn from, and practice with missing inputs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.errors import TaskError
from windcast.models.features import Features

Floats = NDArray[np.float32]

# A model a lead where recent power makes every step different, wider groups later; without power one for all.
EDGES = (1, 2, 3, 6, 48, 384)
CHUNK_ROWS = 60_000


def lead_groups(task: ForecastTask) -> list[NDArray[np.int64]]:
    """Leads (1 = first step) that share one model; together they are 1 … horizon."""
    if not task.history:
        return [np.arange(1, task.horizon + 1)]
    groups, start = [], 1
    for edge in (*EDGES, task.horizon):
        end = min(edge, task.horizon)
        if end >= start:
            groups.append(np.arange(start, end + 1))
            start = end + 1
    return groups


@dataclass(frozen=True)
class Lesson:
    """inputs [N, F] and target [N] MW of one lead group, every target known and reached freely."""

    inputs: Floats
    target: Floats


def lesson(windows: Windows, leads: NDArray[np.int64], features: Features, *, threads: int) -> Lesson:
    target = np.where(windows.free, windows.target, np.nan)[:, leads - 1].ravel()
    known = np.isfinite(target)
    if not known.any():
        raise TaskError(nothing_known(leads))
    return Lesson(features.table(windows, leads, threads=threads)[known], target[known])


def nothing_known(leads: NDArray[np.int64]) -> str:
    return (
        f"no target is known {leads[0]} to {leads[-1]} steps ahead. Give more data, a later cut or a shorter horizon."
    )


def sample(windows: Windows, *, most: int, missing_share: float, seed: int) -> Windows:
    """At most `most` issue times to learn from, and a share of them again with an input taken away.

    So a model has met every kind of missing input, and knows how much wider its forecast must be without it.
    """
    rng = np.random.default_rng(seed)
    if len(windows) > most:
        windows = windows.take(np.sort(rng.choice(len(windows), most, replace=False)))
    return Windows.concatenate([windows, *_with_missing_inputs(windows, missing_share, rng)])


def _with_missing_inputs(windows: Windows, share: float, rng: np.random.Generator) -> list[Windows]:
    count = int(share * len(windows))
    if not count:
        return []

    def some() -> Windows:
        return windows.take(np.sort(rng.choice(len(windows), count, replace=False)))

    practice = []
    if windows.task.history:
        practice.append(some().without_power())
    if windows.variables:
        practice.append(some().without_weather())
        if np.isfinite(windows.weather_earlier[:, windows.future]).any():
            practice.append(some().with_earlier_run())
    practice.append(some().without_power().without_weather())
    return practice


def chunks(windows: Windows, leads: NDArray[np.int64]) -> list[slice]:
    """Slices of issue times that keep a feature table within memory."""
    size = max(1, CHUNK_ROWS // len(leads))
    return [slice(start, start + size) for start in range(0, len(windows), size)]
