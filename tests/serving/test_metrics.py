"""What alerts are raised on: readiness, late inputs, the rung, and the live scores against the backtest's promise."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import FARM, Running, hours
from windcast.data.task import ForecastTask
from windcast.evaluation.reliability import interval_coverage
from windcast.evaluation.scores import crps
from windcast.models.forecast import RECENT, Forecast
from windcast.serving import watching
from windcast.serving.scoring import Scored, scored
from windcast.serving.verdict import verdict


def gauge(running: Running, name: str, **labels: str) -> float | None:
    """None where there is no such sample."""
    text = running.client.get("/metrics").text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    found = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) <= 1
    return found[0] if found else None


def test_without_its_store_a_service_still_tells_that_it_is_not_ready(filled: Running, tmp_path: Path) -> None:
    assert gauge(filled, "windcast_ready") == 1
    (tmp_path / "live.db").rename(tmp_path / "away.db")
    assert gauge(filled, "windcast_ready") == 0
    assert gauge(filled, "windcast_latest_rung") is None, "what is not known is not told"
    (tmp_path / "away.db").rename(tmp_path / "live.db")
    assert gauge(filled, "windcast_ready") == 1
    filled.service.closing.set()
    assert gauge(filled, "windcast_ready") == 0


def test_power_is_late_exactly_when_a_forecast_would_be_issued_without_it(filled: Running) -> None:
    limit = gauge(filled, "windcast_input_late_after_seconds", farm=FARM, input="power")
    forecaster = filled.service.shelf.get("small").bundle.forecaster
    assert limit == (forecaster.usual_lag + RECENT) * 3600
    age = gauge(filled, "windcast_input_age_seconds", farm=FARM, input="power")
    filled.clock.ahead += timedelta(seconds=limit - age - 30)
    assert "no_power" not in issued(filled)["rungs"]
    filled.clock.ahead += timedelta(seconds=60)
    assert set(issued(filled)["rungs"]) <= {"no_power", "nothing"}
    assert gauge(filled, "windcast_input_age_seconds", farm=FARM, input="power") > limit


def issued(running: Running) -> dict[str, list[str]]:
    return running.client.post(f"/v1/farms/{FARM}/forecasts").json()["inputs"]


def test_weather_is_late_when_the_next_run_should_have_come(filled: Running) -> None:
    limit = gauge(filled, "windcast_input_late_after_seconds", farm=FARM, input="weather")
    assert limit == pytest.approx(6 * 3600, rel=0.1), "the simulation's runs come every six hours"


def test_the_rung_of_the_latest_forecast_is_told(filled: Running) -> None:
    assert gauge(filled, "windcast_latest_rung", farm=FARM) == 0
    filled.clock.ahead += hours(5)
    issued(filled)
    assert gauge(filled, "windcast_latest_rung", farm=FARM) == 3, "no power"
    filled.clock.ahead += hours(100)
    issued(filled)
    assert gauge(filled, "windcast_latest_rung", farm=FARM) == 4, "nothing"


@pytest.mark.parametrize(("without", "rung"), [(2, 0), (3, 0), (4, 2)])
def test_leads_beyond_the_end_of_a_run_do_not_lower_the_rung(without: int, rung: int) -> None:
    names = ["fresh"] * (6 - without) + ["no_weather"] * without
    entry = type("Entry", (), {"document": {"inputs": {"rungs": names}}})()
    assert watching.middle_rung(entry) == rung


def test_a_farm_that_never_failed_to_be_forecast_counts_zero_failures(filled: Running) -> None:
    gauge(filled, "windcast_issues_failed_total", farm=FARM)
    assert gauge(filled, "windcast_issues_failed_total", farm=FARM) == 0, "from the second scrape on"


def test_a_scrape_scores_no_longer_than_its_time_and_the_next_goes_on_with_the_others(
    filled: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled.service.store
    record, first = store.farm(FARM), store.forecasts(FARM, limit=1)[0]
    for name in ("b", "c"):
        store.put_farm(replace(record, name=name))
        issued_of(filled, name, first.issue_time)
    scored_farms: list[str] = []
    monkeypatch.setattr(watching, "SCORING", 0.0)
    monkeypatch.setattr(watching, "scored", lambda _, farm, *times: scored_farms.append(farm))
    monkeypatch.setattr(watching, "verdict", lambda _: {"crps": 0.1})
    states = watching.FarmStates(filled.service)
    told = [{state.farm for state in states() or () if state.scores} for _ in range(4)]
    assert [len(farms) for farms in told] == [1, 2, 3, 3]
    assert sorted(scored_farms) == ["b", "c", FARM], "each once: a minute has not passed"


def issued_of(running: Running, farm: str, issue_time: datetime) -> None:
    running.service.operator.issue(farm, issue_time, now=running.clock())


def test_live_and_promised_crps_are_of_the_same_leads(filled: Running) -> None:
    end = filled.clock()
    found = scored(filled.service.operator, FARM, end - timedelta(days=30), end)
    promised = found.promised.copy()
    promised[:, 2:] = np.nan  # as if the backtest had measured two leads alone
    partly = Scored(**{**vars(found), "promised": promised})
    told, errors = verdict(partly), crps(found.forecast, found.observed)
    assert told["compared_crps"] == pytest.approx(np.nanmean(errors[:, :2]))
    assert told["crps"] == pytest.approx(np.nanmean(errors))
    assert told["backtest_crps"] == pytest.approx(np.nanmean(promised[np.isfinite(errors)]))
    nothing = Scored(**{**vars(found), "promised": np.full_like(promised, np.nan)})
    assert not {"compared_crps", "backtest_crps", "excess_t"} & verdict(nothing).keys()


def test_the_scores_that_alerts_compare_are_in_the_metrics(filled: Running) -> None:
    end = filled.clock()
    told = verdict(scored(filled.service.operator, FARM, end - timedelta(days=30), end))
    assert gauge(filled, "windcast_scored_values", farm=FARM) == told["values"]
    assert gauge(filled, "windcast_live_crps_compared", farm=FARM) == pytest.approx(told["compared_crps"])
    assert gauge(filled, "windcast_backtest_crps", farm=FARM) == pytest.approx(told["backtest_crps"])
    assert gauge(filled, "windcast_crps_excess_t", farm=FARM) == pytest.approx(told["excess_t"])
    for part in ("fair", "low", "high"):
        value = gauge(filled, f"windcast_live_coverage_{part}", farm=FARM, band="90")
        assert value == pytest.approx(told[f"{part}_90"])


def simulated(issues: int, *, spread: float, calm: bool = False, seed: int = 1) -> tuple[Forecast, np.ndarray]:
    """Forecasts that say N(5, 1) MW of a power that is N(5, spread), or 0 half of the time and both know it."""
    rng = np.random.default_rng(seed)
    levels = tuple(np.linspace(0.025, 0.975, 39).round(3).tolist())
    task = ForecastTask(horizon=2, resolution=timedelta(hours=1), capacity_mw=10, levels=levels)
    draws = 5 + np.sort(rng.standard_normal(100_000))
    draws = np.sort(np.where(np.arange(len(draws)) % 2 == 0, 0, draws)) if calm else draws
    values = np.broadcast_to(np.quantile(draws, levels), (issues, 2, 39)).astype(np.float32)
    truth = 5 + spread * rng.standard_normal((issues, 2))
    truth = np.where(rng.random((issues, 2)) < 0.5, 0, truth) if calm else truth
    times = np.datetime64("2024-01-01T00", "us") + np.arange(issues) * np.timedelta64(2, "h")
    forecast = Forecast(task=task, issue_times=times, values=values, rung=np.zeros((issues, 2), np.int8))
    return forecast, truth.astype(np.float32)


def test_the_fair_coverage_of_a_calm_farm_is_not_above_its_probability() -> None:
    forecast, truth = simulated(2000, spread=1, calm=True)
    fair = interval_coverage(forecast, truth, probabilities=[0.5], band=0.998)[0]
    assert fair.low < fair.frequency < fair.high
    low, high = forecast.quantile(0.25), forecast.quantile(0.75)
    assert ((truth >= low) & (truth <= high)).mean() > 0.7, "its plain coverage is"


def test_bands_that_are_too_narrow_are_told_from_chance_once_there_are_enough_values() -> None:
    few = interval_coverage(*simulated(6, spread=2), probabilities=[0.9], band=0.998)[0]
    many = interval_coverage(*simulated(300, spread=2), probabilities=[0.9], band=0.998)[0]
    assert few.low < few.frequency, "six forecasts prove nothing"
    assert many.frequency < many.low
    assert many.n == 600


@pytest.mark.parametrize("seed", range(5))
def test_calibrated_forecasts_stay_within_the_band(seed: int) -> None:
    fair = interval_coverage(*simulated(300, spread=1, seed=seed), probabilities=[0.9], band=0.998)[0]
    assert fair.low < fair.frequency < fair.high
