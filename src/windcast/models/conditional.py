"""Quantiles of a target given one number: the quantiles among the nearest neighbours along that number.

Nearest-neighbour conditional quantiles (Bhattacharya & Gangopadhyay 1990, doi:10.1214/aos/1176347757), interpolated
between the places where they were taken.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

PLACES = 40
LEAST_NEIGHBOURS = 60


@dataclass(frozen=True)
class ConditionalQuantiles:
    """places [G], ascending; quantiles [G, Q] of the target there."""

    places: NDArray[np.float32]
    quantiles: NDArray[np.float32]

    @classmethod
    def fit(cls, given: Floats, target: Floats, levels: Floats) -> "ConditionalQuantiles":
        """given, target [N]; pairs with a missing side are left out.

        With no complete pair there is nothing to condition on: `quantiles` is NaN at one place.
        """
        known = np.isfinite(given) & np.isfinite(target)
        order = np.argsort(given[known], kind="stable")
        x, y = given[known][order], target[known][order]
        if not len(x):
            return cls(np.zeros(1, np.float32), np.full((1, len(levels)), np.nan, np.float32))
        neighbours = min(len(x), max(LEAST_NEIGHBOURS, len(x) // 25))
        starts = np.unique(np.linspace(0, len(x) - neighbours, PLACES).astype(int))
        windows = starts[:, None] + np.arange(neighbours)
        places, first = np.unique(x[windows].mean(axis=1).astype(np.float32), return_index=True)
        quantiles = np.quantile(y[windows], levels, axis=1).T.astype(np.float32)
        return cls(places, quantiles[first])

    def at(self, given: Floats) -> NDArray[np.float32]:
        """[N, Q] quantiles given [N]; NaN rows where `given` is missing. Constant beyond the outermost places."""
        grid = self.places
        place = np.interp(given, grid, np.arange(len(grid)))
        low = np.nan_to_num(place).astype(int)
        high = np.minimum(low + 1, len(grid) - 1)
        share = (place - low).astype(np.float32)[..., None]
        mixed: NDArray[np.float32] = self.quantiles[low] * (1 - share) + self.quantiles[high] * share
        return mixed
