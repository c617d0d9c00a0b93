"""Quality checks of power against wind: outliers, and times when the farm gave less than its curve."""

import numpy as np

from windcast.data.quality_finding import (
    Finding,
    Mask,
    covered,
    hours_of,
    percent,
    runs,
    severity_of_spells,
    spans_of,
    when_of,
)
from windcast.data.quality_power import STANDSTILL
from windcast.data.quality_record import Array, Record

# The curve of a wrong farm or a shuffled file follows its power with 0; the 13 real ones with 0.80 to 0.87.
LEAST_EXPLAINED = 0.4
# Share of steps this far outside the 5 to 95 % band, of capacity: 0.3 to 1.1 % on the 13 real records.
OUTSIDE = 0.2
MUCH_OUTSIDE = 0.02
# Within 1 % of capacity for 8 h, 15 % below the curve: Klim and La Haute Borne never, GEFCom2014 zone 10 twice.
# In 50 years of made-up clean farms weather errors do it for up to 7 h, 5 times.
PLATEAU_HOURS = 8.0
PLATEAU_BAND = 0.01
PLATEAU_BELOW = 0.15
PLATEAU_RANGE = (0.1, 0.95)
# Klim has at most 2 such windy hours in a standstill, La Haute Borne (availability known) none
OUTAGE_HOURS = 6.0
OUTAGE_CURVE = 0.3
# Less than 30 % of the curve over 6 h: weather errors do it in 1.3 % of Klim's windy hours, warm or cold
ICING_HOURS = 6.0
ICING_SHARE = 0.3
ICING_CURVE = 0.2
ICING_BELOW_K = 274.15
ICING_TIMES_WARM = 3.0
ICING_RATE = 0.01
WARM_ABOVE_K = 276.15
# Monthly ratio of power to curve, before against after the best split: t is 7.3 on Klim (November 1999) and
# at most 2.8 on the others. In a year the seasons alone, a sine, give a t of 6.
LEAST_MONTHS = 18
LEAST_MONTH_HOURS = 240
LEAST_SIDE = 3
JUMP_T = 5.0
JUMP = 0.1

TEACHES = "nothing by itself: the hours teach the model as they are. "
OUTAGE_TABLE = TEACHES + "List those that are true in the availability table and they are left out of fitting."
CURTAILED_TABLE = TEACHES + "List those that are true in the curtailment table and they are left out of fitting."


def relation(record: Record) -> list[Finding]:
    """Does power follow the wind at all, and how much of it lies far from the curve?"""
    if np.isnan(record.explained):
        return []
    if record.explained < LEAST_EXPLAINED:
        return [
            Finding(
                check="power curve",
                severity="error",
                when="throughout",
                how_much=f"power follows {record.wind_name} with a correlation of {record.explained:.2f}; "
                "wind farms have 0.8.",
                action="nothing: check that power and weather are of the same farm and time. No other "
                "check of power against wind is made.",
            )
        ]
    outside = far_outside(record)
    share = float(outside.sum() / max(_usable(record).sum(), 1))
    if share < MUCH_OUTSIDE:
        return []
    spans = spans_of(outside, record.times, record.step_hours)
    return [
        Finding(
            check="power curve",
            severity="warning",
            when=when_of(spans),
            how_much=f"{percent(share)} of the steps lie more than {percent(OUTSIDE)} of capacity outside "
            "the 5 to 95 % band of the curve; kept farms have 0.3 to 1.1 %.",
            action=TEACHES + "Look for unlisted outages and curtailment.",
            spans=spans,
        )
    ]


def curtailment(record: Record, held: Mask) -> list[Finding]:
    if not held.any():
        return []
    spans = spans_of(held, record.times, record.step_hours)
    start, end = runs(held)
    levels = np.round([np.median(record.power[a:b]) * 20 for a, b in zip(start, end, strict=True)]) / 20
    level, count = np.unique(levels, return_counts=True)
    order = np.argsort(-count, kind="stable")[:3]
    told = ", ".join(f"{level[i]:.2f} ({count[i]} ×)" for i in order)
    return [
        Finding(
            check="suspected curtailment",
            severity=severity_of_spells(spans),
            when=when_of(spans),
            how_much=f"{hours_of(spans['hours'].sum())} of power held at a level while the wind allows "
            f"more; levels, of capacity: {told}{', …' if len(level) > 3 else ''}.",
            action=CURTAILED_TABLE,
            spans=spans,
        )
    ]


def held_at_a_level(record: Record) -> Mask:
    """Steps of spells in which power is all but constant below what the curve gives, and the wind never
    lacks.
    """
    power = np.where(record.free, record.power, np.nan)
    length = max(record.steps(PLATEAU_HOURS), 2)
    if len(power) < length:
        return np.zeros(len(power), bool)
    powers = np.lib.stride_tricks.sliding_window_view(power, length)
    curves = np.lib.stride_tricks.sliding_window_view(record.expected, length)
    low, high, level = powers.min(axis=1), powers.max(axis=1), powers.mean(axis=1)
    flat = (high - low <= 2 * PLATEAU_BAND) & (level > PLATEAU_RANGE[0]) & (level < PLATEAU_RANGE[1])
    windy = (curves.min(axis=1) > level) & (curves.mean(axis=1) > level + PLATEAU_BELOW)
    return covered(flat & windy, length)


