"""A neural network over whole windows: power history, known weather and calendar in, all leads and quantiles out.

Trained with PyTorch (extra `deep`), it forecasts from its training on with ONNX Runtime alone, so that a backtest, a
bundle and production give the same numbers. `network` chooses a patch transformer or a plain perceptron.
"""

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.models.base import Array, Forecaster
from windcast.models.deep import session
from windcast.models.deep.inputs import KINDS, Inputs, Scaling, hold_out, only
from windcast.models.deep.session import GRAPH, WEIGHTS
from windcast.models.forecast import Forecast, rungs
from windcast.models.training import nothing_known, sample

CURVES = "training.json"
NETWORKS = ("patchtst", "mlp")
DEVICES = ("auto", "cpu")
LEAST_BATCH, MOST_BATCH = 2, 256  # a single row takes other kernels, with other bits
CHECKED = 64  # windows on which the exported network is compared with the trained one


@dataclass(frozen=True)
class PatchTSTConfig:
    """inputs: what the network may see, of power and weather. seeds: networks averaged.

    patch, stride, weather_patch: steps in a token, and between tokens. width, depth, heads, feedforward: of the
    transformer; hidden: of the perceptron. noise: on its inputs, in standard units.
    learning_rate: 0 has one found. holdout: share at the end of the training span on which training stops early, after
    `patience` epochs without progress; 0 trains all epochs on everything.
    checkpoints: a folder from which a training that was killed goes on. profile: tells where the time goes.
    Defaults chosen on the validation period of Klim, 1 to 3 h with weather and 1 to 48 h without; nothing is held out,
    because the newest months are worth more than a tail (perceptron, 48 h: NMAE 18.4 % of capacity, 18.8 % with it).
    """

    network: str = "patchtst"
    inputs: tuple[str, ...] = KINDS
    knots: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    patch: int = 8
    stride: int = 8
    weather_patch: int = 1
    width: int = 16
    depth: int = 2
    heads: int = 4
    feedforward: int = 32
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.1
    noise: float = 0.1
    seeds: int = 2
    epochs: int = 8
    batch: int = 128
    learning_rate: float = 0.005
    decay: float = 0.01
    holdout: float = 0.0
    patience: int = 3
    max_issue_times: int = 40_000
    missing_share: float = 0.02
    device: str = "auto"
    checkpoints: str | None = None
    profile: bool = False
    seed: int = 4
    threads: int = 0

    def __post_init__(self) -> None:
        for key, known in (("network", NETWORKS), ("device", DEVICES)):
            if getattr(self, key) not in known:
                raise ConfigError(f"model.{key} is '{getattr(self, key)}'; choose {' or '.join(known)}.")
        if not self.inputs or not set(self.inputs) <= set(KINDS):
            raise ConfigError(f"model.inputs is {', '.join(self.inputs) or 'empty'}; choose from {', '.join(KINDS)}.")
        inside = all(0 < knot < 1 for knot in self.knots)
        if len(self.knots) < 2 or not inside or list(self.knots) != sorted(set(self.knots)):
            raise ConfigError("model.knots must be at least two distinct levels between 0 and 1, ascending.")
        counts = ("patch", "stride", "weather_patch", "width", "depth", "heads", "feedforward", "seeds", "epochs")
        for key in (*counts, "batch", "patience", "max_issue_times"):
            if getattr(self, key) < 1:
                raise ConfigError(f"model.{key} is {getattr(self, key)}; it must be at least 1.")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError("model.hidden must name at least one layer, of at least 1 unit.")
        if self.width % self.heads:
            raise ConfigError(f"model.width is {self.width}; it must be a multiple of model.heads, {self.heads}.")
        for key in ("dropout", "holdout", "missing_share"):
            if not 0 <= getattr(self, key) < 1:
                raise ConfigError(f"model.{key} is {getattr(self, key):g}; choose a share from 0 to below 1.")
        for key in ("noise", "learning_rate", "decay"):
            if getattr(self, key) < 0:
                raise ConfigError(f"model.{key} is {getattr(self, key):g}; it must not be negative.")


