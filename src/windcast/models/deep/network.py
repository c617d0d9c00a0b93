"""The networks, in PyTorch: a patch transformer and a plain perceptron, with one head that cannot cross.

Activations are made of additions, products and square roots alone wherever their place in memory depends on the batch:
those are rounded in the same way everywhere, so a forecast has the same bits whatever stands beside it.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from windcast.models.deep import fast
from windcast.models.deep.inputs import BASES, Inputs


@dataclass(frozen=True)
class Shape:
    """What a network is for. inputs: name -> shape of one issue time's input. leads: hours ahead [H]."""

    inputs: dict[str, tuple[int, ...]]
    leads: tuple[float, ...]
    knots: tuple[float, ...]

    @classmethod
    def of(cls, inputs: Inputs, *, hours: float, knots: tuple[float, ...]) -> "Shape":
        horizon = inputs["base"].shape[1]
        shapes = {name: values.shape[1:] for name, values in inputs.items()}
        return cls(shapes, tuple(hours * (lead + 1) for lead in range(horizon)), knots)

    @property
    def outputs(self) -> int:
        return len(self.leads) * len(self.knots)


class Quantiles(nn.Module):
    """A trunk's answers as quantiles at the knots, in shares of capacity, ascending by construction.

    The middle knot moves from a base, a mixture by lead of the last power, the power curve, the mean, and the last
    power moved as the curve does; the others follow it in positive steps (squareplus, Barron 2021, arXiv:2112.11687).
    unit [H]: size of one step.
    """

    def __init__(self, trunk: nn.Module, shape: Shape, unit: NDArray[np.floating]) -> None:
        super().__init__()
        self.trunk, self.shape = trunk, shape
        self.middle = int(np.argmin(np.abs(np.array(shape.knots) - 0.5)))
        self.mixture = nn.Parameter(_first_mixture(shape))
        self.register_buffer("knots", torch.tensor(shape.knots, dtype=torch.float32))
        self.register_buffer("unit", torch.tensor(unit, dtype=torch.float32)[:, None])
        self.register_buffer("cumulate", _cumulate(len(shape.knots), self.middle))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """[B, H, K]; may leave 0 and 1, which is where a quantile learns that it is a bound."""
        raw = self.trunk(inputs).unflatten(1, (len(self.shape.leads), len(self.shape.knots)))
        steps = raw + torch.sqrt(raw * raw + 1)
        moved = raw[..., self.middle : self.middle + 1] + steps @ self.cumulate
        base = (inputs["base"] * torch.softmax(self.mixture, dim=-1)).sum(dim=-1, keepdim=True)
        return base + self.unit * moved


class Production(nn.Module):
    """Networks of several seeds as one, at the task's levels, within 0 and 1: what is exported."""

    def __init__(self, networks: list[Quantiles], levels: tuple[float, ...]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.names = tuple(networks[0].shape.inputs)
        self.register_buffer("to_levels", _interpolation(networks[0].shape.knots, levels))

    def forward(self, *inputs: Tensor) -> Tensor:
        """[B, H, Q] from the inputs in the order of `names`."""
        named = dict(zip(self.names, inputs, strict=True))
        at_knots = self.networks[0](named)
        for network in list(self.networks)[1:]:
            at_knots = at_knots + network(named)
        return ((at_knots / len(self.networks)) @ self.to_levels).clamp(0, 1)


class Perceptron(nn.Module):
    """All inputs side by side through layers of rectifiers."""

    def __init__(self, shape: Shape, config: Any) -> None:
        super().__init__()
        self.names = tuple(name for name in shape.inputs if name != "base")
        wide = sum(int(np.prod(shape.inputs[name])) for name in self.names)
        layers: list[nn.Module] = []
        for before, after in pairwise([wide, *config.hidden]):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.01), fast.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers)
        self.noise = Noise(config.noise)
        self.out = _last_layer(config.hidden[-1], shape)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        inputs = self.noise(inputs)
        return self.out(self.layers(torch.cat([inputs[name].flatten(1) for name in self.names], dim=1)))


