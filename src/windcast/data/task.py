"""What is to be forecast: the frozen question that every model answers."""

from dataclasses import dataclass
from datetime import timedelta

from windcast.errors import ConfigError

PERCENTILES = tuple(round(k / 100, 2) for k in range(1, 100))


@dataclass(frozen=True, kw_only=True)
class ForecastTask:
    """One forecasting question.

    Lead h (1 … horizon) of a forecast issued at s is the mean power over the interval that ends at s + h × resolution.
    history: steps of past power a model may see, the last one ends at the issue time; 0 means no recent power.
    weather_history: steps of weather up to and including the issue time.
    weather_lookahead: steps of weather beyond the last lead, for models that look around the target hour.
    """

    horizon: int
    resolution: timedelta
    capacity_mw: float
    history: int = 24
    weather_history: int = 6
    weather_lookahead: int = 0
    levels: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        for name, least in (("horizon", 1), ("history", 0), ("weather_history", 1), ("weather_lookahead", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"task.{name} is {value!r}; it must be a whole number of at least {least}.")
        if self.resolution <= timedelta(0):
            raise ConfigError(f"task.resolution is {self.resolution}; it must be positive.")
        if not self.capacity_mw > 0:
            raise ConfigError(f"task.capacity_mw is {self.capacity_mw}; it must be positive.")
        inside = all(0 < level < 1 for level in self.levels)
        if not self.levels or not inside or list(self.levels) != sorted(set(self.levels)):
            raise ConfigError("task.levels must be distinct quantile levels between 0 and 1, in ascending order.")

    @property
    def weather_steps(self) -> int:
        """W: steps of weather in a window."""
        return self.weather_history + self.horizon + self.weather_lookahead

    def to_dict(self) -> dict[str, object]:
        return {
            "horizon": self.horizon,
            "resolution_minutes": self.resolution / timedelta(minutes=1),
            "capacity_mw": self.capacity_mw,
            "history": self.history,
            "weather_history": self.weather_history,
            "weather_lookahead": self.weather_lookahead,
            "levels": list(self.levels),
        }

    @classmethod
    def from_dict(cls, document: dict[str, object]) -> "ForecastTask":
        fields = dict(document)
        minutes = fields.pop("resolution_minutes")
        levels = fields.pop("levels")
        assert isinstance(minutes, int | float)
        assert isinstance(levels, list)
        return cls(resolution=timedelta(minutes=minutes), levels=tuple(levels), **fields)  # type: ignore[arg-type]
