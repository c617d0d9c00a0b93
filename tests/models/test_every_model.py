"""What every model guarantees, whatever is inside."""

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small

from windcast.data.farm import FarmData
from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.evaluation.scores import score
from windcast.models.base import MODELS, Forecaster, build, load, model_class
from windcast.models.calibration import CalibratedConfig
from windcast.models.forecast import Forecast, Rung
from windcast.models.forest import QuantileForest

every_model = pytest.mark.parametrize("model", small.models())
every_missing = pytest.mark.parametrize("missing", list(small.MISSING))

# Strong enough to know what an input is worth: the small configurations only show that the code runs.
STRONGER = {
    "gbm": {"rounds": 25, "min_data_in_leaf": 10, "max_rows": 4000},
    "forest": {"trees": 12, "num_leaves": 150, "max_rows": 4000},
    "mlp": {"epochs": 25, "hidden": [24], "max_issue_times": 2000},
    "shared": {"epochs": 25, "hidden": [24], "max_rows": 8000},
    "patchtst": {"epochs": 25, "width": 16, "max_issue_times": 2000, "learning_rate": 0.005},
}
RUNG_OF = {
    "no_power": Rung.NO_POWER,
    "no_weather": Rung.NO_WEATHER,
    "nothing": Rung.NOTHING,
    "newest_run": Rung.OLDER_RUN,
}


def assert_a_forecast(forecast: Forecast, windows: Windows) -> None:
    assert forecast.values.shape == (len(windows), windows.task.horizon, len(windows.task.levels))
    assert np.isfinite(forecast.values).all()
    assert (np.diff(forecast.values, axis=-1) >= 0).all()
    assert forecast.values.min() >= 0
    assert forecast.values.max() <= np.float32(windows.task.capacity_mw)


def assert_same_bits(first: Forecast, second: Forecast) -> None:
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.rung, second.rung)


@lru_cache
def season() -> tuple[Windows, Windows]:
    """Windows of two months to learn from and of three weeks after them."""
    farm = small.simulated(days=84, run_horizon_hours=24, seed=11)
    task = small.task_of(farm, horizon=10)
    windows = build_windows(farm, task)
    return windows.take(slice(24, 1500, 2)), windows.take(slice(1500 + task.horizon, -task.horizon, 4))


def stronger(model: str) -> dict[str, object]:
    config = small.CONFIGS[model]
    if model == "pool":
        return {"name": "pool", "members": {name: stronger(name) for name in ("gbm", "forest")}}
    if model == "calibrated":
        return config | {"model": stronger("gbm"), "rate": 0.002}
    return config | STRONGER.get(model, {})


@lru_cache
def seasoned(model: str) -> Forecaster:
    return build(stronger(model)).fit(season()[0])


# ---- quantiles ----


@every_model
def test_quantiles_never_cross_and_stay_within_0_and_capacity(model: str) -> None:
    assert_a_forecast(small.fitted(model, "simulation").predict(small.ahead("simulation")), small.ahead("simulation"))


@every_model
@pytest.mark.parametrize("power", [0.0, 20.5, np.nan, 1e4])
@pytest.mark.parametrize("wind", [0.0, 75.0, np.nan, -75.0, 1e6])
def test_quantiles_stay_within_bounds_whatever_the_inputs(model: str, power: float, wind: float) -> None:
    windows = small.ahead("simulation").take(slice(0, 2))
    weather = {name: np.full_like(windows.weather, wind) for name in ("weather", "weather_earlier")}
    ages = {f"{name}_age": np.full_like(windows.weather_age, np.nan if np.isnan(wind) else 5.0) for name in weather}
    extreme = replace(windows, power=np.full_like(windows.power, power), **weather, **ages)
    assert_a_forecast(small.fitted(model, "simulation").predict(extreme), extreme)


@every_model
def test_a_window_full_of_holes_still_gets_a_forecast(model: str) -> None:
    rng = np.random.default_rng(3)
    windows = small.ahead("simulation")
    holes = replace(
        windows,
        power=np.where(rng.random(windows.power.shape) < 0.5, np.nan, windows.power),
        weather=np.where(rng.random(windows.weather.shape) < 0.5, np.nan, windows.weather),
    )
    assert_a_forecast(small.fitted(model, "simulation").predict(holes), holes)