class Noise(nn.Module):
    """In training, normal noise on all inputs but the calendar and the base, so that none is learned by heart."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = size

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.training or not self.size:
            return inputs
        blurred = {k: v + self.size * torch.randn_like(v) for k, v in inputs.items() if k not in ("calendar", "base")}
        return inputs | blurred


class PatchTransformer(nn.Module):
    """Patches of past power and of weather, past and coming, as tokens that attend to one another.

    After PatchTST (Nie et al. 2023, arXiv:2211.14730), with the weather that is known at the issue time beside power.
    """

    def __init__(self, shape: Shape, config: Any) -> None:
        super().__init__()
        self.patches = nn.ModuleDict()
        if "power" in shape.inputs:
            self.patches["power"] = Patches(shape.inputs["power"], config.patch, config.stride, config.width)
        if "weather" in shape.inputs:
            span = config.weather_patch
            self.patches["weather"] = Patches(shape.inputs["weather"], span, span, config.width)
        self.summary = tuple(name for name in ("calendar", "lately") if name in shape.inputs)
        self.now = nn.Linear(sum(shape.inputs[name][0] for name in self.summary), config.width)
        tokens = 1 + sum(part.count for part in self.patches.values())
        self.position = nn.Parameter(0.02 * torch.randn(tokens, config.width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.drop = fast.Dropout(config.dropout)
        self.noise = Noise(config.noise)
        self.norm = nn.LayerNorm(config.width)
        self.out = _last_layer(tokens * config.width, shape)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        inputs = self.noise(inputs)
        parts = [self.now(torch.cat([inputs[name] for name in self.summary], dim=1))[:, None]]
        parts += [patches(inputs[name]) for name, patches in self.patches.items()]
        tokens = torch.cat(parts, dim=1) + self.position
        if self.training and tokens.device.type == "cpu":
            batch, count, width = tokens.shape
            columns = tokens.permute(2, 0, 1).reshape(width, batch * count)
            for layer in self.layers:
                columns = fast.layer(columns, layer, batch)
            tokens = columns.view(width, batch, count).permute(1, 2, 0)
        else:
            for layer in self.layers:
                tokens = layer(tokens)
        return self.out(self.drop(self.norm(tokens).flatten(1)))


class Patches(nn.Module):
    """[B, steps, channels] -> [B, count, width]; the last patch ends with the last step, zeros fill the first."""

    def __init__(self, shape: tuple[int, ...], span: int, stride: int, width: int) -> None:
        super().__init__()
        steps, channels = shape
        self.span, self.stride = min(span, steps), min(stride, span, steps)
        self.fill = (self.span - steps) % self.stride
        self.count = (steps + self.fill - self.span) // self.stride + 1
        places = torch.arange(self.count)[:, None] * self.stride + torch.arange(self.span)
        self.register_buffer("places", places, persistent=False)
        self.embed = nn.Linear(self.span * channels, width)

    def forward(self, steps: Tensor) -> Tensor:
        steps = functional.pad(steps, (0, 0, self.fill, 0))
        if self.stride == self.span:
            patches = steps.reshape(-1, self.count, self.span * steps.shape[-1])
        else:
            patches = steps[:, self.places].flatten(2)
        out: Tensor = self.embed(patches)
        return out


class Layer(nn.Module):
    """Attention, then two linear layers, each beside a shortcut and after a normalisation."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.gather = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, config.feedforward), nn.Linear(config.feedforward, width)
        self.drop = fast.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.attend(self.before(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        tokens = tokens + self.gather(seen.transpose(1, 2).flatten(2))
        hidden = functional.relu(self.widen(self.between(tokens)))
        return tokens + self.narrow(self.drop(hidden))


NETWORKS = {"patchtst": PatchTransformer, "mlp": Perceptron}


def build(shape: Shape, config: Any, unit: NDArray[np.floating]) -> Quantiles:
    """An untrained network of `config.network`; unit [H] shares of capacity, how far power lies from its base."""
    return Quantiles(NETWORKS[config.network](shape, config), shape, unit)


def _last_layer(width: int, shape: Shape) -> nn.Linear:
    """Begins near a normal distribution around the base."""
    layer = nn.Linear(width, shape.outputs)
    quantiles = np.array([NormalDist().inv_cdf(knot) for knot in shape.knots])
    middle = int(np.argmin(np.abs(np.array(shape.knots) - 0.5)))
    gaps = np.diff(quantiles)
    steps = np.concatenate([gaps[:middle], [1.0], gaps[middle:]])
    bias = steps - 1 / (4 * steps)  # squareplus of it is the step
    bias[middle] = 0
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.copy_(torch.tensor(np.tile(bias, len(shape.leads)), dtype=torch.float32))
    return layer


def _first_mixture(shape: Shape) -> Tensor:
    """[H, 4] logarithms of shares: the last power fades over ten hours, after which the curve counts most."""
    fade = np.clip(np.exp(-np.array(shape.leads) / 10), 0.02, 0.96)
    shares = np.stack([0.5 * fade, 0.8 * (1 - fade), 0.2 * (1 - fade), 0.5 * fade], axis=-1)
    assert shares.shape[-1] == BASES
    return torch.tensor(np.log(shares), dtype=torch.float32)


def _cumulate(count: int, middle: int) -> Tensor:
    """[K, K] from twice the steps between the knots to their distances from the middle one."""
    matrix = np.zeros((count, count), np.float32)
    for knot in range(count):
        if knot > middle:
            matrix[knot, knot:] = 0.5
        elif knot < middle:
            matrix[knot, : knot + 1] = -0.5
    return torch.tensor(matrix)


def _interpolation(knots: tuple[float, ...], levels: tuple[float, ...]) -> Tensor:
    """[K, Q] linear interpolation from knots to levels; beyond the outermost knots their slope goes on."""
    places, wanted = np.array(knots), np.array(levels)
    left = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    share = (wanted - places[left]) / (places[left + 1] - places[left])
    matrix = np.zeros((len(places), len(wanted)), np.float32)
    matrix[left, np.arange(len(wanted))] += 1 - share
    matrix[left + 1, np.arange(len(wanted))] += share
    return torch.tensor(matrix)
