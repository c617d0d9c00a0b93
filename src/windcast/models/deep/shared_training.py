"""Teaching one network for several farms, and taking it apart into a graph and weights a farm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from windcast.data.task import ForecastTask
from windcast.models.deep import export
from windcast.models.deep.network import Shape
from windcast.models.deep.session import opened
from windcast.models.deep.shared_network import Alone, Farms
from windcast.models.deep.steps import Lesson
from windcast.models.deep.training import learn

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Course:
    """A configuration as `training.learn` takes it: always all epochs, on everything."""

    seeds: int
    epochs: int
    batch: int
    learning_rate: float
    decay: float
    device: str
    profile: bool
    seed: int
    threads: int
    network: str = "shared"
    patience: int = 1


@dataclass(frozen=True)
class Part:
    """One farm's part of what was taught. weights: safetensors of all seeds. curves: as `training.Trained`."""

    graph: bytes
    weights: bytes
    curves: list[list[list[float | None]]]
    profile: str


def teach(lesson: Lesson, task: ForecastTask, config: Any, before: list[bytes] | None) -> list[Part]:
    """A part a farm, in order.

    lesson: hours [N, Z, F], base [N, Z] and target [N, Z] of Z farms. before: each farm's weights from an earlier
    fit, from which `config.tune_epochs` at `config.tune_rate` go on; None starts anew.
    """
    hours = lesson.inputs["hours"]
    course = _course(config, tuned=before is not None)
    networks = []
    with torch.random.fork_rng():
        for number in range(config.seeds):
            torch.manual_seed(config.seed + 1009 * number)
            network = Farms(inputs=hours.shape[2], farms=hours.shape[1], levels=task.levels, config=config)
            if before is not None:
                network.begin_at([_of_seed(weights, number) for weights in before])
            networks.append(network)
    shape = Shape.of(lesson.inputs, hours=1.0, knots=task.levels)
    unit = np.ones(hours.shape[1], np.float32)
    learned = learn(lesson, None, shape, unit, course, None, begin=networks)
    found = []
    for farm in range(hours.shape[1]):
        alone = Alone(learned.networks, farm).eval()
        graph = _graph(alone, task.horizon, hours[:, farm], lesson.inputs["base"][:, farm])
        named = {f"{seed}.{k}": v for seed, one in enumerate(learned.networks) for k, v in one.of(farm).items()}
        found.append(Part(graph, save(named), learned.curves, learned.profile))
    return found


def _course(config: Any, *, tuned: bool) -> Course:
    epochs, rate = (config.tune_epochs, config.tune_rate) if tuned else (config.epochs, config.learning_rate)
    return Course(
        seeds=config.seeds,
        epochs=epochs,
        batch=config.batch,
        learning_rate=rate,
        decay=config.decay,
        device=config.device,
        profile=config.profile,
        seed=config.seed,
        threads=config.threads,
    )


def _of_seed(weights: bytes, seed: int) -> dict[str, torch.Tensor]:
    return {k.partition(".")[2]: v for k, v in load(weights).items() if k.startswith(f"{seed}.")}


def _graph(alone: Alone, horizon: int, hours: Floats, base: Floats) -> bytes:
    """The farm's network as ONNX, for the hours of one issue time.

    Raises TaskError unless it answers as PyTorch does to the first of the hours [N, F] with their base [N].
    """
    like = {"hours": np.resize(hours, (horizon, hours.shape[1])), "base": np.resize(base, horizon)}
    graph = export.traced(alone, like)
    export.compare(alone, like, opened(graph, model="shared").run(None, like)[0])
    return graph