@every_model
def test_no_windows_give_no_forecasts(model: str) -> None:
    empty = small.ahead("simulation").take(slice(0, 0))
    assert len(small.fitted(model, "simulation").predict(empty)) == 0


# ---- missing inputs ----


@every_model
@every_missing
def test_without_an_input_a_forecast_is_made_says_so_and_is_no_better(model: str, missing: str) -> None:
    forecaster, test = seasoned(model), season()[1]
    without = small.MISSING[missing](test)
    forecast = forecaster.predict(without.without_target())
    assert_a_forecast(forecast, without)
    assert (forecast.rung == RUNG_OF[missing]).mean() > 0.95
    assert RUNG_OF[missing].name.lower() in set(forecast.to_frame()["inputs"])
    full = forecaster.predict(test.without_target())
    assert (full.rung == Rung.FRESH).mean() > 0.99
    without_it, with_it = (score(f, test.target).overall["crps"] for f in (forecast, full))
    assert without_it >= 0.97 * with_it


@pytest.mark.parametrize("model", small.models(small.LEARNED))
@pytest.mark.parametrize(("missing", "lead"), [("no_power", 0), ("no_weather", -1), ("nothing", 0), ("nothing", -1)])
def test_without_an_input_that_matters_the_bands_widen(model: str, missing: str, lead: int) -> None:
    forecaster, test = seasoned(model), season()[1]
    full, without = (forecaster.predict(w) for w in (test, small.MISSING[missing](test)))
    wide, narrow = ((f.quantile(0.9) - f.quantile(0.1))[:, lead].mean() for f in (without, full))
    assert wide > 1.05 * narrow


@pytest.mark.parametrize("model", small.models(small.LEARNED))
def test_a_learned_model_beats_what_it_must_beat(model: str) -> None:
    test = season()[1]
    of = {
        name: score(seasoned(name).predict(test), test.target).overall["crps"]
        for name in (model, "climatology", "persistence")
    }
    assert of[model] < 0.9 * min(of["climatology"], of["persistence"])


# ---- the same bits ----


@every_model
def test_a_saved_and_loaded_forecaster_gives_the_same_bits(model: str, tmp_path: Path) -> None:
    forecaster, windows = small.fitted(model, "simulation"), small.ahead("simulation")
    forecaster.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is type(forecaster)
    assert (loaded.task, loaded.variables) == (forecaster.task, forecaster.variables)
    assert_same_bits(forecaster.predict(windows), loaded.predict(windows))
    for change in small.MISSING.values():
        assert_same_bits(forecaster.predict(change(windows)), loaded.predict(change(windows)))
    loaded.save(tmp_path / "again")
    names = [f.relative_to(tmp_path / "again") for f in (tmp_path / "again").rglob("*.*")]
    assert names
    for name in names:
        assert (tmp_path / "again" / name).stat().st_size == (tmp_path / "model" / name).stat().st_size


@every_model
def test_the_same_seed_gives_the_same_bits(model: str) -> None:
    again = build(small.CONFIGS[model]).fit(small.lessons("simulation"))
    windows = small.ahead("simulation")
    assert_same_bits(small.fitted(model, "simulation").predict(windows), again.predict(windows))


@pytest.mark.parametrize("model", small.models(["gbm", "forest", "mlp", "patchtst", "shared"]))
def test_another_seed_gives_another_forecaster(model: str) -> None:
    other = build(small.CONFIGS[model] | {"seed": 99}).fit(small.lessons("simulation"))
    windows = small.ahead("simulation")
    assert (other.predict(windows).values != small.fitted(model, "simulation").predict(windows).values).any()


