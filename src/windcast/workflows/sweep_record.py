"""What a study keeps of its sweep, so that it can go on with the same and with nothing else."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windcast.configs.sweep_space import leaves
from windcast.configs.sweeps import BUDGETS, Search
from windcast.errors import BundleError, ConfigError, unknown_name

RECORD = "sweep.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What must be the same for all trials of a study, and how it began. overrides: what makes `settings` again."""

    command: str
    created: str
    overrides: dict[str, str]
    settings: dict[str, Any]
    search: dict[str, Any]
    spans: dict[str, str]
    data_checksum: str
    code: str
    packages: dict[str, str]

    def write(self, folder: Path) -> None:
        part = folder / f".{RECORD}.part"
        part.write_text(json.dumps(asdict(self), indent=1))
        part.replace(folder / RECORD)


def read(folder: Path) -> Record:
    """Raises ConfigError with the nearest study if there is none, BundleError if its record cannot be read."""
    if not (folder / RECORD).is_file():
        raise ConfigError(unknown(folder))
    try:
        return Record(**json.loads((folder / RECORD).read_text()))
    except (ValueError, TypeError) as error:
        raise BundleError(f"{folder / RECORD}: is not the record of a sweep ({error}). Begin another study.") from None


def unknown(folder: Path) -> str:
    """A sentence that names the nearest of the studies beside it."""
    studies = [file.parent.name for file in folder.parent.glob(f"*/{RECORD}")] if folder.parent.is_dir() else []
    found = unknown_name("study", folder.name, studies) if studies else f"no study in {folder.parent}."
    return f"{folder}: {found} To begin one of that name, say of what: --study {folder.name} model=gbm."


def of_search(search: Search) -> dict[str, Any]:
    """All but the budgets. A range is one value, so that one in place of another reads well."""
    plain = search.to_dict()
    space = {f"space.{key}": json.dumps(one) for key, one in plain.pop("space").items()}
    return {key: value for key, value in plain.items() if f"sweep.{key}" not in BUDGETS} | space


def differences_of(then: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """A sentence for every key whose value is another."""
    before, after = dict(leaves(then)), dict(leaves(here))
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
    return [f"{prefix}{key} was {before.get(key)}, is {after.get(key)}" for key in keys]
