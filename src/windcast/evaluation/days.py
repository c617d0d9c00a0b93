"""Which days to show: the best, the typical and the worst forecast of a model, chosen by a rule and not by hand."""

from dataclasses import dataclass

import numpy as np

from windcast.data.windows import Windows
from windcast.evaluation.scores import crps
from windcast.models.forecast import Forecast, Rung

LEAST_POWER = 0.05  # share of capacity: below it, forecast and observed, any model is right


@dataclass(frozen=True)
class Day:
    """An issue time: its row in the forecast and the mean CRPS over its leads, a fraction of capacity."""

    kind: str
    row: int
    crps: float


def days(forecast: Forecast, windows: Windows) -> list[Day]:
    """The best, typical (median) and worst issue time by mean CRPS; fewer where there are fewer than three.

    Chosen among those with all inputs fresh, every past and future power known, and a mean power of at least 5 % of
    capacity, forecast or observed; where none is like that, among those with some power known.
    windows: of the forecast's issue times, with their target.
    """
    losses = crps(forecast, windows.target)
    known = np.isfinite(losses)
    mean = np.where(known, losses, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    full = known.all(axis=1) & np.isfinite(windows.power).all(axis=1) & (forecast.rung == Rung.FRESH).all(axis=1)
    least = LEAST_POWER * forecast.task.capacity_mw
    blowing = (forecast.median.mean(axis=1) >= least) | (np.nan_to_num(windows.target).mean(axis=1) >= least)
    rows = np.flatnonzero(full & blowing)
    if not len(rows):
        rows = np.flatnonzero(known.any(axis=1))
    if not len(rows):
        return []
    ranked = rows[np.argsort(mean[rows], kind="stable")]
    places = {"best": 0, "typical": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        places = {"best": 0, "worst": len(ranked) - 1} if len(ranked) == 2 else {"only": 0}
    return [Day(kind, int(ranked[place]), float(mean[ranked[place]])) for kind, place in places.items()]