@pytest.mark.parametrize("model", small.models(m for m in MODELS if m != "calibrated"))
def test_a_row_has_the_same_bits_whatever_stands_beside_it(model: str) -> None:
    forecaster, test = seasoned(model), season()[1].take(slice(0, 100))
    together = forecaster.predict(test)
    rng = np.random.default_rng(0)
    for rows in (slice(5, 6), slice(7, 77), np.sort(rng.choice(100, 41, replace=False))):
        assert_same_bits(forecaster.predict(test.take(rows)), together.take(rows))


# ---- farms and tasks ----


@lru_cache
def farm_for(minutes: int) -> FarmData:
    return small.simulated(minutes=minutes, days=14 if minutes == 60 else 5, run_horizon_hours=84, seed=4)


@every_model
@pytest.mark.parametrize("minutes", [60, 10])
@pytest.mark.parametrize("horizon", [1, 3, 48, 72])
def test_every_horizon_and_resolution_can_be_learned(model: str, minutes: int, horizon: int) -> None:
    farm = farm_for(minutes)
    task = small.task_of(farm, horizon=horizon, levels=(0.1, 0.5, 0.9))
    windows = build_windows(farm, task).take(slice(36, -1, 5 if minutes == 60 else 12))
    config = quick(small.CONFIGS[model])
    ahead = windows.take(slice(-3, None)).without_target()
    assert_a_forecast(build(config).fit(windows).predict(ahead), ahead)


def quick(config: dict[str, object]) -> dict[str, object]:
    """As small as it gets: to see that the shapes fit."""
    least = {"rounds": 1, "trees": 2, "epochs": 1, "max_rows": 300, "max_issue_times": 100, "knots": [0.1, 0.9]}
    made = {k: least.get(k, v) for k, v in config.items()}
    if "members" in config:
        made["members"] = {name: quick(member) for name, member in config["members"].items()}
    if "model" in config:
        made["model"] = quick(config["model"])
    return made


@every_model
@pytest.mark.parametrize("weather", [True, False])
def test_a_task_without_history_can_be_learned(model: str, weather: bool) -> None:
    farm = farm_for(60)
    if not weather:
        farm = replace(farm, weather=farm.weather.select("valid_time", "available_at").clear())
    task = small.task_of(farm, history=0, weather_history=1, weather_lookahead=0)
    windows = build_windows(farm, task).take(slice(0, -3))
    forecast = build(quick(small.CONFIGS[model])).fit(windows).predict(windows)
    assert_a_forecast(forecast, windows)
    assert (forecast.rung == Rung.FRESH).all()  # what is not expected is not missed


@every_model
def test_a_farm_without_weather_is_forecast_from_its_power(model: str) -> None:
    farm = farm_for(60)
    bare = replace(farm, weather=farm.weather.select("valid_time", "available_at").clear())
    windows = build_windows(bare, small.task_of(bare)).take(slice(8, -3))
    forecast = build(quick(small.CONFIGS[model])).fit(windows).predict(windows)
    assert_a_forecast(forecast, windows)
    assert (forecast.rung == Rung.FRESH).all()


@every_model
@pytest.mark.parametrize("history", [1, 2, 5, 30])
def test_a_window_may_be_short_or_longer_than_its_weather(model: str, history: int) -> None:
    farm = farm_for(60)
    task = small.task_of(farm, history=history, weather_history=2)
    windows = build_windows(farm, task).take(slice(30, -3))
    assert_a_forecast(build(quick(small.CONFIGS[model])).fit(windows).predict(windows), windows)


@every_model
@pytest.mark.parametrize("levels", [(0.5,), (0.25, 0.5), (0.001, 0.999)])
def test_few_or_extreme_levels_are_forecast_too(model: str, levels: tuple[float, ...]) -> None:
    farm = farm_for(60)
    windows = build_windows(farm, small.task_of(farm, levels=levels)).take(slice(8, -3))
    forecast, _ = build(quick(small.CONFIGS[model])).fit(windows).step(windows)
    assert_a_forecast(forecast, windows)


