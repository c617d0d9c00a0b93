"""The wind in a set of weather variables, whatever they are called: speeds and components of every field.

A field is `wind_speed<suffix>`, with `wind_direction<suffix>` if there is one, or the pair `wind_u<suffix>`,
`wind_v<suffix>`. Suffixes say height and model, as in `wind_speed_100m_era5`; a suffix with `neighbour` in it
belongs to another place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """Places of one wind field among the weather variables; −1 where it has no such variable."""

    suffix: str
    speed: int = -1
    direction: int = -1
    u: int = -1
    v: int = -1

    @property
    def neighbour(self) -> bool:
        return "neighbour" in self.suffix

    def polar(self, weather: Floats) -> Floats:
        """[…] m/s of weather […, V]."""
        if self.speed >= 0:
            return weather[..., self.speed]
        return np.hypot(weather[..., self.u], weather[..., self.v])

    def components(self, weather: Floats) -> tuple[Floats, Floats] | None:
        """Eastward and northward component […] of weather […, V]; None for a speed without direction."""
        if self.u >= 0:
            return weather[..., self.u], weather[..., self.v]
        if self.direction < 0:
            return None
        angle = np.deg2rad(weather[..., self.direction])
        speed = weather[..., self.speed]
        return -speed * np.sin(angle), -speed * np.cos(angle)


def fields(variables: tuple[str, ...]) -> list[Field]:
    """Every wind field, in order of its first variable."""
    place = {name: i for i, name in enumerate(variables)}
    found = []
    for name in variables:
        if name.startswith("wind_speed"):
            suffix = name.removeprefix("wind_speed")
            found.append(Field(suffix, speed=place[name], direction=place.get(f"wind_direction{suffix}", -1)))
        elif name.startswith("wind_u"):
            suffix = name.removeprefix("wind_u")
            if f"wind_v{suffix}" in place and f"wind_speed{suffix}" not in place:
                found.append(Field(suffix, u=place[name], v=place[f"wind_v{suffix}"]))
    return found


def speeds(weather: Floats, variables: tuple[str, ...]) -> Floats:
    """[…, S] m/s of the farm's own fields; S may be 0."""
    own = [field.polar(weather) for field in fields(variables) if not field.neighbour]
    return np.stack(own, axis=-1) if own else np.empty((*weather.shape[:-1], 0), np.float32)


def mean_known(values: Floats) -> Floats:
    """Mean over the last axis of what is known; NaN where nothing is. Warns of nothing, so threads may call it."""
    known = np.isfinite(values)
    if known.all() and values.shape[-1]:
        whole: Floats = np.where(known, values, np.float32(0)).sum(axis=-1, dtype=np.float32) / np.float32(
            values.shape[-1]
        )
        return whole
    count = known.sum(axis=-1, dtype=np.float32)
    total = np.where(known, values, np.float32(0)).sum(axis=-1, dtype=np.float32)
    mean: Floats = np.where(count > 0, total / np.maximum(count, np.float32(1)), np.float32(np.nan))
    return mean
