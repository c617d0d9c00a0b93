"""The smallest and fastest form of a bundle's network that forecasts as well as it does, as a bundle of its own."""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from windcast.configs import Settings
from windcast.data.windows import Windows, build_windows
from windcast.errors import ConfigError, unknown_name
from windcast.evaluation.backtest import folds, training_windows
from windcast.models.base import Forecaster
from windcast.models.calibration import Calibrated
from windcast.models.deep.inputs import hold_out
from windcast.models.patchtst import PatchTST
from windcast.models.pool import Pool
from windcast.registry import bundles
from windcast.workflows.forms import Form, makers, measured, seconds
from windcast.workflows.jobs import Progress, quiet

MOST_LOSS = 0.005  # of the CRPS, of what is chosen
CLEARLY = 1.1  # times as slow, or as dear: less than that may be chance
HELD = 0.1  # share of the training span, at its end, on which the choice is made


@dataclass(frozen=True)
class Optimised:
    """forms: the first is the network as it was. chosen: one of them, with a network.

    preparing: milliseconds that the inputs of one issue time take, whatever the form. seen: the network had learned
    from a part of the test span. known: it had learned from the span by which the choice is made too, as the pruned
    forms had not in their training, so that their loss is overstated.
    """

    forms: list[Form]
    chosen: Form
    preparing: float
    seen: bool
    known: bool

    def loss(self, form: Form) -> float:
        """By what share the CRPS of a form is greater than that of the network as it was, where the choice is made."""
        return form.held / self.forms[0].held - 1

    def sentence(self) -> str:
        """What was chosen and why."""
        whole, chosen = self.forms[0], self.chosen
        most, beside = f"{100 * MOST_LOSS:g} %", f"Preparing the inputs of one takes {self.preparing:.2f} ms besides."
        if chosen is whole:
            return f"The network stays as it was: no form that loses less than {most} CRPS is clearly cheaper. {beside}"
        loss = 100 * self.loss(chosen)
        return (
            f"Chosen: {chosen.name}, {100 * chosen.kilobytes / whole.kilobytes:.0f} % of the size, "
            f"{whole.milliseconds / chosen.milliseconds:.1f} times as fast for one issue time and "
            f"{chosen.rate / whole.rate:.1f} times for many, its CRPS {abs(loss):.2f} % "
            f"{'greater' if loss > 0 else 'smaller'}: of those that lose less than {most} the cheapest in all. {beside}"
        )

    def to_frame(self) -> pl.DataFrame:
        """A row a form; null where it could not be made."""
        rows = [
            {
                "form": form.name,
                "kB": form.kilobytes,
                "ms": form.milliseconds,
                "issue times/s": form.rate,
                "CRPS, held out, %": 100 * form.held,
                "loss, %": 100 * self.loss(form),
                "CRPS, test, %": 100 * form.test,
                "note": "chosen" if form is self.chosen else "not made" if form.remark else "",
            }
            for form in self.forms
        ]
        whole = pl.col("kB", "issue times/s").round().cast(pl.Int64)
        return pl.DataFrame(rows).with_columns(pl.col(pl.Float64).fill_nan(None)).with_columns(whole)


def optimise(
    folder: Path,
    out: Path,
    *,
    member: str | None = None,
    prune: float = 0.5,
    epochs: int = 3,
    on_progress: Progress = quiet,
) -> Optimised:
    """Writes to `out` the bundle with the fastest form of its network whose CRPS grows by less than 0.5 %.

    The choice is made on the end of the training span; the test span after it is only shown. member: of a pool, whose
    network it is, needed where several have one. prune: share of hidden units taken out; epochs: of training then.
    Raises ConfigError where there is no such network, it was quantised already, there are too few data to choose by, or
    the extra `deep` is missing; DataContractError where the data are not what the bundle was trained on.
    """
    _check(folder, out, prune=prune, epochs=epochs)
    bundle = bundles.open_bundle(folder)
    network = _network(bundle, member)
    on_progress("windows", 0, 1)
    early, held, test, seen = _spans(bundle, network)
    try:
        ways = makers(network, early, prune=prune, epochs=epochs)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None
    forms = measured(ways, network, held, test, on_progress)
    preparing = 1000 * float(np.median([seconds(partial(network.seen, held.take(slice(0, 1)))) for _ in range(50)]))
    known = seen or not network.config.holdout
    result = Optimised(forms, choice(forms), preparing, seen, known)
    chosen = result.chosen
    assert chosen.network is not None
    forecaster = with_network(bundle.forecaster, network, chosen.network)
    told = {"form": chosen.name, "crps_loss": result.loss(chosen)}
    bundles.save_changed(out, bundle, forecaster, optimised=told)
    return result


