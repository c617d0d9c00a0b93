"""The neural forecaster in production: the same bits in every batch, without PyTorch, and sentences where it cannot."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import small

from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.models.base import build, load
from windcast.models.deep.inputs import Scaling, hold_out, only
from windcast.models.deep.session import GRAPH
from windcast.models.patchtst import PatchTST
from windcast.registry import bundles

for module in small.NEEDS["patchtst"][1]:
    pytest.importorskip(module, reason=f"{module} comes with windcast[deep]")

CONFIG = small.CONFIGS["patchtst"]
NETWORKS = {
    "patchtst": CONFIG,
    "overlapping": CONFIG | {"stride": 2, "seeds": 2},
    "mlp": CONFIG | {"network": "mlp", "seeds": 2},
}
every_network = pytest.mark.parametrize("network", list(NETWORKS))


@lru_cache
def season() -> Windows:
    farm = small.simulated(days=54, run_horizon_hours=24, seed=9)
    task = small.task_of(farm, horizon=7, history=9)
    return build_windows(farm, task).take(slice(24, -task.horizon))


def lessons() -> Windows:
    return season().take(slice(0, 640))


def ahead() -> Windows:
    return season().take(slice(660, 1160)).without_target()


@lru_cache
def fitted(network: str) -> PatchTST:
    forecaster = build(NETWORKS[network]).fit(lessons())
    assert isinstance(forecaster, PatchTST)
    return forecaster


# ---- numbers ----


@every_network
def test_a_forecast_has_the_same_bits_in_a_batch_of_any_size(network: str) -> None:
    forecaster, windows = fitted(network), ahead()
    assert len(windows) == 500
    together = forecaster.predict(windows).values
    for size in (1, 2, 3, 7, 64):
        for start in (0, 5, 500 - size):
            rows = slice(start, start + size)
            np.testing.assert_array_equal(forecaster.predict(windows.take(rows)).values, together[rows])


@every_network
def test_quantiles_do_not_cross_before_anything_sorts_them(network: str) -> None:
    forecaster, windows = fitted(network), ahead()
    raw = forecaster.answer(forecaster.scaling.inputs(windows))
    assert raw.shape == (500, 7, len(small.LEVELS))
    assert (np.diff(raw, axis=-1) >= -1e-6).all()
    assert raw.min() >= 0
    assert raw.max() <= 1
    inside = raw[(raw[..., 0] > 0) & (raw[..., -1] < 1)]
    assert (np.diff(inside, axis=-1) > 0).mean() > 0.99


@every_network
def test_what_is_exported_is_what_was_trained(network: str) -> None:
    import torch
    from safetensors.torch import load as read

    from windcast.models.deep import export
    from windcast.models.deep import network as networks

    forecaster = fitted(network)
    inputs = forecaster.scaling.inputs(ahead())
    shape = forecaster.shape_of(inputs)
    stored = read(forecaster.weights)
    members = []
    for number in range(forecaster.config.seeds):
        member = networks.build(shape, forecaster.config, np.ones(7, np.float32))
        named = {k.removeprefix(f"{number}."): v for k, v in stored.items() if k.startswith(f"{number}.")}
        member.load_state_dict(named)
        members.append(member.eval())
    export.check(members, forecaster.task.levels, inputs, forecaster.answer(inputs))
    with torch.no_grad():
        members[0].trunk.out.bias.add_(0.02)
    with pytest.raises(TaskError, match=r"differ from the trained one's by 0\.0"):
        export.check(members, forecaster.task.levels, inputs, forecaster.answer(inputs))


def test_with_nothing_known_a_forecast_is_as_wide_as_the_climate() -> None:
    config = CONFIG | {"epochs": 30, "learning_rate": 0.01, "missing_share": 0.3}
    forecaster = build(config).fit(lessons())
    nothing = ahead().without_power().without_weather()
    nothing = replace(nothing, weather_age=np.full_like(nothing.weather_age, np.nan))
    without, full = forecaster.predict(nothing), forecaster.predict(ahead())
    climate = build({"name": "climatology"}).fit(lessons()).predict(nothing)
    width, usual, climatic = ((f.quantile(0.9) - f.quantile(0.1)).mean() for f in (without, full, climate))
    assert width > 1.5 * usual
    assert width == pytest.approx(climatic, rel=0.4)


@pytest.mark.parametrize(("kind", "unseen"), [("power", "without_weather"), ("weather", "without_power")])
def test_an_input_that_was_left_out_is_not_looked_at(kind: str, unseen: str) -> None:
    forecaster = build(CONFIG | {"inputs": [kind], "epochs": 1}).fit(lessons())
    without = getattr(ahead(), unseen)()
    np.testing.assert_array_equal(forecaster.predict(without).values, forecaster.predict(ahead()).values)
    other = without.without_power().without_weather()
    assert (forecaster.predict(other).values != forecaster.predict(ahead()).values).any()


# ---- inputs ----


def test_inputs_are_bounded_and_their_masks_say_what_is_missing() -> None:
    windows = lessons()
    scaling = Scaling.fit(windows)
    rng = np.random.default_rng(2)
    gone = rng.random(windows.power.shape) < 0.3
    wild = replace(windows, power=np.where(gone, np.nan, windows.power * 1e5), weather=windows.weather * 1e5)
    made = scaling.inputs(wild)
    np.testing.assert_array_equal(made["power"][..., 1] == 0, gone)
    assert (made["power"][..., 0][gone] == 0).all()
    for values in made.values():
        assert np.isfinite(values).all()
        assert np.abs(values).max() <= 5
    nothing = scaling.inputs(windows.without_power().without_weather())
    assert not nothing["power"].any()
    np.testing.assert_allclose(nothing["base"], scaling.power_centre, rtol=1e-6)


def test_components_and_polar_wind_give_a_network_the_same_inputs() -> None:
    windows = lessons()
    speed, angle = windows.weather[..., 0], np.deg2rad(windows.weather[..., 1])
    assert windows.variables[:2] == ("wind_speed_100m", "wind_direction_100m")
    weather = np.concatenate(
        [np.stack([-speed * np.sin(angle), -speed * np.cos(angle)], axis=-1), windows.weather[..., 2:]], axis=-1
    )
    variables = ("wind_u_100m", "wind_v_100m", *windows.variables[2:])
    told = replace(windows, weather=weather, weather_earlier=np.full_like(weather, np.nan), variables=variables)
    plain = replace(windows, weather_earlier=np.full_like(weather, np.nan))
    first, second = (Scaling.fit(w).inputs(w)["weather"] for w in (plain, told))
    np.testing.assert_allclose(first, second, atol=2e-3)


def test_the_tail_shares_no_target_with_what_is_learned_from() -> None:
    windows = season()
    before, tail = hold_out(windows, 0.2)
    assert tail is not None
    assert len(tail) == len(windows) - int(0.8 * len(windows))
    assert tail.issue_times[-1] == windows.issue_times[-1]
    assert before.valid_times.max() < tail.valid_times.min()
    assert before.valid_times.max() == tail.issue_times[0]
    few = windows.take(slice(0, 100))
    for whole, part in ((windows, 0.0), (few, 0.2)):
        kept, none = hold_out(whole, part)
        assert none is None
        assert len(kept) == len(whole)
    assert hold_out(windows.without_target(), 0.2)[1] is None


def test_only_takes_whole_inputs_away() -> None:
    assert only(season(), ("power",)).weather.shape[-1] == 0
    assert only(season(), ("power",)).variables == ()
    assert only(season(), ("weather",)).power.shape[1] == 0


# ---- in production ----


def test_it_forecasts_without_pytorch_the_same_bits(tmp_path: Path) -> None:
    fitted("patchtst").save(tmp_path / "model")
    np.save(tmp_path / "expected.npy", fitted("patchtst").predict(ahead()).values)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
for name in ("torch", "lightning", "onnx", "safetensors"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
import small
from windcast.data.windows import build_windows
from windcast.models.base import load
farm = small.simulated(days=54, run_horizon_hours=24, seed=9)
windows = build_windows(farm, small.task_of(farm, horizon=7, history=9)).take(slice(24, -7)).take(slice(660, 1160))
found = load(Path({str(tmp_path / "model")!r})).predict(windows.without_target())
print((found.values == np.load({str(tmp_path / "expected.npy")!r})).all())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_importing_and_configuring_it_needs_no_pytorch() -> None:
    code = (
        "import sys; from windcast.configs import settings; settings(['model=patchtst'])\n"
        "print([m for m in ('torch', 'lightning', 'onnx', 'onnxruntime', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["torch", "lightning", "safetensors"])
def test_without_its_extra_training_says_how_to_install_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("windcast.models.deep.")]:
        if not name.endswith(("inputs", "watching", "session")):
            monkeypatch.delitem(sys.modules, name)
    import windcast.models.deep as package

    for part in ("export", "network", "steps", "probing", "training"):
        monkeypatch.delattr(package, part, raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"{missing}.* is missing\. Install it with: pip install 'windcast\[deep\]'"):
        build(CONFIG).fit(lessons())


def test_without_onnxruntime_a_bundle_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted("mlp").save(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BundleError, match=r"ONNX Runtime, which is missing\. .*pip install 'windcast\[serve\]'"):
        load(tmp_path)


def test_a_bundle_whose_network_was_changed_is_refused(tmp_path: Path) -> None:
    farm = small.simulated(days=4)
    folder = bundles.save(tmp_path / "bundle", fitted("mlp"), farm, trained_until=farm.end)
    file = folder / "model" / GRAPH
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"network\.onnx was changed since training"):
        bundles.open_bundle(folder)


def test_the_network_of_another_task_is_refused(tmp_path: Path) -> None:
    other = build(NETWORKS["mlp"] | {"epochs": 1}).fit(small.lessons("simulation"))
    fitted("mlp").save(tmp_path)
    (tmp_path / GRAPH).write_bytes(other.graph)
    with pytest.raises(
        BundleError, match=r"network\.onnx forecasts \[3, 19\] steps and levels, its task has \[7, 19\]"
    ):
        load(tmp_path)


def test_the_exported_network_tells_nothing_of_where_it_was_made() -> None:
    assert str(Path(__file__).parents[2]).encode() not in fitted("patchtst").graph
    assert b"windcast/models" not in fitted("patchtst").graph


def test_loss_curves_are_kept(tmp_path: Path) -> None:
    fitted("overlapping").save(tmp_path)
    loaded = load(tmp_path)
    assert loaded.curves == fitted("overlapping").curves
    assert len(loaded.curves) == 2
    for curve in loaded.curves:
        assert 0 < min(held for _, held in curve) <= curve[0][1] < 0.3
        assert curve[-1][0] < curve[0][0]
    assert json.loads((tmp_path / "training.json").read_text())["learning_rate"] == CONFIG.get("learning_rate", 0.002)


# ---- configuration ----


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("network", "lstm", r"model\.network is 'lstm'; choose patchtst or mlp"),
        ("device", "tpu", r"model\.device is 'tpu'; choose auto or cpu"),
        ("inputs", [], r"model\.inputs is empty; choose from power, weather"),
        ("inputs", ["waves"], r"model\.inputs is waves"),
        ("knots", [0.5], r"model\.knots must be at least two"),
        ("knots", [0.0, 0.5], r"between 0 and 1"),
        ("epochs", 0, r"model\.epochs is 0; it must be at least 1"),
        ("hidden", [], r"model\.hidden must name at least one layer"),
        ("heads", 3, r"model\.width is 8; it must be a multiple of model\.heads, 3"),
        ("dropout", 1.0, r"model\.dropout is 1; choose a share from 0 to below 1"),
        ("holdout", -0.1, r"model\.holdout is -0\.1"),
        ("learning_rate", -1.0, r"model\.learning_rate is -1; it must not be negative"),
    ],
)
def test_an_impossible_setting_is_named(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(CONFIG | {key: value})
