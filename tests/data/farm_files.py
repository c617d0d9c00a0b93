"""Small files as users have them, and the YAML that maps them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

Rows = list[list[str]]


def hours(count: int, start: str = "2020-01-01 00:00", minutes: int = 60) -> list[str]:
    """`count` stamps as most people write them."""
    first = datetime.fromisoformat(start)
    return [f"{first + k * timedelta(minutes=minutes):%Y-%m-%d %H:%M}" for k in range(count)]


def power_rows(count: int = 48, start: str = "2020-01-01 00:00", minutes: int = 60) -> Rows:
    """Stamps and a power between 0 and 9 MW."""
    return [[t, f"{k % 10}.5" if k % 10 < 9 else "9"] for k, t in enumerate(hours(count, start, minutes))]


def write_csv(
    path: Path,
    rows: Sequence[Sequence[str]],
    header: Sequence[str] | None = ("time", "power"),
    *,
    separator: str = ",",
    encoding: str = "utf-8",
) -> Path:
    lines = [*([header] if header else []), *rows]
    path.write_bytes("".join(separator.join(line) + "\n" for line in lines).encode(encoding))
    return path


def write_yaml(folder: Path, document: Mapping[str, Any] | None = None, /, **changes: Any) -> Path:
    """farm.yaml for power.csv of a 10 MW farm; `changes` set or, with None, remove top-level keys."""
    base: dict[str, Any] = {
        "name": "hill",
        "capacity_mw": 10,
        "power": {"file": "power.csv", "time": "time", "column": "power", "unit": "MW"},
    }
    merged = {**base, **(document or {}), **changes}
    path = folder / "farm.yaml"
    path.write_text(
        yaml.safe_dump({k: v for k, v in merged.items() if v is not None}, sort_keys=False), encoding="utf-8"
    )
    return path


def power(**changes: Any) -> dict[str, Any]:
    """The power section, changed."""
    return {"file": "power.csv", "time": "time", "column": "power", "unit": "MW", **changes}


def copenhagen_hours(first_utc: str, count: int) -> list[str]:
    """Stamps of `count` successive hours as a clock in Copenhagen shows them."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    zone, start = ZoneInfo("Europe/Copenhagen"), datetime.fromisoformat(first_utc).replace(tzinfo=UTC)
    return [f"{(start + timedelta(hours=k)).astimezone(zone):%Y-%m-%d %H:%M}" for k in range(count)]
