"""A farm as windcast keeps it: FarmData's own tables as Parquet, and what they mean as JSON. `windcast data prepare`
writes the folder from any source; read back, it is the same farm to the bit.

prepared/
  farm.json         format, name, capacity, resolution, …, checksum of the data
  power.parquet, weather.parquet, and availability.parquet and curtailment.parquet where the farm has them
"""

import json
import shutil
import tempfile
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from windcast.data.farm import FarmData
from windcast.errors import ConfigError, SourceError

FORMAT = 1
MEANING = "farm.json"
TABLES = ("power", "weather", "availability", "curtailment")
DURATIONS = ("resolution", "weather_resolution", "power_delay")
PLAIN = ("name", "capacity_mw", "weather_kind", "interval", "attribution")


def load(*, folder: str | Path | None = None) -> FarmData:
    """The farm in a folder. Raises ConfigError without a folder, SourceError if it is not whole or was altered."""
    if folder is None:
        raise ConfigError("source 'prepared' needs folder. Make one with `windcast data prepare`.")
    folder = Path(folder).expanduser()
    file = folder / MEANING
    if not file.is_file():
        raise SourceError(f"{folder}: no prepared farm there ({MEANING} is missing). Make one: windcast data prepare.")
    again = "Prepare the data again."
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise SourceError(f"{file}: is of format {said['format']}, not {FORMAT}. {again}")
        given: dict[str, Any] = {name: said[name] for name in PLAIN}
        given |= {name: timedelta(microseconds=said[f"{name}_us"]) for name in DURATIONS}
        given |= {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES if name in said["tables"]}
        farm = FarmData(**given, repairs=tuple(said["repairs"]))
        checksum = said["checksum"]
    except (OSError, ValueError, LookupError, TypeError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{folder}: not a readable farm ({str(error).splitlines()[0]}). {again}") from None
    if farm.checksum != checksum:
        raise SourceError(f"{folder}: its tables were changed after they were written. {again}")
    return farm


def save(farm: FarmData, folder: Path) -> Path:
    """Writes the farm beside its place and moves it there. Raises SourceError if something else stands at `folder`."""
    if folder.exists() and not (folder / MEANING).is_file():
        raise SourceError(f"{folder}: exists and is no prepared farm. Choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        tables = {name: table for name in TABLES if (table := getattr(farm, name)) is not None}
        for name, table in tables.items():
            table.write_parquet(part / f"{name}.parquet")
        (part / MEANING).write_text(json.dumps(_meaning(farm, list(tables)), indent=1), encoding="utf-8")
        part.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _meaning(farm: FarmData, tables: list[str]) -> dict[str, Any]:
    """All of the farm but its tables."""
    assert {f.name for f in fields(farm)} == {*TABLES, *DURATIONS, *PLAIN, "repairs"}
    return {
        "format": FORMAT,
        **{name: getattr(farm, name) for name in PLAIN},
        **{f"{name}_us": getattr(farm, name) // timedelta(microseconds=1) for name in DURATIONS},
        "repairs": list(farm.repairs),
        "tables": tables,
        "checksum": farm.checksum,
    }
