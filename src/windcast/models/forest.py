"""Quantile regression forest: extremely randomised trees whose leaves keep the distribution of what they were taught.

Meinshausen 2006 (jmlr.org/papers/v7/meinshausen06a.html) for the quantiles, Geurts et al. 2006
(doi:10.1007/s10994-006-6226-1) for the trees, which LightGBM grows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from windcast.data.windows import Windows
from windcast.models import arrays, quantiles, trees
from windcast.models.base import Array
from windcast.models.features import Features
from windcast.models.learned import Trees
from windcast.models.training import lead_groups, lesson, sample

BINS = 200  # of power, between 0 and capacity; bin 0 is exactly nothing


@dataclass(frozen=True)
class ForestConfig:
    """trees a lead group. The other keys are as in GBMConfig and LightGBM."""

    trees: int = 40
    num_leaves: int = 1000
    min_data_in_leaf: int = 5
    feature_fraction: float = 0.4
    bagging_fraction: float = 0.7
    max_bin: int = 63
    max_rows: int = 20_000
    missing_share: float = 0.03
    seed: int = 2
    threads: int = 0


@dataclass(frozen=True)
class Group:
    """One lead group: the trees, and the share [leaves of all trees, BINS + 1] of each bin among a leaf's lessons."""

    booster: Any
    first_leaf: NDArray[np.int64]  # [trees]
    shares: sparse.csr_array

    def distribution(self, inputs: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
        """[N, BINS + 1] distribution function at the upper edges of the bins, averaged over the trees."""
        leaf = trees.leaves(self.booster, inputs, threads) + self.first_leaf.astype(np.int32)
        count, width = leaf.shape
        picks = sparse.csr_array(
            (
                np.full(leaf.size, 1 / width, np.float32),
                leaf.ravel(),
                np.arange(0, leaf.size + 1, width, dtype=np.int32),
            ),
            shape=(count, self.shares.shape[0]),
        )
        cumulative: NDArray[np.float64] = np.cumsum((picks @ self.shares).toarray(), axis=1, dtype=np.float64)
        return cumulative / cumulative[:, -1:]


class QuantileForest(Trees):
    name = "forest"
    Config = ForestConfig
    groups: list[Group]

    def _fit(self, windows: Windows) -> None:
        config = self.config
        shared = {"seed": config.seed, "threads": config.threads}
        self.features = Features().fit(windows, **shared)
        settings = {
            "objective": "l2",
            "boosting": "rf",
            "extra_trees": True,
            "num_leaves": config.num_leaves,
            "min_data_in_leaf": config.min_data_in_leaf,
            "min_sum_hessian_in_leaf": 0,
            "feature_fraction_bynode": config.feature_fraction,
            "bagging_fraction": config.bagging_fraction,
            "bagging_freq": 1,
            "max_bin": config.max_bin,
        }
        self.groups = []
        lessons = sample(windows, most=len(windows), missing_share=config.missing_share, seed=config.seed)
        for leads in lead_groups(self.task):
            rows = lesson(lessons, leads, self.features, most=config.max_rows, threads=config.threads)
            booster = trees.grow(rows.inputs, rows.target, settings, rounds=config.trees, **shared)
            leaf = trees.leaves(booster, rows.inputs, config.threads)
            self.groups.append(_group(booster, leaf, _bins(rows.target, self.task.capacity_mw)))

    def of_rows(self, group: int, inputs: NDArray[np.float32]) -> Array:
        edges = self.groups[group].distribution(inputs, self.config.threads)
        shares = quantiles.of_distribution(edges, np.array(self.task.levels))
        return shares * np.float32(self.task.capacity_mw)

    def _save(self, folder: Path) -> None:
        self.features.save(folder)
        stored: dict[str, NDArray[Any]] = {}
        for number, group in enumerate(self.groups):
            trees.save(folder / f"group{number}.txt", group.booster)
            stored[f"first_leaf{number}"] = group.first_leaf
            stored[f"starts{number}"] = group.shares.indptr.astype(np.int32)
            stored[f"bins{number}"] = group.shares.indices.astype(np.uint8)
            stored[f"shares{number}"] = group.shares.data
        arrays.save(folder, **stored)

    def _load(self, folder: Path) -> None:
        self.features = Features.load(folder)
        stored = arrays.load(folder)
        self.groups = []
        for number in range(len(lead_groups(self.task))):
            starts = stored[f"starts{number}"].astype(np.int32)
            shares = sparse.csr_array(
                (stored[f"shares{number}"], stored[f"bins{number}"].astype(np.int32), starts),
                shape=(len(starts) - 1, BINS + 1),
            )
            booster = trees.load(folder / f"group{number}.txt")
            self.groups.append(Group(booster, stored[f"first_leaf{number}"], shares))


def _bins(power_mw: NDArray[np.float32], capacity_mw: float) -> NDArray[np.int64]:
    """Bin 0 for no power, bin i for power in ((i − 1) / BINS, i / BINS] of capacity."""
    bins: NDArray[np.int64] = np.ceil(np.clip(power_mw / capacity_mw, 0, 1) * BINS - 1e-6).astype(np.int64)
    return bins


def _group(booster: Any, leaf: NDArray[np.int32], bins: NDArray[np.int64]) -> Group:
    sizes = leaf.max(axis=0).astype(np.int64) + 1
    first_leaf = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = (leaf + first_leaf).ravel()
    columns = np.repeat(bins, leaf.shape[1])
    counts = sparse.coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(sizes.sum(), BINS + 1)).tocsr()
    per_leaf = np.maximum(counts.sum(axis=1), 1)
    counts.data /= np.repeat(per_leaf, np.diff(counts.indptr)).astype(np.float32)
    return Group(booster, first_leaf, counts)
