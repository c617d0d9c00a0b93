"""The ladder tells how good a model is without each of its inputs."""

import numpy as np
import pytest
from small import fitted, source

from windcast.data.windows import build_windows
from windcast.evaluation.ladder import Ladder, measured
from windcast.evaluation.scores import crps
from windcast.models.forecast import Rung


@pytest.fixture(scope="module")
def steps() -> Ladder:
    made = source("simulation")
    times = made.issue_times[0] + np.timedelta64(1, "h") * np.arange(30)
    return measured(fitted("gbm", "simulation"), build_windows(made.farm, made.task, times))


def test_every_rung_that_can_be_stood_on_is_measured_at_every_lead(steps: Ladder) -> None:
    assert set(steps) == {rung.name.lower() for rung in Rung}
    for rung in ("fresh", "no_weather", "no_power", "nothing"):
        assert all(value is not None and 0 < value < 1 for value in steps[rung]), rung


def test_fewer_inputs_are_worse(steps: Ladder) -> None:
    mean = {rung: np.mean([v for v in values if v is not None]) for rung, values in steps.items() if any(values)}
    assert mean["fresh"] < mean["no_weather"] or mean["fresh"] < mean["no_power"]
    assert mean["fresh"] < mean["nothing"]


def test_the_top_rung_is_what_the_scores_say() -> None:
    made = source("simulation")
    times = made.issue_times[0] + np.timedelta64(1, "h") * np.arange(30)
    windows = build_windows(made.farm, made.task, times)
    forecast = fitted("gbm", "simulation").predict(windows.without_target())
    error = np.where(forecast.rung == Rung.FRESH, crps(forecast, windows.target), np.nan)
    steps = measured(fitted("gbm", "simulation"), windows)
    assert steps["fresh"] == pytest.approx(np.nanmean(error, axis=0).tolist(), abs=1e-6)
