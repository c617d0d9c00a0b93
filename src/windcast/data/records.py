"""Records: what is on file of one or several farms, as arrays: every version of a value, and when it became known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

Micros = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Versions:
    """Versions of values, farm after farm, each farm's sorted by the time they are for, then by when they were known.

    times, known [N] microseconds since 1970, UTC; values [N] or [N, V] float32; farm f's are rows[f] to rows[f + 1].
    """

    times: Micros
    known: Micros
    values: NDArray[np.float32]
    rows: Micros

    @classmethod
    def join(cls, parts: "Sequence[Versions]") -> "Versions":
        if len(parts) == 1:
            return parts[0]
        before = np.cumsum([0, *(len(part.times) for part in parts[:-1])])
        return cls(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.known for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([[0], *(part.rows[1:] + offset for part, offset in zip(parts, before, strict=True))]),
        )

    @property
    def farms(self) -> Micros:
        """[N] farm of every row."""
        return np.repeat(np.arange(len(self.rows) - 1), np.diff(self.rows))

    def around(self, times: Micros, before: int, after: int) -> "Versions":
        """One farm's rows near these times, without a copy; of several farms, all."""
        if len(self.rows) > 2 or not times.size:
            return self
        part = slice(*np.searchsorted(self.times, [times.min() - before, times.max() + after + 1]))
        times = self.times[part]
        return Versions(times, self.known[part], self.values[part], np.array([0, len(times)]))

    def where(self, kept: NDArray[np.bool_]) -> "Versions":
        """Those rows alone."""
        before = np.concatenate([[0], np.cumsum(kept)])
        return replace(
            self, times=self.times[kept], known=self.known[kept], values=self.values[kept], rows=before[self.rows]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Power and weather of farms that answer to the same task. Read by `windows` alone, which decides what was known.

    power: values [P] MW. weather: values [N, V], a column a variable; known is the least integer for reanalysis.
    """

    power: Versions
    weather: Versions
    variables: tuple[str, ...]
    weather_kind: str
    capacity_mw: float
    resolution: timedelta
    weather_resolution: timedelta

    def about(self) -> tuple[object, ...]:
        """What must be equal for records to be joined."""
        return self.variables, self.weather_kind, self.capacity_mw, self.resolution, self.weather_resolution

    @classmethod
    def join(cls, parts: "Sequence[Records]") -> "Records":
        """Of several farms, in this order."""
        if any(part.about() != parts[0].about() for part in parts):
            raise ValueError("records of different variables, capacity or resolution cannot be joined")
        power, weather = (Versions.join([getattr(part, name) for part in parts]) for name in ("power", "weather"))
        return replace(parts[0], power=power, weather=weather)
