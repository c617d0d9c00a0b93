"""One thing that a look at the data found, and the spells of time it concerns."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.contracts import UTC
from windcast.data.farm import Times

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
Mask = NDArray[np.bool_]

ENOUGH_HOURS = 24.0  # suspected spells that are shorter in all are an info: a day in years moves no score


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """What was found, when, how much of it, and what windcast does about it.

    spans: first, last (UTC stamps of the first and last interval of a spell) and hours; empty where it
    concerns all.
    """

    check: str
    severity: Severity
    when: str
    how_much: str
    action: str
    spans: pl.DataFrame = field(default_factory=lambda: no_spans(), repr=False)


def no_spans() -> pl.DataFrame:
    return pl.DataFrame(schema={"first": UTC, "last": UTC, "hours": pl.Float64})


def runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends (exclusive) of the runs of True."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def covered(windows: Mask, length: int) -> Mask:
    """Every step that lies in a True window, window i being steps i … i + length − 1."""
    edges = np.zeros(len(windows) + length, np.int64)
    edges[: len(windows)] += windows
    edges[length:] -= windows
    steps: Mask = np.cumsum(edges)[:-1] > 0
    return steps


def spans_of(mask: Mask, times: Times, step_hours: float) -> pl.DataFrame:
    """The spells of a mask over the grid `times`."""
    start, end = runs(mask)
    frame = pl.DataFrame({"first": times[start], "last": times[end - 1], "hours": (end - start) * step_hours})
    return frame.with_columns(pl.col("first", "last").dt.replace_time_zone("UTC")).select(
        pl.col(name).cast(kind) for name, kind in no_spans().schema.items()
    )


def when_of(spans: pl.DataFrame) -> str:
    """First … last and the number of spells."""
    if spans.is_empty():
        return "throughout"
    spells = "1 spell" if spans.height == 1 else f"{spans.height} spells"
    first, last = spans["first"][0], spans["last"][-1]
    return f"{first:%Y-%m-%d %H:%M} … {last:%Y-%m-%d %H:%M}, {spells}"


def severity_of_spells(spans: pl.DataFrame) -> Severity:
    return "warning" if spans["hours"].sum() >= ENOUGH_HOURS else "info"


def hours_of(hours: object) -> str:
    """Hours for reading: 6 h, 132.8 h."""
    return f"{round(float(str(hours)), 1):g} h"


def percent(share: float) -> str:
    """A share for reading: never 0 % of something or 100 % of not everything."""
    for digits in (1, 2, 3):
        text = f"{100 * share:.{digits}f}"
        if share in (0.0, 1.0) or 0 < float(text) < 100:
            return f"{float(text):g} %"
    return "< 0.001 %" if share < 0.5 else "> 99.999 %"
