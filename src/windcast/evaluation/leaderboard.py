"""Leaderboard: every model of a backtest on one line, best first, and lead by lead."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from windcast.evaluation.backtest import Backtest
from windcast.evaluation.scores import INTERVALS, Scores, crps, score, skill
from windcast.evaluation.significance import compare

REFERENCES = ("persistence", "climatology")
ERRORS = ("crps", "nmae", "nrmse", "pinball", "bias", "coverage_90", "width_90")
BANDS = tuple(f"{name}_{percent}" for percent in INTERVALS for name in ("coverage", "width"))
TAKEN = ("fit", "predict")


def leaderboard(backtest: Backtest) -> pl.DataFrame:
    """One row a model, by ascending crps. Every number but n, p_value and the seconds is in percent.

    model; n, the scored pairs; crps, nmae, nrmse, pinball, bias and width_90 in % of capacity; coverage_90.
    skill_persistence, skill_climatology: by how much the CRPS is below that model's; null without that model.
    p_value: of Diebold and Mariano's test that the model's CRPS equals the best's (see `significance`); null for
        the best itself, and where there are too few issue times to say.
    fit_seconds, predict_seconds: over all folds; null if not measured.
    Columns whose quantile levels the task does not have are null. Raises TaskError if no observation is known.
    """
    scores = score_all(backtest)
    order = sorted(scores, key=lambda name: scores[name].overall["crps"])
    losses = {name: crps(backtest.forecasts[name], backtest.observed) for name in order}
    issue_times = backtest.forecasts[order[0]].issue_times
    p_values: list[float] = [np.nan]
    for name in order[1:]:
        test = compare(losses[name], losses[order[0]], issue_times=issue_times, resolution=backtest.task.resolution)
        p_values.append(test.overall.p_value)
    columns: dict[str, pl.Series] = {
        "model": pl.Series(order, dtype=pl.String),
        "n": pl.Series([int(scores[name].overall["n"]) for name in order]),
    }
    for error in ERRORS:
        columns[error] = _numbers([100 * scores[name].overall.get(error, np.nan) for name in order])
    for reference in REFERENCES:
        columns[f"skill_{reference}"] = _numbers([_skill(scores, name, reference) for name in order])
    columns["p_value"] = _numbers(p_values)
    for part in TAKEN:
        seconds = [backtest.seconds.get(name, {}).get(part, np.nan) for name in order]
        columns[f"{part}_seconds"] = _numbers(seconds)
    return pl.DataFrame(columns)


def by_lead(backtest: Backtest) -> pl.DataFrame:
    """One row a model, in the order of the backtest, and lead: model, lead_minutes, n, then all scores in percent.

    The columns of `Scores.leads`, errors in % of capacity, and skill_persistence and skill_climatology, null without
    that model. Null where a lead has no known observation, or the task has no such levels. Raises TaskError if no
    observation is known.
    """
    scores = score_all(backtest)
    parts = []
    for name, scored in scores.items():
        errors = [c for c in scored.leads.columns if c not in ("lead_minutes", "n")]
        table = scored.leads.with_columns(pl.col(errors) * 100)
        missing = [name for name in BANDS if name not in errors]
        table = table.with_columns(pl.lit(None, pl.Float64).alias(name) for name in missing)
        for reference in REFERENCES:
            against = skill(scored, scores[reference])["skill"] * 100 if reference in scores else None
            table = table.with_columns(pl.lit(against, pl.Float64).alias(f"skill_{reference}"))
        parts.append(table.insert_column(0, pl.Series("model", [name] * table.height)))
    return pl.concat(parts)


def score_all(backtest: Backtest) -> dict[str, Scores]:
    """Scores of every model, in the order of the backtest."""
    return {name: score(forecast, backtest.observed) for name, forecast in backtest.forecasts.items()}


def _skill(scores: Mapping[str, Scores], name: str, reference: str) -> float:
    if reference not in scores or not scores[reference].overall["crps"]:
        return np.nan
    return 100 * (1 - scores[name].overall["crps"] / scores[reference].overall["crps"])


def _numbers(values: list[float]) -> pl.Series:
    return pl.Series(values, dtype=pl.Float64).fill_nan(None)
