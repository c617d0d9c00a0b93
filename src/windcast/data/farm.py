"""FarmData: one wind farm's measurements and the weather forecasts it had, checked on entry and immutable after."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data import contracts
from windcast.data.contracts import microseconds, stamps_of
from windcast.data.records import Records, Versions
from windcast.errors import DataContractError

WeatherKind = Literal["forecast", "reanalysis", "none"]
Interval = Literal["end", "start"]
Times = NDArray[np.datetime64]

KEYS = ("valid_time", "available_at")


@dataclass(frozen=True, kw_only=True, eq=False)
class FarmData:
    """One farm, in UTC and SI units, every table sorted and on the grid of `resolution`.

    power: time, power_mw in [0, capacity_mw], null where missing; optional available_at, when the value became known
        (several rows a time are versions of it). Row t is the mean over (t − resolution, t]. Without any row nothing
        is known of the power, and a forecast goes by the weather alone; rows without any value are a mistake.
    weather: valid_time, available_at, then variables named `wind_speed…` (m/s), `wind_direction…` (degrees, from north
        clockwise, where the wind comes from), `temperature…` (K), `pressure…` (Pa) or any other name.
        available_at is null only for reanalysis, which counts as known in advance and is marked so in every score.
    availability: time, availability in [0, 1].  curtailment: time, curtailed_mw ≥ 0.
    weather_resolution: step of valid_time, found from the weather where 0. Weather finer than power counts
        where it falls on power's grid.
    interval: how the outside world labels an interval, by its "end" or its "start"; inside, always by its end.
    power_delay: how long after the end of its interval a power value arrives, where power has no available_at.
    repairs: what a source mended on the way in, a sentence each.

    Raises DataContractError naming column, count, first row and remedy where the tables break this contract.
    """

    name: str
    capacity_mw: float
    resolution: timedelta
    power: pl.DataFrame
    weather: pl.DataFrame = field(default_factory=contracts.empty_weather)
    weather_kind: WeatherKind = "forecast"
    weather_resolution: timedelta = timedelta(0)
    availability: pl.DataFrame | None = None
    curtailment: pl.DataFrame | None = None
    interval: Interval = "end"
    power_delay: timedelta = timedelta(0)
    attribution: str = ""
    repairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.capacity_mw > 0:
            raise DataContractError(
                f"{self.name}: capacity is {self.capacity_mw} MW. Give the installed capacity in MW."
            )
        if self.resolution <= timedelta(0) or timedelta(days=1) % self.resolution:
            raise DataContractError(
                f"{self.name}: resolution {self.resolution} does not divide a day. Use for example 1 hour."
            )
        check = contracts.Checker(self.name, self.capacity_mw, self.resolution)
        object.__setattr__(self, "power", check.power(self.power))
        object.__setattr__(self, "weather", check.weather(self.weather, reanalysis=self.weather_kind == "reanalysis"))
        weather_resolution = check.weather_resolution(self.weather, self.weather_resolution)
        object.__setattr__(self, "weather_resolution", weather_resolution)
        if self.availability is not None:
            object.__setattr__(self, "availability", check.availability(self.availability))
        if self.curtailment is not None:
            object.__setattr__(self, "curtailment", check.curtailment(self.curtailment))
        if self.weather.is_empty():
            object.__setattr__(self, "weather_kind", "none")

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the weather variables, in column order."""
        return tuple(c for c in self.weather.columns if c not in KEYS)

    @property
    def start(self) -> datetime:
        first: datetime = self.power["time"][0]
        return first

    @property
    def end(self) -> datetime:
        last: datetime = self.power["time"][-1]
        return last

    @property
    def times(self) -> Times:
        """Every grid time from the first to the last power row [T], datetime64[us], UTC."""
        step = np.timedelta64(self.resolution, "us")
        return np.arange(np.datetime64(_naive(self.start), "us"), np.datetime64(_naive(self.end), "us") + step, step)

    @cached_property
    def records(self) -> Records:
        """Power and weather as arrays."""
        times, weather = stamps_of(self.power["time"]), self.weather
        if "available_at" in self.power.columns:
            known = stamps_of(self.power["available_at"])
        else:
            known = times + microseconds(self.power_delay)
        values = np.empty((weather.height, len(self.variables)), np.float32)
        for place, variable in enumerate(self.variables):
            values[:, place] = weather[variable].to_numpy()
        power_mw = self.power["power_mw"].to_numpy().astype(np.float32)
        return Records(
            power=Versions(times, known, power_mw, np.array([0, len(times)])),
            weather=Versions(
                stamps_of(weather["valid_time"]),
                stamps_of(weather["available_at"]),
                values,
                np.array([0, weather.height]),
            ),
            variables=self.variables,
            weather_kind=self.weather_kind,
            capacity_mw=self.capacity_mw,
            resolution=self.resolution,
            weather_resolution=self.weather_resolution,
        )

    @cached_property
    def checksum(self) -> str:
        """sha256 over every value that can reach a model, and over what they mean."""
        digest = hashlib.sha256()
        digest.update(f"{self.capacity_mw}|{self.resolution}|{self.weather_kind}|{self.power_delay}|".encode())
        digest.update(str(self.weather_resolution).encode())
        for table in (self.power, self.weather, self.availability, self.curtailment):
            if table is None:
                digest.update(b"none")
                continue
            for column in table.iter_columns():
                digest.update(f"{column.name}:{column.dtype}:{len(column)}".encode())
                digest.update(column.is_null().to_numpy().tobytes())
                physical = column.to_physical()
                digest.update(physical.fill_null(0).to_numpy().tobytes())
        return digest.hexdigest()

    def known_until(self, time: datetime) -> "FarmData":
        """The farm as it stood at `time`: rows that became known later are gone.

        Late versions of a value are dropped with them, so what remains is what an operator could have had on file.
        """
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        power_known = (
            pl.col("available_at") if "available_at" in self.power.columns else pl.col("time") + self.power_delay
        )
        keep_weather = pl.col("available_at").is_null() | (pl.col("available_at") <= time)
        cut = pl.col("time") <= time
        return replace(
            self,
            power=self.power.filter(power_known <= time),
            weather=self.weather.filter(keep_weather),
            availability=None if self.availability is None else self.availability.filter(cut),
            curtailment=None if self.curtailment is None else self.curtailment.filter(cut),
        )


def _naive(time: datetime) -> datetime:
    return time.replace(tzinfo=None)
