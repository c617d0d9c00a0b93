"""What the store promises when things break: what was acknowledged is there, whole; the rest is refused in words."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest
from databases import PROCESSES, START, Postgres, hours, known_farm, write
from sqlalchemy import text

from windcast.serving.store import Receipt, Store, StoreError, StoreUnavailable, engine

if sys.platform == "win32":
    pytest.skip("faults are made with signals and disks that Windows does not have", allow_module_level=True)

ROWS = 50
SOON = START.replace(year=START.year + 60)


def append(store: Store, number: int, rows: int = ROWS) -> Receipt:
    times = hours(START, rows, first=number * rows)
    return store.append_power("farm", times, np.ones(rows), available_at=START, received_at=START)


def batches(store: Store) -> Counter[int]:
    """Rows of each revision; every revision in between is there."""
    with store._reading() as connection:
        found = connection.execute(text("SELECT revision, count(*) AS rows FROM power GROUP BY revision")).all()
    counted = Counter({row.revision: row.rows for row in found})
    assert sorted(counted) == list(range(1, store.farm("farm").revision + 1))
    return counted


def test_threads_that_write_to_one_farm_lose_nothing_and_share_no_revision(store: Store) -> None:
    known_farm(store)
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda number: append(store, number), range(64)))
    assert sorted(receipt.revision for receipt in receipts) == list(range(1, 65))
    assert set(batches(store).values()) == {ROWS}


def test_of_threads_that_say_the_same_one_is_stored(store: Store) -> None:
    known_farm(store)
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda _: append(store, 0), range(16)))
    assert sum(receipt.added for receipt in receipts) == ROWS
    assert {receipt.revision for receipt in receipts} == {1}


def test_processes_that_write_to_one_farm_lose_nothing_and_share_no_revision(store: Store, store_url: str) -> None:
    known_farm(store)
    writers = []
    for first in (0, 10_000):
        ours, theirs = PROCESSES.Pipe(duplex=False)
        writers.append((PROCESSES.Process(target=write, args=(store_url, first, 20, ROWS, theirs)), ours))
        writers[-1][0].start()
        theirs.close()
    given = [revision for _, pipe in writers for revision in received(pipe)]
    for process, pipe in writers:
        process.join()
        pipe.close()
    assert sorted(given) == list(range(1, 41))
    assert set(batches(store).values()) == {ROWS}


def test_a_batch_acknowledged_before_a_kill_is_there_whole_and_none_is_there_in_part(store_url: str) -> None:
    store = Store.open(store_url)
    known_farm(store)
    store.close()
    wait, revision = random.Random(3), 0
    for _ in range(25):
        ours, theirs = PROCESSES.Pipe(duplex=False)
        writer = PROCESSES.Process(target=write, args=(store_url, revision * ROWS, 10_000, ROWS, theirs))
        writer.start()
        theirs.close()
        seen = [ours.recv()]
        time.sleep(wait.uniform(0, 0.02))
        writer.kill()
        seen += received(ours)
        writer.join()
        ours.close()
        assert writer.exitcode == -signal.SIGKILL
        assert seen == list(range(revision + 1, seen[-1] + 1))
        store = Store.open(store_url)
        revision = store.farm("farm").revision
        assert revision - seen[-1] in (0, 1)  # 1: committed, and killed before it could say so
        assert set(batches(store).values()) == {ROWS}
        store.close()


def received(pipe) -> list[int]:
    """All that comes until the other end is closed."""
    given = []
    try:
        while True:
            given.append(pipe.recv())
    except (EOFError, OSError):
        return given


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_writer_goes_on_after_postgresql_restarts_and_nothing_is_lost(postgres: Postgres, how) -> None:
    store = Store.open(postgres.with_tables())
    known_farm(store)
    refused: list[StoreError] = []
    acknowledged: list[int] = []
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            try:
                append(store, len(acknowledged))
                acknowledged.append(len(acknowledged))
            except StoreUnavailable as error:
                refused.append(error)
                time.sleep(0.02)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(keep_writing)
        try:
            for _ in range(2):
                before = len(acknowledged)
                wait_until(lambda before=before: len(acknowledged) > before + 5)
                postgres.stop(how)
                wait_until(lambda: refused)
                with pytest.raises(StoreUnavailable, match="try again"):
                    store.ping()
                refused.clear()
                postgres.start()
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + 5)
        finally:
            done.set()
            if postgres.server is None:
                postgres.start()
        writing.result()
    assert batches(store) == Counter({number + 1: ROWS for number in acknowledged})
    store.close()


def wait_until(true) -> None:
    for _ in range(1500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("30 s went by")


def test_a_broken_connection_is_replaced(postgres: Postgres) -> None:
    url = postgres.with_tables()
    store = Store.open(url)
    known_farm(store)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )
    assert append(store, 0).added == ROWS
    store.close()


def test_a_lock_held_too_long_makes_the_store_unavailable_and_not_wait_for_ever(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE_S", 0.2)
    patient = Store.open(store_url)
    known_farm(patient)
    impatient = "&options=-c%20lock_timeout=200ms" if "postgresql" in store_url else ""
    store = Store.open(store_url + impatient)
    with patient._writing() as connection:
        connection.execute(text("UPDATE farms SET title = 'held'"))
        with pytest.raises(StoreUnavailable, match="lock"):
            append(store, 0)
        assert store.farm("farm").title == "Farm"  # readers do not wait
    assert append(store, 0).revision == 1
    store.close()
    patient.close()


def test_threads_that_wait_too_long_for_their_turn_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PATIENCE_S", 0.1)
    store = Store.open(str(tmp_path / "store.db"))
    known_farm(store)
    with store._writing(), ThreadPoolExecutor(1) as threads, pytest.raises(StoreUnavailable, match="another write"):
        threads.submit(append, store, 0).result()
    assert append(store, 0).revision == 1
    store.close()


def test_a_full_database_refuses_and_takes_values_again_when_there_is_room(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store.db"))
    known_farm(store)
    append(store, 0)
    set_pages(store, 40)
    number = append_until_refused(store, 1)
    assert set(batches(store).values()) == {ROWS}
    with pytest.raises(StoreUnavailable, match="full"):
        append(store, number, rows=5 * ROWS)
    set_pages(store, 1_000_000)
    assert append(store, number).added == ROWS
    store.close()


def append_until_refused(store: Store, first: int) -> int:
    """The first batch that the full database refuses."""
    for number in range(first, 1000):
        try:
            append(store, number)
        except StoreUnavailable as error:
            if "full" not in str(error) and "I/O" not in str(error):
                raise
            return number
    raise AssertionError("the database did not fill up")


def set_pages(store: Store, most: int) -> None:
    with store._engine.connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA max_page_count = {most}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_refuses_loses_nothing_and_takes_values_again_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    store = Store.open(str(small_disk / "store.db"))
    known_farm(store)
    acknowledged = append_until_refused(store, 0)
    assert batches(store) == Counter(dict.fromkeys(range(1, acknowledged + 1), ROWS))
    ballast.unlink()
    assert append(store, acknowledged).added == ROWS
    store.close()
    with sqlite3.connect(small_disk / "store.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_deleted_database_file_makes_the_store_unavailable_and_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(str(path))
    known_farm(store)
    path.rename(tmp_path / "moved.db")
    with pytest.raises(StoreUnavailable):
        append(store, 0)
    with pytest.raises(StoreUnavailable):
        store.ping()
    assert not path.exists()
    (tmp_path / "moved.db").rename(path)
    assert append(store, 0).added == ROWS
    store.close()


def test_no_error_of_the_driver_comes_out_raw(empty_url: str) -> None:
    store = Store.open(empty_url)
    known_farm(store)
    with store._writing() as connection:
        connection.execute(text("DROP TABLE power"))
    with pytest.raises(StoreError, match="power"):
        append(store, 0)
    with pytest.raises(StoreError, match="power"):
        store.power("farm", START, SOON)
    store.close()
