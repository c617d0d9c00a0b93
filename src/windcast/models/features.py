"""Features: one row an issue time and lead, made from Windows alone, so from nothing that was not known.

Three groups, each left out where the farm has no such input: the weather forecast around the target hour, recent power
(and how far it lay from the farm's own power curve), and the calendar. What is missing is NaN; trees learn from that.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.errors import BundleError
from windcast.models import trees, wind

Floats = NDArray[np.float32]

REACH = 6  # hours before and after the target that the wind is looked at
LEAST_CURVE_ROWS, MOST_CURVE_ROWS = 500, 40_000


class Features:
    """Fitted on training windows, because the farm's power curve is one of its parts.

    curve: LightGBM booster from an hour's weather to a share of capacity; None without wind. names: of the columns.
    """

    curve: Any = None
    names: tuple[str, ...] = ()

    def fit(self, windows: Windows, *, seed: int, threads: int) -> "Features":
        self._fit_curve(windows, seed=seed, threads=threads)
        self.names = tuple(self._columns(windows.take(slice(0, 1)), np.array([1]), threads))
        return self

    def _fit_curve(self, windows: Windows, *, seed: int, threads: int) -> None:
        capacity = windows.task.capacity_mw
        weather = _curve_inputs(windows.weather[:, windows.future], windows)
        target = np.where(windows.free, windows.target, np.nan).ravel() / np.float32(capacity)
        weather = weather.reshape(len(target), weather.shape[-1])
        self.curve = None
        if not weather.shape[1]:
            return
        known = np.flatnonzero(np.isfinite(target) & np.isfinite(weather[:, 0]))
        if len(known) >= LEAST_CURVE_ROWS:
            if len(known) > MOST_CURVE_ROWS:
                known = np.random.default_rng(seed).choice(known, MOST_CURVE_ROWS, replace=False)
            rising = [1] + [0] * (weather.shape[1] - 1)  # power does not fall with the mean wind speed
            settings = {
                "objective": "l2",
                "num_leaves": 15,
                "learning_rate": 0.08,
                "min_data_in_leaf": 100,
                "max_bin": 127,
                "monotone_constraints": rising,
            }
            self.curve = trees.grow(weather[known], target[known], settings, rounds=80, seed=seed, threads=threads)

    def columns(self, windows: Windows, leads: NDArray[np.integer], *, threads: int) -> dict[str, Floats]:
        """Every feature of leads [K] (1 = the first step): [B] where it is the same for all leads, else [B, K].

        Raises BundleError if the features of a loaded model were others than this version of windcast makes.
        """
        columns = self._columns(windows, leads, threads)
        if tuple(columns) != self.names:
            raise BundleError(
                "the model was trained on other features, by another version of windcast. Train it again."
            )
        return columns

    def _columns(self, windows: Windows, leads: NDArray[np.integer], threads: int) -> dict[str, Floats]:
        columns: dict[str, Floats] = {}
        curve, earlier = self._curves(windows, threads)
        _add_weather(columns, windows, leads)
        _add_curve(columns, windows, leads, curve, earlier)
        if windows.task.history:
            _add_power(columns, windows, leads, curve)
        _add_calendar(columns, windows, leads)
        return columns

    def table(self, windows: Windows, leads: NDArray[np.integer], *, threads: int) -> Floats:
        """[N, F]: a row an issue time and lead, N = B × K, ordered by issue time, then lead."""
        table = as_table(self.columns(windows, leads, threads=threads))
        return table.reshape(-1, table.shape[-1])

    def _curves(self, windows: Windows, threads: int) -> tuple[Floats, Floats]:
        """[B, W] MW that the farm's power curve gives for each hour's weather, and for that of the run before."""
        if not windows.variables or np.isnan(windows.weather_earlier).all():
            curve = self._curve(windows, windows.weather, threads)
            return curve, np.full_like(curve, np.nan)
        both = self._curve(windows, np.concatenate([windows.weather, windows.weather_earlier]), threads)
        return both[: len(windows)], both[len(windows) :]

    def _curve(self, windows: Windows, weather: Floats, threads: int) -> Floats:
        """MW […] for weather […, V]; NaN where there is none."""
        out = np.full(weather.shape[:2], np.nan, np.float32)
        if self.curve is None:
            return out
        inputs = _curve_inputs(weather, windows)
        known = np.isfinite(inputs[..., 0])
        if known.any():
            rows = inputs[known]
            # forecasts that follow one another look at the same hours
            first, which = trees.distinct(rows) if len(windows) > 1 else (slice(None), slice(None))
            out[known] = trees.predict(self.curve, rows[first], threads)[which] * windows.task.capacity_mw
        return out

    def same_as(self, other: "Features") -> bool:
        """Whether both make the same of any windows."""
        return (self.names, self._text) == (other.names, other._text)

    @cached_property
    def _text(self) -> str:
        return "" if self.curve is None else trees.text(self.curve)

    def save(self, folder: Path) -> None:
        (folder / "features.json").write_text(json.dumps(self.names))
        if self.curve is not None:
            trees.save(folder / "curve.txt", self.curve)

    @classmethod
    def load(cls, folder: Path) -> "Features":
        features = cls()
        names = json.loads((folder / "features.json").read_text())
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError("features.json does not list the features")
        features.names = tuple(names)
        file = folder / "curve.txt"
        features.curve = trees.load(file) if file.exists() else None
        return features


def as_table(columns: dict[str, Floats], leads: NDArray[np.integer] | None = None) -> Floats:
    """[B, K, F] from columns of [B] or [B, H]: of some consecutive leads, or of all."""
    batch, horizon = columns["hour"].shape
    some = slice(0, horizon) if leads is None else slice(leads[0] - 1, leads[-1])
    values = np.empty((batch, some.stop - some.start, len(columns)), np.float32)
    for place, column in enumerate(columns.values()):
        values[:, :, place] = column[:, some] if column.ndim == 2 else column[:, None]
    return values


def of_weather(columns: dict[str, Floats]) -> dict[str, Floats]:
    """Those columns that depend on the target hour and the weather run alone, whatever the issue time."""
    recent = ("power", "error", "now_", "curve_plus", "curve_change", "revision_next", "lead")
    return {name: column for name, column in columns.items() if not name.startswith(recent)}


def of_leads(columns: dict[str, Floats], leads: NDArray[np.integer]) -> dict[str, Floats]:
    """The columns of some consecutive leads, from those of all of 1 … H."""
    some = slice(leads[0] - 1, leads[-1])
    return {name: column if column.ndim == 1 else column[:, some] for name, column in columns.items()}


def _curve_inputs(weather: Floats, windows: Windows) -> Floats:
    """[…, C] mean speed first, then each own field's speed and components, then temperatures and pressures."""
    own = [f for f in wind.fields(windows.variables) if not f.neighbour]
    if not own:
        return np.empty((*weather.shape[:-1], 0), np.float32)
    columns = [wind.mean_known(wind.speeds(weather, windows.variables))]
    for one in own:
        if len(own) > 1:
            columns.append(one.polar(weather))
        columns.extend(one.components(weather) or ())
    columns.extend(
        weather[..., i] for i, v in enumerate(windows.variables) if v.startswith(("temperature", "pressure"))
    )
    return np.stack(columns, axis=-1)


