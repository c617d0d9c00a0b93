"""One column of values with their times, made to fit the grid and the farm: repaired and reported, or
refused.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.sources.reading import Table, counted
from windcast.errors import DataContractError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Standby consumption of turbines is a few per mille of capacity; beyond this a sign or a unit is wrong.
MOST_STANDBY = 0.05
# Meters read a little above the nameplate.
MOST_OVERSHOOT = 0.01
# Fewer values than this may all be calm; more of them a hundredfold too small are in another unit.
MANY = 1000


def rows_once(frame: pl.DataFrame, table: Table, keys: Sequence[str], repairs: list[str]) -> pl.DataFrame:
    """Each key once and in order; `frame` has the column `row` beside keys and values.

    Identical rows are dropped and reported, as is sorting; rows that contradict one
    another raise DataContractError.
    """
    if _ascending(frame, keys):
        return frame
    content = [c for c in frame.columns if c != "row"]
    once = frame.unique(subset=content, keep="first", maintain_order=True)
    dropped = frame.height - once.height
    doubled = once.filter(pl.struct(keys).is_duplicated()).sort(*keys, "row")
    if doubled.height:
        first, second = doubled.row(0, named=True), doubled.row(1, named=True)
        name = next(c for c in content if c not in keys and first[c] != second[c])
        raise DataContractError(
            f"{table.path}: rows {first['row']} and {second['row']} are both for "
            f"{first[keys[0]]:%Y-%m-%d %H:%M} UTC "
            f"but differ ({name}: {_written(first[name])} and {_written(second[name])}; {doubled.height} "
            "such rows). "
            "Keep one of each; if it happens once a year, the stamps may be local time: set time_zone."
        )
    if dropped:
        gone = frame.join(once, on="row", how="anti")["row"][0]
        repairs.append(f"{table.path}: {counted(dropped, 'repeated identical row')} dropped (first row {gone}).")
    if len(keys) == 1:
        back = once[keys[0]].diff().dt.total_microseconds() < 0
        if back.any():
            repairs.append(
                f"{table.path}: rows were not in time order (first at row "
                f"{once['row'][int(back.arg_max() or 0)]}); "
                "sorted."
            )
    return once.sort(keys)


def _ascending(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether every row's keys lie after those of the row before it, as in nearly every file."""
    if any(frame[key].null_count() for key in keys):
        return False
    later = np.zeros(max(frame.height - 1, 0), bool)
    for key in reversed(keys):
        steps = np.diff(_micros(frame[key]))
        later = (steps > 0) | ((steps == 0) & later)
    return bool(later.all())


def _micros(times: pl.Series) -> NDArray[np.int64]:
    """[N] microseconds since 1970 of times without nulls."""
    return times.to_numpy().astype("datetime64[us]", copy=False).view(np.int64)


