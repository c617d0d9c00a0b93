"""One sender at a time: a lock that the operating system lets go of when its holder is gone, however it went."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

EVERY = 0.05  # seconds between two attempts


@contextmanager
def held(file: Path, *, patience: float = 0.0) -> Iterator[bool]:
    """Whether the lock could be had within `patience` seconds; if so it is held until the block ends."""
    deadline = time.monotonic() + patience
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as lock:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise OSError(f"{file}: {error}") from None
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(EVERY)
        try:
            yield True
        finally:
            lock.execute("ROLLBACK")
