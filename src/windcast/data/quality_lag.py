"""How many hours weather and power are apart: the lag at which the farm's curve follows its power best."""

from dataclasses import dataclass

import numpy as np

from windcast.data.quality_record import Array, Mask, Record, correlation

FARTHEST = 14.0  # hours; time zones reach from −12 to +14
NEAR = 6.0  # hours beyond the peak of all that parts of the record are looked at
FINEST = 0.5  # hours between lags; finer ones add no information to weather that is hourly
AROUND = 1.0  # hours either side of the peak that the parabola is laid through
LEAST_STEPS = 300  # the lag of 300 h scatters by 0.65 h at Klim, that of 168 h by 0.95 h

SEASONS = {"Dec–Feb": (12, 1, 2), "Mar–May": (3, 4, 5), "Jun–Aug": (6, 7, 8), "Sep–Nov": (9, 10, 11)}
# Days of the year just before and after the clock changes of Europe, North America and Australia: a jump from
# one to the next is a change of clocks, while the slow change of the seasons is halved.
BEFORE_SPRING, AFTER_SPRING = (15, 66), (98, 150)
BEFORE_AUTUMN, AFTER_AUTUMN = (216, 271), (312, 365)


@dataclass(frozen=True, eq=False)
class Lag:
    """Correlation of power at t with the curve's power at t + lag, and the lag of its peak (NaN: no peak)."""

    hours: Array
    correlation: Array
    peak: float


@dataclass(frozen=True, eq=False)
class Lags:
    """The lags of a record, in hours; positive: power matches weather that is stamped later.

    expected: the lag of weather that holds at its stamp and power that is the mean over the step before it.
    error: standard error of `overall`, from the scatter of the months.
    changes: lag of summer less that of winter around the clock changes of spring and of autumn; NaN where the
        record does not span one.
    """

    overall: Lag
    seasons: dict[str, Lag]
    day: Lag
    night: Lag
    error: float
    expected: float
    changes: tuple[float, float]
    summer_minus_winter: float

    @classmethod
    def of(cls, record: Record) -> "Lags":
        power = _without_daily_cycle(np.where(record.free, record.power, np.nan), record)
        curve = _without_daily_cycle(record.expected, record)

        def lag(rows: Mask, farthest: float = FARTHEST) -> Lag:
            return _lag(power, curve, rows, record, farthest)

        everything = np.ones(len(power), bool)
        overall = lag(everything)
        near = min(abs(overall.peak) + NEAR, FARTHEST) if np.isfinite(overall.peak) else FARTHEST
        months = record.times.astype("datetime64[M]").astype(np.int64)
        by_month = np.array([lag(months == m, near).peak for m in np.unique(months)])
        by_month = by_month[np.isfinite(by_month)]
        day = (record.hour >= 6) & (record.hour < 18)
        spans = (BEFORE_SPRING, AFTER_SPRING, BEFORE_AUTUMN, AFTER_AUTUMN)
        rows = [_days(record, first, last) for first, last in spans]
        peaks = [lag(r, near).peak for r in rows]
        return cls(
            overall=overall,
            seasons={name: lag(np.isin(record.month, m), near) for name, m in SEASONS.items()},
            day=lag(day, near),
            night=lag(~day, near),
            error=float(by_month.std(ddof=1) / np.sqrt(len(by_month))) if len(by_month) > 2 else np.inf,
            expected=-record.step_hours / 2,
            changes=(peaks[1] - peaks[0], peaks[2] - peaks[3]),
            summer_minus_winter=lag(rows[1] | rows[2], near).peak - lag(rows[0] | rows[3], near).peak,
        )


def _days(record: Record, first: int, last: int) -> Mask:
    date = record.times.astype("datetime64[D]")
    day = (date - date.astype("datetime64[Y]")).astype(np.int64) + 1
    inside: Mask = (day >= first) & (day <= last)
    return inside


def _without_daily_cycle(values: Array, record: Record) -> Array:
    """Less the mean of its hour and month: a daily cycle that the weather model places wrongly is no error
    of stamps.
    """
    key = record.month * 24 + record.hour
    known = np.isfinite(values)
    total = np.bincount(key[known], values[known], minlength=13 * 24)
    count = np.bincount(key[known], minlength=13 * 24)
    anomaly: Array = values - (total / np.maximum(count, 1))[key]
    return anomaly


def _lag(power: Array, curve: Array, rows: Mask, record: Record, farthest: float) -> Lag:
    stride = max(round(FINEST / record.step_hours), 1)
    reach = max(round(farthest / record.step_hours / stride), 2) * stride
    lags = np.arange(-reach, reach + 1, stride)
    hours: Array = lags.astype(np.float64) * record.step_hours
    known = np.isfinite(power) & rows
    wind = np.isfinite(curve)
    found = np.full(len(lags), np.nan)
    for i in range(len(lags)):
        k = int(lags[i])
        here = slice(max(-k, 0), len(power) - max(k, 0))
        there = slice(max(k, 0), len(power) - max(-k, 0))
        both = known[here] & wind[there]
        if both.sum() >= LEAST_STEPS:
            found[i] = correlation(power[here][both], curve[there][both])
    return Lag(hours, found, _peak(hours, found))


def _peak(hours: Array, found: Array) -> float:
    """Top of the parabola through the correlations around the highest; NaN at the edge of the lags."""
    if np.isnan(found).any():
        return np.nan
    half = max(round(AROUND / (hours[1] - hours[0])), 1)
    top = int(np.argmax(found))
    if top < half or top >= len(hours) - half:
        return np.nan
    near = slice(top - half, top + half + 1)
    square, linear, _ = np.polyfit(hours[near] - hours[top], found[near], 2)
    return float(hours[top] - linear / (2 * square)) if square < 0 else np.nan
