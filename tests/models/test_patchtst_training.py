"""Training the neural forecaster: it resumes, stops early, finds its rate and says where its time goes."""

import io
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from rich.console import Console
from rich.progress import Progress

from windcast.configs import settings
from windcast.errors import TaskError
from windcast.models.base import build
from windcast.models.forecast import Forecast
from windcast.models.patchtst import PatchTST, PatchTSTConfig
from windcast.registry import bundles
from windcast.workflows import jobs

for module in small.NEEDS["patchtst"][1]:
    pytest.importorskip(module, reason=f"{module} comes with windcast[deep]")
fast, network, probing, steps, training, watching = (
    import_module(f"windcast.models.deep.{name}")
    for name in ("fast", "network", "probing", "steps", "training", "watching")
)

CONFIG = small.CONFIGS["patchtst"] | {"network": "mlp", "epochs": 5, "seeds": 2, "holdout": 0.2, "patience": 5}


def fit(**changes: Any) -> PatchTST:
    forecaster = build(CONFIG | changes).fit(small.lessons("simulation"))
    assert isinstance(forecaster, PatchTST)
    return forecaster


def forecast(forecaster: PatchTST) -> Forecast:
    return forecaster.predict(small.ahead("simulation"))


def lesson(rows: int = 40) -> Any:
    inputs = {"base": np.arange(rows, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)}
    return steps.Lesson(inputs, np.zeros((rows, 2), np.float32))


# ---- checkpoints ----


class Killed(Exception):
    pass


