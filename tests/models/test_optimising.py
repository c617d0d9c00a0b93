"""`windcast optimize`: every form of a network is measured, and what is written forecasts as well, without PyTorch."""

import copy
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import small
from typer.testing import CliRunner

from windcast.cli import app
from windcast.configs import settings
from windcast.errors import BundleError, ConfigError, DataContractError
from windcast.models.base import build
from windcast.models.patchtst import PatchTST
from windcast.models.pool import Pool
from windcast.registry import bundles
from windcast.workflows import forms, jobs, optimising
from windcast.workflows.forms import Form

for module in small.NEEDS["patchtst"][1]:
    pytest.importorskip(module, reason=f"{module} comes with windcast[deep]")

DATA = ("data=simulation", "data.days=40", "task=hours_3", "task.levels=19", "calibration.rate=0.02", "threads=1")
MODEL = ("model=patchtst", "model.epochs=1", "model.batch=64", "model.hidden=[64,48]", "model.width=8", "model.depth=1")
NAMES = ["ONNX", "PyTorch", "torch.compile", "int8", "pruned", "pruned int8"]
SERVED = ["ONNX", "int8", "pruned", "pruned int8"]


@pytest.fixture(scope="module", params=["patchtst", "mlp"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained") / "bundle"
    chosen = settings([*DATA, *MODEL, f"model.network={request.param}"])
    jobs.train(chosen, place, until=chosen.plan(chosen.farm()).start)
    return place


@dataclass(frozen=True)
class Done:
    result: optimising.Optimised
    said: str


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """`windcast optimize` on a machine without a compiler: what it says, and what it says it from."""
    import torch._inductor.config as inductor

    results = []
    plainly = optimising.optimise

    def kept(*given: Any, **options: Any) -> optimising.Optimised:
        results.append(plainly(*given, **options))
        return results[-1]

    with (
        inductor.patch({"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}),
        mock.patch.multiple(forms, ROUNDS=2, CALLS=5, BULK=256),
        mock.patch.object(optimising, "optimise", kept),
    ):
        ran = CliRunner().invoke(app, ["optimize", str(folder), "--epochs", "1"])
    assert ran.exit_code == 0, ran.output
    return Done(results[0], ran.output)


@pytest.fixture
def optimised(done: Done) -> optimising.Optimised:
    return done.result


def network_of(folder: Path) -> PatchTST:
    (found,) = optimising.networks(bundles.open_bundle(folder).forecaster).values()
    return found


@lru_cache
def windows() -> Any:
    chosen = settings([*DATA, *MODEL])
    farm = chosen.farm()
    return jobs.training_windows(farm, chosen.task(farm), chosen.plan(farm), farm.end)


# ---- the forms ----


def test_every_form_is_measured_and_one_that_cannot_be_made_says_why(optimised: optimising.Optimised) -> None:
    found = {form.name: form for form in optimised.forms}
    assert list(found) == NAMES
    assert "compiler" in found["torch.compile"].remark
    assert [form.name for form in optimised.forms if form.network is not None] == SERVED
    for name in set(NAMES) - {"torch.compile"}:
        made = found[name]
        assert made.remark == ""
        assert min(made.kilobytes, made.milliseconds, made.rate) > 0
        assert 0.01 < made.held < 0.3
        assert 0.01 < made.test < 0.3
    assert found["PyTorch"].held == pytest.approx(found["ONNX"].held, rel=1e-5)
    assert found["PyTorch"].test == pytest.approx(found["ONNX"].test, rel=1e-5)
    for name in ("int8", "pruned", "pruned int8"):
        assert found[name].held != found["ONNX"].held
    assert found["pruned"].kilobytes < found["ONNX"].kilobytes
    frame = optimised.to_frame()
    assert frame["form"].to_list() == NAMES
    assert frame.filter(form="torch.compile").select("kB", "ms", "loss, %", "note").row(0) == (
        None,
        None,
        None,
        "not made",
    )
    assert frame["note"].to_list().count("chosen") == 1


@pytest.mark.parametrize("name", SERVED)
def test_a_forecast_of_a_form_does_not_depend_on_the_batch(optimised: optimising.Optimised, name: str) -> None:
    (network,) = (form.network for form in optimised.forms if form.name == name)
    assert network is not None
    inputs = network.seen(windows())
    together = network.answer(inputs)
    for size in (1, 2, 3, 7, 64):
        for start in (0, 5, len(together) - size):
            some = {key: values[start : start + size] for key, values in inputs.items()}
            np.testing.assert_array_equal(network.answer(some), together[start : start + size])


def test_a_pruned_network_is_smaller_on_disk_too_and_its_graph_is_what_its_weights_say(
    optimised: optimising.Optimised, folder: Path, tmp_path: Path
) -> None:
    from windcast.models.deep import export, slimming

    whole = network_of(folder)
    (network,) = (form.network for form in optimised.forms if form.name == "pruned")
    assert network is not None
    network.save(tmp_path)
    loaded = PatchTST.read(tmp_path)
    if whole.config.network == "mlp":
        assert (whole.config.hidden, loaded.config.hidden) == ((64, 48), (32, 24))
    else:
        assert (whole.config.feedforward, loaded.config.feedforward) == (32, 16)
    assert len(loaded.weights) < len(whole.weights)
    assert [len(curve) for curve in loaded.curves] == [len(curve) + 1 for curve in whole.curves]
    inputs = loaded.seen(windows())
    members = slimming.restored(loaded.weights, loaded.shape_of(inputs), loaded.config)
    export.check(members, loaded.task.levels, inputs, loaded.answer(inputs))
    assert np.abs(loaded.answer(inputs) - whole.answer(inputs)).max() > export.TOLERANCE


def test_units_that_do_nothing_are_those_that_are_pruned(folder: Path) -> None:
    import torch

    from windcast.models.deep import slimming

    whole = network_of(folder)
    inputs = whole.seen(windows())
    networks = slimming.restored(whole.weights, whole.shape_of(inputs), whole.config)
    tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
    with torch.no_grad():
        for network in networks:
            for (first, _), idle in zip(
                slimming._pairs(network), (32, 24) if whole.config.network == "mlp" else (16,), strict=True
            ):
                layer = network.get_submodule(first)
                layer.weight[1 : 2 * idle : 2] = 0
                layer.bias[1 : 2 * idle : 2] = 0
        smaller, config = slimming.pruned(networks, whole.config, 0.5)
        assert config != whole.config
        for network, slim in zip(networks, smaller, strict=True):
            torch.testing.assert_close(slim(tensors), network(tensors), rtol=1e-5, atol=1e-6)
    narrow = replace(whole.config, hidden=(8, 8), feedforward=8)
    with pytest.raises(ConfigError, match="no hidden units to spare"):
        slimming.pruned(networks, narrow, 0.5)


# ---- the choice ----


def form(name: str, kilobytes: float, milliseconds: float, rate: float, held: float, **other: Any) -> Form:
    return Form(name, kilobytes, milliseconds, rate, held, **({"test": 0.1, "network": object()} | other))


def test_the_choice_is_the_cheapest_that_loses_less_than_half_a_percent_and_is_nowhere_slower() -> None:
    whole = form("ONNX", 100, 1.0, 1000, 0.1)
    refused = [
        whole,
        form("PyTorch", 10, 0.1, 9000, 0.1, network=None),
        form("worse", 10, 0.1, 9000, 0.1 * 1.005),
        form("slow", 1, 1.11, 9000, 0.1),
        form("slow for many", 1, 0.1, 900, 0.1),
        form("hardly cheaper", 92, 1.0, 1000, 0.09),
        Form("not made", remark="no"),
    ]
    assert optimising.choice(refused) is whole
    small_one, fast, both = (
        form("int8", 50, 1.05, 950, 0.1 * 1.0049, test=9.0),
        form("pruned", 90, 0.6, 1000, 0.1),
        form("pruned int8", 50, 0.8, 1500, 0.1004),
    )
    assert optimising.choice([*refused, small_one]) is small_one
    assert optimising.choice([*refused, small_one, fast]) is fast
    assert optimising.choice([*refused, small_one, fast, both]) is both


def test_the_sentence_says_what_was_chosen_and_why() -> None:
    whole, cheap = form("ONNX", 100, 1.0, 1000, 0.1), form("int8", 40, 0.5, 1300, 0.1002)
    kept = optimising.Optimised([whole, cheap], whole, preparing=0.3, seen=False, known=False)
    assert kept.sentence() == (
        "The network stays as it was: no form that loses less than 0.5 % CRPS is clearly cheaper. "
        "Preparing the inputs of one takes 0.30 ms besides."
    )
    changed = optimising.Optimised([whole, cheap], cheap, preparing=0.3, seen=False, known=False)
    assert changed.sentence().startswith(
        "Chosen: int8, 40 % of the size, 2.0 times as fast for one issue time and 1.3 times for many, "
        "its CRPS 0.20 % greater: "
    )


def test_what_is_written_is_what_was_chosen_and_needs_no_pytorch(
    optimised: optimising.Optimised, folder: Path, tmp_path: Path
) -> None:
    before, after = (bundles.open_bundle(place) for place in (folder, folder.with_name("bundle-optimized")))
    chosen = optimised.chosen.network
    assert chosen is not None
    assert network_of(after.folder).graph == chosen.graph
    assert after.manifest["optimised"]["form"] == optimised.chosen.name
    same = set(before.manifest) - {"created", "files"}
    assert {key: after.manifest[key] for key in same} == {key: before.manifest[key] for key in same}
    int8 = next(form.network for form in optimised.forms if form.name == "int8")
    assert int8 is not None
    forecaster = optimising.with_network(before.forecaster, network_of(folder), int8)
    # the bundle was opened twice, so the network to replace is another object, and nothing is replaced
    assert optimising.networks(forecaster)[""].graph != int8.graph
    forecaster = optimising.with_network(before.forecaster, optimising.networks(before.forecaster)[""], int8)
    place = bundles.save_changed(tmp_path / "int8", before, forecaster)
    np.save(tmp_path / "due.npy", int8.predict(windows()).values)
    code = f"""
import sys
for name in ("torch", "lightning", "onnx", "safetensors"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from windcast.registry import bundles
from windcast.configs import settings
from windcast.workflows import jobs
chosen = settings({[*DATA, *MODEL]!r})
farm = chosen.farm()
windows = jobs.training_windows(farm, chosen.task(farm), chosen.plan(farm), farm.end)
network = bundles.open_bundle(Path({str(place)!r})).forecaster.model
print((network.predict(windows).values == np.load({str(tmp_path / "due.npy")!r})).all())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
    with pytest.raises(ConfigError, match=r"int8: its network .* was quantised\. Optimise the bundle it came from"):
        optimising.optimise(place, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_span_that_was_learned_from_is_told(folder: Path) -> None:
    bundle = bundles.open_bundle(folder)
    network = network_of(folder)
    early, held, test, seen = optimising._spans(bundle, network)
    assert not seen
    assert early.valid_times.max() <= held.issue_times[0]
    start = np.datetime64(bundle.trained_until.replace(tzinfo=None), "us")
    assert held.issue_times[-1] < start <= test.issue_times[0]
    assert not np.isfinite(held.target[held.valid_times > start]).any()
    later = replace(bundle, manifest=bundle.manifest | {"trained_until": "2020-02-09T00:00:00+00:00"})
    *same, seen = optimising._spans(later, network)
    assert seen
    assert [len(part) for part in same] == [len(part) for part in (early, held, test)]


# ---- networks in a pool ----


def pooled() -> Pool:
    config = small.CONFIGS["patchtst"] | {"network": "mlp", "epochs": 1}
    members = {"a": config, "b": config | {"seed": 5}, "last": {"name": "persistence"}}
    forecaster = build({"name": "pool", "members": members}).fit(small.lessons("simulation"))
    assert isinstance(forecaster, Pool)
    return forecaster


def test_one_network_of_a_pool_is_replaced_and_the_others_stay() -> None:
    pool = pooled()
    found = optimising.networks(pool)
    assert list(found) == ["a", "b"]
    other = copy.copy(found["b"])
    changed = optimising.with_network(pool, found["b"], other)
    assert isinstance(changed, Pool)
    assert [changed.members[name] is pool.members[name] for name in ("a", "b", "last")] == [True, False, True]
    assert changed.members["b"] is other
    assert pool.members["b"] is found["b"]


def test_with_several_networks_one_is_to_be_named(tmp_path: Path) -> None:
    place = bundles.save(tmp_path / "pool", pooled(), small.source("simulation").farm, trained_until=windows_end())
    with pytest.raises(ConfigError, match=r"has 2 neural networks\. Choose one by --member, a or b"):
        optimising.optimise(place, tmp_path / "out")
    with pytest.raises(ConfigError, match="unknown member with a neural network 'c'"):
        optimising.optimise(place, tmp_path / "out", member="c")
    with pytest.raises(ConfigError, match="does not say what it was trained on"):
        optimising.optimise(place, tmp_path / "out", member="a")


def windows_end() -> Any:
    return small.source("simulation").fit_at


# ---- refusals ----


def test_what_cannot_be_optimised_is_refused_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the bundle itself"):
        optimising.optimise(folder, folder / ".." / "bundle")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        optimising.optimise(folder, tmp_path)
    with pytest.raises(ConfigError, match="share to prune is 1;"):
        optimising.optimise(folder, tmp_path / "out", prune=1.0)
    with pytest.raises(ConfigError, match="epochs after pruning are 0"):
        optimising.optimise(folder, tmp_path / "out", epochs=0)
    with pytest.raises(BundleError, match="no bundle there"):
        optimising.optimise(tmp_path / "none", tmp_path / "out")


def test_other_data_than_it_was_trained_on_are_refused(folder: Path, tmp_path: Path) -> None:
    bundle = bundles.open_bundle(folder)
    config = copy.deepcopy(bundle.manifest["config"])
    config["data"]["capacity_mw"] = 99.0
    place = bundles.save_changed(tmp_path / "b", bundle, bundle.forecaster, config=config)
    with pytest.raises(DataContractError, match=r"capacity in MW is 99\.0"):
        optimising.optimise(place, tmp_path / "out")
    config["data"]["capacity_mw"], config["data"]["days"] = bundle.forecaster.task.capacity_mw, 12
    place = bundles.save_changed(tmp_path / "b", bundle, bundle.forecaster, config=config)
    with pytest.raises(ConfigError, match="issue times before its test span are too few to choose a form by"):
        optimising.optimise(place, tmp_path / "out")


def test_a_model_without_a_network_is_refused_and_its_bundle_knows_no_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    place = tmp_path / "climate"
    bundle = jobs.train(settings(["data=simulation", "data.days=12", "model=climatology"]), place)
    assert "onnxruntime" not in bundle.manifest["versions"]
    with pytest.raises(ConfigError, match=r"has no neural network to optimise\. Train one with model=patchtst"):
        optimising.optimise(place, tmp_path / "out")


def test_a_bundle_with_a_network_says_which_onnx_runtime_it_was_made_with(folder: Path) -> None:
    import onnxruntime

    assert bundles.open_bundle(folder).manifest["versions"]["onnxruntime"] == onnxruntime.__version__


def test_without_pytorch_it_says_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "windcast.models.deep.slimming", None)
    import windcast.models.deep as package

    monkeypatch.delattr(package, "slimming", raising=False)
    with pytest.raises(ConfigError, match=r"Install it with: pip install 'windcast\[deep\]'"):
        optimising.optimise(folder, folder.with_name("nowhere"))


# ---- the command line ----


def test_the_command_line_shows_the_table_and_what_was_chosen(folder: Path, done: Done) -> None:
    for name in NAMES:
        assert f"\n {name} " in done.said
    assert "torch.compile could not be made here: InvalidCxxCompiler" in done.said
    assert done.result.sentence() in done.said
    assert "their loss is overstated" in done.said
    assert "learned from the test span" not in done.said
    assert f"windcast forecast {folder}-optimized" in done.said
