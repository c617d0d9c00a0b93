"""Quality checks that need the power alone: its grid, gaps, versions, stuck values and its capacity."""

from datetime import timedelta

import numpy as np
import polars as pl

from windcast.data.quality_finding import Finding, Severity, hours_of, percent, runs, spans_of, when_of
from windcast.data.quality_record import Array, Mask, Record
from windcast.data.windows import LEAST_AVAILABILITY, MOST_CURTAILED

# Klim misses 0.9 % of its power, La Haute Borne 1.3 %: 5 % is four times what kept farms lose.
MUCH_MISSING = 0.05
# with half of the power gone no season is sure to be seen
TOO_MUCH_MISSING = 0.5
# a revision smaller than this share of capacity is rounding
REVISED = 0.01
# 11 of the 13 real records never hold a value below their maximum for 6 h, two do so 2 and 3 times
STUCK_HOURS = 6.0
# Share of neighbours that agree: at most 0.1 % in the real records. Above this the values are written with so
# few digits that a repetition tells nothing.
COARSE = 0.02
STANDSTILL = 0.01  # of capacity: standby and rounding stay below, measured on Klim and La Haute Borne
TOP = 0.98  # of the highest power: near it a constant value is a farm that runs full
STUCK_WIND = 0.1  # change in what the curve gives, of capacity, that a living meter would show
# Klim reaches 0.97 of capacity, La Haute Borne and the ten GEFCom2014 farms 1.00
LOW_MAXIMUM = 0.7
FULL = 0.999
# share of steps: at most 0.1 % in the real records, 22 % in the windy winter of a made-up ideal farm; clipped at
# half its capacity GEFCom2014 zone 5 has 41 %
OFTEN_FULL = 0.3
CAPACITY_FACTORS = (0.05, 0.7)  # the real farms have 0.17 to 0.45
LEAST_SPAN = timedelta(days=90)  # a shorter record need not hold a storm


def steps(record: Record) -> list[Finding]:
    """Error if the power comes on a coarser grid than the farm's resolution."""
    table = record.farm.power.filter(pl.col("power_mw").is_not_null())
    apart = table["time"].unique().sort().diff().drop_nulls()
    if apart.is_empty():
        return []
    usual = apart.value_counts(sort=True)["time"][0]
    if usual == record.farm.resolution:
        return []
    share = (apart == usual).mean()
    return [
        Finding(
            check="irregular steps",
            severity="error",
            when="throughout",
            how_much=f"{percent(float(share or 0))} of the values are {usual} apart, the farm's resolution "
            f"is {record.farm.resolution}.",
            action=f"nothing is resampled: the steps between are missing. Load the farm with a resolution of {usual}.",
        )
    ]


def gaps(record: Record) -> list[Finding]:
    """Missing power, rows that are absent and rows without a value alike."""
    missing = np.isnan(record.power)
    if not missing.any():
        return []
    spans = spans_of(missing, record.times, record.step_hours)
    share = float(missing.mean())
    severity: Severity = "info"
    if share >= MUCH_MISSING:
        severity = "error" if share >= TOO_MUCH_MISSING else "warning"
    return [
        Finding(
            check="power gaps",
            severity=severity,
            when=when_of(spans),
            how_much=f"{percent(share)} of the steps ({missing.sum():,}) have no power, the longest gap "
            f"lasts {hours_of(spans['hours'].max())}.",
            action="missing power is NaN in the windows that models see; a missing target is left out of "
            "fitting and scores.",
            spans=spans,
        )
    ]


def versions(record: Record) -> list[Finding]:
    """Power values that were reported more than once."""
    table = record.farm.power
    if "available_at" not in table.columns:
        return []
    several = (
        table.group_by("time", maintain_order=True)
        .agg(pl.len().alias("n"), (pl.col("power_mw").max() - pl.col("power_mw").min()).alias("range"))
        .filter(pl.col("n") > 1)
    )
    if several.is_empty():
        return []
    changed = several.filter(pl.col("range") > REVISED * record.farm.capacity_mw)
    mask = np.isin(record.times, several["time"].dt.replace_time_zone(None).to_numpy())
    spans = spans_of(mask, record.times, record.step_hours)
    return [
        Finding(
            check="power versions",
            severity="info",
            when=when_of(spans),
            how_much=f"{several.height:,} steps have {int(str(several['n'].max()))} or fewer versions; "
            f"{changed.height:,} were revised by more than {percent(REVISED)} of capacity.",
            action="a window holds the newest version known at its issue time; a score holds the newest of all.",
            spans=spans,
        )
    ]


