"""What a network shared by farms sees of one hour of one farm: plain arrays in standard units, 0 where missing."""

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.errors import TaskError
from windcast.models import arrays, wind
from windcast.models.training import sample

Floats = NDArray[np.float32]

LAYOUT = "inputs.json"
NEAR, AROUND = 2, 1  # hours before and after the target: of other fields and the power curve, of other farms' speeds
BOUND = 5  # standard units beyond which an input says no more
CURVE = np.linspace(0, 30, 121)  # m/s at which a farm's power curve is kept
CURVE_BINS, CURVE_WIDTH = 0.05, 0.6  # m/s
LEAST_CURVE_ROWS = 400
SAME_SPEED = 0.001  # m/s between two places that have the same weather


@dataclass(frozen=True)
class Sight:
    """How one farm's windows become inputs; `places`, `centre` and `spread` are the same for all farms of a network.

    reach: hours before and after the target that the main wind field is looked at. places: suffixes of the wind speeds
    of all farms; own_place: that under which the others know this one, None if they do not. names, centre, spread [F]:
    of the inputs. curve [C]: share of capacity at the speeds CURVE, none where there was too little to fit it on.
    mean: share of capacity.
    """

    reach: int
    places: tuple[str, ...]
    own_place: str | None
    names: tuple[str, ...]
    centre: Floats
    spread: Floats
    curve: Floats
    mean: float

    @classmethod
    def fit(cls, farms: list[Windows], reach: int) -> "list[Sight]":
        """One a farm. Raises TaskError if their own weather has not the same variables."""
        known = [{f.suffix for f in wind.fields(w.variables) if f.neighbour} for w in farms]
        places = tuple(sorted(set().union(*known)))
        none = np.zeros(0, np.float32)
        sights = []
        for windows, its in zip(farms, known, strict=True):
            curve, mean = _power_curve(windows)
            own = _own_place([place for place in places if place not in its], windows)
            sights.append(cls(reach, places, own, (), none, none, curve, mean))
        kept = sights[0]._distinct_places(farms[0])
        sights = [replace(sight, places=kept) for sight in sights]
        found = [sight._features(windows) for sight, windows in zip(sights, farms, strict=True)]
        names = tuple(found[0])
        for number, features in enumerate(found):
            if tuple(features) != names:
                raise TaskError(
                    f"farm {number + 1} has other weather than the first ({', '.join(farms[number].variables)}). "
                    "Give every farm the same variables, or train those that differ apart."
                )
        moments = [_moments([features[name] for features in found], name) for name in names]
        centre, spread = np.array(moments, np.float32).T
        return [replace(sight, names=names, centre=centre, spread=spread) for sight in sights]

    def inputs(self, windows: Windows) -> tuple[Floats, Floats]:
        """hours [B, H, F] in standard units, and base [B, H]: the share of capacity that a forecast starts from."""
        features = self._features(windows)
        units = (np.stack(list(features.values()), axis=-1) - self.centre) / self.spread
        base = features.get("curve+0", np.full(windows.target.shape, np.nan))
        base = np.where(np.isnan(base), self.mean, base).astype(np.float32)
        return np.where(np.isnan(units), 0, np.clip(units, -BOUND, BOUND)).astype(np.float32), base

    def _features(self, windows: Windows) -> dict[str, Floats]:
        """[B, H] each, by name and hours from the target; NaN where missing."""
        found: dict[str, Floats] = {}
        own, main = _own_fields(windows.variables)
        for field in own:
            hours = self.reach if field == main else NEAR
            parts = {"speed": field.polar(windows.weather)}
            components = field.components(windows.weather)
            if components is not None:
                parts |= {"u": components[0], "v": components[1]}
            for name, values in parts.items():
                found |= _around(f"{name}{field.suffix}", values, windows, hours)
        speed = None if main is None else main.polar(windows.weather)
        if speed is not None:
            found |= _around("curve", self._share(speed), windows, NEAR)
        found |= self._elsewhere(windows, speed)
        for place, name in enumerate(windows.variables):
            if not name.startswith("wind_") and "neighbour" not in name:
                found[name] = windows.weather[:, windows.future, place]
        for kind, some in (("own", own), ("places", [f for f in wind.fields(windows.variables) if f.neighbour])):
            if some:
                known = [np.isfinite(field.polar(windows.weather[:, windows.future])) for field in some]
                found[f"known_{kind}"] = np.mean(known, axis=0, dtype=np.float32)
        return found | _hour_of_day(windows)

    def _elsewhere(self, windows: Windows, speed: Floats | None) -> dict[str, Floats]:
        """Speeds at every place, this farm's own [B, W] among them."""
        told = {f.suffix: f.polar(windows.weather) for f in wind.fields(windows.variables) if f.neighbour}
        if self.own_place is not None and speed is not None:
            told[self.own_place] = speed
        nothing = np.full(windows.weather.shape[:2], np.nan, np.float32)
        found: dict[str, Floats] = {}
        for place in self.places:
            found |= _around(f"speed{place}", told.get(place, nothing), windows, AROUND)
        return found

    def _distinct_places(self, windows: Windows) -> tuple[str, ...]:
        """Places less those whose weather is another's, as where the weather model's grid has one point for two."""
        _, main = _own_fields(windows.variables)
        speeds = self._elsewhere(windows, None if main is None else main.polar(windows.weather))
        kept: list[str] = []
        for place in self.places:
            mine, others = speeds[f"speed{place}+0"], [speeds[f"speed{other}+0"] for other in kept]
            told = np.isfinite(mine).any()
            if not told or not any(np.allclose(mine, o, rtol=0, atol=SAME_SPEED, equal_nan=True) for o in others):
                kept.append(place)
        return tuple(kept)

    def _share(self, speed: Floats) -> Floats:
        """Share of capacity at each speed; NaN where there is no speed or no curve."""
        if not len(self.curve):
            return np.full_like(speed, np.nan)
        share: Floats = np.where(np.isfinite(speed), np.interp(speed, CURVE, self.curve), np.nan).astype(np.float32)
        return share

    def save(self, folder: Path) -> None:
        arrays.save(folder, centre=self.centre, spread=self.spread, curve=self.curve, mean=np.array(self.mean))
        layout = {"reach": self.reach, "places": self.places, "own_place": self.own_place, "names": self.names}
        (folder / LAYOUT).write_text(json.dumps(layout))

    @classmethod
    def load(cls, folder: Path) -> "Sight":
        """Raises ValueError, LookupError, TypeError or OSError if a file is broken."""
        stored, layout = arrays.load(folder), json.loads((folder / LAYOUT).read_text())
        reach, places, own, names = (layout[key] for key in ("reach", "places", "own_place", "names"))
        parts = stored["centre"], stored["spread"], stored["curve"], float(stored["mean"])
        return cls(reach, tuple(places), own, tuple(names), *parts)


