"""MLflow's SQLite file, looked at without MLflow: in milliseconds, and with an error that says what to do."""

import sqlite3
from contextlib import closing
from pathlib import Path

from windcast.errors import TrackingError

SCHEME = "sqlite:///"


def file_of(uri: str) -> Path | None:
    """The file of an SQLite URI; None for a server or another database."""
    return Path(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) and len(uri) > len(SCHEME) else None


def check(file: Path, *, patience: float = 0.0) -> None:
    """Raises TrackingError if the file cannot be written, is no database, or is locked for `patience` seconds."""
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=patience, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise TrackingError(reason(file, str(error))) from None


def reason(file: Path, error: str) -> str:
    if "locked" in error:
        return f"{file}: is locked by another program."
    if "readonly" in error or "unable to open" in error:
        return f"{file}: cannot be written ({error}). Check its rights and those of its folder."
    if "not a database" in error or "malformed" in error:
        return f"{file}: is no readable database ({error}). Move it away; `windcast runs sync --all` fills a fresh one."
    return f"{file}: {error}."