def _add_weather(columns: dict[str, Floats], windows: Windows, leads: NDArray[np.integer]) -> None:
    padded = np.pad(windows.weather, ((0, 0), (REACH, REACH), (0, 0)), constant_values=np.nan)
    centre = REACH + windows.task.weather_history + leads - 1
    around = centre[:, None] + np.arange(-REACH, REACH + 1)

    for field in wind.fields(windows.variables):
        speed = field.polar(padded)[:, around]  # [B, K, 2 REACH + 1]
        name = f"speed{field.suffix}"
        columns[name] = speed[..., REACH]
        columns[f"{name}_mean3"] = _mean(speed[..., REACH - 3 : REACH + 4])
        if field.neighbour:
            columns[f"{name}_before2"] = speed[..., REACH - 2]
            columns[f"{name}_after2"] = speed[..., REACH + 2]
            continue
        for offset in range(1, REACH + 1):
            columns[f"{name}_before{offset}"] = speed[..., REACH - offset]
            columns[f"{name}_after{offset}"] = speed[..., REACH + offset]
        columns[f"{name}_mean1"] = _mean(speed[..., REACH - 1 : REACH + 2])
        columns[f"{name}_mean{REACH}"] = _mean(speed)
        columns[f"{name}_spread"] = _spread(speed[..., REACH - 3 : REACH + 4])
        columns[f"{name}_ramp"] = speed[..., REACH + 1] - speed[..., REACH - 1]
        components = field.components(padded)
        if components is not None:
            for axis, component in zip("uv", components, strict=True):
                here = component[:, around]
                for offset in (-2, 0, 2):
                    columns[f"{axis}{field.suffix}{offset:+d}"] = here[..., REACH + offset]
                columns[f"{axis}{field.suffix}_mean3"] = _mean(here[..., REACH - 3 : REACH + 4])
            u, v = (c[:, centre] for c in components)
            columns[f"direction{field.suffix}"] = np.rad2deg(np.arctan2(-u, -v)) % 360
    own = wind.speeds(padded[:, centre], windows.variables)
    if own.shape[-1] > 1:
        columns["speed_mean"] = wind.mean_known(own)
        columns["shear"] = own[..., -1] - own[..., 0]
    neighbours = [f.polar(padded[:, centre]) for f in wind.fields(windows.variables) if f.neighbour]
    if neighbours:
        columns["speed_neighbours"] = _mean(np.stack(neighbours, axis=-1))
    for place, variable in enumerate(windows.variables):
        if not variable.startswith("wind_"):
            columns[variable] = padded[:, centre, place]
    now = REACH + windows.task.weather_history - 1
    for field in wind.fields(windows.variables):
        if not field.neighbour:
            columns[f"now_speed{field.suffix}"] = field.polar(padded[:, now])
            if windows.task.weather_history > 3:
                before = field.polar(padded[:, now - 3])
                columns[f"now_speed{field.suffix}_change3"] = columns[f"now_speed{field.suffix}"] - before
    for place, variable in enumerate(windows.variables):
        if variable.startswith("temperature"):
            columns[f"now_{variable}"] = padded[:, now, place]
    if windows.variables:
        # from the run's arrival to the target: the same for every issue time that uses the run
        hours = windows.task.resolution.total_seconds() / 3600 * leads
        age = windows.weather_age[:, windows.task.weather_history + leads - 1]
        columns["weather_reach"] = (age + hours).astype(np.float32) if not windows.reanalysis else age


