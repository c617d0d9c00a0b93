"""Both databases for the tests of the store: an SQLite file, and a PostgreSQL server of our own for the session."""

import multiprocessing
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import psycopg
import pytest
from sqlalchemy import delete, select, text, update

from windcast.data.farm import Times
from windcast.serving.store import FarmRecord, Store, StoreError
from windcast.serving.store.schema import farms, forecasts, power, weather

START = datetime(2000, 1, 1, tzinfo=UTC)
SETTINGS = {"listen_addresses": "", "max_connections": "60", "shared_buffers": "32MB", "fsync": "on"}
PROCESSES = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
if sys.platform != "win32":
    PROCESSES.set_forkserver_preload(["databases", "alembic.command"])  # a process then starts in 50 ms
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


class Postgres:
    """A PostgreSQL server of our own, in a temporary folder, reached through a socket in that folder."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="windcast-pg-"))
        self.owner: dict[str, object] = {}
        if os.geteuid() == 0:
            import pwd

            user = next(u for u in pwd.getpwall() if u.pw_name in UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        options = ["--username=windcast", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", "--pgdata=data", *options)
        self.server: subprocess.Popen[bytes] | None = None
        self.ready: str | None = None

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, **self.owner)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")

    def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [str(self.programs / "postgres"), "-D", "data", "-k", str(self.folder), *settings]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self.owner)
        for _ in range(600):
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: break every connection and stop; SIGQUIT: as after a crash, with recovery at the next start."""
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait(30)
            self.server = None

    def url(self, database: str) -> str:
        return f"postgresql://windcast@/{database}?host={self.folder}"

    def with_tables(self) -> str:
        """URL of the one database that has the store's tables already, with nothing in them."""
        if self.ready is None:
            self.ready = self.fresh()
            Store.open(self.ready).close()
        else:
            with psycopg.connect(self.ready) as connection:
                connection.execute("TRUNCATE farms, power, weather, forecasts RESTART IDENTITY")
        return self.ready

    def fresh(self) -> str:
        """URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def programs() -> Path | None:
    """The folder of initdb and postgres: PGBIN, the search path, or Debian's place, the newest first."""
    found = shutil.which("postgres")
    places = [os.environ.get("PGBIN"), found and str(Path(found).resolve().parent)]
    places += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return next((Path(p) for p in places if p and (Path(p) / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if sys.platform == "win32":
        pytest.skip("the tests' PostgreSQL is reached through a socket file, and stopped by signals")
    place = programs()
    if place is None:
        pytest.skip("PostgreSQL is not installed: no initdb in PGBIN, on the path or under /usr/lib/postgresql")
    server = Postgres(place)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(server.folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database without farms, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.with_tables()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    yield opened
    opened.close()


def fill(store: Store, farm: str, values: int, *, versions: int = 1, batch: int = 500_000) -> None:
    """Millions of power values at the farm's resolution, past the rules of `append_power`; a revision for each batch.

    The last is of 2025-01-01; every time has `versions` versions, a day apart. Made by the database: 10 million take
    about half a minute on SQLite.
    """
    step = store.farm(farm).resolution // timedelta(microseconds=1)
    end = int(np.datetime64("2025-01-01", "us").astype(np.int64))
    first = end - (values // versions - 1) * step
    for begin in range(0, values, batch):
        given = {"begin": begin, "end": min(begin + batch, values) - 1, "versions": versions, "first": first}
        with store._writing() as connection:
            row = connection.execute(select(farms).where(farms.c.name == farm)).one()
            given |= {"farm": row.id, "step": step, "revision": row.revision + 1}
            connection.execute(FILL, given)
            connection.execute(
                update(farms).where(farms.c.id == row.id).values(revision=row.revision + 1, newest_power=end)
            )


FILL = text("""
    INSERT INTO power (farm_id, time, available_at, value, received_at, revision)
    WITH RECURSIVE numbers(i) AS (
        SELECT CAST(:begin AS BIGINT) UNION ALL SELECT i + 1 FROM numbers WHERE i < :end
    ), times AS (
        SELECT i, :first + i / :versions * :step AS time FROM numbers
    )
    SELECT :farm, time, time + i % :versions * 86400000000, i * 7919 % 8000 / 1000.0, time, :revision FROM times
""")


def known_farm(store: Store, name: str = "farm") -> FarmRecord:
    """A farm of 8 MW, hourly, put into the store."""
    return store.put_farm(
        FarmRecord(
            name=name,
            title=name.title(),
            bundle="bundle",
            capacity_mw=8.0,
            resolution=timedelta(hours=1),
            variables=("wind_speed_100m", "pressure"),
            weather_kind="forecast",
        )
    )


def hours(start: datetime, count: int, *, first: int = 0) -> Times:
    """`count` hourly times from `start` + `first` hours."""
    origin = np.datetime64(start.replace(tzinfo=None), "us")
    return origin + np.timedelta64(1, "h") * np.arange(first, first + count)


def empty(store: Store) -> None:
    """Throw out everything: for tests that look at many examples with one database."""
    with store._writing() as connection:
        for table in (forecasts, weather, power, farms):
            connection.execute(delete(table))


def open_together(url: str, barrier: Barrier, answers: "Queue[str]") -> None:
    """A process that opens a store when all others do."""
    barrier.wait()
    try:
        Store.open(url).close()
        answers.put("opened")
    except StoreError as error:
        answers.put(str(error))


def write(url: str, first: int, batches: int, rows: int, acknowledged: Connection) -> None:
    """A process that appends batches of `rows` hours from hour `first` on, and tells each revision it was given."""
    store = Store.open(url)
    for number in range(batches):
        times = hours(START, rows, first=first + number * rows)
        receipt = store.append_power("farm", times, np.ones(rows), available_at=START, received_at=START)
        acknowledged.send(receipt.revision)
    store.close()
    acknowledged.close()
