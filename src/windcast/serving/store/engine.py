"""The database behind the store: opening it, one transaction at a time, and its errors in words."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import DBAPIError as DriverError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from windcast.serving.store.errors import StoreError, StoreUnavailable

PATIENCE_S = 10  # how long a call waits for a lock or a free connection
# Every query reads a range along an index. Without statistics, as after a large import, PostgreSQL would rather take
# a bitmap of the whole farm and sort it: 340 ms instead of 1 ms for a page out of 500,000 values.
POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": f"-c lock_timeout={PATIENCE_S}s -c enable_bitmapscan=off",
}
POOL: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 8, "max_overflow": 8, "pool_timeout": PATIENCE_S}


def connect(url: str) -> Engine:
    """An engine for a PostgreSQL URL, an SQLite URL or the path of an SQLite file, which is created if missing.

    Raises StoreError where the address is of neither, or the file cannot be made.
    """
    if "://" not in url:
        return _sqlite(Path(url))
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError("the store's address is not a URL. Give a path or postgresql://user@host/database.") from error
    backend = address.get_backend_name()
    if backend == "sqlite" and address.database not in (None, "", ":memory:"):
        return _sqlite(Path(str(address.database)))
    if backend in ("postgres", "postgresql"):
        return _postgres(address)
    raise StoreError(f"the store cannot live in {url.split('://')[0]}://. Give a file's path or postgresql://….")


def _postgres(address: URL) -> Engine:
    settings = {name: value for name, value in POSTGRES.items() if name not in address.query}
    address = address.set(drivername="postgresql+psycopg")
    return create_engine(address, connect_args=settings, pool_pre_ping=True, **POOL)


def _sqlite(path: Path) -> Engine:
    try:
        path.open("ab").close()
    except OSError as error:
        raise StoreError(f"{path}: cannot keep the store there: {error.strerror}.") from error
    # mode=rw: a file that is deleted under the service must fail, not come back empty.
    uri = f"file:{quote(str(path.resolve()))}?mode=rw"

    def open_file() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    engine = create_engine(URL.create("sqlite", database=str(path)), creator=open_file, **POOL)

    def remember(_connection: object, record: Any) -> None:
        record.info["file"] = _identity(path)

    def same_file(_connection: object, record: Any, _proxy: object) -> None:
        if record.info["file"] is None or record.info["file"] != _identity(path):
            raise DisconnectionError("the database file was replaced")

    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", same_file)
    event.listen(engine, "begin", begin)
    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Database:
    """An engine, and how a transaction on it begins, ends and fails.

    Whatever fails comes out as a StoreError; a transaction whose commit was not acknowledged is one that failed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._turn = Lock()

    def close(self) -> None:
        """Give back every connection. A call in another thread fails or ends, it is not cut in half."""
        self._engine.dispose()

    def ping(self) -> None:
        """Raises StoreUnavailable where the database does not answer."""
        with self._reading() as connection:
            connection.execute(select(1)).one()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._engine.dialect.name != "sqlite":
            with translated(), self._writer.begin() as connection:
                yield connection
            return
        # SQLite's own wait for its lock polls; threads of one process take turns here instead.
        if not self._turn.acquire(timeout=PATIENCE_S):
            raise StoreUnavailable(f"another write has held the database for {PATIENCE_S} s. Try again.")
        try:
            with translated(), self._writer.begin() as connection:
                yield connection
        finally:
            self._turn.release()


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the driver and of SQLAlchemy as a StoreError with a sentence."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (SQLAlchemyError, *_drivers("Error"))):
            raise
        raise _in_words(error) from error


def _drivers(*names: str) -> tuple[type[Exception], ...]:
    """Error classes of those drivers that are in use; psycopg is slow to import."""
    modules = [sqlite3, *(sys.modules[name] for name in ("psycopg",) if name in sys.modules)]
    return tuple(getattr(module, name) for module in modules for name in names)


def _in_words(error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, DriverError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    reason = lines[0] if lines else type(cause).__name__
    if isinstance(error, PoolTimeout):
        return StoreUnavailable(f"no connection to the database came free in {PATIENCE_S} s. Try again.")
    if isinstance(cause, DisconnectionError):
        return StoreUnavailable(f"the database is gone: {reason}. Restore it, then try again.")
    if isinstance(cause, _drivers("OperationalError", "InterfaceError")):
        return StoreUnavailable(f"the database does not take the call: {reason}. Nothing was confirmed; try again.")
    if isinstance(cause, sqlite3.DatabaseError) and ("malformed" in reason or "not a database" in reason):
        return StoreError(f"the database file is damaged or not one of SQLite: {reason}. Restore it from a copy.")
    return StoreError(f"the database refused: {reason}.")
