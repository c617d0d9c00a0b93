"""Records on disk: each written whole before anything is sent, and kept when it has been.

runs/.tracking/
  3f0c2a91b7de/
    record.json   the record, and where it is to go
    files/        copies of its files, until they are sent
    sent.json     where it went
    failed.json   why the last attempt to send it failed
"""

import json
import math
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from windcast.errors import BundleError, TrackingError
from windcast.registry import runs
from windcast.registry.tracking import Destination, Tracked, of_run

PLACE = ".tracking"
RECORD, SENT, FAILED, FILES = "record.json", "sent.json", "failed.json", "files"
UNTRACKED = "not tracked"
LEAST_PREFIX = 4  # characters of an id


@dataclass(frozen=True)
class Entry:
    """A record. state: where it was sent, `waits: why not yet`, or UNTRACKED for a run folder without a record."""

    id: str
    folder: Path
    destination: Destination
    tracked: Tracked
    state: str

    @property
    def pending(self) -> bool:
        return self.state.startswith("waits")

    @property
    def files(self) -> Path:
        return self.folder / FILES


def write(destination: Destination, tracked: Tracked) -> str:
    """Writes a record, with copies of its files, under a temporary name, and moves it into place. Returns its id."""
    place = destination.folder / PLACE
    place.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex[:12]
    part = place / f".{name}"
    try:
        (part / FILES).mkdir(parents=True)
        for target, file in tracked.files.items():
            _copy(Path(file), part / FILES / target)
        finite = [metric for metric in tracked.metrics if math.isfinite(metric[1])]
        document = {"tracked": asdict(tracked) | {"metrics": finite}, "destination": destination.to_dict()}
        (part / RECORD).write_text(json.dumps(document, indent=1, default=str))
        part.replace(place / name)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def entries(folder: Path) -> list[Entry]:
    """All records of a folder and its runs without one, newest first. What cannot be read is left out: see `broken`."""
    found = [entry for place in _places(folder) if (entry := _read(place)) is not None]
    known = {(entry.tracked.folder, entry.tracked.created) for entry in found}
    for file in sorted(folder.glob(f"*/{runs.RECORD}")):
        with suppress(BundleError):
            tracked = of_run(runs.read(file.parent), file.parent)
            if (tracked.folder, tracked.created) not in known:
                found.append(Entry("", file.parent, Destination(backend="none"), tracked, UNTRACKED))
    return sorted(found, key=lambda entry: entry.tracked.created, reverse=True)


def broken(folder: Path) -> list[Path]:
    """Records that cannot be read."""
    return [place / RECORD for place in _places(folder) if _read(place) is None]


def pending(folder: Path) -> list[Entry]:
    """Records that wait to be sent, oldest first."""
    found = [_read(place) for place in _places(folder) if not (place / SENT).is_file()]
    return sorted((e for e in found if e is not None), key=lambda entry: entry.tracked.created)


def find(name: str, folder: Path) -> Entry:
    """The record with this id (or the beginning of it), or the newest of this name or folder.

    Raises TrackingError, naming the nearest, if there is none.
    """
    known, lain = entries(folder), str(Path(name).resolve())
    for entry in known:
        if (
            name in (entry.id, entry.tracked.name)
            or lain == entry.tracked.folder
            or (len(name) >= LEAST_PREFIX and entry.id.startswith(name))
        ):
            return entry
    if not known:
        raise TrackingError(f"no run '{name}': {folder} holds no runs. Backtest or train first, or name its folder.")
    names = list(dict.fromkeys(n for entry in known for n in (entry.tracked.name, entry.id) if n))
    near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    raise TrackingError(f"no run '{name}' in {folder}. The nearest: {', '.join(near)}. All of them: windcast runs")


def sent(entry: Entry, where: str) -> None:
    """Notes that the backend has the record, and lets go of the copies of its files."""
    _note(entry.folder / SENT, {"where": where})
    (entry.folder / FAILED).unlink(missing_ok=True)
    shutil.rmtree(entry.files, ignore_errors=True)


def send_again(folder: Path) -> None:
    """Has every record wait again, with copies of those of its files that lie where they lay, as they were."""
    for place in _places(folder):
        entry = _read(place)
        if entry is None or entry.pending:
            continue
        written = (place / RECORD).stat().st_mtime
        for target, file in entry.tracked.files.items():
            if _changed(Path(file)) <= written:
                _copy(Path(file), entry.files / target)
        (place / SENT).unlink()


def _changed(file: Path) -> float:
    """When a file, or the last of those in a folder, was last written; never, as infinity, if it is gone."""
    inside = [f for f in (file, *file.rglob("*")) if f.is_file()]
    return max((f.stat().st_mtime for f in inside), default=math.inf)


def failed(entry: Entry, why: str) -> None:
    _note(entry.folder / FAILED, {"why": why})


def _note(file: Path, what: dict[str, Any]) -> None:
    part = file.with_name(f".{file.name}")
    part.write_text(json.dumps(what | {"at": datetime.now(UTC).isoformat(timespec="seconds")}))
    part.replace(file)


def _places(folder: Path) -> Iterator[Path]:
    for place in sorted((folder / PLACE).glob("*")):
        if place.is_dir() and not place.name.startswith("."):
            yield place


def _read(place: Path) -> Entry | None:
    try:
        document = json.loads((place / RECORD).read_text())
        to = document["destination"]
        destination = Destination(**{**to, "folder": Path(to["folder"])})
        told = document["tracked"]
        tracked = Tracked(**{**told, "metrics": [(str(n), float(v), int(s)) for n, v, s in told["metrics"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Entry(place.name, place, destination, tracked, _state(place))


def _state(place: Path) -> str:
    for file, key in ((SENT, "where"), (FAILED, "why")):
        with suppress(OSError, ValueError, KeyError):
            told = str(json.loads((place / file).read_text())[key])
            return told if file == SENT else f"waits: {told}"
    return "waits"
