"""What the network's inputs and parts are worth: Klim's validation period, leads 1 to 3 h, CRPS without each of them.

The test period is not looked at. Also draws how much worse a forecast gets when one input is taken from another time.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from measure import Measurement

from windcast.configs import settings
from windcast.data.sources import klim
from windcast.data.windows import Windows, build_windows
from windcast.errors import SourceError
from windcast.evaluation.backtest import Plan, issue_times, training_windows
from windcast.evaluation.scores import score
from windcast.models import patchtst
from windcast.models.base import Forecaster, build
from windcast.models.deep.inputs import Inputs, Scaling

DATA = "Klim validation, 2002-01-11 to 2002-06-18"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "importance.png"
GAPS = 0.3  # share of hours of power, and of weather runs, taken away
SEED = 1
ABLATIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without weather": {"inputs": ["power"]},
    "without power history": {"inputs": ["weather"]},
    "without masks": {},
    "without practice of gaps": {"missing_share": 0.0},
    "one seed": {"seeds": 1},
    "perceptron in place of the transformer": {"network": "mlp"},
}


class Unmasked(Scaling):
    """Inputs that do not say what is missing."""

    def inputs(self, windows: Windows) -> Inputs:
        made = super().inputs(windows)
        made["power"][..., 1] = 1
        return made

    def _features(self, windows: Windows) -> dict[str, np.ndarray]:
        found = super()._features(windows)
        return {name: np.ones_like(v) if name.startswith("known") else v for name, v in found.items()}


def run() -> list[Measurement]:
    lessons, held = _periods()
    gappy = _with_gaps(held)
    rows, whole = [], None
    for name, changed in ABLATIONS.items():
        patchtst.Scaling = Unmasked if name == "without masks" else Scaling  # type: ignore[misc]
        try:
            forecaster = build({"name": "patchtst"} | changed).fit(lessons)
        except Exception as error:
            if "windcast[deep]" in str(error):
                raise SourceError(str(error)) from None
            raise
        whole = whole or forecaster
        for where, windows in (("", held), (", a third of the inputs missing", gappy)):
            by_lead = _crps(forecaster, windows)
            rows.append(_row(f"{name}{where}, mean of 1 to 3 h", by_lead.mean()))
            if not where:
                rows += [_row(f"{name}, {lead + 1} h", value) for lead, value in enumerate(by_lead)]
    rows += _importance(whole, held)
    return rows


def _periods() -> tuple[Windows, Windows]:
    """Windows before the validation period, and of it."""
    chosen = settings(["data=klim", "model=patchtst"])
    farm = chosen.farm()
    task = chosen.task(farm)
    lessons = training_windows(farm, task, Plan(start=klim.TRAIN_END, end=klim.VALIDATION_END), klim.TRAIN_END)
    end = klim.VALIDATION_END - task.horizon * task.resolution
    return lessons, build_windows(farm, task, issue_times(klim.TRAIN_END, end, every=task.resolution))


def _with_gaps(windows: Windows) -> Windows:
    chance = np.random.default_rng(SEED)
    lost = chance.random(windows.power.shape) < GAPS
    no_run = chance.random(len(windows)) < GAPS
    nothing = windows.without_weather()
    names = ("weather", "weather_earlier", "weather_age", "weather_earlier_age")
    mixed = {n: np.where(_spread(no_run, getattr(windows, n)), getattr(nothing, n), getattr(windows, n)) for n in names}
    return replace(windows, power=np.where(lost, np.float32(np.nan), windows.power), **mixed)


def _spread(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *(1,) * (values.ndim - 1))


def _importance(forecaster: Forecaster, windows: Windows) -> list[Measurement]:
    """By input and lead: growth of the CRPS when every issue time gets that input of another one."""
    other = windows.take(np.random.default_rng(SEED).permutation(len(windows)))
    speed, direction = (
        [p for p, name in enumerate(windows.variables) if name.startswith(f"wind_{kind}")]
        for kind in ("speed", "direction")
    )
    inputs: dict[str, Callable[[], Windows]] = {
        "power, newest hour": lambda: _power(windows, other, slice(-1, None)),
        "power, 2 to 6 h ago": lambda: _power(windows, other, slice(-6, -1)),
        "power before that": lambda: _power(windows, other, slice(None, -6)),
        "wind speed to come": lambda: _weather(windows, other, windows.future, speed),
        "wind direction to come": lambda: _weather(windows, other, windows.future, direction),
        "wind speed of the past hours": lambda: _weather(windows, other, _past(windows), speed),
        "time of day and year": lambda: _moved(windows),
    }
    base = _crps(forecaster, windows)
    growth = {name: 100 * (_crps(forecaster, changed()) / base - 1) for name, changed in inputs.items()}
    _draw(growth)
    return [
        Measurement(name=f"CRPS grows without {name}, {lead + 1} h", value=float(value), unit="%", data=DATA)
        for name, values in growth.items()
        for lead, value in enumerate(values)
    ]


def _past(windows: Windows) -> slice:
    return slice(0, windows.task.weather_history)


def _power(windows: Windows, other: Windows, hours: slice) -> Windows:
    power = windows.power.copy()
    power[:, hours] = other.power[:, hours]
    return replace(windows, power=power)


def _weather(windows: Windows, other: Windows, steps: slice, variables: list[int]) -> Windows:
    changed = {}
    for name in ("weather", "weather_earlier"):
        values = getattr(windows, name).copy()
        values[:, steps, variables] = getattr(other, name)[:, steps, variables]
        changed[name] = values
    return replace(windows, **changed)


def _moved(windows: Windows) -> Windows:
    """The same inputs, half a day and half a year later."""
    return replace(windows, issue_times=windows.issue_times + np.timedelta64(182 * 24 + 12, "h"))


def _crps(forecaster: Forecaster, windows: Windows) -> np.ndarray:
    """[H] % of capacity."""
    leads = score(forecaster.predict(windows.without_target()), windows.target).leads
    return 100 * leads["crps"].to_numpy()


def _draw(growth: dict[str, np.ndarray]) -> None:
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    names = sorted(growth, key=lambda name: growth[name].mean())
    for lead, colour in enumerate(("#08519c", "#4292c6", "#9ecae1")):
        places = np.arange(len(names)) + 0.26 * (1 - lead)
        axes.barh(places, [growth[name][lead] for name in names], 0.26, color=colour, label=f"{lead + 1} h ahead")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("CRPS grows by, %, when this input is taken from another time")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def _row(name: str, value: float) -> Measurement:
    return Measurement(name=f"CRPS {name}", value=float(value), unit="% of capacity", data=DATA)
