"""A network that farms share: one trunk, a forecaster a farm that needs no other, and training that goes on."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import small

from windcast.data.farm import FarmData
from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.evaluation.scores import score
from windcast.models.base import build, load
from windcast.models.deep.shared_inputs import Sight
from windcast.models.shared import GRAPH, Shared, SharedConfig
from windcast.registry import bundles

pytestmark = pytest.mark.skipif("shared" in small.UNTRAINABLE, reason=small.UNTRAINABLE.get("shared", ""))

FARMS = range(3)
CAPACITY = (20.0, 5.0, 80.0)  # MW
CONFIG = SharedConfig(
    **{k: tuple(v) if isinstance(v, list) else v for k, v in small.CONFIGS["shared"].items() if k != "name"}
)
STRONGER = replace(CONFIG, hidden=(24, 24), epochs=12, learning_rate=0.005, max_rows=8000)


@lru_cache
def farms() -> list[FarmData]:
    """Three neighbours of different sizes, each with the wind speeds of the other two."""
    options = {"days": 60, "run_horizon_hours": 48, "seed": 3, "farms": len(FARMS)}
    made = [small.simulated(farm=number, capacity_mw=CAPACITY[number], **options) for number in FARMS]
    key = ["valid_time", "available_at"]
    found = []
    for number in FARMS:
        weather = made[number].weather
        for other in set(FARMS) - {number}:
            speed = pl.col("wind_speed_100m").alias(f"wind_speed_100m_neighbour{other}")
            weather = weather.join(made[other].weather.select(*key, speed), on=key, how="left")
        found.append(replace(made[number], weather=weather))
    return found


@lru_cache
def seasons() -> list[tuple[Windows, Windows]]:
    """Windows of each farm to learn from, and of two weeks after them, every sixth hour."""
    parts = []
    for farm in farms():
        windows = build_windows(farm, small.task_of(farm, horizon=6, history=0, weather_lookahead=3))
        parts.append((windows.take(slice(24, 1030, 6)), windows.take(slice(1040, 1400, 6)).without_target()))
    return parts


def lessons() -> list[Windows]:
    return [before for before, _ in seasons()]


def ahead(farm: int) -> Windows:
    return seasons()[farm][1]


@lru_cache
def fitted() -> list[Shared]:
    return Shared.fit_farms(lessons(), CONFIG)


@lru_cache
def stronger() -> list[Shared]:
    return Shared.fit_farms(lessons(), STRONGER)


def values(forecasters: Sequence[Shared]) -> list[Any]:
    return [one.predict(ahead(farm)).values for farm, one in enumerate(forecasters)]


def assert_same_bits(first: Sequence[Shared], second: Sequence[Shared]) -> None:
    for one, other in zip(values(first), values(second), strict=True):
        np.testing.assert_array_equal(one, other)


def weights(forecaster: Shared) -> dict[str, Any]:
    from safetensors.numpy import load as read

    return dict(read(forecaster.weights))


# ---- several farms ----


def test_farms_share_a_trunk_and_keep_heads_of_their_own() -> None:
    first, second = (weights(one) for one in fitted()[:2])
    assert set(first) == {f"{seed}.{kind}{layer}" for seed in (0, 1) for kind in ("weight", "bias") for layer in (0, 1)}
    for name, value in first.items():
        assert (value == second[name]).all() == name.endswith("weight0")


def test_each_farm_forecasts_alone_from_its_own_windows_and_beats_the_climate() -> None:
    for farm, forecaster in enumerate(stronger()):
        climate = build({"name": "climatology"}).fit(lessons()[farm])
        truth = build_windows(farms()[farm], forecaster.task, ahead(farm).issue_times).target
        ours, theirs = (score(one.predict(ahead(farm)), truth).overall["crps"] for one in (forecaster, climate))
        assert ours < 0.7 * theirs
        assert forecaster.predict(ahead(farm)).values.max() > 0.5 * CAPACITY[farm]


def test_what_one_farm_teaches_reaches_the_others() -> None:
    first, *others = lessons()
    upside_down = replace(first, target=CAPACITY[0] - first.target)
    changed = Shared.fit_farms([upside_down, *others], CONFIG)
    for one, other in zip(values(fitted())[1:], values(changed)[1:], strict=True):
        assert np.abs(one - other).max() > 0.01
    other_size = replace(first, target=2 * first.target, task=replace(first.task, capacity_mw=2 * CAPACITY[0]))
    resized = Shared.fit_farms([other_size, *others], CONFIG)
    assert [one.weights for one in resized] == [one.weights for one in fitted()]


def test_a_farm_finds_itself_among_the_places_that_the_others_know() -> None:
    places = tuple(f"_100m_neighbour{farm}" for farm in FARMS)
    for farm, forecaster in enumerate(fitted()):
        assert forecaster.sight.places == places
        assert forecaster.sight.own_place == places[farm]
    told = [sight._features(windows) for sight, windows in zip(Sight.fit(lessons(), 3), lessons(), strict=True)]
    for place in places:
        np.testing.assert_array_equal(told[0][f"speed{place}+1"], told[1][f"speed{place}+1"])
        np.testing.assert_array_equal(told[0][f"speed{place}+1"], told[2][f"speed{place}+1"])


def test_a_place_with_the_weather_of_another_is_left_out() -> None:
    twin = [replace(w, weather=w.weather.copy()) for w in lessons()]
    for farm, windows in enumerate(twin):
        column = {name: windows.weather[..., place] for place, name in enumerate(windows.variables)}
        own = "wind_speed_100m"
        first, second = (own if farm == k else f"wind_speed_100m_neighbour{k}" for k in (1, 2))
        column[second][:] = column[first]
    assert Sight.fit(twin, 3)[0].places == ("_100m_neighbour0", "_100m_neighbour1")


def test_a_single_farm_is_learned_from_as_one_of_several() -> None:
    assert_same_bits(Shared.fit_farms(lessons()[:1], CONFIG), [build(small.CONFIGS["shared"]).fit(lessons()[0])])


# ---- training ----


def test_learning_is_reproducible_to_the_bit() -> None:
    again = Shared.fit_farms(lessons(), CONFIG)
    assert [one.weights for one in again] == [one.weights for one in fitted()]
    assert [one.graph for one in again] == [one.graph for one in fitted()]
    assert_same_bits(again, fitted())


def test_it_leaves_the_random_numbers_of_others_alone() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Shared.fit_farms(lessons(), replace(CONFIG, epochs=1))
    assert (torch.rand(3) == expected).all()


def test_training_goes_on_from_an_earlier_fit(tmp_path: Path) -> None:
    few = replace(STRONGER, epochs=1, tune_epochs=1)
    anew, tuned = (Shared.fit_farms(lessons(), few, before) for before in (None, stronger()))
    for farm, forecaster in enumerate(tuned):
        assert forecaster.sight is stronger()[farm].sight
        assert [len(curve) for curve in forecaster.curves] == [1, 1]
        assert max(curve[-1][0] for curve in forecaster.curves) < 0.9 * min(curve[-1][0] for curve in anew[0].curves)
        assert np.abs(values(tuned)[farm] - values(stronger())[farm]).max() > 0
        stronger()[farm].save(tmp_path / str(farm))
    read = [Shared.read(tmp_path / str(farm)) for farm in FARMS]
    assert_same_bits(Shared.fit_farms(lessons(), few, read), tuned)


def test_without_a_configuration_training_goes_on_with_the_earlier_one() -> None:
    (one,) = Shared.fit_farms(lessons()[:1], replace(CONFIG, tune_epochs=1))
    (tuned,) = Shared.fit_farms(lessons()[:1], before=[one])
    assert tuned.config == one.config


def test_the_earlier_forecasters_stay_as_they_were() -> None:
    before = values(fitted())
    Shared.fit_farms(lessons(), replace(CONFIG, tune_epochs=1), fitted())
    for one, other in zip(values(fitted()), before, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- missing weather ----


def test_without_weather_a_forecast_is_as_wide_as_the_climate() -> None:
    for farm, forecaster in enumerate(stronger()):
        climate = build({"name": "climatology"}).fit(lessons()[farm]).predict(ahead(farm))
        without, full = (forecaster.predict(w) for w in (ahead(farm).without_weather(), ahead(farm)))
        width, usual, climatic = ((f.quantile(0.9) - f.quantile(0.1)).mean() for f in (without, full, climate))
        assert width > 1.4 * usual
        assert width == pytest.approx(climatic, rel=0.35)


def test_weather_beyond_what_is_known_is_as_in_the_last_known_hour() -> None:
    windows, sight = ahead(0), fitted()[0].sight
    last = windows.task.weather_history + windows.task.horizon
    gone, repeated = windows.weather.copy(), windows.weather.copy()
    gone[:, last:] = np.nan
    repeated[:, last:] = repeated[:, last - 1 : last]
    found, due = (sight.inputs(replace(windows, weather=weather)) for weather in (gone, repeated))
    for one, other in zip(found, due, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (found[0] != sight.inputs(windows)[0]).any()


def test_an_hour_without_weather_says_so_and_starts_from_the_mean() -> None:
    windows, sight = ahead(0), stronger()[0].sight
    hours, base = sight.inputs(windows.without_weather())
    weather = [place for place, name in enumerate(sight.names) if not name.startswith(("sin", "cos"))]
    assert not hours[..., weather].any()
    np.testing.assert_allclose(base, sight.mean, rtol=1e-6)
    full, _ = sight.inputs(windows)
    assert (full[..., sight.names.index("known_own")] == 1).all()
    assert np.isfinite(full).all()


def test_inputs_are_bounded_whatever_the_weather() -> None:
    windows = ahead(0)
    hours, base = fitted()[0].sight.inputs(replace(windows, weather=1e6 * windows.weather))
    assert np.abs(hours).max() == 5
    assert base.max() <= 1


# ---- in production ----


def test_a_forecast_has_the_same_bits_whatever_stands_beside_it() -> None:
    forecaster, windows = fitted()[0], ahead(0)
    together = forecaster.predict(windows).values
    for size in (1, 2, 7, 33):
        for start in (0, 5, len(windows) - size):
            rows = slice(start, start + size)
            np.testing.assert_array_equal(forecaster.predict(windows.take(rows)).values, together[rows])


def test_each_farm_has_a_bundle_of_its_own_that_forecasts_without_pytorch(tmp_path: Path) -> None:
    for farm, forecaster in enumerate(fitted()):
        bundles.save(tmp_path / str(farm), forecaster, farms()[farm], trained_until=farms()[farm].end)
    assert_same_bits([bundles.open_bundle(tmp_path / str(farm)).forecaster for farm in FARMS], fitted())
    np.save(tmp_path / "expected.npy", values(fitted())[1])
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
for name in ("torch", "lightning", "onnx", "safetensors"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from test_shared import ahead
from windcast.models.base import load
found = load(Path({str(tmp_path / "1" / "model")!r})).predict(ahead(1))
print((found.values == np.load({str(tmp_path / "expected.npy")!r})).all())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_importing_and_configuring_it_needs_no_pytorch() -> None:
    code = (
        "import sys; from windcast.configs import settings; settings(['model=shared'])\n"
        "print([m for m in ('torch', 'lightning', 'onnx', 'onnxruntime', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_onnxruntime_a_bundle_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted()[0].save(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BundleError, match=r"model shared .*ONNX Runtime, which is missing\. .*'windcast\[serve\]'"):
        load(tmp_path)


def test_without_its_extra_training_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import windcast.models.deep as package

    monkeypatch.delattr(package, "shared_training", raising=False)
    monkeypatch.delitem(sys.modules, "windcast.models.deep.shared_training", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"torch.* is missing\. Install it with: pip install 'windcast\[deep\]'"):
        Shared.fit_farms(lessons(), CONFIG)


def test_the_network_of_another_task_is_refused(tmp_path: Path) -> None:
    fitted()[0].save(tmp_path)
    (tmp_path / GRAPH).write_bytes(small.fitted("shared", "simulation").graph)
    with pytest.raises(
        BundleError, match=r"network\.onnx forecasts \[2, 3, 19\] seeds, steps and levels, its task has \[2, 6, 19\]"
    ):
        load(tmp_path)


# ---- wrong use ----


def test_farms_that_do_not_go_together_are_refused() -> None:
    first, second, _ = lessons()
    with pytest.raises(TaskError, match=r"no farm to learn from"):
        Shared.fit_farms([], CONFIG)
    longer = build_windows(farms()[1], small.task_of(farms()[1], horizon=7, history=0), second.issue_times)
    with pytest.raises(TaskError, match=r"farm 2 has another task than the first\. .*only capacity may differ"):
        Shared.fit_farms([first, longer], CONFIG)
    for other in (second.take(slice(0, 50)), replace(second, issue_times=second.issue_times + np.timedelta64(1, "h"))):
        with pytest.raises(TaskError, match=rf"farm 2 has {len(other)} issue times, the first 168, or they lie else"):
            Shared.fit_farms([first, other], CONFIG)
    other = replace(second, variables=tuple(v.replace("speed_100m", "speed_80m") for v in second.variables))
    with pytest.raises(TaskError, match=r"farm 2 has other weather than the first \(wind_speed_80m, .*same variables"):
        Shared.fit_farms([first, other], CONFIG)


def test_a_farm_with_nothing_to_learn_from_is_named() -> None:
    first, second, _ = lessons()
    for other in (second.without_target(), replace(second, free=np.zeros_like(second.free))):
        with pytest.raises(TaskError, match=r"farm 2: no issue time has a known, uncurtailed target"):
            Shared.fit_farms([first, other], CONFIG)


def test_an_earlier_fit_that_does_not_go_on_is_refused() -> None:
    first, second, third = lessons()
    with pytest.raises(TaskError, match=r"the earlier fit has 3 farms, this one 2\. Give all in order"):
        Shared.fit_farms([first, second], CONFIG, fitted())
    with pytest.raises(TaskError, match=r"farm 1 was fitted earlier for another task or weather"):
        Shared.fit_farms([second, first, third], CONFIG, fitted())
    with pytest.raises(TaskError, match=r"the earlier fit of farm 1 has another model\.hidden"):
        Shared.fit_farms(lessons(), STRONGER, fitted())
    other = Shared.fit_farms(lessons(), replace(CONFIG, seed=9))
    with pytest.raises(TaskError, match=r"the earlier fit of farm 2 is not of the network that the first farm's is of"):
        Shared.fit_farms(lessons(), CONFIG, [fitted()[0], other[1], fitted()[2]])
    with pytest.raises(TaskError, match=r"shared has not been fitted"):
        Shared.fit_farms([first], CONFIG, [Shared(CONFIG)])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("device", "tpu", r"model\.device is 'tpu'; choose auto or cpu"),
        ("hidden", [], r"model\.hidden must name at least one layer"),
        ("seeds", 0, r"model\.seeds is 0; it must be at least 1"),
        ("dropout", 1.0, r"model\.dropout is 1; choose a share from 0 to below 1"),
        ("tune_rate", 0.0, r"model\.tune_rate is 0; it must be greater than 0"),
        ("reach", -1, r"model\.reach is -1; it must not be negative"),
    ],
)
def test_an_impossible_setting_is_named(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(small.CONFIGS["shared"] | {key: value})
