"""The farm as its files stand at this moment: where the weather has not come, without it."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from windcast.configs import farm_of
from windcast.data.farm import FarmData
from windcast.data.sources import mapping


def live_farm(data: Mapping[str, Any]) -> tuple[FarmData, list[str]]:
    """The farm of a `data` section, and a sentence for what is missing.

    A weather file that the description names but that is not there, or is empty, is weather that has not come. One
    given by name in `data` must be there.
    """
    if data.get("source") != "files" or data.get("weather") or not data.get("config"):
        return farm_of(data), []
    config = Path(data["config"]).expanduser()
    said = mapping.read(config)
    named = None if said.weather is None else said.weather.file
    if named is None or named == said.power.file:
        return farm_of(data), []
    file = config.parent / Path(named).expanduser()
    if file.is_file() and _has_rows(file):
        return farm_of(data), []
    state = "has no rows" if file.is_file() else "is not there"
    power = replace(said.power, file=str((config.parent / Path(said.power.file).expanduser()).resolve()))
    others = {
        name: replace(series, file=str((config.parent / Path(series.file).expanduser()).resolve()))
        for name in ("availability", "curtailment")
        if (series := getattr(said, name)) is not None and series.file is not None
    }
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / config.name
        described.write_text(mapping.to_yaml(replace(said, weather=None, power=power, **others)), encoding="utf-8")
        return farm_of({**data, "config": str(described)}), [f"{file} {state}: no weather has come."]


def _has_rows(file: Path) -> bool:
    """Whether anything but blanks follows the first line; of a table in binary, that it is not empty."""
    with file.open("rb") as content:
        content.readline()
        return any(line.strip() for line in content)