def choice(forms: list[Form]) -> Form:
    """The cheapest that needs no PyTorch, loses less than 0.5 % CRPS and is not clearly slower in one way or the other.

    Its cost is the product of its size, its time for one issue time and its time for many. The network stays as it was
    unless another is clearly cheaper.
    """
    whole = forms[0]

    def suits(form: Form) -> bool:
        good = form.network is not None and form.held < (1 + MOST_LOSS) * whole.held
        return good and form.milliseconds < CLEARLY * whole.milliseconds and CLEARLY * form.rate > whole.rate

    def cost(form: Form) -> float:
        return form.kilobytes * form.milliseconds / form.rate

    cheapest = min(filter(suits, forms), key=cost)
    return cheapest if CLEARLY * cost(cheapest) < cost(whole) else whole


def networks(forecaster: Forecaster, name: str = "") -> dict[str, PatchTST]:
    """The neural networks in a forecaster by the member of a pool that each is ("" outside, a.b in pools of pools)."""
    if isinstance(forecaster, PatchTST):
        return {name: forecaster}
    if isinstance(forecaster, Calibrated):
        return networks(forecaster.model, name)
    found: dict[str, PatchTST] = {}
    if isinstance(forecaster, Pool):
        for member, inner in forecaster.members.items():
            found |= networks(inner, f"{name}.{member}" if name else member)
    return found


def with_network(forecaster: Forecaster, old: PatchTST, other: PatchTST) -> Forecaster:
    """The same forecaster with another network in the place of `old`."""
    if forecaster is old:
        return other
    if not isinstance(forecaster, Calibrated | Pool):
        return forecaster
    changed = copy.copy(forecaster)
    if isinstance(changed, Calibrated):
        changed.model = with_network(changed.model, old, other)
    else:
        changed.members = {name: with_network(member, old, other) for name, member in changed.members.items()}
    return changed


def _check(folder: Path, out: Path, *, prune: float, epochs: int) -> None:
    """Raises what can be known to be wrong before anything is computed."""
    if out.resolve() == folder.resolve():
        raise ConfigError(f"{out}: is the bundle itself. Choose another folder for its optimised form.")
    bundles.check_place(out)
    if not 0 < prune < 1:
        raise ConfigError(f"the share to prune is {prune:g}; choose one between 0 and 1.")
    if epochs < 1:
        raise ConfigError(f"the epochs after pruning are {epochs}; choose at least 1.")


def _network(bundle: bundles.Bundle, member: str | None) -> PatchTST:
    found = networks(bundle.forecaster)
    if not found:
        raise ConfigError(f"{bundle.folder}: has no neural network to optimise. Train one with model=patchtst.")
    if member is None and len(found) > 1:
        raise ConfigError(
            f"{bundle.folder}: has {len(found)} neural networks. Choose one by --member, {' or '.join(found)}, "
            "then optimise the bundle written for the next."
        )
    if member is not None and member not in found:
        raise ConfigError(unknown_name("member with a neural network", member, found))
    return found[member or next(iter(found))]


def _spans(bundle: bundles.Bundle, network: PatchTST) -> tuple[Windows, Windows, Windows, bool]:
    """To learn from, to choose by and to be shown; and whether the bundle had learned from what is shown."""
    if not bundle.manifest.get("config"):
        raise ConfigError(f"{bundle.folder}: does not say what it was trained on. Train it with `windcast train`.")
    settings = Settings(bundle.manifest["config"])
    farm = settings.farm()
    bundle.check_farm(farm)
    plan, task = settings.plan(farm), network.task
    lessons = training_windows(farm, task, plan, min(plan.start, bundle.trained_until))
    early, held = hold_out(lessons, max(network.config.holdout, HELD))
    if held is None:
        raise ConfigError(
            f"{bundle.folder}: {len(lessons)} issue times before its test span are too few to choose a form by. "
            "Train it on more data."
        )
    test = build_windows(farm, task, np.concatenate([fold.issue_times for fold in folds(farm, task, plan)]))
    return early, held, test, bundle.trained_until > plan.start
