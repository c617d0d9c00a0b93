"""Sending records, one after another, each exactly once: in a process of its own, or by `windcast runs sync`."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from windcast.errors import ConfigError, TrackingError
from windcast.registry.tracking import Destination, database, plots, spool
from windcast.registry.tracking.lock import held

NEEDED = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "wandb": ("wandb",)}
EXTRA = {"mlflow": "track", "wandb": "wandb"}
PATIENCE = 60.0  # seconds that a sender waits for another, and for a database
LOCK = "lock"
_started: list[subprocess.Popen[bytes]] = []  # kept, for Python warns of a process that is forgotten
# Neither library is to tell its makers of this use, and a server that is not there is to be given up soon.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


@dataclass(frozen=True)
class Outcome:
    """error: why the record was not sent; None if it was."""

    entry: spool.Entry
    error: str | None


def installed(backend: str) -> bool:
    return all(find_spec(name) is not None for name in NEEDED[backend])


def require(backend: str) -> None:
    """Raises ConfigError, with what to install, if the backend's packages are missing."""
    if not installed(backend):
        missing = ", ".join(name for name in NEEDED[backend] if find_spec(name) is None)
        raise ConfigError(
            f"tracking={backend} needs {missing}. Install it with: pip install 'windcast[{EXTRA[backend]}]'"
        )


def check(destination: Destination, *, patience: float = 0.2) -> None:
    """Raises TrackingError for a database that could not take a record; silent where another sender is at work."""
    file = database.file_of(destination.database) if destination.backend == "mlflow" else None
    if file is None:
        return
    with held(destination.folder / spool.PLACE / LOCK) as alone:
        if alone:
            database.check(file, patience=patience)


def start(folder: Path) -> None:
    """Has what waits sent by a process that outlives this one, unless one is at work and will look again."""
    with held(folder / spool.PLACE / LOCK) as alone:
        if not alone:
            return
    command = [sys.executable, "-P", "-m", __name__, str(folder.resolve())]
    nothing = subprocess.DEVNULL
    _started[:] = [process for process in _started if process.poll() is None]
    _started.append(
        subprocess.Popen(  # noqa: S603 — this program itself
            command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    )


def send(folder: Path, *, patience: float = PATIENCE) -> Iterator[Outcome]:
    """Sends what waits, oldest first. A record whose sending failed stays and is not tried again here.

    Raises TrackingError if another process has been sending for `patience` seconds.
    """
    tried: set[str] = set()
    while any(entry.id not in tried for entry in spool.pending(folder)):
        with held(folder / spool.PLACE / LOCK, patience=patience) as alone:
            if not alone:
                raise TrackingError(f"{folder}: another process is sending its records. Try again when it is done.")
            while waiting := [entry for entry in spool.pending(folder) if entry.id not in tried]:
                tried.add(waiting[0].id)
                yield _sent(waiting[0], patience)
        # a record that was written while the lock was held, by a process that saw it held, is found by looking again


def _sent(entry: spool.Entry, patience: float) -> Outcome:
    try:
        with _environment():
            require(entry.destination.backend)
            file = database.file_of(entry.destination.database) if entry.destination.backend == "mlflow" else None
            if file is not None:
                database.check(file, patience=min(patience, 10))
            plots.extract(entry.files)
            backend: Any = import_module(f"windcast.registry.tracking.{entry.destination.backend}")
            where = backend.send(entry)
        spool.sent(entry, where)
    except Exception as error:  # a backend raises what it likes; the record stays
        why = " ".join(str(error).split()) or type(error).__name__
        with suppress(OSError):
            spool.failed(entry, why)
        return Outcome(entry, why)
    return Outcome(entry, None)


class _environment:
    """Both libraries read their settings from the environment when they are imported, and warn and log a good deal."""

    def __enter__(self) -> None:
        import warnings

        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        warnings.simplefilter("ignore")
        self.logged = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *raised: object) -> None:
        logging.disable(self.logged)
        self.warnings.__exit__(*raised)  # type: ignore[arg-type]


def main() -> None:
    """`python -m windcast.registry.tracking.sending FOLDER`: what `start` starts."""
    if hasattr(os, "nice"):
        os.nice(10)  # whoever waits for a forecast comes first
    for _ in send(Path(sys.argv[1])):
        pass


if __name__ == "__main__":
    main()
