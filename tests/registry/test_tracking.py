"""Records are written whole, listed, found, and each sent once; what goes wrong is said, and nothing is lost."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import types
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from windcast.errors import ConfigError, TrackingError
from windcast.registry import runs
from windcast.registry.tracking import NOWHERE, Destination, Tracked, database, keep, of_run, plots, sending, spool
from windcast.registry.tracking.lock import held

SETTINGS = {"seed": 1, "model": {"name": "gbm", "rounds": 5}, "data": {"source": "simulation"}}
TRACKED = Tracked(
    name="hill",
    kind="backtest",
    created="2026-01-01T06:00:00+00:00",
    model="gbm",
    data="simulation",
    settings=SETTINGS,
    seconds=1.5,
    memory_mb=200.0,
    metrics=[("crps", 0.1, 0), ("lead/gbm/crps", 0.05, 60), ("lead/gbm/crps", 0.15, 120)],
    tags={"data_sha256": "ab", "fitted_until": "2025-12-01T00:00:00+00:00"},
)
RECORD = runs.Record(
    command="windcast backtest",
    created="2026-01-03T06:00:00+00:00",
    settings=SETTINGS,
    data_checksum="ab" * 32,
    code="0.1.0",
    packages={"numpy": "2.0"},
    seconds={"gbm": {"fit": 1.5, "predict": 0.5}},
    scores={"climatology": {"crps": 0.3}, "gbm": {"crps": 0.1}},
    fingerprint={"gbm": "cd" * 32},
)


def to(folder: Path, backend: str = "mlflow") -> Destination:
    return Destination(backend=backend, folder=folder)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A backend in the place of MLflow; `taken` are the ids that it was sent, `fault` what it raises."""
    module = types.ModuleType("windcast.registry.tracking.mlflow")
    module.taken, module.fault, module.seen = [], None, []  # type: ignore[attr-defined]

    def send(entry: spool.Entry) -> str:
        if module.fault is not None:
            raise module.fault
        module.taken.append(entry.id)
        module.seen.append(sorted(str(f.relative_to(entry.files)) for f in entry.files.rglob("*") if f.is_file()))
        return "there"

    module.send = send  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sending.NEEDED, "mlflow", ())
    return module


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    spool.write(to(tmp_path), TRACKED)
    (entry,) = spool.entries(tmp_path)
    assert entry.tracked == TRACKED
    assert entry.pending
    assert entry.destination.database == to(tmp_path).database == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_score_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    spool.write(to(tmp_path), replace(TRACKED, metrics=[("crps", 0.1, 0), ("skill", float("nan"), 0)]))
    assert spool.entries(tmp_path)[0].tracked.metrics == [("crps", 0.1, 0)]


def test_files_are_copied_as_they_were_when_the_run_was_done(tmp_path: Path, backend: types.ModuleType) -> None:
    bundle, report = tmp_path / "b", tmp_path / "report.html"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    report.write_text("first")
    number = spool.write(to(tmp_path), replace(TRACKED, files={"bundle": str(bundle), "report.html": str(report)}))
    report.write_text("second")
    files = tmp_path / spool.PLACE / number / spool.FILES
    assert (files / "report.html").read_text() == "first"
    assert [o.error for o in sending.send(tmp_path)] == [None]
    assert backend.seen == [["bundle/manifest.json", "report.html"]]
    assert not files.exists()


def test_no_tracking_writes_nothing(tmp_path: Path) -> None:
    keep(replace(NOWHERE, folder=tmp_path), TRACKED)
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_written_is_a_warning_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    for destination, tracked in (
        (to(tmp_path / "file"), TRACKED),
        (to(tmp_path / "runs"), replace(TRACKED, files={"report.html": str(tmp_path / "gone")})),
    ):
        caplog.clear()
        keep(destination, tracked, send=False)
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert "no record of hill could be written" in caplog.text
    assert list((tmp_path / "runs" / spool.PLACE).iterdir()) == []


def test_a_full_disk_is_a_warning_and_leaves_no_half_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    keep(to(tmp_path), TRACKED, send=False)
    assert "No space left on device" in caplog.text
    assert list((tmp_path / spool.PLACE).iterdir()) == []


# --- listing, finding ------------------------------------------------------------------------------------------------


def test_records_and_runs_without_one_are_listed_newest_first_and_once(tmp_path: Path) -> None:
    folder = tmp_path / "20260103-060000-simulation-gbm"
    folder.mkdir()
    RECORD.write(folder)
    spool.write(to(tmp_path), TRACKED)
    spool.write(to(tmp_path), replace(TRACKED, name="later", created="2026-01-02T06:00:00+00:00"))
    listed = spool.entries(tmp_path)
    assert [entry.tracked.name for entry in listed] == [folder.name, "later", "hill"]
    assert listed[0].state == spool.UNTRACKED
    assert listed[0].tracked.metric("crps") == 0.1
    assert listed[0].tracked.metric("climatology/crps") == 0.3
    assert listed[0].tracked.seconds == 2.0
    spool.write(to(tmp_path), of_run(RECORD, folder))
    assert len(spool.entries(tmp_path)) == 3


def test_a_record_that_cannot_be_read_is_named_and_hides_no_other(tmp_path: Path) -> None:
    number = spool.write(to(tmp_path), TRACKED)
    spool.write(to(tmp_path), TRACKED)
    file = tmp_path / spool.PLACE / number / spool.RECORD
    for text in ("{", "[]", "{}", json.dumps({"tracked": {"name": 1}, "destination": {"folder": "runs"}})):
        file.write_text(text)
        assert len(spool.entries(tmp_path)) == 1
        assert spool.broken(tmp_path) == [file]