@pytest.mark.parametrize("network", ["mlp", "patchtst"])
@pytest.mark.parametrize("at", [(0, 3), (1, 1)])
def test_a_training_that_was_killed_goes_on_to_the_same_bits(
    network: str, at: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = fit(network=network)
    begun: list[tuple[int, int]] = []
    start = training.Training.on_train_epoch_start

    def kill(self: Any) -> None:
        seed = (self.seed - self.config.seed) // 1009
        begun.append((seed, self.current_epoch))
        if len(begun) == 1 + at[0] * CONFIG["epochs"] + at[1]:
            raise Killed
        start(self)

    monkeypatch.setattr(training.Training, "on_train_epoch_start", kill)
    with pytest.raises(Killed):
        fit(network=network, checkpoints=str(tmp_path))
    assert begun[-1] == at
    before = len(begun)
    resumed = fit(network=network, checkpoints=str(tmp_path))
    assert begun[before:] == [(s, e) for s in range(2) for e in range(CONFIG["epochs"]) if (s, e) >= at]
    assert resumed.curves == through.curves
    assert resumed.weights == through.weights
    np.testing.assert_array_equal(forecast(resumed).values, forecast(through).values)


def test_a_finished_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(checkpoints=str(tmp_path))
    monkeypatch.setattr(training, "Trainer", None)
    again = fit(checkpoints=str(tmp_path))
    assert (again.weights, again.curves) == (first.weights, first.curves)


def test_checkpoints_of_another_training_are_left_alone(tmp_path: Path) -> None:
    fit(epochs=1, seeds=1, checkpoints=str(tmp_path))
    (before,) = tmp_path.iterdir()
    other = fit(epochs=1, seeds=1, decay=0.5, checkpoints=str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2
    assert before.is_dir()
    np.testing.assert_array_equal(forecast(other).values, forecast(fit(epochs=1, seeds=1, decay=0.5)).values)


def test_training_can_go_on_from_given_networks() -> None:
    forecaster, lessons = fit(seeds=1), small.lessons("simulation")
    known = np.isfinite(forecaster.scaling.target(lessons)).all(axis=1)
    inputs = {name: values[known] for name, values in forecaster.seen(lessons).items()}
    lesson, shape = steps.Lesson(inputs, forecaster.scaling.target(lessons)[known]), forecaster.shape_of(inputs)
    config, unit = replace(forecaster.config, epochs=1, learning_rate=1e-9, dropout=0.0, noise=0.0), np.ones(3)
    before = training.learn(lesson, None, shape, unit, replace(config, epochs=8, learning_rate=0.005), None)
    losses = [curve[-1][0] for curve in before.curves]
    after = training.learn(lesson, None, shape, unit, config, None, begin=before.networks)
    anew = training.learn(lesson, None, shape, unit, config, None)
    assert after.curves[0][0][0] < 1.05 * losses[0] < 0.9 * anew.curves[0][0][0]


# ---- early stopping ----


def test_it_stops_when_the_tail_gets_no_better_and_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([0.3, 0.2, 0.25, 0.1, 0.11, 0.12, 0.05])
    kept = {}

    def loss(self: Any, module: Any) -> Any:
        value = next(held)
        kept[value] = module.network.trunk.out.bias.detach().clone()
        return training.torch.tensor(value)

    monkeypatch.setattr(training.Best, "_loss", loss)
    forecaster = fit(seeds=1, epochs=20, patience=2)
    assert [round(tail or 0, 2) for _, tail in forecaster.curves[0]] == [0.3, 0.2, 0.25, 0.1, 0.11, 0.12]
    from safetensors.torch import load

    assert (load(forecaster.weights)["0.trunk.out.bias"] == kept[0.1]).all()


def test_without_a_tail_all_epochs_are_trained_on_everything() -> None:
    forecaster = fit(holdout=0.0, seeds=1)
    assert [tail for _, tail in forecaster.curves[0]] == [None] * CONFIG["epochs"]


def test_a_training_that_went_astray_says_so() -> None:
    with pytest.raises(TaskError, match=r"went astray at a learning rate of 1e\+30\. Choose a smaller"):
        fit(learning_rate=1e30, seeds=1)


def test_training_leaves_the_random_numbers_and_threads_of_others_alone() -> None:
    torch = training.torch
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    fit(epochs=1, seeds=1, threads=2)
    assert (torch.rand(3) == expected).all()
    assert torch.get_num_threads() == threads


# ---- the fast way ----


@pytest.mark.parametrize(("batch", "count", "heads"), [(5, 7, 4), (1, 3, 1), (2, 1, 2)])
def test_the_fast_layer_gives_the_numbers_and_the_gradients_of_the_plain_one(
    batch: int, count: int, heads: int
) -> None:
    torch = training.torch
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        plain = network.Layer(PatchTSTConfig(width=8, heads=heads, feedforward=12, dropout=0.0))
        for norm in (plain.before, plain.between):
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
        tokens, way = torch.randn(batch, count, 8, requires_grad=True), torch.randn(batch, count, 8)
    columns = fast.layer(tokens.permute(2, 0, 1).reshape(8, -1), plain, batch)
    found = {}
    for name, out in (("plain", plain(tokens)), ("fast", columns.view(8, batch, count).permute(1, 2, 0))):
        (out * way).sum().backward()
        found[name] = [out.detach(), tokens.grad, *(value.grad for value in plain.parameters())]
        tokens.grad = None
        plain.zero_grad()
    assert len(found["fast"]) == 14
    for one, other in zip(found["plain"], found["fast"], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def test_the_fast_layer_drops_what_its_mask_says_and_learns_nothing_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = training.torch
    plain = network.Layer(PatchTSTConfig(width=8, heads=2, feedforward=12, dropout=0.5))
    monkeypatch.setattr(fast, "mask", lambda shape, _share: 2.0 * (torch.arange(shape[0]) % 2)[:, None].expand(shape))
    fast.layer(torch.randn(8, 6), plain, 2).sum().backward()
    units = plain.widen.weight.grad.abs().sum(1)
    assert (units[::2] == 0).all()
    assert (units[1::2] > 0).any()
    assert (plain.narrow.weight.grad[:, ::2] == 0).all()


def test_dropout_keeps_the_share_and_the_mean() -> None:
    torch = training.torch
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        mask = fast.mask((1001, 99), 0.3)
        again = fast.mask((1001, 99), 0.3)
    assert mask.shape == (1001, 99)
    assert float((mask == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(mask.mean()) == pytest.approx(1, abs=0.01)
    assert not torch.equal(mask, again)
    assert torch.equal(fast.Dropout(0.3).eval()(mask), mask)


# ---- batches ----


def test_an_epoch_sees_each_window_at_most_once_in_an_order_of_its_own() -> None:
    batches = steps.Batches(lesson(), 8, seed=1)
    orders = []
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        orders.append([int(v) for batch in batches for v in batch["base"][:, 0, 0]])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert [len(b["target"]) for b in steps.Batches(lesson(21), 8, seed=None)] == [8, 8, 5]


def test_processes_share_an_epoch_between_them() -> None:
    seen = []
    for rank in range(2):
        batches = steps.Batches(lesson(), 8, seed=1)
        batches.share(rank, 2)
        seen.append({int(v) for batch in batches for v in batch["base"][:, 0, 0]})
    assert not seen[0] & seen[1]
    assert len(seen[0]) == len(seen[1]) == 16


def test_mixed_precision_and_several_processes_are_for_gpus_alone() -> None:
    config = PatchTSTConfig()
    alone = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    assert training.where(config, gpus=0) == alone
    assert training.where(replace(config, device="cpu"), gpus=2) == alone
    one, two = (training.where(config, gpus=gpus) for gpus in (1, 2))
    assert (one["precision"], one["strategy"], one["devices"]) == ("bf16-mixed", "auto", 1)
    assert (two["precision"], two["strategy"], two["devices"]) == ("bf16-mixed", "ddp_fork", 2)


# ---- what a person sees ----


def test_a_learning_rate_is_found_and_told() -> None:
    forecaster = fit(learning_rate=0.0, seeds=1)
    assert probing.LEAST_RATE < forecaster.rate < probing.MOST_RATE
    assert forecaster.rate == fit(learning_rate=0.0, seeds=1).rate
    untrained = build(CONFIG | {"learning_rate": 1e-9, "seeds": 1}).fit(small.lessons("simulation"))
    assert forecaster.curves[0][-1][0] < 0.9 * untrained.curves[0][-1][0]


def test_a_profile_says_where_the_time_goes_and_changes_nothing() -> None:
    told, plain = fit(profile=True, seeds=1), fit(seeds=1)
    head, *rows = told.profile.splitlines()
    assert "ms a step of 64 windows" in head
    assert any(" mm," in row or " addmm," in row for row in rows)
    shares = [float(row.split("%")[0]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 25 < sum(shares) <= 100.5
    assert plain.profile == ""
    np.testing.assert_array_equal(forecast(told).values, forecast(plain).values)


@pytest.mark.parametrize("within", [False, True])
def test_on_a_terminal_the_losses_are_shown_and_elsewhere_nothing(
    within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (True, False):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=terminal, width=100)
        monkeypatch.setattr(watching, "get_console", lambda console=console: console)
        if within and terminal:
            with Progress(console=console):
                fit(seeds=1)
        else:
            fit(seeds=1)
        assert ("epoch 5 of 5, loss" in shown.getvalue()) == terminal
        assert ("on the tail" in shown.getvalue()) == terminal


def test_the_command_line_trains_it_into_a_bundle_that_forecasts(tmp_path: Path) -> None:
    small_one = [f"model.{key}={value}" for key, value in {"width": 8, "epochs": 1, "depth": 1, "threads": 1}.items()]
    chosen = settings(["data=simulation", "data.days=12", "task=hours_3", "model=patchtst", *small_one])
    bundle = jobs.train(chosen, tmp_path / "bundle")
    again = bundles.open_bundle(tmp_path / "bundle")
    assert asdict(again.forecaster.model.config) == asdict(bundle.forecaster.model.config)
    assert again.manifest["files"].keys() >= {"model/model/network.onnx", "model/model/weights.safetensors"}