@every_model
def test_components_of_the_wind_serve_as_well_as_speed_and_direction(model: str) -> None:
    farm = farm_for(60)
    angle = np.deg2rad(farm.weather["wind_direction_100m"].to_numpy())
    speed = farm.weather["wind_speed_100m"].to_numpy()
    weather = farm.weather.select("valid_time", "available_at").with_columns(
        wind_u_100m=pl.Series(-speed * np.sin(angle)), wind_v_100m=pl.Series(-speed * np.cos(angle))
    )
    told = replace(farm, weather=weather)
    windows = build_windows(told, small.task_of(told)).take(slice(8, -3))
    forecast = build(quick(small.CONFIGS[model])).fit(windows).predict(windows)
    assert_a_forecast(forecast, windows)


# ---- what does not fit ----


@every_model
def test_unfitted_it_says_so(model: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=rf"{model} has not been fitted\. Call fit"):
        build(small.CONFIGS[model]).predict(small.ahead("simulation"))
    with pytest.raises(TaskError, match=rf"{model} has not been fitted"):
        build(small.CONFIGS[model]).save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@every_model
def test_windows_of_another_task_are_refused(model: str) -> None:
    farm = small.source("simulation").farm
    forecaster = small.fitted(model, "simulation")
    longer = build_windows(farm, small.task_of(farm, horizon=5), farm.times[-30:-20])
    with pytest.raises(TaskError, match=r"another task than the model: horizon 5 \(model: 3\)\."):
        forecaster.predict(longer)
    with pytest.raises(TaskError, match=r"another task"):
        forecaster.step(longer)


@every_model
def test_windows_with_other_weather_are_refused(model: str) -> None:
    farm = small.source("simulation").farm
    other = replace(farm, weather=farm.weather.rename({"wind_speed_100m": "wind_speed_80m"}))
    windows = build_windows(other, small.task_of(farm), farm.times[-30:-20])
    with pytest.raises(TaskError, match=r"fitted with weather wind_speed_100m, .*; the windows have wind_speed_80m"):
        small.fitted(model, "simulation").predict(windows)


@every_model
def test_with_no_target_to_learn_from_it_says_so(model: str) -> None:
    with pytest.raises(TaskError, match="no issue time has a known, uncurtailed target to learn from"):
        build(small.CONFIGS[model]).fit(small.lessons("simulation").without_target())


@every_model
def test_with_every_hour_curtailed_it_says_so(model: str) -> None:
    lessons = small.lessons("simulation")
    with pytest.raises(TaskError, match="no issue time has a known, uncurtailed target"):
        build(small.CONFIGS[model]).fit(replace(lessons, free=np.zeros_like(lessons.free)))


@pytest.mark.parametrize("model", small.models(small.LEARNED))
def test_a_lead_that_has_no_target_yet_is_named(model: str) -> None:
    lessons = small.lessons("simulation")
    short = replace(lessons, target=np.where(np.arange(3) < 2, lessons.target, np.nan).astype(np.float32))
    config = small.CONFIGS[model]
    if model in ("mlp", "patchtst", "pool"):
        # one network serves many leads; it needs at least one of them
        forecaster = build(
            config | {"members": {"net": small.CONFIGS["mlp"]}, "weights": {}} if model == "pool" else config
        )
        assert_a_forecast(forecaster.fit(short).predict(lessons), lessons)
    else:
        with pytest.raises(TaskError, match="no target is known 3 to 3 steps ahead"):
            build(config).fit(short)


