"""A run on disk: what was asked, of which data and code, and what came of it, so that it can be made again.

runs/20260101-060000-klim-pool/
  run.json            settings, data checksum, code version, packages, seconds, scores, fingerprint of the forecasts
  forecasts.parquet   every model, issue time, lead and level, with what was observed
  leaderboard.csv     one row a model
  report.html         for people
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from windcast.errors import BundleError, unknown_name
from windcast.evaluation.backtest import Backtest

RECORD = "run.json"
FORECASTS = "forecasts.parquet"


@dataclass(frozen=True, kw_only=True)
class Record:
    """fingerprint: sha256 over every forecast value, by model. scores: overall scores, by model.

    ladder: of the last model, see `evaluation.ladder`.
    """

    command: str
    created: str
    settings: dict[str, Any]
    data_checksum: str
    code: str
    packages: dict[str, str]
    seconds: dict[str, dict[str, float]]
    scores: dict[str, dict[str, float]]
    fingerprint: dict[str, str]
    ladder: dict[str, list[float | None]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=1, default=str))


def read(folder: Path) -> Record:
    """Raises BundleError with the nearest runs if there is none, or if it cannot be read."""
    file = folder / RECORD
    if not file.is_file():
        runs = [r.parent.name for r in folder.parent.glob(f"*/{RECORD}")] if folder.parent.is_dir() else []
        known = unknown_name("run", folder.name, runs) if runs else f"no runs in {folder.parent}."
        raise BundleError(f"{folder}: {known}")
    try:
        return of_document(json.loads(file.read_text()), str(file))
    except ValueError as error:
        raise BundleError(f"{file}: not a readable run ({error}).") from None


def of_document(document: Any, place: str) -> Record:
    """The record that `write` wrote. Raises BundleError, naming `place`, if it is none."""
    try:
        return Record(**document)
    except TypeError as error:
        raise BundleError(f"{place}: not a readable run ({error}).") from None


def check_place(folder: Path) -> None:
    """Raises BundleError unless a run can be written to `folder`: absent, empty, or a run, which is replaced."""
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder}: is a file, not a folder. Choose another folder for the run.")
    if folder.is_dir() and not (folder / RECORD).is_file() and any(folder.iterdir()):
        raise BundleError(f"{folder}: holds something else than a run. Choose another folder.")


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A folder to write a run into; on success its files move to `folder`, the record last, and else nothing does.

    Between the first and the last of them there is no record, so files of two runs are never taken for one.
    """
    check_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".run-", dir=folder))
    try:
        yield part
        (folder / RECORD).unlink(missing_ok=True)
        for file in sorted(part.iterdir(), key=lambda f: f.name == RECORD):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def fresh_folder(parent: Path, label: str) -> Path:
    """A folder that does not exist yet, named by the time and what ran."""
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label}"
    folder, number = parent / stamp, 2
    while folder.exists():
        folder, number = parent / f"{stamp}-{number}", number + 1
    return folder


def fingerprint(backtest: Backtest) -> dict[str, str]:
    digests = {}
    for name, forecast in backtest.forecasts.items():
        digest = hashlib.sha256(forecast.issue_times.astype(np.int64).tobytes())
        digest.update(np.ascontiguousarray(forecast.values).tobytes())
        digests[name] = digest.hexdigest()
    return digests


def code_version() -> str:
    """Package version, and the commit where the package runs from a checkout; `+changed` if that was edited."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = "+changed" if _git(here, "status", "--porcelain", "--", ".") else ""
    except (OSError, subprocess.CalledProcessError):
        return version("windcast")
    return f"{version('windcast')} ({commit}{changed})"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=10).stdout.strip()  # noqa: S603