def _written(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def common_step(times: pl.Series) -> timedelta | None:
    """The most frequent step between neighbouring distinct times; None for fewer than two."""
    steps = _steps(times)
    # most files have no gap
    even = len(steps) > 0 and steps.min() == steps.max()
    found, counts = np.unique(steps[:1] if even else steps, return_counts=True)
    # of steps that are as frequent, the smallest
    return timedelta(microseconds=int(found[np.argmax(counts)])) if len(found) else None


def smallest_step(times: pl.Series) -> timedelta | None:
    """The smallest step between neighbouring distinct times; None for fewer than two."""
    steps = _steps(times)
    return timedelta(microseconds=int(steps.min())) if len(steps) else None


def _steps(times: pl.Series) -> NDArray[np.int64]:
    """Microseconds between neighbouring distinct times."""
    stamps = _micros(times.drop_nulls() if times.null_count() else times)
    if not (stamps[1:] > stamps[:-1]).all():
        stamps = np.unique(stamps)
    return np.diff(stamps)


def resolution_of(times: pl.Series, stated_minutes: float | None, table: Table) -> timedelta:
    """The stated resolution, else the common step. Raises DataContractError if they contradict or it cannot
    be known."""
    step = common_step(times)
    if stated_minutes is not None:
        stated = timedelta(minutes=stated_minutes)
        if step is not None and step > stated and len(times) > 2:
            raise DataContractError(
                f"{table.path}: rows are {step} apart, but the mapping says resolution: {stated_minutes:g} "
                "minutes. "
                f"Set resolution: {step / timedelta(minutes=1):g}."
            )
        return stated
    if step is None:
        raise DataContractError(
            f"{table.path}: one time is too few to see the resolution. Set resolution: in minutes in the mapping."
        )
    if timedelta(days=1) % step:
        raise DataContractError(
            f"{table.path}: rows are mostly {step} apart, which does not divide a day. Resample to an even "
            "grid, "
            "or set resolution: in minutes in the mapping."
        )
    return step


def between(frame: pl.DataFrame, key: str, first: datetime, last: datetime) -> pl.DataFrame:
    """The rows whose time, in UTC and microseconds, is in [first, last]."""
    if not _ascending(frame, [key]):
        return frame.filter(pl.col(key).is_between(first, last))
    bounds = [(time - EPOCH) // timedelta(microseconds=1) for time in (first, last)]
    begin, end = np.searchsorted(_micros(frame[key]), np.array(bounds) + np.array([0, 1]))
    return frame.slice(int(begin), int(end - begin))


def on_grid(frame: pl.DataFrame, key: str, resolution: timedelta, table: Table) -> None:
    """Raises DataContractError where a time is no whole multiple of the resolution."""
    if resolution <= timedelta(days=1) and not (_micros(frame[key]) % (resolution // timedelta(microseconds=1))).any():
        return
    off = frame.filter(pl.col(key).dt.truncate(resolution) != pl.col(key)).sort("row")
    if off.height:
        raise DataContractError(
            f"{table.path}: {off.height} of {frame.height} stamps are off the grid of {resolution}, the "
            "first "
            f"{off[key][0]:%Y-%m-%d %H:%M:%S} UTC in row {off['row'][0]}. Average the values onto the grid, "
            "or set "
            "resolution: in minutes to the true one."
        )


def even(frame: pl.DataFrame, key: str, resolution: timedelta, table: Table) -> None:
    """Raises DataContractError where weather times stray from the common rhythm, which may itself be
    coarser.
    """
    step = min(common_step(frame[key]) or resolution, resolution)
    microseconds = step // timedelta(microseconds=1)
    stamps = _micros(frame[key])
    if not ((stamps - stamps[:1]) % microseconds).any():
        return
    phases = frame.select("row", key, (pl.col(key).to_physical() % microseconds).alias("phase"))
    common = phases["phase"].value_counts(sort=True)["phase"][0]
    off = phases.filter(pl.col("phase") != common).sort("row")
    if off.height:
        raise DataContractError(
            f"{table.path}: {off.height} of {frame.height} weather times are off the grid of {step}, the "
            "first "
            f"{off[key][0]:%Y-%m-%d %H:%M:%S} UTC in row {off['row'][0]}. Correct or drop them."
        )


def within_capacity(
    frame: pl.DataFrame, table: Table, column: str, unit: str, capacity_mw: float, repairs: list[str]
) -> pl.DataFrame:
    """power_mw in [0, capacity]: standby consumption becomes 0 and a tiny overshoot is clipped, both
    reported.

    Raises DataContractError naming count, first and remedy beyond that, with the unit the values look like.
    """
    power = frame["power_mw"]
    if power.null_count() == len(power):
        raise DataContractError(
            f"{table.path}: column '{column}' has no value: all {len(power)} rows are missing. "
            "Check the name of the power column."
        )
    _check_unit(power, table, column, unit, capacity_mw)
    for bad, tolerable, what, remedy in (
        (
            power > capacity_mw,
            power.max() <= capacity_mw * (1 + MOST_OVERSHOOT),  # type: ignore[operator]
            f"above the capacity of {capacity_mw:g} MW",
            "Correct them, their unit, or capacity_mw.",
        ),
        (
            power < 0,
            power.min() >= -capacity_mw * MOST_STANDBY,  # type: ignore[operator]
            f"below 0, further than standby consumption goes ({MOST_STANDBY:.0%} of capacity)",
            "Correct them, their sign, or list their text under missing:.",
        ),
    ):
        if not bad.any():
            continue
        worst = frame.filter(bad)
        count = counted(worst.height, "value")
        first = worst.row(0, named=True)
        place = f"{first['power_mw']:g} MW at {first['time']:%Y-%m-%d %H:%M} UTC in row {first['row']}"
        if not tolerable:
            raise DataContractError(f"{table.path}: column '{column}' has {count} {what}, the first {place}. {remedy}")
        end = f"capacity ({capacity_mw:g} MW)" if first["power_mw"] > 0 else "0 (standby consumption)"
        repairs.append(f"{table.path}: column '{column}': {count} set to {end}, the first {place}.")
    return frame.with_columns(pl.col("power_mw").clip(0.0, capacity_mw))


def _check_unit(power: pl.Series, table: Table, column: str, unit: str, capacity_mw: float) -> None:
    """Raises DataContractError where the values lie a hundred or a thousand times from the capacity."""
    positive = power.filter(power > 0)
    if positive.is_empty():
        return
    place = round(0.99 * (len(positive) - 1))
    top = float(np.partition(positive.to_numpy(), place)[place]) / capacity_mw
    finer = {"MW": "kW", "kW": "W", "fraction": "percent"}.get(unit)
    coarser = {"MW": "capacity_mw", "kW": "MW", "W": "kW", "percent": "fraction"}.get(unit)
    ratio = 100.0 if "fraction" in (unit, coarser) else 1000.0
    looks = finer if 0.2 * ratio < top < 2 * ratio else None
    if coarser and len(positive) >= MANY and 0.3 / ratio < top <= 1.1 / ratio:
        looks = coarser
    if looks is None:
        return
    hint = f"It looks like {looks}: set unit: {looks}, or correct capacity_mw."
    if looks == "capacity_mw":
        hint = "Is capacity_mw written in kW? Give it in MW."
    raise DataContractError(
        f"{table.path}: column '{column}' reaches {top * capacity_mw:g} MW when read as {unit}, for a "
        "capacity "
        "of "
        f"{capacity_mw:g} MW. {hint}"
    )