def practised(farms: list[Windows], *, most: int, missing_share: float, seed: int) -> list[Windows]:
    """`training.sample` of every farm, all of them at the same issue times."""
    return [sample(windows, most=most, missing_share=missing_share, seed=seed) for windows in farms]


def target(windows: Windows) -> Floats:
    """[B, H] shares of capacity, NaN where unknown or held back."""
    share: Floats = np.where(windows.free, windows.target / windows.task.capacity_mw, np.nan).astype(np.float32)
    return share


def _own_fields(variables: tuple[str, ...]) -> tuple[list[wind.Field], wind.Field | None]:
    """The farm's own wind fields, and the highest of them."""
    own = [field for field in wind.fields(variables) if not field.neighbour]

    def height(field: wind.Field) -> int:
        found = re.search(r"(\d+)m", field.suffix)
        return int(found[1]) if found else 0

    return own, max(own, key=height, default=None)


def _own_place(missing: list[str], windows: Windows) -> str | None:
    """The place that the others name as a neighbour, at the height of this farm's main field, and it alone does not."""
    _, main = _own_fields(windows.variables)
    here = [place for place in missing if main is not None and re.sub(r"_?neighbour.*", "", place) == main.suffix]
    return here[0] if len(here) == 1 else None


def _around(name: str, values: Floats, windows: Windows, hours: int) -> dict[str, Floats]:
    """[B, H] for each hour from −hours to hours around the target, of values [B, W].

    What is missing beside the target is as it is an hour nearer to it.
    """
    task = windows.task
    step = max(1, timedelta(hours=1) // task.resolution)
    reach = hours * step
    padded = np.pad(values, ((0, 0), (reach, reach)), constant_values=np.nan)
    start = reach + task.weather_history
    at = {k: padded[:, start + k * step : start + k * step + task.horizon] for k in range(-hours, hours + 1)}
    for side in (-1, 1):
        for distance in range(1, hours + 1):
            here, nearer = at[side * distance], at[side * (distance - 1)]
            at[side * distance] = np.where(np.isnan(here), nearer, here)
    return {f"{name}{k:+d}": values for k, values in at.items()}


def _hour_of_day(windows: Windows) -> dict[str, Floats]:
    valid = windows.valid_times
    angle = 2 * np.pi * ((valid - valid.astype("datetime64[D]")) / np.timedelta64(1, "D"))
    waves = {"sin": np.sin, "cos": np.cos}
    return {f"{name}{n}": wave(n * angle).astype(np.float32) for n in (1, 2) for name, wave in waves.items()}


def _moments(values: list[Floats], name: str) -> tuple[float, float]:
    """Centre and spread of an input over all farms; those that are in units already stay as they are."""
    known = np.concatenate([part[np.isfinite(part)] for part in values]).astype(np.float64)
    if name.startswith("known") or not len(known) or known.std() < 1e-6:
        return 0.0, 1.0
    return float(known.mean()), float(known.std())


def _power_curve(windows: Windows) -> tuple[Floats, float]:
    """Mean target around each speed of CURVE, smoothed with a normal kernel, and the mean of all."""
    share = target(windows)
    known = np.isfinite(share)
    mean = float(share[known].mean(dtype=np.float64))
    _, main = _own_fields(windows.variables)
    if main is None:
        return np.zeros(0, np.float32), mean
    speed = main.polar(windows.weather[:, windows.future])
    known &= np.isfinite(speed)
    if known.sum() < LEAST_CURVE_ROWS:
        return np.zeros(0, np.float32), mean
    centres = np.arange(CURVE_BINS / 2, CURVE[-1], CURVE_BINS)
    bins = np.clip(speed[known] / CURVE_BINS, 0, len(centres) - 1).astype(int)
    count, total = (np.bincount(bins, weights, len(centres)) for weights in (None, share[known]))
    kernel = np.exp(-0.5 * ((CURVE[:, None] - centres) / CURVE_WIDTH) ** 2) + 1e-9
    return ((kernel @ total) / (kernel @ count)).astype(np.float32), mean
