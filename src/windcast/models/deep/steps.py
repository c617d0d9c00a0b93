"""What a step of learning is made of: a batch sliced from whole tensors, the loss and the optimiser."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from windcast.models.deep.inputs import Inputs
from windcast.models.deep.network import Quantiles

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lesson:
    """inputs as `Scaling.inputs`; target [N, H] shares of capacity, NaN where unknown."""

    inputs: Inputs
    target: Floats

    def on(self, device: torch.device) -> dict[str, Tensor]:
        named = self.inputs | {"target": self.target}
        return {name: torch.from_numpy(values).to(device) for name, values in named.items()}


class Batches:
    """Slices of the whole tensors, in an order that the seed and the epoch decide; no copy a sample, no workers."""

    def __init__(self, lesson: Lesson, size: int, *, seed: int | None) -> None:
        """seed: None keeps the order, with what is left in the last batch."""
        self.lesson, self.seed = lesson, seed
        self.count = len(lesson.target)
        self.size = min(size, self.count)
        self.epoch, self.rank, self.of = 0, 0, 1
        self.tensors = lesson.on(torch.device("cpu"))

    def share(self, rank: int, of: int) -> None:
        """Leaves the process of this rank its own part of every epoch."""
        self.rank, self.of = rank, of

    def to(self, device: torch.device) -> None:
        self.tensors = self.lesson.on(device)

    def __len__(self) -> int:
        share = self.count // self.of
        return -(-share // self.size) if self.seed is None else max(1, share // self.size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rows = torch.arange(self.count)
        if self.seed is not None:
            chance = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
            rows = torch.randperm(self.count, generator=chance)
        rows = rows[self.rank :: self.of]
        for batch in range(len(self)):
            some = rows[batch * self.size : (batch + 1) * self.size].to(self.tensors["target"].device)
            yield {name: values[some] for name, values in self.tensors.items()}


def endless(batches: Batches) -> Iterator[dict[str, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from batches
        batches.epoch += 1


def pinball(network: Quantiles, batch: dict[str, Tensor]) -> Tensor:
    """Mean pinball loss at the knots over what is known, every lead in its own unit and all in that of the mean."""
    known = torch.isfinite(batch["target"])[..., None]
    above = network(batch) - torch.where(known, batch["target"][..., None], 0)
    # what the loss changes by with the forecast: constant on either side of the truth
    slope = (((above > 0).float() - network.knots) * (known * (network.unit.mean() / network.unit))).detach()
    return (above * slope).sum() / (known.sum().clamp(min=1) * len(network.knots))


def optimizer_of(network: Quantiles, config: Any, rate: float) -> torch.optim.Optimizer:
    """AdamW; only matrices decay."""
    matrices = [p for p in network.trunk.parameters() if p.ndim > 1]
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    groups = [{"params": matrices, "weight_decay": config.decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, fused=True)
