"""What learned models share: which leads go together, which rows to learn from, and practice with missing inputs."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.errors import TaskError
from windcast.models.base import at_once
from windcast.models.features import Features, as_table, of_weather
from windcast.models.trees import distinct

Floats = NDArray[np.float32]

# A model a lead for the first steps, wider groups up to NEAR, and beyond it one that goes by the weather alone.
EDGES = (1, 2, 3, 6)
NEAR = timedelta(hours=6)


def lead_groups(task: ForecastTask) -> list[NDArray[np.int64]]:
    """Leads (1 = first step) that share one model; together they are 1 … horizon."""
    if not task.history:
        return [np.arange(1, task.horizon + 1)]
    edges = sorted({min(edge, task.horizon) for edge in (*EDGES, _near(task), task.horizon)})
    starts = [1, *(edge + 1 for edge in edges[:-1])]
    return [np.arange(start, edge + 1) for start, edge in zip(starts, edges, strict=True)]


def _near(task: ForecastTask) -> int:
    return max(EDGES[-1], NEAR // task.resolution)


def by_weather(task: ForecastTask, variables: tuple[str, ...], leads: NDArray[np.int64]) -> bool:
    """Whether these leads go by what the weather says alone: beyond NEAR, unless the farm has no weather."""
    return bool(task.history and leads[0] > _near(task) and variables)


def inputs_of(columns: dict[str, Floats], leads: NDArray[np.int64], windows: Windows) -> Floats:
    """[B × K, F] for trees, from the columns of these leads."""
    table = as_table(of_weather(columns) if by_weather(windows.task, windows.variables, leads) else columns)
    return table.reshape(-1, table.shape[-1])


@dataclass(frozen=True)
class Lesson:
    """inputs [N, F] and target [N] MW of one lead group, every target known and reached freely, no row twice."""

    inputs: Floats
    target: Floats


def lesson(windows: Windows, leads: NDArray[np.int64], features: Features, *, most: int, threads: int) -> Lesson:
    """At most `most` rows, evenly from all issue times.

    The same hour with the same weather is one lesson, however many issue times looked ahead to it: it happened once.
    """
    inputs, targets = [], []
    for rows in parts(windows):
        part = windows.take(rows)
        columns = features.columns(part, leads, threads=threads)
        inputs.append(inputs_of(columns, leads, windows))
        targets.append(np.where(part.free, part.target, np.nan)[:, leads - 1].ravel())
    table, target = np.concatenate(inputs), np.concatenate(targets)
    known = np.flatnonzero(np.isfinite(target))
    if not len(known):
        raise TaskError(nothing_known(leads))
    first, _ = distinct(np.column_stack([table[known], target[known]]))
    kept = known[np.sort(first)]
    kept = kept[np.linspace(0, len(kept) - 1, min(most, len(kept))).astype(int)]
    return Lesson(table[kept], target[kept])


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


def parts(windows: Windows) -> list[slice]:
    """Slices of issue times whose features fit into memory."""
    size = at_once(windows.task)
    return [slice(start, start + size) for start in range(0, len(windows), size)]
