"""Two looks at a network before its training: which learning rate suits it, and where the time of a step goes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from windcast.models.deep.network import Quantiles, Shape, build
from windcast.models.deep.steps import Batches, Lesson, endless, optimizer_of, pinball

TRIED_STEPS, LEAST_RATE, MOST_RATE = 80, 1e-5, 0.1  # of the learning-rate finder


def find_rate(lesson: Lesson, shape: Shape, unit: NDArray[np.floating], config: Any) -> float:
    """A learning rate found as in Smith 2017 (arXiv:1506.01186): it rises step by step until the loss does.

    A fifth of that at which the smoothed loss was least.
    """
    torch.manual_seed(config.seed)
    batches = Batches(lesson, config.batch, seed=config.seed)
    network = build(shape, config, unit)
    optimizer = optimizer_of(network, config, LEAST_RATE)
    rates = np.geomspace(LEAST_RATE, MOST_RATE, TRIED_STEPS)
    smoothed: list[float] = []
    for rate, batch in zip(rates, endless(batches), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.zero_grad()
        loss = pinball(network, batch)
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        smoothed.append(0.85 * smoothed[-1] + 0.15 * value if smoothed else value)
        if smoothed[-1] > 2 * min(smoothed):
            break
    return float(rates[int(np.argmin(smoothed))]) / 5


def profiled(lesson: Lesson, network: Quantiles, config: Any, *, steps: int = 12) -> str:
    """Where the time of a training step goes, by torch.profiler: a table of the costliest operations."""
    seed = torch.get_rng_state()
    batches = Batches(lesson, config.batch, seed=config.seed)
    some = endless(batches)
    for _ in range(3):
        pinball(network, next(some)).backward()
    with torch.profiler.profile() as profile:
        for _ in range(steps):
            pinball(network, next(some)).backward()
    network.zero_grad()
    torch.set_rng_state(seed)
    rows = sorted(profile.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    head = f"{1e-3 * total / steps:.2f} ms a step of {batches.size} windows; by operation:"
    shares = [(100 * row.self_cpu_time_total / total, row.key.removeprefix("aten::"), row.count) for row in rows[:10]]
    return "\n".join([head, *(f"  {share:5.1f} %  {name}, {calls // steps} calls" for share, name, calls in shares)])
