"""What a network sees of a window: plain arrays in standard units, bounded, 0 where missing, with masks beside them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.models import arrays, wind

Floats = NDArray[np.float32]
Inputs = dict[str, Floats]

KINDS = ("power", "weather")
BOUND = 5  # standard units beyond which an input says no more
CURVE_BINS, LEAST_CURVE_ROWS = 40, 400
BASES = 4  # last power, power curve, mean power, last power moved as the curve does
SPANS = (3, 6, 12, 24, 48, 96)  # steps over which recent power is summed up
LEAST_HOLDOUT = 50  # issue times


def only(windows: Windows, kinds: tuple[str, ...]) -> Windows:
    """The windows less what the network is not to see."""
    if "power" not in kinds:
        windows = replace(windows, power=windows.power[:, :0])
    if "weather" not in kinds:
        names = ("weather", "weather_earlier")
        windows = replace(windows, variables=(), **{name: getattr(windows, name)[..., :0] for name in names})
    return windows


def hold_out(windows: Windows, share: float) -> tuple[Windows, Windows | None]:
    """Issue times to learn from, and a share at the end to stop by; between them a gap, so that no target is in both.

    Without a tail where it, or what is left, would be too short or has no known target.
    """
    cut = int(len(windows) * (1 - share))
    tail = windows.take(slice(cut, None))
    if len(tail) < LEAST_HOLDOUT:
        return windows, None
    reach = windows.task.horizon * np.timedelta64(windows.task.resolution, "us")
    before = windows.take(windows.issue_times + reach <= tail.issue_times[0])
    for part in (before, tail):
        if not (np.isfinite(part.target) & part.free).any() or len(part) < len(tail):
            return windows, None
    return before, tail


@dataclass(frozen=True)
class Scaling:
    """Fitted on training windows. Power and its curve are shares of capacity.

    power_centre, power_spread: of past and coming power. centre, spread [F]: of the weather features, 1 for those that
    are in units already. speed, share [N]: the farm's power curve, none where there was too little to fit it on.
    """

    capacity_mw: float
    power_centre: float
    power_spread: float
    centre: Floats
    spread: Floats
    speed: Floats
    share: Floats

    @classmethod
    def fit(cls, windows: Windows) -> "Scaling":
        capacity = windows.task.capacity_mw
        target = _free_share(windows)
        speed, share = _power_curve(_own_speed(windows.weather[:, windows.future], windows.variables), target)
        unscaled = cls(capacity, 0.0, 1.0, np.zeros(1, np.float32), np.ones(1, np.float32), speed, share)
        features = unscaled._features(windows)
        centre, spread = np.zeros(len(features), np.float32), np.ones(len(features), np.float32)
        for place, (name, values) in enumerate(features.items()):
            known = values[np.isfinite(values)].astype(np.float64)
            if not name.startswith(("sin", "cos", "known")) and len(known) and known.std() > 1e-6:
                centre[place], spread[place] = known.mean(), known.std()
        return cls(
            capacity,
            float(np.nanmean(target, dtype=np.float64)),
            max(float(np.nanstd(target, dtype=np.float64)), 0.01),
            centre,
            spread,
            speed,
            share,
        )

    def inputs(self, windows: Windows) -> Inputs:
        """What the networks take, by name; an input that the windows do not have is left out.

        power [B, L, 2]: value and whether it is known.  weather [B, W, F].  base [B, H, 4]: shares of capacity that a
        forecast can start from.  calendar [B, 6]: day and year at the first lead; those of the others follow from it.
        lately [B, N]: how power went, as it is and beside the power curve.
        """
        curve = self._curve(_own_speed(windows.weather, windows.variables))
        made = {"calendar": _calendar(windows), "base": self._bases(windows, curve)}
        if windows.power.shape[1]:
            units = (windows.power / self.capacity_mw - self.power_centre) / self.power_spread
            made["power"] = np.stack([_bounded(units), np.isfinite(units)], axis=-1)
            made["lately"] = _bounded(_lately(units, self._beside(windows, curve)))
        if windows.variables:
            features = np.stack(list(self._features(windows).values()), axis=-1)
            made["weather"] = _bounded((features - self.centre) / self.spread)
        return {name: np.ascontiguousarray(values, np.float32) for name, values in made.items()}

    def target(self, windows: Windows) -> Floats:
        """[B, H] shares of capacity, NaN where unknown or held back."""
        return _free_share(windows)

    def _features(self, windows: Windows) -> dict[str, Floats]:
        """[B, W] each: speeds and directions of every wind field, all else, the power curve, and the run's age."""
        found: dict[str, Floats] = {}
        for field in wind.fields(windows.variables):
            speed = field.polar(windows.weather)
            found[f"speed{field.suffix}"] = speed
            parts = field.components(windows.weather)
            if parts is not None:
                angle = np.arctan2(-parts[0], -parts[1])
                found[f"sin{field.suffix}"], found[f"cos{field.suffix}"] = np.sin(angle), np.cos(angle)
            found[f"known{field.suffix}"] = np.isfinite(speed).astype(np.float32)
        for place, name in enumerate(windows.variables):
            if not name.startswith("wind_"):
                found[name] = windows.weather[..., place]
                found[f"known_{name}"] = np.isfinite(windows.weather[..., place]).astype(np.float32)
        if windows.variables:
            own = _own_speed(windows.weather, windows.variables)
            found["curve"] = self._curve(own)
            found["revision"] = own - _own_speed(windows.weather_earlier, windows.variables)
            found["age"] = np.log1p(np.maximum(windows.weather_age, 0))
        return found

    def _curve(self, speed: Floats) -> Floats:
        """Share of capacity at each speed; NaN where there is no speed or no curve."""
        if not len(self.speed):
            return np.full_like(speed, np.nan)
        curve: Floats = np.interp(speed, self.speed, self.share).astype(np.float32)
        return np.where(np.isfinite(speed), curve, np.float32(np.nan))

    def _beside(self, windows: Windows, curve: Floats) -> Floats:
        """[B, N] by how much power lay above its curve [B, W], in units, in the hours that both windows have."""
        steps = min(windows.power.shape[1], windows.task.weather_history)
        past = curve[:, windows.task.weather_history - steps : windows.task.weather_history]
        beside: Floats = (windows.power[:, -steps:] / self.capacity_mw - past) / self.power_spread
        return beside

    def _bases(self, windows: Windows, curve: Floats) -> Floats:
        bases = np.full((*windows.target.shape, BASES), np.nan, np.float32)
        now, back = windows.task.weather_history - 1, np.zeros(len(windows), int)
        if windows.power.shape[1]:
            last, back = _last_known(windows.power)
            bases[..., 0] = last[:, None] / np.float32(self.capacity_mw)
        if windows.variables:
            at_last = curve[np.arange(len(curve)), np.maximum(now - back, 0)]
            bases[..., 1] = curve[:, windows.future]
            bases[..., 3] = bases[..., 0] + bases[..., 1] - at_last[:, None]
        bases[..., 2] = self.power_centre
        # what is missing is replaced by the other, and by the mean where both are
        for missing, other in ((1, 0), (0, 1), (1, 2), (0, 2), (3, 0)):
            gap = ~np.isfinite(bases[..., missing])
            bases[..., missing][gap] = bases[..., other][gap]
        clipped: Floats = np.clip(bases, 0, 1)
        return clipped

    def save(self, folder: Path) -> None:
        numbers = np.array([self.capacity_mw, self.power_centre, self.power_spread])
        arrays.save(folder, numbers=numbers, centre=self.centre, spread=self.spread, speed=self.speed, share=self.share)

    @classmethod
    def load(cls, folder: Path) -> "Scaling":
        """Raises ValueError, LookupError or OSError if the file is broken."""
        stored = arrays.load(folder)
        capacity_mw, centre, spread = (float(number) for number in stored["numbers"])
        return cls(capacity_mw, centre, spread, stored["centre"], stored["spread"], stored["speed"], stored["share"])