def held_back(record: Record) -> list[Finding]:
    """Hours that the farm's own tables give as unavailable or curtailed."""
    if record.free.all():
        return []
    spans = spans_of(~record.free, record.times, record.step_hours)
    return [
        Finding(
            check="known limits",
            severity="info",
            when=when_of(spans),
            how_much=f"{percent(float((~record.free).mean()))} of the steps have availability below "
            f"{percent(LEAST_AVAILABILITY)} or more than {percent(MOST_CURTAILED)} of capacity "
            "curtailed.",
            action="their targets do not teach the model. The checks below leave them out.",
            spans=spans,
        )
    ]


def repairs(record: Record) -> list[Finding]:
    """What the source mended on the way in, values out of range among it."""
    return [
        Finding(
            check="repairs",
            severity="info",
            when="on loading",
            how_much=text,
            action="the mended values count.",
        )
        for text in record.farm.repairs
    ]


def stuck(record: Record, explained: Mask) -> list[Finding]:
    """One value repeated exactly for hours while the wind changes; `explained` [T] steps have another
    finding.
    """
    power = np.where(record.free, record.power, np.nan)
    top = TOP * np.nanmax(record.power)
    same = np.concatenate([[False], np.diff(power) == 0]) & (power > STANDSTILL) & (power < top)
    start, end = runs(same)
    start = start - 1  # the first of the equal values
    needed = record.steps(STUCK_HOURS)
    by_chance = (end - start - 1)[end - start < needed].sum() / max((power > STANDSTILL).sum(), 1)
    if by_chance > COARSE:
        return []
    mask = np.zeros(len(power), bool)
    for first, last in zip(start, end, strict=True):
        if last - first >= needed and not explained[first:last].any() and _wind_changes(record.expected[first:last]):
            mask[first:last] = True
    if not mask.any():
        return []
    spans = spans_of(mask, record.times, record.step_hours)
    return [
        Finding(
            check="stuck power",
            severity="warning",
            when=when_of(spans),
            how_much=f"{hours_of(spans['hours'].sum())} of one value repeated while the wind changes, the "
            f"longest {hours_of(spans['hours'].max())}.",
            action="nothing: the values count as measured. Make them missing in the source.",
            spans=spans,
        )
    ]


def _wind_changes(expected: Array) -> bool:
    known = expected[np.isfinite(expected)]
    return len(known) == 0 or bool(np.ptp(known) >= STUCK_WIND)


def capacity(record: Record) -> list[Finding]:
    """Is the capacity that of the farm, and its power in MW?"""
    if record.farm.end - record.farm.start < LEAST_SPAN:
        return []
    known = record.power[np.isfinite(record.power)]
    highest, mean, full = float(known.max()), float(known.mean()), float((known >= FULL).mean())
    said = []
    if highest < LOW_MAXIMUM:
        said.append(f"power never exceeds {percent(highest)} of capacity: is the capacity too high, or the unit wrong?")
    if full >= OFTEN_FULL:
        said.append(f"power is at capacity in {percent(full)} of the steps: was it clipped, is the capacity too low?")
    if not CAPACITY_FACTORS[0] <= mean <= CAPACITY_FACTORS[1]:
        said.append(f"the capacity factor is {mean:.2f}; wind farms have 0.1 to 0.6.")
    return [
        Finding(
            check="capacity",
            severity="warning",
            when="throughout",
            how_much=text[0].upper() + text[1:],
            action=f"nothing: forecasts and scores are scaled by {record.farm.capacity_mw:g} MW. Correct it "
            "if it is wrong.",
        )
        for text in said
    ]
