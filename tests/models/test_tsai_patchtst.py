"""The model that windcast began with; what it shares with every other model is tested with them."""

import builtins
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small

from windcast.data.windows import Windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.models.base import Forecaster, build, load
from windcast.models.tsai_patchtst import TsaiPatchTST, TsaiPatchTSTConfig

installed = pytest.mark.skipif(
    "tsai_patchtst" in small.UNTRAINABLE, reason=small.UNTRAINABLE.get("tsai_patchtst", "tsai is installed")
)


def fitted() -> Forecaster:
    return small.fitted("tsai_patchtst", "simulation")


def ahead() -> Windows:
    return small.ahead("simulation")


def test_its_settings_are_those_the_project_began_with() -> None:
    settings = TsaiPatchTSTConfig()
    assert (settings.history, settings.patch, settings.stride) == (104, 24, 2)
    assert (settings.layers, settings.heads, settings.d_model, settings.d_ff) == (3, 4, 16, 128)
    assert (settings.dropout, settings.max_learning_rate, settings.epochs, settings.batch) == (0.3, 0.0025, 5, 16)


@installed
def test_the_network_with_those_settings_is_tsai_s() -> None:
    from windcast.models.tsai_patchtst import _untrained

    network = _untrained(TsaiPatchTSTConfig(), 60)
    assert type(network).__module__ == "tsai.models.PatchTST"
    assert network.patch_num == 42
    assert sum(p.numel() for p in network.parameters()) == 57_633


@installed
def test_weather_changes_nothing() -> None:
    with_it, without = (fitted().predict(w).values for w in (ahead(), ahead().without_weather()))
    np.testing.assert_array_equal(with_it, without)


@installed
def test_bands_are_as_wide_as_its_errors_were_and_do_not_depend_on_the_hour() -> None:
    forecaster = fitted()
    assert isinstance(forecaster, TsaiPatchTST)
    assert forecaster.errors.shape == (3, len(small.LEVELS))
    assert (np.diff(forecaster.errors, axis=1) >= 0).all()
    raw = forecaster._predict(ahead())
    np.testing.assert_allclose(
        raw - raw[..., :1], np.broadcast_to(forecaster.errors - forecaster.errors[:, :1], raw.shape), atol=1e-4
    )


@installed
def test_half_of_the_held_out_hours_lie_below_the_median() -> None:
    lessons = small.lessons("simulation")
    forecaster = fitted()
    held = lessons.take(slice(int(0.9 * len(lessons)), None))
    median = np.median(forecaster._predict(held), axis=-1)
    below = np.where(np.isfinite(held.target) & held.free, held.target < median, np.nan)
    np.testing.assert_allclose(np.nanmean(below, axis=0), 0.5, atol=0.05)


@installed
def test_a_gap_is_filled_on_the_straight_line_between_its_ends() -> None:
    forecaster = fitted()
    assert isinstance(forecaster, TsaiPatchTST)
    power = np.array([[np.nan, 2.0, np.nan, np.nan, 8.0, 9.0, np.nan, np.nan]], np.float32)
    context = forecaster.mean_mw + forecaster.spread_mw * forecaster._contexts(power)
    expected = [2.0] * 10 + [4.0, 6.0, 8.0, 9.0, 9.0, 9.0]
    np.testing.assert_allclose(context[0], expected, atol=1e-4)


@installed
def test_without_any_power_it_is_climatology() -> None:
    forecaster = fitted()
    assert isinstance(forecaster, TsaiPatchTST)
    dark = ahead().without_power()
    np.testing.assert_array_equal(forecaster.predict(dark).values, forecaster.fallback.predict(dark).values)


@installed
def test_it_learns_from_the_history_that_it_sees() -> None:
    """Another past gives another forecast, up to the oldest step within reach."""
    forecaster, windows = fitted(), ahead()
    assert np.isfinite(windows.power).all(axis=0).sum() > 5
    for step in np.flatnonzero(np.isfinite(windows.power).all(axis=0)):
        power = windows.power.copy()
        power[:, step] = 25 - power[:, step]
        changed = forecaster.predict(replace(windows, power=power)).values
        assert (changed != forecaster.predict(windows).values).any()


@installed
def test_training_leaves_the_random_numbers_and_threads_of_pytorch_alone() -> None:
    import torch

    torch.manual_seed(8)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(8)
    build(small.CONFIGS["tsai_patchtst"] | {"epochs": 1}).fit(small.lessons("simulation"))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@installed
def test_a_lead_that_has_no_target_is_named() -> None:
    lessons = small.lessons("simulation")
    short = replace(lessons, target=np.where(np.arange(3) < 2, lessons.target, np.nan).astype(np.float32))
    with pytest.raises(TaskError, match="no target is known 3 to 3 steps ahead"):
        build(small.CONFIGS["tsai_patchtst"]).fit(short)


@installed
def test_nothing_on_disk_can_run_code_and_other_weights_are_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds == {".json", ".npz", ".safetensors"}
    header = json.loads((tmp_path / "forecaster.json").read_text())
    header["config"]["d_ff"] = 24
    (tmp_path / "forecaster.json").write_text(json.dumps(header))
    with pytest.raises(BundleError, match=r"weights\.safetensors does not fit"):
        load(tmp_path)


def test_where_tsai_is_missing_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without_tsai(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "tsai":
            raise ModuleNotFoundError("No module named 'tsai'")
        return importing(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] == "tsai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_tsai)
    with pytest.raises(ConfigError, match=r"needs tsai 1\.0\.1 .*pip install torch==2\.13\.0, then .*windcast\[tsai\]"):
        build(small.CONFIGS["tsai_patchtst"]).fit(small.lessons("simulation"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 3}, r"d_model is 16; it must be a multiple of model\.heads, 3"),
        ({"history": 12}, r"history is 12; it must hold a patch of 24"),
        ({"epochs": 0}, r"epochs is 0; it must be at least 1"),
        ({"holdout": 0.0}, r"holdout above 0"),
        ({"dropout": 1.0}, r"both below 1"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build({"name": "tsai_patchtst", **wrong})
