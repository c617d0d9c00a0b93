"""Forms of one network: as it is, in PyTorch, quantised, pruned; and how big, fast and good each is."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.errors import ConfigError, TaskError
from windcast.evaluation.scores import crps
from windcast.models.deep.inputs import Inputs
from windcast.models.forecast import Forecast
from windcast.models.patchtst import PatchTST
from windcast.workflows.jobs import Progress

ROUNDS, CALLS, BULK = 7, 30, 2048  # turns; calls with one issue time in a turn; issue times in its one call with many
CHECKED, LIKE = 256, 2048  # windows on which the graph is compared with the weights; that give ranges of activations
AS_IT_WAS = "ONNX"
UNKNOWN = float("nan")


@dataclass(frozen=True, eq=False)
class Form:
    """One form of a network, on one thread, without what prepares its inputs. NaN where it could not be made.

    kilobytes: of its file. milliseconds: median for one issue time. rate: issue times a second, in bulk. held, test:
    CRPS as a share of capacity, on the end of the training span and on the test span. network: None if it needs PyTorch
    and so is not served. remark: why it could not be made.
    """

    name: str
    kilobytes: float = UNKNOWN
    milliseconds: float = UNKNOWN
    rate: float = UNKNOWN
    held: float = UNKNOWN
    test: float = UNKNOWN
    network: PatchTST | None = None
    remark: str = ""


@dataclass(frozen=True)
class Made:
    """A form that forecasts. size: bytes."""

    network: PatchTST
    size: int
    served: bool = True


Makers = dict[str, Callable[[], Made]]


def makers(network: PatchTST, early: Windows, *, prune: float, epochs: int) -> Makers:
    """Each form's name and how it is made, the network as it was first; all but that may raise whatever they like.

    early: what may be learned from. prune: share of hidden units taken out. epochs: of training after that.
    Raises ConfigError without the extra `deep`, and where the network's graph is not what its weights say.
    """
    try:
        from windcast.models.deep import export, slimming, steps, training
    except ImportError as error:
        raise ConfigError(
            f"networks are optimised with PyTorch, and {error.name} is missing. "
            "Install it with: pip install 'windcast[deep]'"
        ) from None
    inputs, target = network.lesson(early)
    like = {name: values[:: -(-len(values) // LIKE)] for name, values in inputs.items()}
    shape = network.shape_of(inputs)
    whole = slimming.restored(network.weights, shape, network.config)
    few = {name: values[:CHECKED] for name, values in like.items()}
    try:
        export.check(whole, network.task.levels, few, network.answer(few))
    except TaskError:
        raise ConfigError(
            "its network does not forecast what its weights say: it was quantised. Optimise the bundle it came from."
        ) from None

    def served(changed: PatchTST) -> Made:
        return Made(changed, len(changed.graph))

    def eager(*, compiled: bool) -> Made:
        session = export.Eager(whole, network.task.levels, compiled=compiled)
        return Made(network.with_session(session), len(network.weights), served=False)

    def quantised(changed: PatchTST) -> Made:
        return served(changed.with_graph(slimming.quantised(changed.graph, like)))

    slim: list[PatchTST] = []

    def pruned() -> Made:
        smaller, config = slimming.pruned(whole, network.config, prune)
        tuning = replace(config, epochs=epochs, learning_rate=network.rate / 4, checkpoints=None, profile=False)
        lesson, unit = steps.Lesson(inputs, target), np.ones(len(shape.leads), np.float32)
        slim.append(
            network.changed(config, training.learn(lesson, None, shape, unit, tuning, None, begin=smaller), like)
        )
        return served(slim[0])

    def pruned_int8() -> Made:
        if not slim:
            raise ConfigError("nothing was pruned")
        return quantised(slim[0])

    return {
        AS_IT_WAS: lambda: served(network),
        "PyTorch": lambda: eager(compiled=False),
        "torch.compile": lambda: eager(compiled=True),
        "int8": lambda: quantised(network),
        "pruned": pruned,
        "pruned int8": pruned_int8,
    }


def measured(ways: Makers, network: PatchTST, held: Windows, test: Windows, on_progress: Progress) -> list[Form]:
    """Every form in the order of `ways`. One that cannot be made on this machine says why.

    network: any with the same inputs. held, test: windows to score on.
    """
    spans = [(windows, network.seen(windows)) for windows in (held, test)]
    one, bulk = (_rows(spans[0][1], np.arange(count) % len(held)) for count in (1, BULK))
    made: dict[str, Made] = {}
    remarks: dict[str, str] = {}
    for number, (name, make) in enumerate(ways.items()):
        on_progress(name, number, len(ways) + 1)
        try:
            form = make()
            for inputs in (one, bulk):  # what compiles does so at the first call
                form.network.answer(inputs)
            made[name] = form
        except Exception as error:  # whatever a compiler or converter raises
            if name == AS_IT_WAS:
                raise
            remarks[name] = next(iter(str(error).splitlines()), "") or type(error).__name__
    on_progress("measuring", len(ways), len(ways) + 1)
    alone, together = _seconds(made, one, CALLS), _seconds(made, bulk, 1)
    found = {name: Form(name, remark=remark) for name, remark in remarks.items()}
    for name, form in made.items():
        held_crps, test_crps = (_crps(form.network.answer(inputs), windows) for windows, inputs in spans)
        found[name] = Form(
            name,
            kilobytes=form.size / 1000,
            milliseconds=1000 * alone[name],
            rate=BULK / together[name],
            held=held_crps,
            test=test_crps,
            network=form.network if form.served else None,
        )
    on_progress("done", len(ways) + 1, len(ways) + 1)
    return [found[name] for name in ways]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _seconds(made: dict[str, Made], inputs: Inputs, calls: int) -> dict[str, float]:
    """Median by form, in turns: what else the machine does falls on all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(ROUNDS):
        for name, form in made.items():
            taken[name] += [seconds(partial(form.network.answer, inputs)) for _ in range(calls)]
    return {name: float(np.median(times)) for name, times in taken.items()}


def _crps(shares: NDArray[np.float32], windows: Windows) -> float:
    """Mean over what is known, as a share of capacity, of quantiles [B, H, Q] as shares of it."""
    fresh = np.zeros(windows.target.shape, np.int8)
    return float(np.nanmean(crps(Forecast.of(windows, shares * windows.task.capacity_mw, fresh), windows.target)))


def _rows(inputs: Inputs, which: NDArray[np.integer]) -> Inputs:
    return {name: values[which] for name, values in inputs.items()}
