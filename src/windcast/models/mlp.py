"""A small multi-quantile network in plain NumPy: all leads of a group and all knots in one pass, a few seeds averaged.

It sees the same features as the trees, pulled together over the leads of a group, and predicts how far power moves away
from a base: the last known power for the first hours, the power curve later. Trained on the pinball loss, smoothed at
its bend, with Adam (Kingma & Ba 2015), decoupled weight decay, a cosine rate and noise on the inputs.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from windcast.data.windows import Windows
from windcast.errors import ConfigError, TaskError
from windcast.models import arrays, quantiles
from windcast.models.base import Array
from windcast.models.features import Features, of_leads
from windcast.models.learned import Learned, Seen
from windcast.models.training import nothing_known, sample

Floats = NDArray[np.float32]

MOST_LEADS = 24  # in one network
# A forecast is made with inputs and weights on these grids. Their products are multiples of 2^-32 and their sums stay
# below 2^20, so float64 adds them exactly, and no order in which BLAS does it (it varies with the batch) shows.
INPUT_GRID, WEIGHT_GRID = 2.0**-14, 2.0**-18
LEADS_FROM_POWER = 6  # networks that start within this many steps predict the change from the last power
SMOOTH = np.float32(0.02)  # half-width of the bend in the pinball loss, in scaled units
SLOPE = np.float32(0.01)  # of the leaky rectifier
BY_LEAD = ("curve", "speed", "u", "v", "temperature", "power_plus", "power_times")


@dataclass(frozen=True)
class MLPConfig:
    """seeds: networks averaged. scale: share of capacity that one unit of output moves the forecast from its base."""

    knots: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    hidden: tuple[int, ...] = (64, 64)
    seeds: int = 2
    epochs: int = 8
    batch: int = 128
    learning_rate: float = 0.004
    decay: float = 0.004
    noise: float = 0.3
    scale: float = 0.1
    max_issue_times: int = 40_000
    missing_share: float = 0.02
    seed: int = 3
    threads: int = 0

    def __post_init__(self) -> None:
        inside = all(0 < knot < 1 for knot in self.knots)
        if len(self.knots) < 2 or not inside or list(self.knots) != sorted(set(self.knots)):
            raise ConfigError("model.knots must be at least two distinct levels between 0 and 1, ascending.")
        if min(self.seeds, self.epochs, self.batch, *self.hidden) < 1:
            raise ConfigError("model.seeds, epochs, batch and hidden must be at least 1.")


@dataclass(frozen=True)
class Network:
    """One lead group: standardisation [D] of the kept inputs, and weights [seeds, in, out] and biases by layer."""

    kept: NDArray[np.int64]
    mean: Floats
    spread: Floats
    weights: list[Floats]
    biases: list[Floats]

    def __call__(self, inputs: Floats) -> Floats:
        """[N, out] for raw inputs [N, F], averaged over the seeds. A row's bits do not depend on the rows beside it."""
        hidden = _on_grid(standardise(inputs, self.kept, self.mean, self.spread), INPUT_GRID)[None]
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight + bias
            hidden = _on_grid(np.maximum(hidden, SLOPE * hidden), INPUT_GRID)
        weight, bias = self._layers[-1]
        out: Floats = (hidden @ weight + bias).mean(axis=0).astype(np.float32)
        return out

    @cached_property
    def _layers(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        pairs = zip(self.weights, self.biases, strict=True)
        return [(_on_grid(weight, WEIGHT_GRID), _on_grid(bias, WEIGHT_GRID)) for weight, bias in pairs]


def _on_grid(values: NDArray[np.floating], grid: float) -> NDArray[np.float64]:
    on_grid: NDArray[np.float64] = np.rint(values.astype(np.float64) / grid) * grid
    return on_grid


class MLP(Learned):
    name = "mlp"
    Config = MLPConfig
    networks: list[Network]

    def _fit(self, windows: Windows) -> None:
        config = self.config
        self.features = Features().fit(windows, seed=config.seed, threads=config.threads)
        lessons = sample(windows, most=config.max_issue_times, missing_share=config.missing_share, seed=config.seed)
        target = np.where(lessons.free, lessons.target, np.nan)
        unit = np.float32(config.scale * self.task.capacity_mw)
        self.networks = []
        for leads in self._groups():
            columns = self.features.columns(lessons, leads, threads=config.threads)
            inputs, base = self._inputs(columns, leads)
            scaled = (target[:, leads - 1].reshape(base.shape) - base) / unit
            known = np.isfinite(scaled).any(axis=1)
            if not known.any():
                raise TaskError(nothing_known(leads))
            # the matrices are small: more BLAS threads only wait for one another
            with threadpool_limits(1, user_api="blas"):
                self.networks.append(train(inputs[known], scaled[known], config))

    def of_seen(self, seen: Seen) -> Array:
        config, knots, levels = self.config, np.array(self.config.knots), np.array(self.task.levels)
        unit = np.float32(config.scale * self.task.capacity_mw)
        out = np.empty((seen.count, self.task.horizon, len(levels)), np.float32)
        for network, leads in zip(self.networks, self._groups(), strict=True):
            inputs, base = self._inputs(of_leads(seen.columns, leads), leads)
            at_knots = base[..., None] + unit * network(inputs).reshape(*base.shape, len(knots))
            of_group = quantiles.between_levels(at_knots, knots, levels, capacity_mw=self.task.capacity_mw)
            out[:, leads - 1] = of_group.reshape(seen.count, len(leads), len(levels))
        return out

    def _groups(self) -> list[NDArray[np.int64]]:
        leads = np.arange(1, self.task.horizon + 1)
        return np.split(leads, range(MOST_LEADS, self.task.horizon, MOST_LEADS))

    def _inputs(self, columns: dict[str, Floats], leads: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Inputs [N, F] of a lead group, NaN where missing, and the base [N, K] MW that the network moves from.

        With recent power a row is an issue time and K are the leads: they share what the last hours tell. Without it a
        row is a single lead, K = 1: hours of the same weather are alike, and there are far more of them to learn from.
        """
        if self.task.history:
            return _together(columns, leads, self.task.capacity_mw)
        return _apart(columns, self.task.capacity_mw)

    def _save(self, folder: Path) -> None:
        self.features.save(folder)
        stored: dict[str, NDArray[Any]] = {}
        for number, network in enumerate(self.networks):
            stored |= {
                f"{number}.kept": network.kept,
                f"{number}.mean": network.mean,
                f"{number}.spread": network.spread,
            }
            for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                stored |= {f"{number}.weight{layer}": weight, f"{number}.bias{layer}": bias}
        arrays.save(folder, **stored)

    def _load(self, folder: Path) -> None:
        self.features = Features.load(folder)
        stored = arrays.load(folder)
        layers = range(len(self.config.hidden) + 1)
        self.networks = [
            Network(
                kept=stored[f"{number}.kept"],
                mean=stored[f"{number}.mean"],
                spread=stored[f"{number}.spread"],
                weights=[stored[f"{number}.weight{layer}"] for layer in layers],
                biases=[stored[f"{number}.bias{layer}"] for layer in layers],
            )
            for number in range(len(self._groups()))
        ]


def _together(columns: dict[str, Floats], leads: NDArray[np.int64], capacity_mw: float) -> tuple[Floats, Floats]:
    """A row an issue time: what is the same for all leads, and the few columns that matter by lead."""
    parts = _hours(columns["hour"][:, :1])
    for name, column in columns.items():
        if column.ndim == 1:
            parts.append(column[:, None])
        elif name.startswith("season"):
            parts.append(column[:, :1])
        elif name.startswith(BY_LEAD) and not _around(name):
            parts.append(column)
    power = np.broadcast_to(columns["power"][:, None], columns["hour"].shape)
    curve = columns.get("curve", power)
    first, second = (power, curve) if leads[0] <= LEADS_FROM_POWER else (curve, power)
    return np.concatenate(parts, axis=1).astype(np.float32), _first_known(first, second, capacity_mw)


def _apart(columns: dict[str, Floats], capacity_mw: float) -> tuple[Floats, Floats]:
    """A row an issue time and lead: every column but directions in degrees, which jump at north."""
    parts = _hours(columns["hour"].reshape(-1, 1))
    shape = columns["hour"].shape
    for name, column in columns.items():
        if not name.startswith(("direction", "hour")):
            wide = column if column.ndim == 2 else np.broadcast_to(column[:, None], shape)
            parts.append(wide.reshape(-1, 1))
    curve = columns.get("curve", np.full(shape, np.nan, np.float32)).reshape(-1, 1)
    return np.concatenate(parts, axis=1).astype(np.float32), _first_known(curve, curve, capacity_mw)


def _hours(hour: Floats) -> list[Floats]:
    """Two waves of the day [N, 1] each."""
    angle = hour * np.float32(2 * np.pi / 24)
    return [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]


def _first_known(first: Floats, second: Floats, capacity_mw: float) -> Floats:
    """The first where it is known, else the second, else a third of capacity."""
    other = np.where(np.isfinite(second), second, capacity_mw / 3)
    return np.where(np.isfinite(first), first, other).astype(np.float32)


def _around(name: str) -> bool:
    """Whether a feature repeats at another hour what its neighbour lead already tells the network."""
    return "_before" in name or "_after" in name or name.endswith(("-2", "+2", "_mean1", "_mean3", "_mean6", "_ramp"))


def standardise(inputs: Floats, kept: NDArray[np.int64], mean: Floats, spread: Floats) -> Floats:
    """[N, D + 1]: kept inputs in standard units within ±5, 0 where missing, and how much is missing."""
    units = np.clip((inputs[:, kept] - mean) / spread, -5, 5)
    missing = np.isnan(units)
    share = 5 * missing.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.concatenate([np.where(missing, np.float32(0), units), share], axis=1)


def train(inputs: Floats, target: Floats, config: MLPConfig) -> Network:
    """inputs [N, F] (NaN where missing), target [N, K] in scaled units (NaN where unknown)."""
    mean, spread = _moments(inputs)
    kept = np.flatnonzero(spread > 1e-6)
    mean, spread = mean[kept], spread[kept]
    units = standardise(inputs, kept, mean, spread)
    count, width = units.shape
    rng = np.random.default_rng(config.seed)
    knots = np.array(config.knots, np.float32)
    sizes = [width, *config.hidden, target.shape[1] * len(knots)]
    seeds = config.seeds
    weights = [(rng.standard_normal((seeds, a, b)) * np.sqrt(2 / a)).astype(np.float32) for a, b in pairwise(sizes)]
    biases = [np.zeros((seeds, 1, b), np.float32) for b in sizes[1:]]
    weights[-1] *= np.float32(0.1)
    biases[-1][:] = np.tile([0.7 * NormalDist().inv_cdf(k) for k in config.knots], target.shape[1])

    known = np.isfinite(target)[..., None]
    truth = np.where(known, target[..., None], 0).astype(np.float32)
    adam = _Adam([*weights, *biases], config)
    batch = min(config.batch, count)
    per_epoch = max(1, count // batch)
    total = config.epochs * per_epoch
    done = 0
    for _ in range(config.epochs):
        order = np.stack([rng.permutation(count) for _ in range(seeds)])
        for start in range(0, per_epoch * batch, batch):
            rows = order[:, start : start + batch]
            noise = rng.standard_normal((seeds, batch, width), dtype=np.float32)
            activations = [units[rows] + np.float32(config.noise) * noise]
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                hidden = activations[-1] @ weight + bias
                activations.append(np.maximum(hidden, SLOPE * hidden))
            out = activations[-1] @ weights[-1] + biases[-1]
            slope = _pinball_slope(truth[rows] - out.reshape(seeds, batch, -1, len(knots)), knots) * known[rows]
            delta = slope.reshape(seeds, batch, -1) / np.float32(batch)
            gradients = _backward(delta, activations, weights)
            done += 1
            adam.step(gradients, progress=done / total)
    return Network(kept, mean, spread, weights, biases)


def _pinball_slope(error: Floats, knots: Floats) -> Floats:
    """Derivative of the pinball loss by the forecast, with the bend at no error rounded off."""
    slope: Floats = np.clip(np.float32(0.5) - error / (2 * SMOOTH), 0, 1) - knots
    return slope


def _backward(delta: Floats, activations: list[Floats], weights: list[Floats]) -> list[Floats]:
    """Gradients of every weight, then of every bias, from the loss's slope by the output."""
    by_weight, by_bias = [], []
    for layer in range(len(weights) - 1, -1, -1):
        by_weight.append(activations[layer].transpose(0, 2, 1) @ delta)
        by_bias.append(delta.sum(axis=1, keepdims=True))
        if layer:
            delta = delta @ weights[layer].transpose(0, 2, 1)
            delta *= np.where(activations[layer] > 0, np.float32(1), SLOPE)
    return by_weight[::-1] + by_bias[::-1]


class _Adam:
    """Adam with decoupled decay of the weights (not the biases), both under a cosine that ends at 0."""

    def __init__(self, parameters: list[Floats], config: MLPConfig) -> None:
        self.parameters, self.config = parameters, config
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: list[Floats], *, progress: float) -> None:
        self.steps += 1
        cosine = 0.5 * (1 + np.cos(np.pi * progress))
        unbias = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        rate = np.float32(self.config.learning_rate * cosine * unbias)
        keep = np.float32(1 - self.config.decay * cosine)
        for parameter, first, second, gradient in zip(self.parameters, self.first, self.second, gradients, strict=True):
            first += np.float32(0.1) * (gradient - first)
            second += np.float32(0.001) * (gradient * gradient - second)
            parameter -= rate * first / (np.sqrt(second) + np.float32(1e-7))
            if parameter.shape[1] > 1:
                parameter *= keep


def _moments(inputs: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation [F] of what is known; 0 where nothing is."""
    known = np.isfinite(inputs)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, inputs, 0).sum(axis=0, dtype=np.float64) / count
    square = np.where(known, (inputs - mean) ** 2, 0).sum(axis=0, dtype=np.float64) / count
    return mean.astype(np.float32), np.sqrt(square).astype(np.float32)
