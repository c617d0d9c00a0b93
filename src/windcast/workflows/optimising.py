"""Smaller and faster forms of a bundle's network, measured beside one another, and the best that is as good."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from windcast.configs import Settings
from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError, ConfigError
from windcast.evaluation.backtest import folds, training_windows
from windcast.evaluation.scores import crps
from windcast.models.base import Forecaster
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Forecast
from windcast.models.patchtst import PatchTST
from windcast.models.pool import Pool
from windcast.registry import bundles
from windcast.workflows.jobs import Progress, quiet

MOST_LOSS = 0.005  # of the CRPS, of what is chosen
REPEATS, BULK = 200, 2048  # calls with one issue time, and issue times in one call
LEAST_LESSONS = 200


@dataclass(frozen=True)
class Form:
    """One form of the network, on one thread.

    kilobytes: on disk. milliseconds: for one issue time. rate: issue times a second, in bulk. held, test: CRPS as a
    share of capacity, on the end of the training span and on the test span. network: None where it needs PyTorch and
    so cannot be served. remark: why it could not be made.
    """

    name: str
    kilobytes: float = float("nan")
    milliseconds: float = float("nan")
    rate: float = float("nan")
    held: float = float("nan")
    test: float = float("nan")
    network: PatchTST | None = None
    remark: str = ""


@dataclass(frozen=True)
class Optimised:
    """forms: the first is the network as it was. chosen: the name of one. seen: the test span was learned from."""

    forms: list[Form]
    chosen: str
    seen: bool

    def to_frame(self) -> pl.DataFrame:
        whole = self.forms[0]
        return pl.DataFrame(
            [
                {
                    "form": form.name,
                    "kB": form.kilobytes,
                    "ms, one issue time": form.milliseconds,
                    "issue times/s": form.rate,
                    "CRPS, held out, %": 100 * form.held,
                    "loss, %": 100 * (form.held / whole.held - 1),
                    "CRPS, test, %": 100 * form.test,
                    "chosen": "yes" if form.name == self.chosen else form.remark,
                }
                for form in self.forms
            ]
        )


def optimise(
    folder: Path, out: Path, *, prune: float = 0.5, epochs: int = 3, on_progress: Progress = quiet
) -> Optimised:
    """Writes to `out` the bundle with the fastest form of its network whose CRPS grows by less than 0.5 %.

    The choice is made on the end of the training span; the test span is only shown. prune: share of hidden units taken
    out. epochs: of training after that. Raises ConfigError where the bundle has no neural network, or `deep` is absent.
    """
    if out.exists() and not (out / bundles.MANIFEST).is_file():
        raise BundleError(f"{out}: exists and is not a bundle. Choose another folder.")
    bundle = bundles.open_bundle(folder)
    network = next(networks(bundle.forecaster), None)
    if network is None:
        raise ConfigError(f"{folder}: has no neural network to optimise; its model is {bundle.forecaster.name}.")
    settings = Settings(bundle.manifest["config"])
    farm = settings.farm()
    plan = settings.plan(farm)
    known = min(plan.start, bundle.trained_until)
    lessons = training_windows(farm, network.task, plan, known)
    if len(lessons) < LEAST_LESSONS:
        raise ConfigError(f"{folder}: {len(lessons)} issue times before its test span are too few to choose a form by.")
    cut = int(len(lessons) * (1 - max(network.config.holdout, 0.1)))
    early, held = lessons.take(slice(0, cut)), lessons.take(slice(cut, None))
    tested = [part.issue_times for part in folds(farm, network.task, plan)]
    test = build_windows(farm, network.task, np.concatenate(tested))
    makers = _makers(network, early, prune=prune, epochs=epochs)
    forms = []
    for number, (name, make) in enumerate(makers.items()):
        on_progress(name, number, len(makers))
        forms.append(_measured(name, make, held, test))
    served = [form for form in forms if form.network is not None and form.held <= (1 + MOST_LOSS) * forms[0].held]
    best = min(served, key=lambda form: form.milliseconds)
    forecaster = with_network(bundle.forecaster, network, best.network)
    manifest = bundle.manifest
    bundles.save(
        out,
        forecaster,
        farm,
        trained_until=bundle.trained_until,
        config=manifest["config"],
        scores=manifest.get("scores"),
        ladder=manifest.get("ladder"),
    )
    on_progress("done", len(makers), len(makers))
    return Optimised(forms, best.name, seen=bundle.trained_until > plan.start)


def networks(forecaster: Forecaster) -> Iterator[PatchTST]:
    """The neural networks in a forecaster, within pools and calibrations too."""
    if isinstance(forecaster, PatchTST):
        yield forecaster
    elif isinstance(forecaster, Calibrated):
        yield from networks(forecaster.model)
    elif isinstance(forecaster, Pool):
        for member in forecaster.members.values():
            yield from networks(member)


def with_network(forecaster: Forecaster, old: PatchTST, new: PatchTST | None) -> Forecaster:
    """The same forecaster with another network in the place of `old`."""
    if forecaster is old:
        assert new is not None
        return new
    changed = copy.copy(forecaster)
    if isinstance(changed, Calibrated):
        changed.model = with_network(changed.model, old, new)
    elif isinstance(changed, Pool):
        changed.members = {name: with_network(member, old, new) for name, member in changed.members.items()}
    return changed


Made = tuple[Callable[[Windows], Any], int, PatchTST | None]  # answers, bytes, what can be served
Maker = Callable[[], Made]


def _makers(network: PatchTST, early: Windows, *, prune: float, epochs: int) -> dict[str, Maker]:
    """Each form's name and how it is made; a form may raise what it likes."""
    try:
        from windcast.models.deep import export, slimming, training
        from windcast.models.deep.steps import Lesson
    except ImportError as error:
        raise ConfigError(
            f"networks are optimised with PyTorch, and {error.name} is missing. "
            "Install it with: pip install 'windcast[deep]'"
        ) from None
    inputs, target = network.seen(early), network.scaling.target(early)
    known = np.isfinite(target).any(axis=1)
    inputs, target = {name: values[known] for name, values in inputs.items()}, target[known]
    shape = network.shape_of(inputs)
    whole = slimming.restored(network.weights, shape, network.config)
    like = {name: values[:: max(1, len(values) // 2048)] for name, values in inputs.items()}

    def served(changed: PatchTST) -> Made:
        return changed.answer, len(changed.graph), changed

    def torch_form(compiled: bool) -> Made:
        return export.eager(whole, network.task.levels, network.seen, compiled=compiled), len(network.weights), None

    slim: list[PatchTST] = []

    def pruned() -> Made:
        smaller, config = slimming.pruned(whole, network.config, prune)
        config = replace(config, epochs=epochs, learning_rate=(network.rate or 1e-3) / 4, holdout=0.0, checkpoints=None)
        trained = training.learn(
            Lesson(inputs, target), None, shape, np.ones(len(shape.leads), np.float32), config, None, begin=smaller
        )
        slim.append(network.changed(config, trained.networks, like))
        return served(slim[0])

    def pruned_int8() -> Made:
        if not slim:
            raise ConfigError("pruning failed")
        return served(slim[0].with_graph(slimming.quantised(slim[0].graph, like)))

    return {
        "ONNX": lambda: served(network),
        "PyTorch": lambda: torch_form(compiled=False),
        "torch.compile": lambda: torch_form(compiled=True),
        "ONNX int8": lambda: served(network.with_graph(slimming.quantised(network.graph, like))),
        f"ONNX pruned {prune:.0%}": pruned,
        f"ONNX pruned {prune:.0%}, int8": pruned_int8,
    }


def _measured(name: str, make: Maker, held: Windows, test: Windows) -> Form:
    try:
        answer, size, form = make()
        one, bulk = held.take(slice(0, 1)), held.take(np.arange(BULK) % len(held))
        times = [_seconds(answer, one) for _ in range(REPEATS)]
        rate = BULK / min(_seconds(answer, bulk) for _ in range(3))
    except Exception as error:  # a form that cannot be made here is left out, with the reason
        if name == "ONNX":
            raise
        return Form(name, remark=str(error).splitlines()[0][:60] if str(error) else type(error).__name__)
    scores = [_crps(answer, windows) for windows in (held, test)]
    return Form(name, size / 1000, 1000 * float(np.median(times)), rate, *scores, network=form)


def _seconds(answer: Callable[[Windows], Any], windows: Windows) -> float:
    began = time.perf_counter()
    answer(windows)
    return time.perf_counter() - began


def _crps(answer: Callable[[Windows], Any], windows: Windows) -> float:
    shares, fresh = answer(windows), np.zeros(windows.target.shape, np.int8)
    return float(np.nanmean(crps(Forecast.of(windows, shares * windows.task.capacity_mw, fresh), windows.target)))