def _free_share(windows: Windows) -> Floats:
    known = np.where(windows.free, windows.target, np.float32(np.nan))
    share: Floats = (known / windows.task.capacity_mw).astype(np.float32)
    return share


def _bounded(units: Floats) -> Floats:
    """Within ±BOUND, 0 where missing."""
    return np.where(np.isnan(units), np.float32(0), np.clip(units, -BOUND, BOUND)).astype(np.float32)


def _last_known(power: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """[B] the newest known of [B, L], NaN where none is, and how many steps before the issue time it was."""
    back = np.argmax(np.isfinite(power)[:, ::-1], axis=1)
    return power[np.arange(len(power)), power.shape[1] - 1 - back], back


def _lately(units: Floats, beside: Floats) -> Floats:
    """[B, N] what the newest power was and how old, how it changed, its level and unrest over some spans; NaN unknown.

    units [B, L]: power. beside [B, K]: power less its curve. Scaled to be of the order of 1.
    """
    last, back = _last_known(units)
    found: list[Floats] = [last, (back / 12).astype(np.float32)]
    found += [2 * (units[:, -1] - units[:, -1 - step]) for step in (1, 2, 3, 6) if step < units.shape[1]]
    for span in SPANS:
        if span <= units.shape[1]:
            mean = wind.mean_known(units[:, -span:])
            found += [mean, 2 * np.sqrt(wind.mean_known((units[:, -span:] - mean[:, None]) ** 2))]
    if units.shape[1] > 1:
        found += [np.fmin.reduce(units[:, -12:], axis=1), np.fmax.reduce(units[:, -12:], axis=1)]
        found.append(4 * wind.mean_known(np.abs(np.diff(units[:, -7:], axis=1))))
    found += [2 * wind.mean_known(beside[:, -span:]) for span in (1, 3, 6)]
    return np.stack(found, axis=-1)


def _own_speed(weather: Floats, variables: tuple[str, ...]) -> Floats:
    """[…] mean speed of the farm's own wind fields, NaN where none is known."""
    return wind.mean_known(wind.speeds(weather, variables))


def _power_curve(speed: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Mean speed and mean target of equally full bins of speed; both empty where there are too few hours."""
    known = np.isfinite(speed) & np.isfinite(target)
    if known.sum() < LEAST_CURVE_ROWS:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    speed, target = speed[known], target[known]
    edges = np.quantile(speed, np.linspace(0, 1, CURVE_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, speed, side="right")
    count = np.bincount(bins, minlength=CURVE_BINS)
    full = count > 0
    means = [np.bincount(bins, values, CURVE_BINS)[full] / count[full] for values in (speed, target)]
    return means[0].astype(np.float32), means[1].astype(np.float32)


def _calendar(windows: Windows) -> Floats:
    first = windows.valid_times[:, 0]
    hour = (first - first.astype("datetime64[D]")) / np.timedelta64(1, "D")
    year = (first - first.astype("datetime64[Y]")) / np.timedelta64(1, "D") / 365.25
    angles = [2 * np.pi * hour, 4 * np.pi * hour, 2 * np.pi * year]
    return np.stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=-1).astype(np.float32)
