"""The contract of FarmData, as pandera schemas, and the sentences a user reads when a table breaks it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.errors import DataContractError

if TYPE_CHECKING:
    import pandera.polars as pa

UTC = pl.Datetime("us", "UTC")

# prefix of a weather variable -> its unit and the range outside of which it is a mistake, not weather
WEATHER_RANGES: dict[str, tuple[str, float, float]] = {
    "wind_speed": ("m/s", 0.0, 75.0),
    "wind_direction": ("degrees", 0.0, 360.0),
    "wind_u": ("m/s", -75.0, 75.0),
    "wind_v": ("m/s", -75.0, 75.0),
    "temperature": ("K", 180.0, 340.0),
    "pressure": ("Pa", 40_000.0, 110_000.0),
}


def empty_weather() -> pl.DataFrame:
    return pl.DataFrame(schema={"valid_time": UTC, "available_at": UTC})


def stamps_of(times: pl.Series) -> NDArray[np.int64]:
    """[N] microseconds since 1970 of a UTC column; the least integer where it is null."""
    return times.to_numpy().view(np.int64)


def microseconds(delta: timedelta) -> int:
    return delta // timedelta(microseconds=1)


def range_of(variable: str) -> tuple[str, float, float] | None:
    """Unit and plausible range of a weather variable, None where its name says nothing."""
    for prefix, limits in WEATHER_RANGES.items():
        if variable.startswith(prefix):
            return limits
    return None


@dataclass(frozen=True)
class Checker:
    """Checks one farm's tables; every method returns the table sorted, with the contract's dtypes."""

    farm: str
    capacity_mw: float
    resolution: timedelta

    def power(self, table: pl.DataFrame) -> pl.DataFrame:
        keys = ["time", "available_at"] if "available_at" in table.columns else ["time"]
        table = self._typed(table, "power", keys, ["power_mw"])
        if table.height and table["power_mw"].null_count() == table.height:
            raise DataContractError(
                f"{self.farm}: power has no value at all ({table.height} rows, all missing). "
                "Check the name of the power column and its decimal separator."
            )
        self._on_grid(table, "power", "time")
        limit = {"power_mw": ("MW", 0.0, self.capacity_mw)}
        self._in_range(
            table, "power", limit, "Correct the values or the unit, or raise the farm's capacity ({hi:g} MW)."
        )
        return table

    def weather(self, table: pl.DataFrame, *, reanalysis: bool) -> pl.DataFrame:
        variables = [c for c in table.columns if c not in ("valid_time", "available_at")]
        nullable = ["available_at"] if reanalysis else []
        table = self._typed(table, "weather", ["valid_time", "available_at"], variables, nullable)
        if variables and not table.is_empty():
            # a row without a value is no forecast: the run before it counts
            if np.isnan(_matrix(table, variables)).all(axis=1).any():
                table = table.filter(pl.any_horizontal(pl.col(variables).is_not_null()))
            ranges = {v: limits for v in variables if (limits := range_of(v))}
            self._in_range(table, "weather", ranges, "Correct the values or their unit.")
        return table

    def weather_resolution(self, table: pl.DataFrame, stated: timedelta) -> timedelta:
        """The step of valid_time: as stated, else the smallest. If finer than power's, it may be uneven."""
        stamps = stamps_of(table["valid_time"])
        gaps = np.diff(stamps)
        gaps = gaps[gaps > 0]
        step = stated or (timedelta(microseconds=int(gaps.min())) if len(gaps) else self.resolution)
        off = (stamps - stamps[:1]) % microseconds(step) != 0
        if off.any() and step >= self.resolution:
            times = table["valid_time"].filter(off).unique(maintain_order=True)
            raise DataContractError(
                f"{self.farm}: weather has {len(times)} valid times off its {step} grid, which begins at "
                f"{table['valid_time'][0]:%Y-%m-%d %H:%M} UTC, the first at {times[0]:%Y-%m-%d %H:%M} UTC. "
                "Drop those rows or state weather_resolution."
            )
        return step

    def availability(self, table: pl.DataFrame) -> pl.DataFrame:
        table = self._typed(table, "availability", ["time"], ["availability"])
        self._on_grid(table, "availability", "time")
        self._in_range(table, "availability", {"availability": ("fraction", 0.0, 1.0)}, "Give a fraction of 1.")
        return table

    def curtailment(self, table: pl.DataFrame) -> pl.DataFrame:
        table = self._typed(table, "curtailment", ["time"], ["curtailed_mw"])
        self._on_grid(table, "curtailment", "time")
        limit = {"curtailed_mw": ("MW", 0.0, self.capacity_mw)}
        self._in_range(table, "curtailment", limit, "Give the power held back in MW.")
        return table

    def _typed(
        self, table: pl.DataFrame, what: str, keys: list[str], values: list[str], nullable: list[str] | None = None
    ) -> pl.DataFrame:
        """The table with the contract's columns and types, sorted by its keys, no two rows with the same."""
        required = [key for key in keys if key not in (nullable or [])]
        if not _conforms(table, keys, values, required):
            present = (table[name] for name in values if name in table.columns)
            table = table.with_columns(v.cast(pl.Float64).fill_nan(None) for v in present if v.dtype.is_numeric())
            if not _conforms(table, keys, values, required):
                self._refuse(table, what, keys, values, required)
        if table.columns != [*keys, *values]:
            table = table.select([*keys, *values])
        if not _ascending(table, keys):
            table = table.sort(keys, nulls_last=False)
            self._unique(table, what, keys)
        return table

    def _refuse(self, table: pl.DataFrame, what: str, keys: list[str], values: list[str], required: list[str]) -> None:
        """Raises DataContractError with what pandera finds wrong: it takes far longer than to see that something is."""
        import pandera.polars as pa

        columns: dict[str, pa.Column] = {k: pa.Column(UTC, nullable=k not in required) for k in keys}
        columns |= {v: pa.Column(pl.Float64, nullable=True, checks=pa.Check(_finite)) for v in values}
        schema = pa.DataFrameSchema(columns, strict=True, name=what)
        try:
            schema.validate(table, lazy=True)
        except pa.errors.SchemaErrors as errors:
            raise DataContractError(f"{self.farm}: {what} table: {_sentence(errors, table, keys[0])}") from None

    def _unique(self, table: pl.DataFrame, what: str, keys: list[str]) -> None:
        if not _ascending(table, keys):
            doubled = table.filter(pl.struct(keys).is_duplicated())
            raise DataContractError(
                f"{self.farm}: {what} has {doubled.height} rows that share a {' and '.join(keys)}, "
                f"the first at {doubled[keys[0]][0]:%Y-%m-%d %H:%M} UTC. Keep one row each."
            )

    def _on_grid(self, table: pl.DataFrame, what: str, key: str) -> None:
        on = stamps_of(table[key]) % microseconds(self.resolution) == 0
        if not on.all():
            off = table[key].filter(~on)
            raise DataContractError(
                f"{self.farm}: {what} has {len(off)} rows off the {self.resolution} grid, the first at "
                f"{off[0]:%Y-%m-%d %H:%M:%S} UTC. Resample to the grid or state the true resolution."
            )

    def _in_range(
        self, table: pl.DataFrame, what: str, ranges: dict[str, tuple[str, float, float]], remedy: str
    ) -> None:
        if not ranges:
            return
        values, bounds = _matrix(table, list(ranges)), np.array([(lo, hi) for _, lo, hi in ranges.values()])
        if not ((values < bounds[:, 0]) | (values > bounds[:, 1])).any():
            return
        key = table.columns[0]
        for column, (unit, lo, hi) in ranges.items():
            bad = table.filter((pl.col(column) < lo) | (pl.col(column) > hi))
            if bad.height:
                first = bad.row(0, named=True)
                side = "above" if first[column] > hi else "below"
                bound = hi if first[column] > hi else lo
                count = "1 value" if bad.height == 1 else f"{bad.height} values"
                raise DataContractError(
                    f"{self.farm}: {what} column '{column}' has {count} outside [{lo:g}, {hi:g}] {unit}, the first "
                    f"{first[column]:g} ({side} {bound:g}) at {first[key]:%Y-%m-%d %H:%M} UTC. {remedy.format(hi=hi)}"
                )


