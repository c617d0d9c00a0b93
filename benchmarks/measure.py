"""One measured figure, with the target it is held to."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """target: what must be reached, None for a figure that is only reported. aim: what would be better still."""

    name: str
    value: float
    unit: str
    data: str
    target: float | None = None
    aim: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    def text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.5f}" if self.unit == "pinball" else f"{value:.3f}"

    def to_dict(self, *, command: str) -> dict[str, Any]:
        order = ("name", "value", "target", "aim", "unit", "better", "data")
        row = asdict(self)
        return {key: row[key] for key in order} | {"command": command}
