"""What the command line and a notebook call: train, forecast, backtest, read back, reproduce, compare."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from windcast.configs import Settings, settings
from windcast.data.farm import FarmData
from windcast.data.windows import build_windows
from windcast.errors import BundleError, ConfigError, DataContractError, SourceError, TaskError
from windcast.evaluation.backtest import replay
from windcast.models.forecast import Forecast, Rung
from windcast.registry import production
from windcast.registry.bundles import Bundle
from windcast.workflows import jobs
from windcast.workflows.comparing import compare_runs
from windcast.workflows.live import live_farm
from windcast.workflows.reproducing import reproduce

SMALL = ("data=simulation", "data.days=30", "backtest.issue_every_hours=6", "task.horizon=6", "task.levels=19")
GBM = (*SMALL, "model=gbm", "model.rounds=5", "model.max_rows=2000", "threads=1", "calibration.rate=0.02")
TRAINED_UNTIL = datetime(2020, 1, 25, tzinfo=UTC)


@pytest.fixture(scope="module")
def chosen() -> Settings:
    return settings(GBM)


@pytest.fixture(scope="module")
def farm(chosen: Settings) -> FarmData:
    return chosen.farm()


@pytest.fixture(scope="module")
def bundle(chosen: Settings, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return jobs.train(chosen, tmp_path_factory.mktemp("trained") / "bundle", until=TRAINED_UNTIL)


@pytest.fixture(scope="module")
def run(chosen: Settings, tmp_path_factory: pytest.TempPathFactory) -> jobs.Run:
    return jobs.run_backtest(chosen, tmp_path_factory.mktemp("runs") / "gbm", command="windcast backtest …")


def width(forecast: Forecast) -> float:
    return float((forecast.quantile(0.95) - forecast.quantile(0.05)).mean())


def test_a_bundle_carries_the_scores_of_the_backtest_it_is_given(
    run: jobs.Run, chosen: Settings, tmp_path: Path
) -> None:
    trained = jobs.train(chosen, tmp_path / "b", until=TRAINED_UNTIL, promised_by=run.folder)
    assert trained.manifest["ladder"] == run.record.ladder
    assert trained.manifest["scores"] == run.record.scores["gbm, calibrated"]
    other = settings([o.replace("horizon=6", "horizon=5") for o in GBM])
    with pytest.raises(ConfigError, match="backtest of another task"):
        jobs.train(other, tmp_path / "c", promised_by=run.folder)


# --- train and forecast ----------------------------------------------------------------------------------------------


def test_a_forecast_from_a_bundle_is_what_the_live_path_would_have_issued(bundle: Bundle, farm: FarmData) -> None:
    issue = TRAINED_UNTIL + timedelta(hours=40)
    step = np.timedelta64(1, "h")
    times = np.datetime64(TRAINED_UNTIL.replace(tzinfo=None), "us") + step * np.arange(1, 41)
    *_, lived = replay(bundle.forecaster, farm, times)
    forecast, issued = production.forecast(bundle, farm, issue)
    assert issued == issue
    assert forecast.issue_times.tolist() == lived.issue_times.tolist()
    np.testing.assert_array_equal(forecast.values, lived.values)
    untaught = bundle.forecaster.model.predict(build_windows(farm, lived.task, times[-1:]))
    assert not np.array_equal(forecast.values, untaught.values)


def test_a_forecast_does_not_change_when_later_data_are_on_file(bundle: Bundle, farm: FarmData) -> None:
    issue = TRAINED_UNTIL + timedelta(hours=30)
    then, _ = production.forecast(bundle, farm.known_until(issue))
    here, _ = production.forecast(bundle, farm, issue)
    np.testing.assert_array_equal(then.values, here.values)


def test_the_issue_time_is_the_last_known_power_unless_given(bundle: Bundle, farm: FarmData) -> None:
    assert production.forecast(bundle, farm)[1] == farm.end
    cut = replace(farm, power=farm.power.with_columns(pl.when(pl.col("time") < farm.end).then("power_mw")))
    assert production.forecast(bundle, cut)[1] == farm.end - timedelta(hours=1)
    late = replace(farm, power_delay=timedelta(minutes=90))
    assert production.forecast(bundle, late)[1] == farm.end + timedelta(hours=1)


def test_a_forecast_after_a_gap_in_power_comes_from_the_weather_alone(bundle: Bundle, farm: FarmData) -> None:
    known = pl.col("time") <= farm.end - timedelta(hours=30)
    forecast, _ = production.forecast(bundle, replace(farm, power=farm.power.filter(known)), farm.end)
    assert set(forecast.rung.ravel().tolist()) == {Rung.NO_POWER}
    assert width(forecast) != width(production.forecast(bundle, farm, farm.end)[0])


def test_an_issue_time_between_steps_is_taken_back_to_the_step(bundle: Bundle, farm: FarmData) -> None:
    _, issued = production.forecast(bundle, farm, farm.end - timedelta(minutes=20))
    assert issued == farm.end - timedelta(hours=1)


def test_an_issue_time_beyond_the_data_is_forecast_from_the_time_of_year(bundle: Bundle, farm: FarmData) -> None:
    forecast, _ = production.forecast(bundle, farm, farm.end + timedelta(days=90))
    assert set(forecast.rung.ravel().tolist()) == {Rung.NOTHING}
    assert width(forecast) > width(production.forecast(bundle, farm)[0])


def test_an_issue_time_before_the_training_end_is_forecast_from_what_was_known(bundle: Bundle, farm: FarmData) -> None:
    forecast, issued = production.forecast(bundle, farm, TRAINED_UNTIL - timedelta(days=3))
    assert issued == TRAINED_UNTIL - timedelta(days=3)
    assert len(forecast) == 1


def test_a_forecast_without_any_weather_still_comes_and_is_wider(bundle: Bundle, farm: FarmData) -> None:
    full, _ = production.forecast(bundle, farm)
    without, _ = production.forecast(
        bundle, replace(farm, weather=farm.weather.clear().select("valid_time", "available_at"))
    )
    assert set(without.rung.ravel().tolist()) == {Rung.NO_WEATHER}
    assert width(without) > width(full)
    np.testing.assert_array_equal(full.issue_times, without.issue_times)


def test_a_forecast_with_a_weather_outage_uses_the_older_run_or_none_and_says_so(
    bundle: Bundle, farm: FarmData
) -> None:
    arrived = pl.col("available_at")
    for missing, rung in ((timedelta(hours=20), Rung.OLDER_RUN), (timedelta(days=4), Rung.NO_WEATHER)):
        gap = replace(farm, weather=farm.weather.filter(arrived <= farm.end - missing))
        forecast, _ = production.forecast(bundle, gap)
        assert set(forecast.rung.ravel().tolist()) == {rung}


def test_a_bundle_of_another_farm_is_refused_in_a_sentence(bundle: Bundle) -> None:
    other = settings(["data=la_haute_borne"]).farm()
    with pytest.raises(DataContractError, match=r"la_haute_borne: capacity in MW is 8\.2.*trained with 20\.5"):
        production.forecast(bundle, other)
    with pytest.raises(DataContractError, match=r"la_haute_borne: capacity in MW is 8\.2"):
        production.forecast(bundle, replace(other, weather=other.weather.clear()))


def test_weather_with_other_variables_is_refused_in_a_sentence(bundle: Bundle, farm: FarmData) -> None:
    with pytest.raises(DataContractError, match="weather is wind_speed_100m"):
        production.forecast(bundle, replace(farm, weather=farm.weather.drop("temperature_2m")))


def test_a_bundle_that_never_had_weather_forecasts_without_a_word(farm: FarmData, tmp_path: Path) -> None:
    folder = tmp_path / "farm"
    folder.mkdir()
    farm.power.with_columns(pl.col("time").dt.replace_time_zone(None)).write_csv(folder / "power.csv")
    power = {"file": "power.csv", "time": "time", "column": "power_mw", "unit": "MW"}
    (folder / "farm.yaml").write_text(json.dumps({"name": "bare", "capacity_mw": 20.5, "power": power}))
    bare = settings(["data=files", f"data.config={folder / 'farm.yaml'}", *SMALL[3:], "model=persistence"])
    trained = jobs.train(bare, tmp_path / "bundle")
    forecast, _ = production.forecast(trained, bare.farm())
    assert set(forecast.rung.ravel().tolist()) == {Rung.FRESH}


def test_an_uncalibrated_model_is_trained_and_forecasts_too(farm: FarmData, tmp_path: Path) -> None:
    seen: list[str] = []
    plain = settings([*SMALL, "model=persistence", "calibration=none"])
    trained = jobs.train(plain, tmp_path / "b", on_progress=lambda what, done, of: seen.append(f"{what} {done}/{of}"))
    assert trained.forecaster.name == "persistence"
    assert trained.trained_until == farm.end
    assert seen[-1] == "done 3/3"
    assert len(production.forecast(trained, farm, farm.end - timedelta(days=2))[0]) == 1


def test_training_until_later_than_the_data_is_training_until_their_end(chosen: Settings, tmp_path: Path) -> None:
    small = settings([*SMALL, "model=climatology"])
    trained = jobs.train(small, tmp_path / "b", until=datetime(2031, 1, 1, tzinfo=UTC))
    assert trained.trained_until == datetime(2020, 1, 31, tzinfo=UTC)
    with pytest.raises(TaskError, match="nothing is known of simulation at 2019-12-31"):
        jobs.train(small, tmp_path / "c", until=datetime(2019, 12, 31, tzinfo=UTC))
    assert not (tmp_path / "c").exists()


def test_training_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    small = settings([*SMALL, "model=climatology"])
    first = jobs.train(small, tmp_path / "b", until=TRAINED_UNTIL)
    second = jobs.train(small, tmp_path / "b")
    assert first.trained_until < second.trained_until
    assert [f.name for f in tmp_path.iterdir()] == ["b"]
    (tmp_path / "d").mkdir()
    with pytest.raises(BundleError, match="not a bundle"):
        jobs.train(small, tmp_path / "d")


def test_recent_power_is_what_was_known_at_the_issue_time(bundle: Bundle, farm: FarmData) -> None:
    issue = TRAINED_UNTIL + timedelta(hours=10)
    forecast, _ = production.forecast(bundle, farm, issue)
    times, power = production.recent_power(farm, forecast, steps=5)
    known = farm.power.filter(pl.col("time") <= issue).tail(5)
    np.testing.assert_allclose(power, known["power_mw"].to_numpy(), rtol=1e-6)
    assert times.tolist() == known["time"].dt.replace_time_zone(None).to_list()


# --- live farm -------------------------------------------------------------------------------------------------------


def test_a_farm_that_is_not_of_files_is_loaded_as_it_is(farm: FarmData) -> None:
    found, missing = live_farm({"source": "simulation", "days": 30, "seed": 1})
    assert (found.checksum, missing) == (farm.checksum, [])


def test_a_described_farm_keeps_its_availability_when_the_weather_has_not_come(tmp_path: Path) -> None:
    stamps = [f"2020-01-01 {hour:02d}:00" for hour in range(24)]
    (tmp_path / "power.csv").write_text("\n".join(["time,power", *(f"{t},3" for t in stamps)]))
    (tmp_path / "state.csv").write_text("\n".join(["time,up", *(f"{t},1" for t in stamps)]))
    described = {
        "name": "hill",
        "capacity_mw": 10,
        "power": {"file": "power.csv", "time": "time", "column": "power", "unit": "MW"},
        "availability": {"file": "state.csv", "time": "time", "column": "up", "unit": "fraction"},
        "weather": {
            "file": "weather.csv",
            "valid_time": "valid",
            "issue_time": "issue",
            "variables": {"wind_speed_100m": {"column": "ws", "unit": "m/s"}},
        },
    }
    (tmp_path / "farm.yaml").write_text(json.dumps(described))
    data = {"source": "files", "config": str(tmp_path / "farm.yaml"), "power": None, "weather": None}
    found, missing = live_farm(data)
    assert found.weather.is_empty()
    assert found.availability is not None
    assert missing == [f"{tmp_path / 'weather.csv'} is not there: no weather has come."]
    with pytest.raises(SourceError, match=r"typo\.csv"):
        live_farm(data | {"weather": str(tmp_path / "typo.csv")})
    rows = "\n".join(f"2019-12-31 18:00,{t},7" for t in stamps)
    (tmp_path / "weather.csv").write_text(f"issue,valid,ws\n{rows}\n")
    complete, missing = live_farm(data)
    assert (complete.variables, missing) == (("wind_speed_100m",), [])
    del described["weather"]
    (tmp_path / "farm.yaml").write_text(json.dumps(described))
    assert live_farm(data)[1] == []


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_stored_run_is_read_back_to_the_bit(run: jobs.Run) -> None:
    stored, record = jobs.stored_backtest(run.folder)
    assert record == run.record
    assert list(stored.forecasts) == list(run.backtest.forecasts)
    for name, forecast in run.backtest.forecasts.items():
        np.testing.assert_array_equal(stored.forecasts[name].values, forecast.values)
        np.testing.assert_array_equal(stored.forecasts[name].rung, forecast.rung)
        np.testing.assert_array_equal(stored.forecasts[name].issue_times, forecast.issue_times)
    np.testing.assert_array_equal(stored.observed, run.backtest.observed)
    assert [fold.fitted_at for fold in stored.folds] == [fold.fitted_at for fold in run.backtest.folds]


def test_a_run_whose_data_have_changed_is_not_read_back(run: jobs.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"data_checksum": "0" * 64}))
    with pytest.raises(BundleError, match="the data of simulation have changed"):
        jobs.stored_backtest(folder)


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_a_run_without_readable_forecasts_is_refused(content: bytes | None, run: jobs.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    (folder / "forecasts.parquet").unlink()
    if content is not None:
        (folder / "forecasts.parquet").write_bytes(content)
    with pytest.raises(BundleError, match=r"forecasts\.parquet"):
        jobs.stored_backtest(folder)


def test_a_run_is_reproduced_to_the_bit(run: jobs.Run, tmp_path: Path) -> None:
    again = reproduce(run.folder, tmp_path / "again")
    assert again.exact
    assert not [d for d in again.differences if not d.startswith("code")]


def test_a_run_of_other_packages_and_seed_says_what_differs(run: jobs.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    record = json.loads((folder / "run.json").read_text())
    record["packages"]["numpy"] = "1.0"
    record["code"] = "0.0.1"
    record["settings"]["model"]["seed"] = 5
    (folder / "run.json").write_text(json.dumps(record))
    again = reproduce(folder, tmp_path / "again")
    assert not again.exact
    said = " | ".join(again.differences)
    assert "code: 0.0.1 then" in said
    assert "numpy: 1.0 then" in said
    assert "forecasts of gbm: CRPS" in said
    assert "% of capacity apart" in said
    assert "persistence" not in said
    with pytest.raises(ConfigError, match="is the run itself"):
        reproduce(folder, folder)


def test_a_training_is_reproduced_to_the_bit(bundle: Bundle, tmp_path: Path) -> None:
    again = reproduce(bundle.folder, tmp_path / "again")
    assert (again.kind, again.exact, again.differences) == ("training", True, [])
    assert (tmp_path / "again" / "manifest.json").is_file()


def test_a_training_that_gives_another_model_says_which_files_and_how_far_its_forecasts_are(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["model"]["rounds"] = 3
    manifest["versions"]["lightgbm"] = "1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    again = reproduce(folder, tmp_path / "again")
    assert not again.exact
    said = " | ".join(again.differences)
    assert "lightgbm: 1.0 then" in said
    assert "files of the model: model/" in said
    assert "% of capacity apart" in said


def kept(run: jobs.Run, folder: Path, issue_time: pl.Expr) -> Path:
    """A copy of the run with only some of its issue times."""
    shutil.copytree(run.folder, folder)
    pl.read_parquet(run.folder / "forecasts.parquet").filter(issue_time).write_parquet(folder / "forecasts.parquet")
    return folder


def test_a_run_is_compared_with_itself_and_its_best_other(run: jobs.Run) -> None:
    table, verdict = compare_runs(run.folder, run.folder)
    scores = {name: score["crps"] for name, score in run.record.scores.items() if name != "gbm, calibrated"}
    count = len(run.backtest.observed)
    assert verdict.startswith("gbm, calibrated is ")
    assert f"than {min(scores, key=scores.__getitem__)} in CRPS over {count} issue times" in verdict
    assert table.height == 6


def test_runs_are_compared_on_the_issue_times_that_both_have(run: jobs.Run, tmp_path: Path) -> None:
    late = kept(run, tmp_path / "late", pl.col("issue_time") >= datetime(2020, 1, 28, tzinfo=UTC))
    _, verdict = compare_runs(run.folder, late)
    count = pl.read_parquet(late / "forecasts.parquet")["issue_time"].n_unique()
    assert 0 < count < len(run.backtest.observed)
    assert f"in CRPS over {count} issue times" in verdict
    _, verdict = compare_runs(run.folder, late, "power_curve:climatology")
    assert verdict.startswith("power_curve is ")
    assert "better than climatology" in verdict
    with pytest.raises(ConfigError, match="first:second"):
        compare_runs(run.folder, late, "persistence")
    with pytest.raises(ConfigError, match="Did you mean 'climatology'"):
        compare_runs(run.folder, late, "gbm:climatolgy")


def test_a_run_of_one_model_has_nothing_to_be_compared_with(run: jobs.Run, tmp_path: Path) -> None:
    single = kept(run, tmp_path / "single", pl.col("model") == "gbm")
    with pytest.raises(ConfigError, match="one model only"):
        compare_runs(single, single)


def test_runs_with_nothing_in_common_are_not_compared(run: jobs.Run, tmp_path: Path) -> None:
    cut = datetime(2020, 1, 28, tzinfo=UTC)
    early = kept(run, tmp_path / "early", pl.col("issue_time") < cut)
    late = kept(run, tmp_path / "late", pl.col("issue_time") >= cut)
    with pytest.raises(ConfigError, match="share no issue times, horizon or data"):
        compare_runs(early, late)


def test_too_few_issue_times_are_no_verdict(run: jobs.Run, tmp_path: Path) -> None:
    first = run.backtest.forecasts["gbm"].issue_times[0].item().replace(tzinfo=UTC)
    few = kept(run, tmp_path / "few", pl.col("issue_time") == first)
    assert "too few issue times to say" in compare_runs(run.folder, few)[1]