def _conforms(table: pl.DataFrame, keys: list[str], values: list[str], required: list[str]) -> bool:
    """Whether the columns are the contract's, of its types, complete in `required`, without NaN or infinity."""
    types = dict(zip(table.columns, table.dtypes, strict=True))
    if types.keys() != {*keys, *values}:
        return False
    if any(types[key] != UTC for key in keys) or any(types[value] != pl.Float64 for value in values):
        return False
    if any(table[key].null_count() for key in required):
        return False
    matrix = _matrix(table, values)
    return int(np.isfinite(matrix).sum()) + sum(table[value].null_count() for value in values) == matrix.size


def _matrix(table: pl.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    """[N, K] of Float64 columns, NaN where null."""
    values = np.empty((table.height, len(columns)))
    named = {series.name: series for series in table.get_columns()}
    for place, column in enumerate(columns):
        values[:, place] = named[column].to_numpy()
    return values


def _ascending(table: pl.DataFrame, keys: list[str]) -> bool:
    """Whether each row comes after the one before it, by the first key and then the second: sorted and none twice."""
    later = np.zeros(max(table.height - 1, 0), bool)
    for key in reversed(keys):
        stamps = stamps_of(table[key])
        later = (stamps[1:] > stamps[:-1]) | ((stamps[1:] == stamps[:-1]) & later)
    return bool(later.all())


def _finite(data: "pa.PolarsData") -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key).is_finite())


def _sentence(errors: Any, table: pl.DataFrame, key: str) -> str:
    """The first schema error as a sentence with place and remedy."""
    # a misnamed column is one that is missing and one too many: the missing one says more
    error = min(errors.schema_errors, key=lambda e: e.reason_code.name != "COLUMN_NOT_IN_DATAFRAME")
    column = str(getattr(error.schema, "name", ""))
    reason = error.reason_code.name
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        missing = error.failure_cases
        return f"column '{missing}' is missing; found {', '.join(table.columns) or 'none'}."
    if reason == "COLUMN_NOT_IN_SCHEMA":
        return f"column '{error.failure_cases}' is not part of the contract. Drop or rename it."
    if reason == "WRONG_DATATYPE":
        return f"column '{column}' is {table[column].dtype}, not {error.schema.dtype}. Convert it first."
    if reason == "SERIES_CONTAINS_NULLS":
        rows = table[column].is_null().arg_true()
        return f"column '{column}' has {len(rows)} missing values, the first in row {rows[0]}. Drop those rows."
    bad = table.filter(~pl.col(column).is_finite())
    return f"column '{column}' has {bad.height} infinite values, the first at {bad[key][0]}. Make them missing."
