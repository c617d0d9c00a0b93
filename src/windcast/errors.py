"""Everything windcast raises on purpose.

    WindcastError
    ├── SourceError        a file or download cannot be read, or is not what it claims to be
    ├── DataContractError  the values break the contract of FarmData
    ├── ConfigError        an unknown key, an impossible value, an unknown name
    ├── TaskError          windows, forecast and model do not fit one another
    ├── BundleError        a bundle on disk is broken, altered, or does not fit
    └── TrackingError      the record of a run cannot be kept, sent or found

A message says what was wrong, where, and what to do. The command line prints it in one line and exits 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WindcastError(Exception):
    """Base of every error that windcast raises on purpose."""


class SourceError(WindcastError):
    """A file or download cannot be read, or is not what it claims to be."""


class DataContractError(WindcastError):
    """The values break the contract of FarmData."""


class ConfigError(WindcastError):
    """An unknown key, an impossible value or an unknown name."""


class TaskError(WindcastError):
    """Windows, forecast and model do not fit one another."""


class BundleError(WindcastError):
    """A bundle on disk is broken, altered, or does not fit."""


class TrackingError(WindcastError):
    """The record of a run cannot be kept, sent or found."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence that names the unknown, its nearest known neighbour and all that is known."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"unknown {kind} '{name}'. {hint}Known: {', '.join(names)}."