def test_an_unknown_model_or_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'gmb'\. Did you mean 'gbm'"):
        build({"name": "gmb"})
    with pytest.raises(ConfigError, match=r"unknown key of model 'gbm' 'num_leafs'\. Did you mean 'num_leaves'"):
        build({"name": "gbm", "num_leafs": 3})
    with pytest.raises(ConfigError, match=r"unknown model 'gmb'"):
        build({"name": "pool", "members": {"a": {"name": "gmb"}}}).fit(small.lessons("simulation"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "gbm", "knots": [0.5]}, r"model\.knots must be at least two"),
        ({"name": "gbm", "knots": [0.5, 0.4]}, r"ascending"),
        ({"name": "gbm", "knots": 3}, r"model 'gbm': .*int"),
        ({"name": "mlp", "knots": [0.0, 0.4]}, r"between 0 and 1"),
        ({"name": "mlp", "seeds": 0}, r"must be at least 1"),
        ({"name": "pool", "members": {}}, r"at least one member"),
        ({"name": "pool", "weights": {"gmb": 1}}, r"unknown pool member in model\.weights 'gmb'\. Did you mean 'gbm'"),
        ({"name": "pool", "weights": {"gbm": -1}}, r"model\.weights\.gbm is -1; a weight is a number of at least 0"),
        (
            {"name": "pool", "weights": {"gbm": 0, "forest": 0}},
            r"model\.weights are all 0; at least one member must count",
        ),
        (
            {"name": "pool", "members": {"../x": {"name": "gbm"}}},
            r"pool member '\.\./x': use letters, digits and underscores",
        ),
        ({"name": "calibrated", "rate": 0.6}, r"calibration\.rate is 0\.6"),
        ({"name": "calibrated", "holdout": 1.0}, r"calibration\.holdout is 1\.0"),
    ],
)
def test_an_impossible_configuration_says_what_is_wrong(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(config)


# ---- on disk ----


@every_model
def test_a_part_that_is_missing_or_broken_is_named(model: str, tmp_path: Path) -> None:
    """Every file of every model: gone, cut short, or overwritten by something else."""
    small.fitted(model, "simulation").save(tmp_path)
    for file in [f for f in tmp_path.rglob("*") if f.is_file()]:
        content = file.read_bytes()
        for broken in (b"", content[: len(content) // 2], b"PK\x03\x04" + content[4:200], b"\x00" * 50, b"[]"):
            file.write_bytes(broken)
            with pytest.raises(BundleError, match="not a readable forecaster"):
                load(tmp_path)
        file.unlink()
        if file.name != "curve.txt":
            with pytest.raises(BundleError, match="not a readable forecaster"):
                load(tmp_path)
        file.write_bytes(content)
    load(tmp_path)


def test_a_forecaster_of_another_kind_is_refused(tmp_path: Path) -> None:
    small.fitted("climatology", "simulation").save(tmp_path)
    with pytest.raises(BundleError, match="holds a climatology, not a forest"):
        QuantileForest.read(tmp_path)
    assert model_class("forest") is QuantileForest


def test_the_newest_run_is_missed_only_when_it_is_missing() -> None:
    """At 10 minutes a run grows older by many small steps before the next one comes: none of them is an outage."""
    farm = small.simulated(minutes=10, days=8, run_horizon_hours=24)
    windows = build_windows(farm, small.task_of(farm)).take(slice(144, -3))
    forecaster = build({"name": "climatology"}).fit(windows)
    assert (forecaster.predict(windows).rung == Rung.FRESH).all()
    gap = farm.weather["available_at"].unique().sort()[20]
    late = replace(farm, weather=farm.weather.filter(pl.col("available_at") != gap))
    after = build_windows(late, windows.task, [gap + k * timedelta(minutes=10) for k in (-1, 0, 1, 35, 36)])
    assert (forecaster.predict(after).rung[:, 0] == Rung.OLDER_RUN).tolist() == [False, True, True, True, False]


def test_an_outage_of_the_weather_in_training_does_not_pass_for_usual() -> None:
    farm = small.simulated(days=40, run_horizon_hours=24)
    runs = farm.weather["available_at"].unique().sort()
    holed = replace(farm, weather=farm.weather.filter(~pl.col("available_at").is_in(runs[[30, 31, 90]].implode())))
    windows = build_windows(holed, small.task_of(farm)).take(slice(24, -3))
    rung = build({"name": "climatology"}).fit(windows).predict(windows).rung
    assert (rung == Rung.OLDER_RUN).sum() == 3 * 18


def test_calibration_of_nothing_is_the_inner_model() -> None:
    lessons, ahead = small.lessons("simulation"), small.ahead("simulation")
    config = {"name": "calibrated", "model": {"name": "power_curve"}, "rate": 0.0}
    assert CalibratedConfig(rate=0.0).rate == 0
    assert_same_bits(build(config).fit(lessons).predict(ahead), build(config["model"]).fit(lessons).predict(ahead))
