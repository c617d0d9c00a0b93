"""The network that farms share, in PyTorch: one trunk, and for each farm its own biases and its own head."""

from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Farms(nn.Module):
    """hours [B, Z, F] and base [B, Z] of Z farms to shares of capacity [B, Z, Q] at the levels, which may cross.

    trunk: matrices [in, out] of the hidden layers, and [Z, in, Q] of the heads. biases: [Z, out] of each layer.
    knots [Q]: the levels. unit [Z, 1]: ones, as every farm counts alike.
    """

    def __init__(self, *, inputs: int, farms: int, levels: tuple[float, ...], config: Any) -> None:
        super().__init__()
        sizes = [inputs, *config.hidden]
        head = 0.1 * _random(farms, sizes[-1], len(levels))
        self.trunk = nn.ParameterList([*(_random(before, after) for before, after in pairwise(sizes)), head])
        normal = torch.tensor([NormalDist().inv_cdf(level) for level in levels])  # quantiles of the error at the start
        self.biases = nn.ParameterList([*(torch.zeros(farms, size) for size in sizes[1:]), normal.repeat(farms, 1)])
        self.scale, self.dropout = config.scale, config.dropout
        self.register_buffer("knots", torch.tensor(levels, dtype=torch.float32))
        self.register_buffer("unit", torch.ones(farms, 1))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        units = inputs["hours"]
        for weight, bias in zip(list(self.trunk)[:-1], list(self.biases)[:-1], strict=True):
            units = self._drop(functional.silu(units @ weight + bias))
        moved = torch.einsum("bzi,ziq->bzq", units, self.trunk[-1]) + self.biases[-1]
        return inputs["base"][..., None] + self.scale * moved

    def _drop(self, units: Tensor) -> Tensor:
        """One mask for all farms of an hour: a fraction of the random numbers, and no worse."""
        if not self.training or not self.dropout:
            return units
        kept = torch.rand(units.shape[0], 1, units.shape[2], device=units.device) >= self.dropout
        return units * kept / (1 - self.dropout)

    def of(self, farm: int) -> dict[str, Tensor]:
        """What one farm takes along: the trunk, its biases and its head."""
        last = len(self.trunk) - 1
        weights = [weight[farm] if number == last else weight for number, weight in enumerate(self.trunk)]
        named = {f"weight{number}": weight for number, weight in enumerate(weights)}
        named |= {f"bias{number}": bias[farm] for number, bias in enumerate(self.biases)}
        return {name: value.detach().clone().contiguous() for name, value in named.items()}

    def begin_at(self, farms: list[dict[str, Tensor]]) -> None:
        """Takes what `of` gave, one a farm."""
        last = len(self.trunk) - 1
        with torch.no_grad():
            for number, weight in enumerate(self.trunk):
                given = [farm[f"weight{number}"] for farm in farms]
                weight.copy_(torch.stack(given) if number == last else given[0])
            for number, bias in enumerate(self.biases):
                bias.copy_(torch.stack([farm[f"bias{number}"] for farm in farms]))


class Alone(nn.Module):
    """One farm's part of the networks of several seeds: what is exported."""

    def __init__(self, networks: list[Farms], farm: int) -> None:
        super().__init__()
        self.scale = networks[0].scale
        self.layers = len(networks[0].trunk)
        parts = [network.of(farm) for network in networks]
        for name in parts[0]:
            stacked = torch.stack([part[name] for part in parts])
            self.register_buffer(name, stacked[:, None] if name.startswith("bias") else stacked)

    def forward(self, hours: Tensor, base: Tensor) -> Tensor:
        """[S, H, Q] shares of capacity by seed, from the hours [H, F] and base [H] of one issue time."""
        units = hours[None]
        for number in range(self.layers):
            units = units @ getattr(self, f"weight{number}") + getattr(self, f"bias{number}")
            if number < self.layers - 1:
                units = functional.silu(units)
        return base[None, :, None] + self.scale * units


def _random(*shape: int) -> Tensor:
    return torch.randn(shape) * float(0.7 * np.sqrt(2 / shape[-2]))