def outages(record: Record) -> list[Finding]:
    """Standstills with hours of wind in which the curve gives more than 30 %."""
    standing = (record.power < STANDSTILL) & record.free
    windy = standing & (record.expected > OUTAGE_CURVE)
    mask = np.zeros(len(standing), bool)
    for first, last in zip(*runs(standing), strict=True):
        if windy[first:last].sum() * record.step_hours >= OUTAGE_HOURS:
            mask[first:last] = True
    if not mask.any():
        return []
    spans = spans_of(mask, record.times, record.step_hours)
    cold = "" if record.temperature is None else _cold(record, mask)
    return [
        Finding(
            check="suspected outages",
            severity=severity_of_spells(spans),
            when=when_of(spans),
            how_much=f"{hours_of(spans['hours'].sum())} at a standstill, "
            f"{hours_of((mask & windy).sum() * record.step_hours)} of them in wind that gives more "
            f"than {percent(OUTAGE_CURVE)} of capacity{cold}.",
            action=OUTAGE_TABLE,
            spans=spans,
        )
    ]


def _cold(record: Record, mask: Mask) -> str:
    assert record.temperature is not None
    hours = (mask & (record.temperature < ICING_BELOW_K)).sum() * record.step_hours
    return f", {hours_of(hours)} below 1 °C (ice?)" if hours else ""


def icing(record: Record) -> list[Finding]:
    """Spells of far too little power below 1 °C, where they are far more frequent than in the warm."""
    if record.temperature is None:
        return []
    length = record.steps(ICING_HOURS)
    usable = _usable(record) & (record.power >= STANDSTILL)
    power = _moving_mean(np.where(usable, record.power, 0.0), length)
    curve = _moving_mean(np.where(usable, record.expected, 0.0), length)
    cold = _all(usable & (record.temperature < ICING_BELOW_K), length) & (curve > ICING_CURVE)
    warm = _all(usable & (record.temperature >= WARM_ABOVE_K), length) & (curve > ICING_CURVE)
    low = power < ICING_SHARE * curve
    mask = covered(cold & low, length) if len(low) else np.zeros(len(usable), bool)
    rate, warm_rate = ((w & low).sum() / max(w.sum(), 1) for w in (cold, warm))
    spans = spans_of(mask, record.times, record.step_hours)
    if severity_of_spells(spans) == "info" or rate < max(ICING_TIMES_WARM * warm_rate, ICING_RATE):
        return []
    return [
        Finding(
            check="suspected icing",
            severity="warning",
            when=when_of(spans),
            how_much=f"{hours_of(spans['hours'].sum())} below 1 °C with less than {percent(ICING_SHARE)} of "
            f"the curve's power; {percent(float(rate))} of the windy cold hours, "
            f"{percent(float(warm_rate))} of the warm ones.",
            action=OUTAGE_TABLE,
            spans=spans,
        )
    ]


def jump(record: Record) -> list[Finding]:
    """A lasting change in how much power the same forecast wind gives."""
    months = record.times.astype("datetime64[M]").astype(np.int64)
    usable = _usable(record)
    kept, ratio = [], []
    for month in np.unique(months):
        rows = usable & (months == month)
        curve = record.expected[rows].sum()
        if rows.sum() * record.step_hours >= LEAST_MONTH_HOURS and curve > 0 and record.power[rows].sum() > 0:
            kept.append(month)
            ratio.append(record.power[rows].sum() / curve)
    if len(kept) < LEAST_MONTHS:
        return []
    at, t, change = _best_split(np.log(ratio))
    if abs(t) < JUMP_T or abs(change) < JUMP:
        return []
    after = months >= kept[at]
    began = np.datetime64(int(kept[at]), "M")
    return [
        Finding(
            check="jump in the power curve",
            severity="warning",
            when=f"from {began}",
            how_much=f"the same wind gives {percent(abs(change))} {'more' if change > 0 else 'less'} power "
            f"than before, t = {abs(t):.1f} over {len(kept)} months.",
            action="nothing: all months teach alike. Learn from the later ones only, if the farm or its "
            "weather model has changed for good.",
            spans=spans_of(after, record.times, record.step_hours),
        )
    ]


def _best_split(values: Array) -> tuple[int, float, float]:
    """First index of the second part, its t statistic, and the relative change of the ratio, for logarithms
    [N].
    """
    best = (0, 0.0, 0.0)
    n = len(values)
    for k in range(LEAST_SIDE, n - LEAST_SIDE + 1):
        a, b = values[:k], values[k:]
        spread = np.sqrt((a.var() * k + b.var() * (n - k)) / (n - 2) * (1 / k + 1 / (n - k)))
        step = float(b.mean() - a.mean())
        t = step / max(float(spread), 1e-9)
        if abs(t) > abs(best[1]):
            best = (k, t, float(np.expm1(step)))
    return best


def _usable(record: Record) -> Mask:
    return np.isfinite(record.power) & np.isfinite(record.expected) & record.free


def far_outside(record: Record) -> Mask:
    """Steps whose power lies far outside the curve's band [T]."""
    if record.curve is None:
        return np.zeros(len(record.power), bool)
    low, high = (record.curve.at(record.wind, of) for of in ("low", "high"))
    outside: Mask = record.free & ((record.power < low - OUTSIDE) | (record.power > high + OUTSIDE))
    return outside


def _moving_mean(values: Array, length: int) -> Array:
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: Array = (total[length:] - total[:-length]) / length
    return mean


def _all(mask: Mask, length: int) -> Mask:
    return _moving_mean(mask.astype(np.float64), length) > 1 - 0.5 / length