def test_a_run_is_found_by_id_its_beginning_folder_or_the_newest_of_a_name(tmp_path: Path) -> None:
    first = spool.write(to(tmp_path), replace(TRACKED, folder=str(tmp_path / "there")))
    second = spool.write(to(tmp_path), replace(TRACKED, created="2026-01-02T06:00:00+00:00"))
    assert spool.find(first, tmp_path).id == first
    assert spool.find(first[:5], tmp_path).id == first
    assert spool.find(str(tmp_path / "there"), tmp_path).id == first
    assert spool.find("hill", tmp_path).id == second


def test_a_run_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="holds no runs"):
        spool.find("hill", tmp_path)
    spool.write(to(tmp_path), TRACKED)
    spool.write(to(tmp_path), replace(TRACKED, name="dale"))
    with pytest.raises(TrackingError, match=r"no run 'hil' in .*The nearest: hill\."):
        spool.find("hil", tmp_path)


# --- sending ---------------------------------------------------------------------------------------------------------


def test_what_waits_is_sent_once_oldest_first(tmp_path: Path, backend: types.ModuleType) -> None:
    later = spool.write(to(tmp_path), replace(TRACKED, created="2026-01-02T06:00:00+00:00"))
    first = spool.write(to(tmp_path), TRACKED)
    assert [o.error for o in sending.send(tmp_path)] == [None, None]
    assert list(sending.send(tmp_path)) == []
    assert backend.taken == [first, later]
    assert {entry.state for entry in spool.entries(tmp_path)} == {"there"}


def test_what_the_backend_refuses_waits_with_the_reason_and_hinders_no_other(
    tmp_path: Path, backend: types.ModuleType
) -> None:
    spool.write(to(tmp_path), TRACKED)
    spool.write(to(tmp_path), TRACKED)
    backend.fault = ConnectionError("no\nnetwork")
    assert [o.error for o in sending.send(tmp_path)] == ["no network", "no network"]
    assert [entry.state for entry in spool.entries(tmp_path)] == ["waits: no network"] * 2
    backend.fault = None
    assert [o.error for o in sending.send(tmp_path)] == [None, None]
    assert len(set(backend.taken)) == 2


def test_a_record_written_while_another_is_sent_is_sent_by_the_same_sender(
    tmp_path: Path, backend: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending.subprocess, "Popen", None)  # a second sender would fail the test
    plain = backend.send

    def send(entry: spool.Entry) -> str:
        if not backend.taken:
            keep(to(tmp_path), replace(TRACKED, name="meanwhile"))
        return str(plain(entry))

    backend.send = send
    spool.write(to(tmp_path), TRACKED)
    assert [o.entry.tracked.name for o in sending.send(tmp_path)] == ["hill", "meanwhile"]


def test_a_sender_waits_for_another_only_so_long(tmp_path: Path, backend: types.ModuleType) -> None:
    spool.write(to(tmp_path), TRACKED)
    with held(tmp_path / spool.PLACE / sending.LOCK) as mine:
        assert mine
        with pytest.raises(TrackingError, match="another process is sending"):
            list(sending.send(tmp_path, patience=0.1))
    assert backend.taken == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_sender_that_is_killed_frees_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom windcast.registry.tracking.lock import held\n"
        "with held(Path(sys.argv[1])) as mine:\n    print(mine, flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with held(tmp_path / "lock") as mine:
            assert not mine
        os.kill(process.pid, signal.SIGKILL)
    with held(tmp_path / "lock") as mine:
        assert mine


def test_all_is_sent_again_with_the_files_that_are_as_they_were(tmp_path: Path, backend: types.ModuleType) -> None:
    kept, changed = tmp_path / "kept.csv", tmp_path / "changed.csv"
    for file in (kept, changed):
        file.write_text("1")
    spool.write(to(tmp_path), replace(TRACKED, files={f.name: str(f) for f in (kept, changed)}))
    list(sending.send(tmp_path))
    changed.write_text("2")
    later = kept.stat().st_mtime + 100
    os.utime(changed, (later, later))
    spool.send_again(tmp_path)
    list(sending.send(tmp_path))
    assert backend.seen == [["changed.csv", "kept.csv"], ["kept.csv"]]


def test_a_backend_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sending.NEEDED, "mlflow", ("no_such_package",))
    with pytest.raises(ConfigError, match=r"no_such_package.*windcast\[track\]"):
        sending.require("mlflow")


# --- database, plots -------------------------------------------------------------------------------------------------


def test_a_database_is_checked_for_what_would_hinder_a_record(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    database.check(file)
    assert not file.exists()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE runs (name)")
        database.check(file)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked by another program"):
            database.check(file)
    file.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(TrackingError, match=r"no readable database.*--all"):
        database.check(file)
    with pytest.raises(TrackingError, match="cannot be written"):
        database.check(tmp_path)


def test_a_corrupt_database_is_a_warning_and_the_record_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlflow.db").write_text("not a database at all" * 50)
    keep(to(tmp_path), TRACKED)
    assert "no readable database" in caplog.text
    assert "windcast runs sync" in caplog.text
    assert [entry.pending for entry in spool.entries(tmp_path)] == [True]


def test_the_pictures_of_a_report_become_files(tmp_path: Path) -> None:
    svg = '<svg role="img" aria-label="x" viewBox="0 0 1 1"><g id="pit-0"></g></svg>'
    png = '<img alt="y" src="data:image/png;base64,iVBORw0=">'
    (tmp_path / "report.html").write_text(f"<p>{svg}</p>{png}")
    plots.extract(tmp_path)
    assert (tmp_path / "plots" / "01-pit.svg").read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert (tmp_path / "plots" / "picture-01.png").read_bytes().startswith(b"\x89PNG")
