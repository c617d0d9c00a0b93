"""The comparison that windcast began with: daily values of Klim, 60 days ahead from 104, all 11 columns, by PatchTST.

Every column of the published file (day of the year, power, and the weather forecast 1, 2 and 3 hours ahead) is averaged
by day, gaps are filled linearly, and values are put in units of the standard deviation over the training days. Windows
follow one another in time: the first part of the days trains, the next validates, the last is the test. Mean squared
error, for all columns and for power alone, beside that of a forecast that always says the mean of the training days.
Needs what benchmarks/peers.py needs.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

import numpy as np
import polars as pl
from measure import Measurement
from peers import tsai_learner

from windcast.data.sources import klim, published
from windcast.errors import SourceError

DATA = "Klim, daily means, 11 columns, 60 days ahead"
HISTORY, HORIZON = 104, 60
TRAIN, VALIDATE = 0.7, 0.1  # of the days
SEEDS = (1, 2, 3)
POWER = 1


@dataclass(frozen=True)
class Days:
    """values [T, C] in standard units of the training days, their mean 0; train and validate: first day after each."""

    values: np.ndarray
    train: int
    validate: int

    @classmethod
    def load(cls, *, train: float = TRAIN, validate: float = VALIDATE) -> "Days":
        file = published.find(f"klim/{klim.FILE}")
        if file is None:
            raise SourceError(f"klim/{klim.FILE} is not below WINDCAST_DATA or ../shared/data.")
        published.check(file, klim.SHA256)
        table = pl.read_csv(file, null_values=["NA"], infer_schema_length=None)
        day = pl.col("t").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.date()
        daily = table.group_by(day).agg(pl.exclude("t").cast(pl.Float64).mean()).sort("t").drop("t")
        values = daily.select(pl.all().interpolate()).to_numpy()
        first, second = int(train * len(values)), int((train + validate) * len(values))
        known = values[:first]
        return cls((values - known.mean(axis=0)) / known.std(axis=0), first, second)

    def windows(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Contexts [N, C, 104] and targets [N, C, 60] whose target days lie from `first` up to before `last`."""
        starts = np.arange(max(first, HISTORY), last - HORIZON + 1)
        reach = starts[:, None] + np.arange(-HISTORY, HORIZON)
        both = np.moveaxis(self.values[reach], 2, 1).astype(np.float32)
        return both[..., :HISTORY], both[..., HISTORY:]


def run() -> list[Measurement]:
    days = Days.load()
    inputs, truth = days.windows(days.validate, len(days.values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = [(points - truth) ** 2 for points in forecasts(days, inputs)]
    by_mean = truth**2
    overall = [float(e.mean()) for e in errors]
    return [
        _row("MSE of the original, all columns, best seed", min(overall)),
        _row("MSE of the original, all columns, worst seed", max(overall)),
        _row("MSE of the training mean, all columns", by_mean.mean()),
        _row("MSE of the original, power", mean(float(e[:, POWER].mean()) for e in errors)),
        _row("MSE of the training mean, power", by_mean[:, POWER].mean()),
    ]


def forecasts(days: Days, inputs: np.ndarray) -> Iterator[np.ndarray]:
    """[N, C, 60] of a network a seed, trained as the original was."""
    try:
        import torch

        learned, held = days.windows(0, days.train), days.windows(days.train, days.validate)
        both = [np.concatenate(parts) for parts in zip(learned, held, strict=True)]
        for seed in SEEDS:
            learner = tsai_learner(*both, len(held[0]), batch=16, seed=seed)
            with learner.no_bar(), learner.no_logging():
                learner.fit_one_cycle(5, 0.0025)
            with torch.inference_mode():
                yield learner.model.eval()(torch.from_numpy(inputs)).numpy()
    except ImportError as error:
        raise SourceError(f"tsai is not installed ({error}); the top of benchmarks/peers.py says how.") from None


def _row(name: str, value: float) -> Measurement:
    return Measurement(name=name, value=float(value), unit="variances", data=DATA)
