"""Where a farm's data comes from: one module a source, each with `load(…) -> FarmData`."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from windcast.data.farm import FarmData
from windcast.errors import ConfigError, unknown_name

SOURCES = ("files", "gefcom2014", "klim", "la_haute_borne", "prepared", "simulation")


def load(name: str, options: Mapping[str, Any] | None = None) -> FarmData:
    """The farm of a source. Raises ConfigError for an unknown source or option, SourceError if it cannot be read."""
    if name not in SOURCES:
        raise ConfigError(unknown_name("data source", name, SOURCES))
    source = import_module(f"windcast.data.sources.{name}")
    given = dict(options or {})
    known = source.load.__kwdefaults__ or {}
    for key in given:
        if key not in known:
            raise ConfigError(unknown_name(f"option of data source '{name}'", key, known))
    farm: FarmData = source.load(**given)
    return farm
