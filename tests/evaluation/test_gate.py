"""The promotion gate's criteria, each on forecasts whose quality is known."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from windcast.data.task import ForecastTask
from windcast.errors import TaskError
from windcast.evaluation.gate import CRITERIA, Costs, Finding, costs, judge, passes
from windcast.models.forecast import Forecast

LEVELS = tuple(round(k / 20, 2) for k in range(1, 20))
TASK = ForecastTask(horizon=6, resolution=timedelta(hours=1), capacity_mw=10, levels=LEVELS)
TIMES = np.datetime64("2020-01-01", "us") + np.timedelta64(6, "h") * np.arange(600)
Array = NDArray[np.float64]


def made(centre: Array, deviation: float | Array = 1.0) -> Forecast:
    values = centre[..., None] + np.asarray(deviation)[..., None] * ndtri(np.array(LEVELS))
    return Forecast(
        task=TASK,
        issue_times=TIMES,
        values=np.clip(values, 0, 10).astype(np.float32),
        rung=np.zeros(centre.shape, np.int8),
    )


@pytest.fixture
def truth() -> tuple[Array, Array]:
    """Centre of the true forecast, and what came."""
    rng = np.random.default_rng(3)
    centre = 5 + rng.standard_normal((600, 6))
    return centre, centre + rng.standard_normal((600, 6))


def blurred(centre: Array, size: float, seed: int) -> Forecast:
    error = np.random.default_rng(seed).standard_normal(centre.shape)
    return made(centre + size * error, float(np.sqrt(1 + size**2)))


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_clearly_better_challenger_passes_and_the_same_two_exchanged_do_not(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    good, poor = made(centre), blurred(centre, 0.6, seed=1)
    assert passes(judge(good, poor, observed))
    other = by_name(judge(poor, good, observed))
    assert not other["accuracy"].passed
    assert not other["lead times"].passed
    assert other["accuracy"].figures["change"] > 0


def test_the_champion_itself_is_no_better_than_the_champion(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    findings = by_name(judge(made(centre), made(centre), observed))
    assert [name for name, found in findings.items() if not found.passed] == ["accuracy"]


def test_equal_challengers_pass_no_more_often_than_the_level_says(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    passed = [
        passes(judge(blurred(centre, 0.4, seed), blurred(centre, 0.4, seed + 100), observed)) for seed in range(40)
    ]
    assert sum(passed) <= 4


def test_one_lead_time_that_is_worse_stops_a_better_challenger(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    champion = blurred(centre, 0.8, seed=1)
    off = centre.copy()
    off[:, 4] += 1.6
    findings = by_name(judge(made(off), champion, observed))
    assert findings["accuracy"].passed
    assert not findings["lead times"].passed
    assert "at 5 h" in findings["lead times"].said


def test_a_band_that_is_too_narrow_stops_a_better_challenger(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    findings = by_name(judge(made(centre, 0.7), blurred(centre, 1.0, seed=1), observed))
    assert findings["accuracy"].passed
    assert not findings["coverage of the 90 % band"].passed
    assert findings["coverage of the 90 % band"].figures["coverage"] < 0.8


def test_a_band_that_covers_better_than_the_champions_is_no_fault(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    findings = by_name(judge(made(centre), made(centre, 0.6), observed))
    assert findings["coverage of the 50 % band"].passed
    assert findings["coverage of the 90 % band"].passed


def test_one_bad_week_stops_a_better_challenger(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    lost = centre.copy()
    lost[280:308] -= 3.0
    findings = by_name(judge(made(lost), blurred(centre, 1.0, seed=1), observed))
    assert not findings["worst week"].passed
    assert findings["worst week"].figures["crps"] > 1.2 * findings["worst week"].figures["champion"]
    assert "2020-03-11" in findings["worst week"].said


def test_what_was_not_observed_counts_for_neither(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    good, poor = made(centre), blurred(centre, 0.6, seed=1)
    gaps = observed.copy()
    gaps[100:200] = np.nan
    worse_there = centre.copy()
    worse_there[100:200] = 0
    whole, hidden = judge(good, poor, gaps)[0], judge(made(worse_there), poor, gaps)[0]
    assert whole.figures["n"] == 500
    assert hidden.figures["change"] == pytest.approx(whole.figures["change"])


def test_too_few_issue_times_to_say_anything_do_not_pass(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    few = slice(0, 8)
    findings = judge(made(centre).take(few), blurred(centre, 2.0, 1).take(few), observed[few])
    assert not by_name(findings)["accuracy"].passed
    assert not by_name(findings)["lead times"].passed


def test_a_calm_farm_where_nothing_differs_is_judged_without_a_division_by_zero() -> None:
    calm = np.zeros((600, 6))
    still = made(calm, 0.0)
    assert not by_name(judge(still, still, calm))["accuracy"].passed


def test_forecasts_of_other_issue_times_cannot_be_judged(truth: tuple[Array, Array]) -> None:
    centre, observed = truth
    champion = made(centre)
    with pytest.raises(TaskError, match="other issue times"):
        judge(replace(champion, issue_times=TIMES + np.timedelta64(1, "h")), champion, observed)


@pytest.mark.parametrize(
    ("size", "latency", "met"),
    [(30.0, 10.0, [True, True]), (61.0, 10.0, [False, True]), (10.0, 400.0, [True, False])],
)
def test_size_and_latency_are_held_to_multiples_of_the_champions(size: float, latency: float, met: list[bool]) -> None:
    champion = Costs(size_mb=20.0, latency_ms=100.0)
    assert [f.passed for f in costs(Costs(size_mb=size, latency_ms=latency), champion)] == met


def test_a_small_and_quick_bundle_is_never_too_large_or_slow() -> None:
    light = Costs(size_mb=CRITERIA.light_mb, latency_ms=CRITERIA.quick_ms)
    assert passes(costs(light, Costs(size_mb=0.01, latency_ms=0.1)))