def _add_curve(
    columns: dict[str, Floats], windows: Windows, leads: NDArray[np.integer], curve: Floats, earlier: Floats
) -> None:
    if np.isnan(curve).all() and not windows.variables:
        return
    now = windows.task.weather_history - 1
    padded = np.pad(curve, ((0, 0), (REACH, REACH)), constant_values=np.nan)
    centre = REACH + now + leads
    columns["curve"] = padded[:, centre]
    columns["curve_before"] = padded[:, centre - 1]
    columns["curve_after"] = padded[:, centre + 1]
    columns["curve_mean3"] = _mean(padded[:, centre[:, None] + np.arange(-3, 4)])
    columns["revision"] = (curve - earlier)[:, now + leads]
    columns["revision_next"] = curve[:, now + 1] - earlier[:, now + 1]


def _add_power(columns: dict[str, Floats], windows: Windows, leads: NDArray[np.integer], curve: Floats) -> None:
    """Recent power, its error against the curve, and that error carried to the target hour."""
    power = windows.power
    now = windows.task.weather_history - 1
    depth = min(power.shape[1], now + 1)
    error = np.full_like(power, np.nan)
    error[:, power.shape[1] - depth :] = power[:, -depth:] - curve[:, now + 1 - depth : now + 1]

    known = np.isfinite(power)
    back = np.where(known.any(axis=1), np.argmax(known[:, ::-1], axis=1), 0)
    rows = np.arange(len(power))
    last = power[rows, power.shape[1] - 1 - back]
    last_error = error[rows, power.shape[1] - 1 - back]
    columns["power"] = last
    columns["power_age"] = np.where(np.isfinite(last), back, np.nan).astype(np.float32)
    columns["error"] = last_error
    for offset in (1, 2, 3, 6):
        if offset < power.shape[1]:
            columns[f"power_change{offset}"] = power[:, -1] - power[:, -1 - offset]
    for offset in (1, 2, 3):
        if offset < power.shape[1]:
            columns[f"error_before{offset}"] = error[:, -1 - offset]
    for span in (3, 6, 12, 24):
        if span <= power.shape[1]:
            columns[f"power_mean{span}"] = _mean(power[:, -span:])
            columns[f"power_spread{span}"] = _spread(power[:, -span:])
            columns[f"error_mean{span}"] = _mean(error[:, -span:])
    if power.shape[1] >= 12:
        columns["power_least12"], columns["power_most12"] = _extremes(power[:, -12:])
        columns["power_restlessness"] = _mean(np.abs(np.diff(power[:, -7:], axis=1)))
    if windows.variables:
        ahead = curve[:, now + leads]
        at_last = (last - last_error)[:, None]
        columns["power_plus_curve_change"] = last[:, None] + ahead - at_last
        columns["curve_change"] = ahead - curve[:, now, None]
        columns["curve_plus_error"] = ahead + columns.get("error_mean6", last_error)[:, None]
        ratio = np.clip(ahead / np.maximum(at_last, 0.02 * windows.task.capacity_mw), 0, 3)
        columns["power_times_curve_ratio"] = last[:, None] * ratio
        columns["now_curve"] = curve[:, now]
        for offset in (1, 3):
            if offset <= now:
                columns[f"now_curve_change{offset}"] = curve[:, now] - curve[:, now - offset]


def _add_calendar(columns: dict[str, Floats], windows: Windows, leads: NDArray[np.integer]) -> None:
    valid = windows.valid_times[:, leads - 1]
    day = (valid - valid.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    hour = (valid - valid.astype("datetime64[D]")) / np.timedelta64(1, "h")
    columns["hour"] = hour.astype(np.float32)
    columns["season_sin"] = np.sin(2 * np.pi * day / 365.25).astype(np.float32)
    columns["season_cos"] = np.cos(2 * np.pi * day / 365.25).astype(np.float32)
    columns["lead"] = np.broadcast_to(leads.astype(np.float32), valid.shape)


def _mean(values: Floats) -> Floats:
    return wind.mean_known(values)


def _extremes(values: Floats) -> tuple[Floats, Floats]:
    return np.fmin.reduce(values, axis=-1), np.fmax.reduce(values, axis=-1)


def _spread(values: Floats) -> Floats:
    """Standard deviation over the last axis of what is known; NaN where nothing is."""
    spread: Floats = np.sqrt(_mean((values - _mean(values)[..., None]) ** 2))
    return spread
