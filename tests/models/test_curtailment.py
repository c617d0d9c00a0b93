"""Curtailed and unavailable hours say how the farm was operated, not what the wind gave: they teach no low bias."""

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

import numpy as np
import polars as pl
import pytest
import small

from windcast.data.farm import FarmData
from windcast.data.sources import faults
from windcast.data.windows import build_windows
from windcast.evaluation.backtest import Plan, training_windows
from windcast.models.base import build

DAYS, TEST_DAYS = 60, 12
STRONGER = {
    "gbm": {"rounds": 25},
    "forest": {"trees": 12, "num_leaves": 150},
    "mlp": {"epochs": 12},
    "shared": {"epochs": 12, "max_rows": 4000},
    "patchtst": {"epochs": 12, "learning_rate": 0.005, "max_issue_times": 2000, "seeds": 2},
}


@lru_cache
def farm() -> FarmData:
    return small.simulated(days=DAYS, run_horizon_hours=24, seed=8)


@lru_cache
def held(kind: str, told: bool) -> FarmData:
    """The farm with half of its training days curtailed to a fifth, or half of its turbines out."""
    start, end = farm().start + timedelta(days=8), farm().start + timedelta(days=34)
    if kind == "curtailed":
        return faults.inject(farm(), [{"name": "curtailment", "start": start, "end": end, "limit": 0.2, "told": told}])
    out = pl.col("time").is_between(start, end)
    power = farm().power.with_columns(
        power_mw=pl.when(out).then(0.4 * pl.col("power_mw")).otherwise(pl.col("power_mw"))
    )
    states = farm().power.select("time", (1.0 - 0.6 * out.cast(pl.Float64)).alias("availability"))
    return replace(farm(), power=power, availability=states if told else None)


def mean_forecast(model: str, trained_on: FarmData) -> float:
    """Mean MW forecast for the free days at the end."""
    task = small.task_of(farm(), horizon=2, history=0)  # recent power would tell that the farm is held back
    split = farm().start.replace(hour=0) + timedelta(days=DAYS - TEST_DAYS)
    lessons = training_windows(trained_on, task, Plan(start=split), split)
    test = build_windows(farm(), task, farm().times[-24 * TEST_DAYS : -3 : 2])
    return float(build(config_of(model)).fit(lessons).predict(test).values.mean())


def config_of(model: str) -> dict[str, object]:
    return small.CONFIGS[model] | STRONGER.get(model, {})


@pytest.mark.parametrize("kind", ["curtailed", "unavailable"])
@pytest.mark.parametrize("model", small.models(["power_curve", "gbm", "forest", "mlp", "patchtst", "shared"]))
def test_hours_that_were_held_back_teach_no_low_bias(model: str, kind: str) -> None:
    free = mean_forecast(model, farm())
    told, untold = (mean_forecast(model, held(kind, told)) for told in (True, False))
    assert told == pytest.approx(free, rel=0.07)
    assert untold < 0.97 * free
    assert untold < 0.97 * told


@pytest.mark.parametrize("kind", ["curtailed", "unavailable"])
def test_climatology_is_of_free_hours_alone(kind: str) -> None:
    """It cannot know what the wind would have given, but must not mix in what was held back."""
    told, untold = (mean_forecast("climatology", held(kind, told)) for told in (True, False))
    assert untold < 0.85 * told
    start, end = farm().start + timedelta(days=8), farm().start + timedelta(days=34)
    learned = farm().power.filter(pl.col("time") < farm().times[-24 * TEST_DAYS].item().replace(tzinfo=start.tzinfo))
    free = learned.filter(~pl.col("time").is_between(start, end))["power_mw"]
    if kind == "unavailable":
        assert told == pytest.approx(np.quantile(free, small.LEVELS).mean(), rel=0.05)
