"""Opening a store: what is made, brought up to date, taken back, or refused with a sentence."""

from pathlib import Path

import numpy as np
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import PROCESSES, Postgres, hours, known_farm, open_together
from sqlalchemy import inspect, text
from test_store import NOON

from windcast.serving.store import Store, StoreError, StoreUnavailable
from windcast.serving.store.engine import connect
from windcast.serving.store.migrating import SCRIPTS, migrate
from windcast.serving.store.schema import HEAD, VERSION_TABLE, metadata

TABLES = {"farms", "power", "weather", "forecasts", VERSION_TABLE}


def test_a_migrated_database_has_the_schema_that_the_code_reads(empty_url: str) -> None:
    Store.open(empty_url).close()
    engine = connect(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == TABLES
    engine.dispose()


def test_the_last_migration_is_the_schema_that_is_asked_for() -> None:
    assert ScriptDirectory(SCRIPTS).get_current_head() == HEAD


def test_migrations_go_down_and_up_again(empty_url: str) -> None:
    Store.open(empty_url).close()
    engine = connect(empty_url)
    with engine.execution_options(immediate=True).begin() as connection:
        migrate(connection, "base")
        assert set(inspect(connection).get_table_names()) == {VERSION_TABLE}
    engine.dispose()
    store = Store.open(empty_url)
    known_farm(store)
    store.close()


def test_what_is_stored_is_there_when_opened_again(store_url: str) -> None:
    first = Store.open(store_url)
    record = known_farm(first)
    first.close()
    second = Store.open(store_url)
    assert second.farm("farm") == record
    second.ping()
    second.close()


def test_a_database_of_a_newer_windcast_is_refused(empty_url: str) -> None:
    Store.open(empty_url).close()
    engine = connect(empty_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match=r"newer windcast \(schema 9999, this one knows .*\)\. Upgrade windcast"):
        Store.open(empty_url)


def test_a_database_of_something_else_is_refused_and_left_alone(empty_url: str) -> None:
    engine = connect(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE farms (cows INTEGER)"))
    with pytest.raises(StoreError, match=r"holds tables of something else \(farms\)"):
        Store.open(empty_url)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["farms"]
    engine.dispose()


def test_a_postgresql_database_may_be_shared_with_other_tables(postgres: Postgres) -> None:
    url = postgres.fresh()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    Store.open(url).close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 500)
    with pytest.raises(StoreError, match="damaged or not one of SQLite"):
        Store.open(str(path))
    assert path.read_text().startswith("Dear Sir")


def test_a_damaged_file_is_refused_when_the_damage_is_read(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(str(path))
    known_farm(store)
    store.append_power("farm", hours(NOON, 20_000), np.ones(20_000), received_at=NOON)
    store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 4 :] = b"\xa5" * (len(content) - len(content) // 4)
    path.write_bytes(content)
    damaged = Store.open(str(path))
    with pytest.raises(StoreError, match="damaged"):
        damaged.truth("farm", hours(NOON, 20_000))
    damaged.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://host/db", "cannot live in mysql://"),
        ("sqlite://", "cannot live in sqlite://"),
        ("sqlite:///:memory:", "cannot live in sqlite://"),
        ("postgresql://host:port/db", "is not a URL"),
        ("{tmp}/missing/store.db", "cannot keep the store there: No such file"),
        ("{tmp}", "cannot keep the store there: Is a directory"),
    ],
)
def test_an_address_that_cannot_be_a_store_is_refused(url: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=sentence):
        Store.open(url.format(tmp=tmp_path))


def test_a_path_and_its_url_are_the_same_store(tmp_path: Path) -> None:
    path = tmp_path / "a store 100%?.db"
    first = Store.open(str(path))
    known_farm(first)
    first.close()
    plain = tmp_path / "store.db"
    path.rename(plain)
    second = Store.open(f"sqlite:///{plain}")
    assert [farm.name for farm in second.farms()] == ["farm"]
    second.close()


def test_sqlite_keeps_what_it_acknowledged_through_a_power_cut_by_its_settings(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store.db"))
    with store._reading() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    store.close()


def test_an_unreachable_server_is_unavailable_and_the_password_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as error:
        Store.open(f"postgresql://me:hunter2@/db?host={tmp_path}")
    assert "hunter2" not in str(error.value)


def test_processes_that_open_an_empty_database_at_once_all_succeed(empty_url: str) -> None:
    barrier, answers = PROCESSES.Barrier(4), PROCESSES.Queue()
    processes = [PROCESSES.Process(target=open_together, args=(empty_url, barrier, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == ["opened"] * 4
    for process in processes:
        process.join()


def test_a_write_ahead_file_left_by_a_crash_is_taken_in(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store.db"))
    known_farm(store)
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes((tmp_path / f"store.db{suffix}").read_bytes())
    store.close()
    opened = Store.open(str(copy))
    assert opened.farm("farm").name == "farm"
    opened.close()
