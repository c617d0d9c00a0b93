"""Comparing two models, in one run or two, on the issue times that both forecast."""

from pathlib import Path

import numpy as np
import polars as pl

from windcast.errors import ConfigError, unknown_name
from windcast.evaluation.backtest import Backtest
from windcast.evaluation.scores import crps
from windcast.evaluation.significance import compare
from windcast.workflows.jobs import stored_backtest


def compare_runs(first: Path, second: Path, models: str | None = None) -> tuple[pl.DataFrame, str]:
    """The Diebold-Mariano test by lead as a table, and the verdict over all leads as a sentence.

    models: `a:b`, a of the first run and b of the second; by default the last model of each, or, in one run, the last
    against the best of the others.
    """
    one, other = stored_backtest(first)[0], stored_backtest(second)[0]
    names = _names(one, other, models, same=first == second)
    shared, rows, other_rows = np.intersect1d(
        one.forecasts[names[0]].issue_times, other.forecasts[names[1]].issue_times, return_indices=True
    )
    if not len(shared) or one.task.horizon != other.task.horizon or one.farm.checksum != other.farm.checksum:
        raise ConfigError(f"{first} and {second} share no issue times, horizon or data. Backtest both the same way.")
    losses = crps(one.forecasts[names[0]].take(rows), one.observed[rows])
    reference = crps(other.forecasts[names[1]].take(other_rows), other.observed[other_rows])
    result = compare(losses, reference, issue_times=shared, resolution=one.task.resolution)
    overall = result.overall
    word = "better" if overall.difference < 0 else "worse"
    sure = "significant at 5 %" if overall.p_value < 0.05 else "not significant at 5 %"
    if np.isnan(overall.p_value):
        sure = "too few issue times to say whether that is chance"
    percent = 100 * abs(overall.difference) / float(np.nanmean(reference))
    verdict = (
        f"{names[0]} is {percent:.1f} % {word} than {names[1]} in CRPS over {overall.n:,} issue times; "
        f"Diebold-Mariano p = {overall.p_value:.2g}: {sure}."
    )
    return result.leads, verdict


def _names(one: Backtest, other: Backtest, models: str | None, *, same: bool) -> tuple[str, str]:
    mine, theirs = list(one.forecasts), list(other.forecasts)
    if models is None:
        if not same:
            return mine[-1], theirs[-1]
        if len(mine) < 2:
            raise ConfigError("the run has one model only; name another run to compare it with.")
        return mine[-1], min(mine[:-1], key=lambda name: float(np.nanmean(crps(one.forecasts[name], one.observed))))
    first, found, second = models.partition(":")
    if not found:
        raise ConfigError(f"--models is '{models}'; write it as first:second, for example pool:persistence.")
    for name, known in ((first, mine), (second, theirs)):
        if name not in known:
            raise ConfigError(unknown_name("model in the run", name, known))
    return first, second