class PatchTST(Forecaster):
    """curves: by seed, the training and validation loss of every epoch (shares of capacity; None without a tail)."""

    name = "patchtst"
    Config = PatchTSTConfig
    scaling: Scaling
    curves: list[list[list[float | None]]]
    rate: float
    profile: str
    graph: bytes
    weights: bytes
    session: Any

    def _fit(self, windows: Windows) -> None:
        config = self.config
        seen = only(windows, config.inputs)
        self.scaling = Scaling.fit(seen)
        lessons, tail = hold_out(seen, config.holdout)
        self._learn(*self.lesson(lessons), tail)

    def lesson(self, windows: Windows) -> tuple[Inputs, Array]:
        """Inputs and targets [N, H] (shares of capacity) to learn from, some of them with inputs missing.

        Raises TaskError if no target is known.
        """
        config, seen = self.config, only(windows, self.config.inputs)
        some = sample(seen, most=config.max_issue_times, missing_share=config.missing_share, seed=config.seed)
        target = self.scaling.target(some)
        known = np.isfinite(target).any(axis=1)
        if not known.any():
            raise TaskError(nothing_known(np.arange(1, self.task.horizon + 1)))
        return {name: values[known] for name, values in self.scaling.inputs(some).items()}, target[known]

    def _learn(self, inputs: Inputs, target: Array, tail: Windows | None) -> None:
        try:
            from windcast.models.deep import export, steps, training
        except ImportError as error:
            raise ConfigError(
                f"model patchtst is trained with PyTorch, and {error.name} is missing. "
                "Install it with: pip install 'windcast[deep]'"
            ) from None
        shape = self.shape_of(inputs)
        held = None if tail is None else steps.Lesson(self.scaling.inputs(tail), self.scaling.target(tail))
        lesson, place = steps.Lesson(inputs, target), self._place(inputs, target)
        learned = training.learn(lesson, held, shape, _unit(inputs, target), self.config, place)
        self.curves, self.rate, self.profile = learned.curves, learned.rate, learned.profile
        like = {name: values[:CHECKED] for name, values in inputs.items()}
        self.graph = export.export(learned.networks, self.task.levels, like)
        self.weights = export.weights(learned.networks)
        self._open()
        export.check(learned.networks, self.task.levels, like, self.answer(like))

    def _place(self, inputs: Inputs, target: Array) -> Path | None:
        """Where the checkpoints of a training on just these lessons with just this configuration lie."""
        if self.config.checkpoints is None:
            return None
        told = asdict(replace(self.config, checkpoints=None, profile=False))
        mark = hashlib.sha256(json.dumps([told, self.task.to_dict()], sort_keys=True).encode())
        for values in (*inputs.values(), target):
            mark.update(values.tobytes())
        return Path(self.config.checkpoints).expanduser() / mark.hexdigest()[:16]

    def seen(self, windows: Windows) -> Inputs:
        """What the network is given of these windows."""
        return self.scaling.inputs(only(windows, self.config.inputs))

    def halfway(self, network: Any, windows: Windows) -> Forecast:
        """What one network, in training within `fit`, would forecast for these windows (needs PyTorch)."""
        from windcast.models.deep import export

        values = export.answers(network, self.task.levels, self.seen(windows)) * np.float32(self.task.capacity_mw)
        return Forecast.of(windows, values, rungs(windows, self.usual_age, usual_lag=self.usual_lag))

    def shape_of(self, inputs: Inputs) -> Any:
        """The `Shape` of a network for such inputs, with which its weights can be read back (needs PyTorch)."""
        from windcast.models.deep.network import Shape

        hours = self.task.resolution.total_seconds() / 3600
        return Shape.of(inputs, hours=hours, knots=self.config.knots)

    def _predict(self, windows: Windows) -> Array:
        return self.answer(self.seen(windows)) * np.float32(self.task.capacity_mw)

    def answer(self, inputs: Inputs) -> NDArray[np.float32]:
        """[B, H, Q] shares of capacity, in batches that stay in the cache."""
        count = len(inputs["base"])
        found = np.empty((count, self.task.horizon, len(self.task.levels)), np.float32)
        for start in range(0, count, MOST_BATCH):
            some = {name: values[start : start + MOST_BATCH] for name, values in inputs.items()}
            rows = len(some["base"])
            if rows < LEAST_BATCH:
                some = {name: np.repeat(values, LEAST_BATCH, axis=0) for name, values in some.items()}
            found[start : start + rows] = self.session.run(None, some)[0][:rows]
        return found

    def with_graph(self, graph: bytes) -> "PatchTST":
        """A copy that forecasts with another ONNX graph of the same inputs. Raises ValueError if it cannot be run."""
        other = copy.copy(self)
        other.graph = graph
        other._open()
        return other

    def with_session(self, session: Any) -> "PatchTST":
        """A copy whose answers are another session's: anything with `run(None, inputs)`. It is saved as this one is."""
        other = copy.copy(self)
        other.session = session
        return other

    def changed(self, config: PatchTSTConfig, trained: Any, like: Inputs) -> "PatchTST":
        """A copy with other networks, the `Trained` of `config`, whose losses follow those of the networks before them.

        like: windows on which the exported networks are checked; raises TaskError unless they are what was trained.
        """
        from windcast.models.deep import export

        like = {name: values[:CHECKED] for name, values in like.items()}
        other = copy.copy(self)
        other.config, other.weights = config, export.weights(trained.networks)
        other.curves = [before + after for before, after in zip(self.curves, trained.curves, strict=True)]
        other = other.with_graph(export.export(trained.networks, self.task.levels, like))
        export.check(trained.networks, self.task.levels, like, other.answer(like))
        return other

    def _open(self) -> None:
        """Raises ConfigError without ONNX Runtime, ValueError where the graph cannot be run or is for another task."""
        self.session = session.opened(self.graph, model=self.name)
        due = [self.task.horizon, len(self.task.levels)]
        found = self.session.get_outputs()[0].shape[1:]
        if found != due:
            raise ValueError(f"{GRAPH} forecasts {found} steps and levels, its task has {due}")

    def _save(self, folder: Path) -> None:
        self.scaling.save(folder)
        (folder / GRAPH).write_bytes(self.graph)
        (folder / WEIGHTS).write_bytes(self.weights)
        told = {"learning_rate": self.rate, "curves": self.curves, "profile": self.profile}
        (folder / CURVES).write_text(json.dumps(told, indent=1))

    def _load(self, folder: Path) -> None:
        self.scaling = Scaling.load(folder)
        self.graph, self.weights = (folder / GRAPH).read_bytes(), (folder / WEIGHTS).read_bytes()
        session.check_weights(self.weights)
        told = json.loads((folder / CURVES).read_text())
        self.rate, self.curves, self.profile = told["learning_rate"], told["curves"], told["profile"]
        try:
            self._open()
        except ConfigError as error:
            raise BundleError(f"{folder}: {error}") from None


def _unit(inputs: Inputs, target: Array) -> Array:
    """[H] shares of capacity: how far power lies from the last power or the mean, whichever is nearer by lead."""
    with np.errstate(invalid="ignore"):
        far = np.array(
            [
                [np.std(error[np.isfinite(error)]) if np.isfinite(error).any() else 0.1 for error in errors.T]
                for errors in (target - inputs["base"][..., kind] for kind in range(inputs["base"].shape[-1]))
            ]
        )
    unit: Array = np.maximum(far.min(axis=0), 0.01).astype(np.float32)
    return unit
